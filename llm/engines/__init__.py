"""What takes the updates: a lean loop, and TRL."""
