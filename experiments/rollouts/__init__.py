"""Rollouts that are kept to be looked at: what an algorithm saw, as records."""
