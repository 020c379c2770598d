"""Chains of modular arithmetic with an exact step checker, for the tiny model."""
