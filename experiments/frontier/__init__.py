"""Frontier resets against GRPO and SRPO, from exact localisers to useless ones."""
