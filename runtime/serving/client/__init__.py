"""Clients of a server: they keep what a server may lose, and send it again elsewhere."""
