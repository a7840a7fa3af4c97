"""Benchmarks: latency and accuracy, ours and others', one harness, side by side in one run."""
