"""TFDS builders: each turns one published directory tree into array_record files."""
