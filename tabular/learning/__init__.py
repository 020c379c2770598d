"""Softmax policies on MDPs, their exact and sampled gradients, and optimisers."""
