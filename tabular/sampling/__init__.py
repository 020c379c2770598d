"""Rollouts of an MDP as arrays, from reproducible parallel random numbers."""
