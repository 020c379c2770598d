"""Are resets worth it? Estimates from rollouts alone, before anything is trained."""
