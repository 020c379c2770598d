"""Which engine samples, chosen by configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from cpi_theory.checks import check_choice, check_count, check_in_range

Engine = Literal["transformers", "vllm"]

Precision = Literal["model", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """An engine that samples.

    Attributes:
        engine: "transformers" samples from the very model that is trained, on any device; "vllm"
            holds a copy and takes over its weights after every update: many times faster on a GPU.
        max_batch: most completions decoded at a time.
        memory_share: share of a GPU's memory that vLLM may take beside the model that is trained.
        eager: run vLLM without compiling: starts at once, decodes slower.
        streaming: let each prompt go on as soon as its own rollouts are done, where the engine
            batches continuously; pays where there are more rollouts than `max_batch` and some are
            much longer than others.
        precision: of the weights that are sampled from; "model": as the model is held. "bfloat16"
            beside a model that is trained in float32 samples faster, from a copy (vLLM has one
            anyhow) and so from another law: its log-probabilities are kept as those of the policy
            that sampled, and a loss with ratios has to correct for them: "corrected", or "clipped"
            where learning computes in the precision of the weights.
    """

    engine: Engine = "transformers"
    max_batch: int = 256
    memory_share: float = 0.4
    eager: bool = False
    # Left out where they have their defaults: settings stored before there were these keep their
    # names.
    streaming: bool = field(default=False, metadata={"later": True})
    precision: Precision = field(default="model", metadata={"later": True})

    def __post_init__(self) -> None:
        check_choice("sampler.engine", self.engine, get_args(Engine))
        check_choice("sampler.precision", self.precision, get_args(Precision))
        check_count("sampler.max_batch", self.max_batch)
        check_in_range("sampler.memory_share", self.memory_share, 0.01, 1)
