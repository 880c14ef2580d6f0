"""Speed beside named peers; results are ratios of interleaved runs."""
