"""Second moments of what each sum of products reads, weighed by the gradient of the answer."""
