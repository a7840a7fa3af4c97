"""Integer arithmetic: the exponents of each operation, and how a file says them."""
