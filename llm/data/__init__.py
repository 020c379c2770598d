"""Questions with verifiable answers, from files or a hub, as checked problems."""
