"""The supervised training that the tiny model starts from."""
