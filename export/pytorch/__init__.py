"""All that imports torch: a module as an export needs it."""
