"""Mathematical notation: what stands in a box becomes a statement, read whole or not at all."""
