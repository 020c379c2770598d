"""The worlds that commands know by name, tabular and language models alike."""
