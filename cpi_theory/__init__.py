"""The theory of resets and the algorithm objects: numpy and scipy only."""
