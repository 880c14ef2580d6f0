"""Forms of the layers that compile to fast programs for a GPU, one idea a file."""
