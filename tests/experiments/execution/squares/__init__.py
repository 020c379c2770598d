"""A small command for tests that need real processes."""
