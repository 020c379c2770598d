"""Every command that measures, and the figures, in order and resumable."""
