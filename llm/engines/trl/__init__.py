"""Training with TRL: its trainer under our algorithms, advantages and losses."""
