"""Finite MDPs: tables, policies, scaling of rewards, storage and validation."""
