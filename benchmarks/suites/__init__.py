"""The suites of `tidegate bench`, except `cells`, which is in `bench`."""
