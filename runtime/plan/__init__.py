"""The compiled plan: writing it, recognizing it, reading its text."""
