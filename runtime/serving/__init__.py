"""Streams of many clients in one process: an engine without doors, the doors to it, and clients."""
