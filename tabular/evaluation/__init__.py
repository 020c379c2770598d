"""Exact values, advantages and visits of a policy, and optimal policies."""
