"""The subcommands of `tidegate`, a module each: `command` does the work, `EXAMPLE` ends its help."""
