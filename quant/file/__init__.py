"""The weights and biases of a file, and the precision that each gets."""
