"""Folders of C that build a plan for a device."""
