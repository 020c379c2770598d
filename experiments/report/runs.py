"""Which runs a report shows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cpi_theory.checks import InvalidInput, choose_among
from experiments.errors import CorruptFile
from experiments.report.config import ReportConfig
from experiments.report.families import FAMILIES, Family, family_of
from experiments.runs.store import Run

_DESCRIPTION = "run.json"
_QUICK = "-quick"


@dataclass(frozen=True)
class Shown:
    """A run that is shown.

    Attributes:
        family: what is shown of it.
        run: where it is stored.
    """

    family: Family
    run: Run

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.directory.name

    @property
    def main(self) -> bool:
        """Whether it is called as its command calls it by default."""
        return self.name.removesuffix(_QUICK) == self.family.kind


@dataclass(frozen=True)
class LeftOut:
    """Something that a report does not show, though there is a run of it.

    Attributes:
        what: a figure, a section, an answer or a run.
        why: what is missing or damaged.
        damaged: whether a stored file is not what was written.
    """

    what: str
    why: str
    damaged: bool = False

    @classmethod
    def of(cls, what: str, error: Exception) -> LeftOut:
        """What an error keeps from being shown."""
        return cls(what, str(error), isinstance(error, CorruptFile))

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def shown_runs(
    config: ReportConfig, output: Path, told: Callable[[LeftOut], None] = lambda _: None
) -> list[Shown]:
    """The runs below a folder that a report shows, each command with its main run first.

    Args:
        config: which runs.
        output: the folder.
        told: of each run whose description cannot be read: damaged, half written, or of another
            version; it is left out.

    Raises:
        InvalidInput: if there is none, or one that is asked for is not there or has no section.
        CorruptFile: the description of a run that is asked for is damaged, or that of all runs.
    """
    found: list[Run] = []
    damaged: list[InvalidInput] = []
    for name in _names(config, output):
        try:
            found.append(Run.existing(output, name))
        except InvalidInput as error:  # damaged, half written, or of another version
            if config.runs:
                raise
            damaged.append(error)
            told(LeftOut.of(name, error))
    if damaged and not found:
        raise damaged[0]
    known = [Shown(family, run) for run in found if (family := family_of(run.config))]
    if config.runs:
        _check_known(config.runs, known)
    if not known:
        raise InvalidInput(
            "output", str(output), "holds no run that a report shows", _remedy(output)
        )
    return _ordered(known)


def without_section(config: ReportConfig, output: Path) -> list[str]:
    """Runs below a folder of which a report shows nothing, as it has no section for their command.

    Args:
        config: which runs.
        output: the folder.
    """
    found = []
    for name in _names(config, output):
        with contextlib.suppress(InvalidInput):
            made = Run.existing(output, name).config
            if family_of(made) is None and made.get("type") != ReportConfig.__name__:
                found.append(name)
    return found


def first_of(shown: Iterable[Shown]) -> dict[str, Run]:
    """Of each kind the run that stands for it where figures draw several kinds."""
    first: dict[str, Run] = {}
    for one in shown:
        first.setdefault(one.family.kind, one.run)
    return first


def _names(config: ReportConfig, output: Path) -> list[str]:
    there = sorted(path.parent.name for path in output.glob(f"*/{_DESCRIPTION}"))
    if not config.runs:
        return [name for name in there if name.removesuffix(_QUICK) not in {*there} - {name}]
    for index, name in enumerate(config.runs):
        if name not in there:
            choice = choose_among(name, there) if there else _remedy(output)
            raise InvalidInput(f"runs[{index}]", name, f"no such run below {output}", choice)
    return list(dict.fromkeys(config.runs))


def _check_known(names: Sequence[str], known: Sequence[Shown]) -> None:
    shown = {one.name for one in known}
    for index, name in enumerate(names):
        if name not in shown:
            kinds = ", ".join(family.kind for family in FAMILIES)
            problem = "is a run of which a report shows nothing"
            raise InvalidInput(f"runs[{index}]", name, problem, f"choose runs of {kinds}")


def _ordered(known: Sequence[Shown]) -> list[Shown]:
    place = {family.kind: index for index, family in enumerate(FAMILIES)}
    return sorted(known, key=lambda one: (place[one.family.kind], not one.main, one.name))


def _remedy(output: Path) -> str:
    inside = sorted({str(path.parent.parent) for path in output.glob(f"*/*/{_DESCRIPTION}")})
    if inside:
        return f"give the folder that holds them: --output {' or '.join(inside)}"
    return "run verify, compare or learn first, or give the folder of their runs by --output"
