"""The engine that samples, made from settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cpi_theory.checks import InvalidInput
from llm.models.adapters import base_of
from llm.models.settings import ModelSettings
from llm.sampling.base import Sampler
from llm.sampling.settings import SamplerSettings
from llm.sampling.transformers.rounded_sampler import RoundedSampler
from llm.sampling.transformers.sampler import TransformersSampler
from llm.sampling.vllm.sampler import VllmSampler, VllmSettings
from llm.text.vocabulary import Vocabulary


def make_sampler(
    settings: SamplerSettings, model: Any, vocabulary: Vocabulary, source: ModelSettings
) -> Sampler:
    """Make the engine that samples from the model's current weights.

    Args:
        settings: which engine.
        model: the model, as :func:`llm.models.load.load_model` gives it.
        vocabulary: its tokenizer, from there too.
        source: where they came from; vLLM loads a copy of its own.

    Raises:
        InvalidInput: vLLM is not installed, or cannot serve the model.

    Source: Wolf et al. (2020), arXiv 1910.03771 (transformers); Kwon et al. (2023), arXiv
    2309.06180 (vLLM).
    """
    if settings.engine == "transformers":
        precision = model.dtype
        if settings.precision != "model":
            precision = getattr(torch, settings.precision)
        # A copy of what the weights are already would only cost memory.
        if precision == model.dtype:
            return TransformersSampler(model, vocabulary, settings.max_batch)
        return RoundedSampler(model, vocabulary, settings.max_batch, precision)
    if base_of(Path(source.resolved_path).expanduser()) is not None:
        remedy = "write a plain folder of them first: cpi-resets export FOLDER --to DIR"
        raise InvalidInput("model.path", source.path, "vLLM cannot open adapters here", remedy)
    engine = VllmSettings(
        source.resolved_path,
        device="cpu" if source.device == "cpu" else "auto",
        dtype=source.precision if settings.precision == "model" else settings.precision,
        # The model that is trained lies on the same GPU, and vLLM's own default takes nearly all.
        memory_share=settings.memory_share,
        batch=settings.max_batch,
        eager=settings.eager,
    )
    return VllmSampler(engine, vocabulary)
