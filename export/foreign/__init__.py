"""Foreign files, made by another tool: opening them, finding their signal and states, converting operators."""
