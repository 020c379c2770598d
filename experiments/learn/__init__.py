"""Learning curves of all algorithms on tabular worlds."""
