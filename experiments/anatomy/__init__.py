"""What resets of a model's own failures do, beside depth-matched controls."""
