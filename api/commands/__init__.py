"""The subcommands of `tidegate`, one module each: `command` does the work, and `EXAMPLE` is at the end of its help."""
