"""The report: every stored record drawn, and what it says."""
