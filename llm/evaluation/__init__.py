"""How well a model does, measured exactly where the task allows it."""
