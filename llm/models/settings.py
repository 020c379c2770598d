"""Which model, where and how it is held; as values that need no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from cpi_theory.checks import InvalidInput, check_choice, check_count, check_probability

TINY_NAME = "tiny"
"""Stands for the warm-started tiny model in settings and records, wherever the package lies."""

TINY_FOLDER = Path(__file__).parent / "tiny-arithmetic"
"""Folder of that model, in Hugging Face format."""

SMOLLM2_NAME = "smollm2"
"""Stands for SmolLM2-135M-Instruct, as ``cpi-resets model smollm2`` writes it."""

SMOLLM2_FOLDER = Path.home() / ".cache" / "cpi-resets" / "smollm2"
"""Where that is by default: 540 MB that all checkouts and projects can share."""

_FOLDERS = {TINY_NAME: TINY_FOLDER, SMOLLM2_NAME: SMOLLM2_FOLDER}

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank adapters instead of training all weights.

    Attributes:
        rank, alpha: of the adapters.
        dropout: in training.
        targets: names of the layers that get one, or "all-linear": all but the output layer.
    """

    rank: int = 64
    alpha: int = 64
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"

    def __post_init__(self) -> None:
        check_count("rank", self.rank)
        check_count("alpha", self.alpha)
        check_probability("dropout", self.dropout)
        if "lm_head" in self.targets:
            remedy = "leave it out: log-probabilities are worked out from its weights themselves"
            raise InvalidInput("targets", self.targets, "holds the output layer", remedy)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model, where and how it is held.

    Attributes:
        path: a folder in Hugging Face format, of a model or of adapters, the name of a model on
            the hub, "tiny": the warm-started model that comes with the package, or "smollm2": what
            ``cpi-resets model smollm2`` has written.
        device: "cpu", "cuda", "cuda:1", ...; "auto": a GPU if there is one.
        precision: of the weights. Small steps are lost in bfloat16 weights: train all of them in
            float32, or adapters (always float32) on top of bfloat16. float16 cannot be trained.
        lora: train low-rank adapters; None: all weights.
        checkpointing: recompute activations in the backward pass to save memory.
    """

    # In settings files and options the path alone may stand for the whole.
    path: str = field(metadata={"alone": True})
    device: str = "cpu"
    precision: Precision = "float32"
    lora: LoraSettings | None = None
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            raise InvalidInput("model.path", self.path, "empty", "name a folder or a model")
        check_choice("precision", self.precision, get_args(Precision))

    @property
    def resolved_path(self) -> str:
        """What `path` stands for: the folder of a model that has a name here, else `path`."""
        return str(_FOLDERS.get(self.path, self.path))
