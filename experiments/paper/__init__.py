"""The paper's training runs as settings, and all in which they differ from ours."""
