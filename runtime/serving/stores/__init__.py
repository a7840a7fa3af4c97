"""Stores: where snapshots of streams outlive the process."""
