"""``cpi-resets localize``: how well localisers find first errors that are known.

Tables of the run: ``answers`` (a row per trace with all that was said of it; see
:func:`experiments.localize.samples.trace_rows`), and what :mod:`experiments.localize.summary` makes
of them: ``scores``, ``gains``, ``refusals`` and ``positions``. Where values are wanted also
``values`` (a row per prefix; see :func:`experiments.localize.values.value_rows`), and what
:mod:`experiments.localize.value_summary` makes of them: ``value_curve`` and ``value_drops``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.console import give
from experiments.documents.words import counted
from experiments.execution.derived import Compute, derive
from experiments.execution.memory import check_rows, machine_memory
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.localize import summary
from experiments.localize.config import LocalizeConfig
from experiments.localize.report import GROUP, gain_verdicts, value_verdicts, wide
from experiments.localize.samples import trace_rows
from experiments.localize.value_summary import value_curve, value_drops
from experiments.localize.values import value_rows
from experiments.runs.files import Row
from experiments.runs.store import Run

PRINTED = ("exact", "within one", "clean", "f1")
"""The measures that are printed; refusals are listed by reason."""

_BARE = ("within one", "clean")
"""Those without their intervals, which 80 columns do not hold."""


def run(config: LocalizeConfig, output: Path, execution: Execution, console: Console) -> int:
    """Ask about all traces, and print how often everybody is right; 0 when done."""
    check_rows("problems", config.problems, config.problems, "problems", machine_memory())
    # Refuses what cannot be asked before anything is stored.
    specs, value_specs = config.specs(), config.value_specs()
    record = Run.open(output, config.name, config, config.seed)
    with record.lock(), record.timed("localize"):
        rows = sweep(trace_rows, specs, record, "answers", execution, console)
        tables = derive(record, summaries(rows), ("answers",), console)
        if value_specs:
            values = sweep(value_rows, value_specs, record, "values", execution, console)
            tables |= derive(record, value_summaries(values), ("values",), console)
    give(console, tables)
    print_tables(tables, console)
    console.print(f"records: {record.directory}")
    return 0


def summaries(rows: Sequence[Row]) -> dict[str, Compute]:
    """What makes each table that follows from the answers."""
    return {
        "scores": lambda: summary.scores(rows),
        "gains": lambda: summary.gains(rows),
        "refusals": lambda: summary.refusals(rows),
        "positions": lambda: summary.positions(rows),
    }


def value_summaries(rows: Sequence[Row]) -> dict[str, Compute]:
    """What makes each table that follows from the values."""
    return {
        "value_curve": lambda: value_curve(rows),
        "value_drops": lambda: value_drops(rows),
    }


def print_tables(tables: dict[str, list[Row]], console: Console) -> None:
    """Print everybody's scores task by task, and a sentence per localiser."""
    rows = wide(tables["scores"])
    groups = dict.fromkeys(tuple(row[name] for name in GROUP) for row in rows)
    for group in groups:
        own = [row for row in rows if tuple(row[name] for name in GROUP) == group]
        dataset, task, asked = group
        which = "failures" if asked == "failures" else "traces"
        counts = f"{own[0]['traces']} {which}, {own[0]['erroneous']} with a wrong step"
        console.print(f"\n{dataset}, {task}: {counts}", markup=False)
        table = Table("localizer", *PRINTED, box=None)
        for row in own:
            texts = {measure: row.get(measure, "") for measure in PRINTED}
            texts |= {measure: texts[measure].partition(" ")[0] for measure in _BARE}
            table.add_row(row["localizer"], *texts.values())
        console.print(table)
    for row in tables["refusals"]:
        where = f"{row['dataset']}, {row['task']}, {row['localizer']}"
        console.print(f"- {where}: {row['reason']} {counted(row['count'], 'time')}", markup=False)
    for sentence in gain_verdicts(tables["scores"], tables["gains"]):
        console.print(f"- {sentence}", markup=False)
    if "value_drops" in tables:
        for sentence in value_verdicts(tables["value_drops"]):
            console.print(f"- {sentence}", markup=False)
