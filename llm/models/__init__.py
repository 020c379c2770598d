"""Models in folders: loading, saving, memory, and the tiny transformer."""
