"""Tasks: where problems come from and how their answers are judged."""
