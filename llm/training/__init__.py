"""From groups to gradients: rows, losses, optimisers, checkpoints, warm starts."""
