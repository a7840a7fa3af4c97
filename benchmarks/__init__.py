"""Benchmarks: the latency and accuracy of tidegate and of its peers, measured side by side in one run."""
