"""Other packages by the names of ours: found before they are imported in their place.

The distribution installs ``cpi_theory``, ``tabular``, ``llm``, ``experiments`` and ``paper_figs``.
Such names are general: the package ``llm`` of PyPI, a command line for chat models, installs a
folder ``llm`` as well. Two of one name cannot live in one environment, and where the other one is
found first, imports fail in ways that explain nothing.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cpi_theory.checks import InvalidInput

NAMES = ("cpi_theory", "tabular", "llm", "experiments", "paper_figs")
"""What this distribution installs."""

_ROOT = Path(__file__).resolve().parents[1]

_APART = "make an environment of its own: python -m venv .venv, and install cpi-resets into it"


@dataclass(frozen=True)
class Clash:
    """A name that is taken.

    Attributes:
        name: of a package.
        problem: who has taken it.
        remedy: what to do.
    """

    name: str
    problem: str
    remedy: str


def clashes(names: tuple[str, ...] = NAMES, root: Path = _ROOT) -> list[Clash]:
    """Every one of the names that stands for something else, or for files of two packages.

    Args:
        names: to look for.
        root: folder that they should be found in.
    """
    return [clash for name in names if (clash := _clash(name, root)) is not None]


def _clash(name: str, root: Path) -> Clash | None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return Clash(name, f"the package {name} is not found", "install cpi-resets again")
    found = Path(spec.origin).resolve()
    if found != (root / name / "__init__.py").resolve():
        return Clash(name, f"import {name} finds {found}, which is another package", _APART)
    other = _installed_over(name, found)
    if other is None:
        return None
    return Clash(name, f"{other} has written its files into the same folder {found.parent}", _APART)


def _installed_over(name: str, file: Path) -> str | None:
    """A distribution of that very name whose files lie in the same folder as ours."""
    try:
        other = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    if Path(str(other.locate_file(f"{name}/__init__.py"))).resolve() != file:
        return None
    return f"{other.metadata['Name']} {other.version}"


def check_names() -> None:
    """Refuse to run where a name of ours stands for something else.

    Raises:
        InvalidInput: naming it, and what to do.
    """
    for clash in clashes():
        raise InvalidInput("package", clash.name, clash.problem, clash.remedy)
