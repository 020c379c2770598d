"""A transformers model behind the sampler signature: in batches, and in streams of slots."""
