"""Every command that measures, and the report, in order and resumable."""
