"""Algorithms that collect groups of rollouts, and conservative policy iteration."""
