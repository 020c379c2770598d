"""Training runs of language models with GRPO, RRPO, SRPO and Frontier."""
