"""The rollouts of a run as a page in a browser: prompts, groups, resets, credit, step by step."""
