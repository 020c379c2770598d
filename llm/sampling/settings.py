"""Which engine samples, chosen by configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cpi_theory.checks import InvalidInput, check_count, check_in_range

Engine = Literal["transformers", "vllm"]


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
    """

    engine: Engine = "transformers"
    max_batch: int = 256
    memory_share: float = 0.4
    eager: bool = False
    streaming: bool = False

    def __post_init__(self) -> None:
        if self.engine not in get_args(Engine):
            raise InvalidInput(
                "sampler.engine", self.engine, "unknown", "choose transformers or vllm"
            )
        check_count("sampler.max_batch", self.max_batch)
        check_in_range("sampler.memory_share", self.memory_share, 0.01, 1)
