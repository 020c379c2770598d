"""Intervals, resampling and rank tests for rewards, runs and prompts."""
