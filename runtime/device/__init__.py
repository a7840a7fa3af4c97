"""Folders of C code that build a program with a plan for a device."""
