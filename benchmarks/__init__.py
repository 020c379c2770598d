"""Timings of the project beside what its users would take instead; `make bench` runs them all."""
