"""Runs on disk: what is stored, what it was made of, and whether it may be used again."""
