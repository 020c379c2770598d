"""Programs written by models: run in a sandbox of bubblewrap and judged by tests."""
