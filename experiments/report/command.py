"""``cpi-resets figures``: every figure from stored records, and a report that says what they mean.

Nothing is simulated here. Figures and sections whose records are not there, or not all of them, are
left out and named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.anatomy.report import anatomy_section
from experiments.compare.report import compare_section
from experiments.diagnose.report import diagnose_section, order_section, validate_section
from experiments.documents.document import Block, Heading, Paragraph, Picture, as_html, as_markdown
from experiments.errors import MissingTable, StaleTable
from experiments.evaluate.report import evaluate_section
from experiments.execution.progress import Advance, progress
from experiments.execution.settings import Execution
from experiments.frontier.report import frontier_section
from experiments.league.report import league_section
from experiments.learn.report import learn_section
from experiments.localize.report import localize_section
from experiments.report.config import FiguresConfig
from experiments.runs.manifest import Origin
from experiments.runs.provenance import ALL_PACKAGES, code_digest
from experiments.runs.store import Run
from experiments.train.report import train_section
from experiments.verify.report import verify_section
from paper_figs.catalogue import FIGURES, Entry
from paper_figs.rows import MissingRows
from paper_figs.style import render

Section = Callable[[Run], list[Block]]

_SECTIONS: tuple[tuple[str, Section], ...] = (
    ("verify", verify_section),
    ("compare", compare_section),
    ("learn", learn_section),
    ("frontier", frontier_section),
    ("league", league_section),
    ("train", train_section),
    ("evaluate", evaluate_section),
    ("anatomy", anatomy_section),
    ("localize", localize_section),
    ("diagnose", diagnose_section),
    ("diagnose-validate", validate_section),
    ("diagnose-order", order_section),
)

# Why records cannot be shown: rows or tables are not there, or tables do not fit together.
_INCOMPLETE = (MissingRows, MissingTable, StaleTable)


def run(config: FiguresConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Write figures and report; 0 when done.

    Raises:
        InvalidInput: if none of the runs is there.
        CorruptFile: if a table is damaged.
    """
    runs = existing_runs(config, output)
    target = Run.open(output, config.name, config, 0, replace=True)
    with target.lock():
        with progress(console, "figures", len(FIGURES)) as advance:
            pictures = _draw_all(runs, target, config.formats(), console, advance)
        blocks = _blocks(runs, pictures, console)
        origin = _origin(target, runs, ())
        target.write_file("report.html", as_html(_TITLE, blocks).encode(), origin)
        path = target.write_file("report.md", as_markdown(blocks).encode(), origin)
    console.print(f"{len(pictures)} figures and the report: {path.with_suffix('.html')}")
    return 0


_DIAGNOSE_RUNS = ("", "-validate", "-order")

_TITLE = "Conservative policy iteration with resets: what was measured"


def existing_runs(config: FiguresConfig, output: Path) -> dict[str, Run]:
    """The runs that are there, by command; a quick run stands in for a full one.

    Raises:
        InvalidInput: if there is none.
    """
    names = [("verify", f"{config.verify}-quick"), ("verify", config.verify)]
    names += [("compare", config.compare), ("learn", config.learn)]
    names += [("frontier", f"{config.frontier}-quick"), ("frontier", config.frontier)]
    names += [("league", config.league)]
    names += [("train", config.train), ("evaluate", config.evaluate), ("anatomy", config.anatomy)]
    names += [("localize", config.localize)]
    names += [(f"diagnose{part}", f"{config.diagnose}{part}") for part in _DIAGNOSE_RUNS]
    runs = {
        kind: Run.existing(output, name)
        for kind, name in names
        if (output / name / "run.json").exists()
    }
    if not runs:
        raise InvalidInput(
            "output", str(output), "holds none of these runs", "run verify, compare or learn first"
        )
    return runs


def _draw_all(
    runs: dict[str, Run],
    target: Run,
    formats: Sequence[str],
    console: Console,
    advance: Advance,
) -> dict[str, Picture]:
    pictures = {}
    for entry in FIGURES:
        missing = _missing(entry, runs)
        try:
            if missing is None:
                pictures[entry.name] = _draw(entry, runs, target, formats)
        except _INCOMPLETE as incomplete:
            missing = str(incomplete)
        if missing is not None:
            console.print(f"left out {entry.name}: {missing}", markup=False)
        advance(1)
    target.keep_only("figures", [f"{name}.{end}" for name in pictures for end in formats])
    return pictures


def _missing(entry: Entry, runs: dict[str, Run]) -> str | None:
    for command, table in entry.tables:
        if command not in runs:
            return f"there is no run of {command}"
        if not runs[command].has(table):
            return f"{command} has no table {table}"
    return None


def _draw(entry: Entry, runs: dict[str, Run], target: Run, formats: Sequence[str]) -> Picture:
    figure = entry.draw(*(runs[command].read(table) for command, table in entry.tables))
    origin = _origin(target, runs, entry.tables)
    files = {extension: render(figure, extension) for extension in formats}
    for extension, data in files.items():
        target.write_file(f"figures/{entry.name}.{extension}", data, origin)
    return Picture(f"figures/{entry.name}.png", files["png"], entry.caption)


def _origin(target: Run, runs: dict[str, Run], tables: Sequence[tuple[str, str]]) -> Origin:
    """What is made of some tables of the runs, of all of them by default."""
    every = [(command, table) for command, run in runs.items() for table in run.tables()]
    of = {
        f"{runs[command].directory.name}/{table}": runs[command].checksum(table)
        for command, table in tables or every
    }
    return dataclasses.replace(target.origin(), code=code_digest(*ALL_PACKAGES), tables=of)


def _blocks(runs: dict[str, Run], pictures: dict[str, Picture], console: Console) -> list[Block]:
    blocks: list[Block] = [Heading(_TITLE, 1), Paragraph(_PREFACE)]
    for kind, section in _SECTIONS:
        if kind in runs:
            blocks += _section(kind, section, runs[kind], console)
            blocks += [p for e in FIGURES if e.section == kind and (p := pictures.get(e.name))]
    blocks += [Heading("How this was made"), Paragraph(_provenance(list(runs.values()), console))]
    return blocks


def _section(kind: str, section: Section, run: Run, console: Console) -> list[Block]:
    try:
        return section(run)
    except _INCOMPLETE as incomplete:
        console.print(f"left out the section on {kind}: {incomplete}", markup=False)
        return [Heading(kind), Paragraph(f"Left out: {incomplete}.")]


_PREFACE = (
    "Every sentence below that states a number or a verdict is computed from the stored records; "
    "intervals are 95 % intervals. J is the expected return of a rollout, p the on-policy share "
    "of improvable (state, step) pairs, tau the level of improvability."
)


def _provenance(runs: Sequence[Run], console: Console) -> str:
    made = [f"{run.directory.name} (seed {run.seed})" for run in runs]
    text = (
        f"Runs: {', '.join(made)}. Configuration, versions, commit and hardware of each are in "
        "its run.json; `cpi-resets reproduce` makes all of them again."
    )
    older = [run.directory.name for run in runs if run.made_by_other_code()]
    if older:
        note = f"Made by other code than this report: {', '.join(older)}."
        console.print(note, markup=False)
        text = f"{text} {note}"
    return text
