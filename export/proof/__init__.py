"""Does the file stream what the original computes? If not, which part is at fault."""
