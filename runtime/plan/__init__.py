"""The compiled plan: written, recognized, and its text read."""
