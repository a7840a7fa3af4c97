"""Second moments of the inputs of each sum of products, and the gradients that weight them."""
