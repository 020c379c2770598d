"""Every figure of the runs that are there, as files and as pictures of the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.documents.document import Picture
from experiments.errors import CorruptFile, MissingTable, StaleTable
from experiments.report.runs import Shown, first_of
from experiments.runs.manifest import Origin
from experiments.runs.provenance import ALL_PACKAGES, code_digest
from experiments.runs.store import Run
from paper_figs.catalogue import FIGURES, Entry
from paper_figs.rows import MissingRows
from paper_figs.style import inline_svg, render

if TYPE_CHECKING:  # paper_figs sees to the backend before matplotlib is loaded
    from matplotlib.figure import Figure

INCOMPLETE = (MissingRows, MissingTable, StaleTable, CorruptFile)
"""Why records cannot be shown: rows or tables are not there or damaged, or do not fit together."""

UNFIT = (*INCOMPLETE, LookupError, TypeError, ValueError)
"""What records that other code has written may raise, too."""


@dataclass(frozen=True)
class Job:
    """One figure of some runs.

    Attributes:
        entry: what is drawn.
        runs: that it is drawn from, by command.
        of: name of the run whose section it belongs to.
        name: of its files.
    """

    entry: Entry
    runs: Mapping[str, Run]
    of: str
    name: str

    @property
    def tables(self) -> dict[str, tuple[Run, str]]:
        """What it is drawn from, by names such as "train/bands"."""
        pairs = [(self.runs[command], table) for command, table in self.entry.tables]
        return {f"{run.directory.name}/{table}": (run, table) for run, table in pairs}

    def missing(self) -> str | None:
        """What is not there of it; None: nothing."""
        for command, table in self.entry.tables:
            if command not in self.runs:
                return f"there is no run of {command}"
            if not self.runs[command].has(table):
                return f"{self.runs[command].directory.name} has no table {table}"
        return None

    def draw(self) -> Figure:
        """The figure.

        Raises:
            MissingRows, MissingTable, StaleTable: what it is drawn from is not all there.
        """
        config = self.runs[self.entry.section].config if self.entry.settings else {}
        settings = {name: config.get(name) for name in self.entry.settings}
        return self.entry.draw(
            *(run.read(table) for run, table in self.tables.values()), **settings
        )


def jobs(shown: Sequence[Shown]) -> Iterator[Job]:
    """Every figure of every run; where a figure needs several commands' runs, the first ones."""
    first = first_of(shown)
    for entry in FIGURES:
        kinds = {command for command, _ in entry.tables}
        own = [one for one in shown if one.family.kind == entry.section]
        for number, one in enumerate(own if len(kinds) == 1 else own[:1]):
            runs = {**first, one.family.kind: one.run}
            name = f"{entry.name}-{one.name}" if number else entry.name
            yield Job(entry, runs, one.name, name)


def drawn(job: Job, cache: dict[str, Picture]) -> Picture:
    """The figure as a picture of the page, drawn anew unless the cache has it.

    Raises:
        MissingRows, MissingTable, StaleTable: what it is drawn from is not all there.
    """
    known = f"{job.name} {_checksums(job)}"
    if known not in cache:
        cache[known] = _picture(job, job.draw())
    return cache[known]


def store_figure(job: Job, target: Run, formats: Sequence[str]) -> Picture:
    """The figure as a picture of the page, and as a file of each format.

    Raises:
        MissingRows, MissingTable, StaleTable: what it is drawn from is not all there.
    """
    figure, origin = job.draw(), origin_of(target, _checksums(job))
    for extension in formats:
        target.write_file(f"figures/{job.name}.{extension}", render(figure, extension), origin)
    return _picture(job, figure)


def _picture(job: Job, figure: Figure) -> Picture:
    path = f"figures/{job.name}.png"
    return Picture(path, inline_svg(figure, job.name), job.entry.caption, tuple(job.tables))


def _checksums(job: Job) -> dict[str, str]:
    return {name: run.checksum(table) for name, (run, table) in job.tables.items()}


def origin_of(target: Run, sums: Mapping[str, str]) -> Origin:
    """What is made of tables with these checksums, by names such as "train/bands"."""
    return dataclasses.replace(target.origin(), code=code_digest(*ALL_PACKAGES), tables=dict(sums))
