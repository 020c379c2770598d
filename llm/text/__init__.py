"""Texts as rollouts: vocabulary, thoughts, and states with kept prefixes."""
