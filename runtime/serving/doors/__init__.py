"""Doors: how bytes of a network become requests of the engine, and its replies bytes again."""
