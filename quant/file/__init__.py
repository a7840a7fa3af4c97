"""The weights and biases of a file, their precisions, and codes in their place."""
