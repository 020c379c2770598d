"""Families of MDPs with parameters: trees, locks, garnets, traps, Gymnasium environments."""
