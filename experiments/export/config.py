"""Settings of ``cpi-resets export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from experiments.execution.threads import Kind
from llm.models.settings import Precision


@dataclass(frozen=True)
class ExportConfig:
    """Write a trained model as a plain Hugging Face folder, or rollouts for other programs.

    Adapters are merged into their model.

    Attributes:
        source: a model's folder, a run of warm-start, or one of train's trainings, such as
            results/train/models/sparse-SRPO-0 (world, method and seed; the run itself does where it
            has only one); of rollouts, a run of evaluate with texts.
        to: where it is written; a model that is there is replaced, anything else is refused.
        format: "model"; or rollouts and their resets as logs of Inspect ("inspect") or as traces of
            the package verifiers ("verifiers").
        which: of a training, the model whose pass rate on held-out problems was the highest (by
            luck, where they were few), or the last one.
        precision: of the weights that are written.
    """

    source: tyro.conf.Positional[str] = ""
    to: Path | None = None
    format: Literal["model", "inspect", "verifiers"] = "model"
    which: Literal["best", "last"] = "best"
    precision: Precision = "float32"

    @property
    def computes(self) -> Kind:
        """Log-probabilities of a few tokens."""
        return "model"
