"""Recipes of benchmarks as values: source, split, filters, licence, and columns to problems."""
