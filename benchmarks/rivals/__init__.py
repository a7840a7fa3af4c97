"""Rivals: each in its best known way, one adapter a file, importable without its package."""
