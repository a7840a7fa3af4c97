"""What a quantization did, for a person or a script."""
