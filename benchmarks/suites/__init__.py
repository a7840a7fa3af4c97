"""The suites of tidegate bench."""
