"""Seeded nets to measure, as files and plans."""
