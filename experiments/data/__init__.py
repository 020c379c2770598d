"""Benchmarks by their recipes."""
