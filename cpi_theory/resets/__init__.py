"""Reset policies: which step of a rollout becomes a reset state."""
