"""Forms of the layers that are fast on a CPU, one idea a file."""
