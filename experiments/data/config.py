"""Settings of ``cpi-resets data``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cpi_theory.checks import InvalidInput, check_in_range
from experiments.execution.threads import Kind


@dataclass(frozen=True)
class DataConfig:
    """List benchmarks, show the recipe of one, or prepare it as parquet with a manifest.

    Attributes:
        action: list, show NAME or prepare NAME.
        name: of a recipe; see list.
        path: a local export (.parquet, .jsonl, .jsonl.gz, .json or .arrow, or a folder of them) in
            place of the hub or the package.
        to: folder of the files; by default data/NAME in the output folder.
        revision: commit of the data set on the hub; by default the recipe's.
        similarity: of questions, from which a test problem counts as one for training.
    """

    action: tyro.conf.Positional[Literal["list", "show", "prepare"]] = "list"
    name: tyro.conf.Positional[str] = ""
    path: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    to: Path | None = None
    revision: str | None = None
    similarity: float = 0.8

    def __post_init__(self) -> None:
        check_in_range("similarity", self.similarity, 0.5, 1)
        if self.action == "list" and self.name:
            remedy = f"leave it out, or see cpi-resets data show {self.name}"
            raise InvalidInput("name", self.name, "list shows every benchmark", remedy)
        for option, field in (("from", "path"), ("to", "to"), ("revision", "revision")):
            value = getattr(self, field)
            if self.action != "prepare" and value is not None:
                problem = f"{self.action} prepares nothing"
                remedy = f"leave --{option} out, or use cpi-resets data prepare NAME"
                raise InvalidInput(option, value, problem, remedy)

    @property
    def computes(self) -> Kind:
        """No language model."""
        return "tables"
