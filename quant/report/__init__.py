"""The report: what became of each weight, for a person or a script."""
