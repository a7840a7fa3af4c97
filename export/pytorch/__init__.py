"""All code that imports torch: running a module, tracing it, finding the line at fault."""
