"""vLLM behind the sampler signature: its engine, how tokens are drawn in it, its worker."""
