"""Settings of ``cpi-resets new``."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Literal

import tyro

from cpi_theory.checks import InvalidInput

Kind = Literal["method", "reset", "world", "task"]

_OURS = ("cpi_theory", "tabular", "llm", "experiments", "paper_figs")


@dataclass(frozen=True)
class NewConfig:
    """Write a starting file for a class of your own, and a test of it that passes at once.

    The test holds it against the laws that everything of its kind keeps (cpi_theory.testing). No
    file is replaced.

    Attributes:
        kind: a method (an algorithm), a reset policy, a world, or a task for language models.
        name: of the class, such as HalfwayReset; the files are halfway_reset.py and
            test_halfway_reset.py.
        to: folder for both.
    """

    kind: tyro.conf.Positional[Kind] = "method"
    name: tyro.conf.Positional[str] = ""
    to: Path = Path()

    def __post_init__(self) -> None:
        if not self.name:
            return  # the command says how it is used
        if not re.fullmatch(r"[A-Za-z]\w*", self.name, re.ASCII) or keyword.iskeyword(self.name):
            raise InvalidInput("name", self.name, "no name of a class", "give one like MyReset")
        if self.module in _taken() or keyword.iskeyword(self.module):
            problem = f"{self.module}.py would stand in the way of another module"
            raise InvalidInput("name", self.name, problem, f"choose another, such as My{self.cls}")

    @property
    def cls(self) -> str:
        """Name of the class: words in capitals, as in HalfwayReset."""
        return "".join(word[:1].upper() + word[1:] for word in self.name.split("_"))

    @property
    def module(self) -> str:
        """Name of the module: words in small letters, as in halfway_reset."""
        apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", self.name)
        return re.sub(r"_+", "_", apart).strip("_").lower()


def _taken() -> set[str]:
    """Names of modules that a file of that name would hide from whoever runs in its folder."""
    return {*sys.stdlib_module_names, *_OURS, "test", *packages_distributions()}
