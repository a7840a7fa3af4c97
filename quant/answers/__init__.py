"""The answers of the quantized model next to those of the float model, and what to do if they are far apart."""
