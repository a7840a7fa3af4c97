"""Integer arithmetic: the exponents of each operation, and their metadata in a file."""
