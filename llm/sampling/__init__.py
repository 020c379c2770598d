"""Samplers behind one function: transformers, vLLM, TRL's engine, and scripts for tests."""
