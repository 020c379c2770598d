"""A training and a speed measurement on this machine's GPU."""
