"""``cpi-resets audit``: what objective does an advantage estimator follow?

Tables of the run: ``trials`` (one row per estimator and world: the expected update beside the
gradient, by start, parameter, and state and action; one per invariance; and one where an estimator
was refused, with the reason) and ``summary`` (one row per estimator that was not).
``counterexamples/`` holds a test for each estimator that does not follow what it should, on the
smallest world that shows it, and one for each change of a batch that a function must not notice.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cpi_theory.audit.invariances import smallest_change
from cpi_theory.audit.shrinking import smallest
from cpi_theory.checks import InvalidInput
from experiments.audit.config import AuditConfig
from experiments.audit.counterexample import as_test, file_name
from experiments.audit.noticed import as_notice_test
from experiments.audit.subjects import expanded, function_of, own_source, subject
from experiments.audit.summary import MEANING, summarise
from experiments.audit.trial import REFUSED, Trial, noticing_worlds, tried, world_of
from experiments.console import give
from experiments.documents.numbers import number
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.exit_codes import DONE, REFUTED
from experiments.runs.files import Row
from experiments.runs.store import Run

_EXHIBIT_SIZES = (2, 3, 4)
_COLUMNS = ("estimator", "verdict", "lowest cosine", "factor", "wrong way", "notices", "")


def run(config: AuditConfig, output: Path, execution: Execution, console: Console) -> int:
    """Audit, print the verdicts and store what was found.

    Returns: 0 if every estimator follows what it says it follows, else 1.

    Raises:
        InvalidInput: once the others are stored and printed, if an estimator does what none may or
            asks what a small world lacks.
    """
    wanted = trials(config)  # before there is a folder: a name may be unknown
    record = Run.open(output, config.name, config, config.seed)
    with record.lock(), record.timed("audit"):
        rows = sweep(tried, wanted, record, "trials", execution, console)
        summary = record.once("summary", lambda: summarise(rows), tables=("trials",))
        files = _stored(config, record, summary) if config.counterexamples else []
    give(console, {"summary": summary, "counterexamples": [str(file) for file in files]})
    show(summary, files, console)
    console.print(f"records: {record.directory}")
    _check_refused(rows, console)
    return DONE if all(row["holds"] for row in summary) else REFUTED


def _check_refused(rows: Sequence[Row], console: Console) -> None:
    """Name every estimator that could not be judged; the first one is the error raised."""
    first: dict[str, Row] = {}
    for row in rows:
        if row["kind"] == REFUSED:
            first.setdefault(row["estimator"], row)
    errors = {
        name: InvalidInput(f"{name}: {row['field']}", row["value"], row["problem"], row["remedy"])
        for name, row in first.items()
    }
    for error in list(errors.values())[1:]:
        console.print(f"not judged: {error}", markup=False)
    for error in errors.values():
        raise error


def trials(config: AuditConfig) -> list[Trial]:
    """Every estimator on every world, and what should not change its advantages."""
    names = expanded(config.estimators)
    for name in names:  # a mistake in the last name should not wait for the others
        subject(name, config.rollouts, config.layout, config.exact)
    return [
        _trial(config, name, world) for name in names for world in (*config.chosen_worlds(), None)
    ]


def _trial(config: AuditConfig, name: str, world: str | None) -> Trial:
    return Trial(
        name,
        world,
        config.follows,
        config.rollouts,
        config.layout,
        config.exact,
        config.most,
        config.draws,
        config.seed,
        own_source(name),
        _version(name),
    )


def _version(name: str) -> str | None:
    library = name.partition(":")[0]
    return f"{library} {version(library)}" if library in ("trl", "verl") else None


def _stored(config: AuditConfig, record: Run, summary: Sequence[Row]) -> list[Path]:
    """Write the tests of each estimator that failed; earlier ones go."""
    texts = {}
    worlds = [world_of(world) for world in config.chosen_worlds()]
    for row in summary:
        name = row["estimator"]
        tested = functools.partial(subject, name, layout=config.layout, exact=config.exact)
        if row["failed"]:
            found = smallest(tested, config.follows, worlds, _EXHIBIT_SIZES)
            if found is not None:
                texts[file_name(name)] = as_test(name, config.follows, found, config.layout)
        for noticed in row["must_not_notice"]:
            batch = smallest_change(tested, noticed, noticing_worlds(), _EXHIBIT_SIZES)
            if batch is not None and function_of(name) is not None:
                file = file_name(name, f" notices {noticed}")
                texts[file] = as_notice_test(name, noticed, batch)
    record.keep_only("counterexamples", texts)
    origin = record.origin(("summary",))
    return [
        record.write_file(f"counterexamples/{file}", text.encode(), origin)
        for file, text in texts.items()
    ]


def show(summary: Sequence[Row], files: Sequence[Path], console: Console) -> None:
    """Print a table of verdicts, what the failed ones say, and where their tests are."""
    if not summary:
        return
    table = Table(*_COLUMNS, box=SIMPLE_HEAD)
    for row in summary:
        table.add_row(
            row["estimator"],
            row["verdict"],
            number(row["lowest_cosine"], ".4f"),
            _factor(row),
            f"{row['reversed']} of {row['worlds']} worlds" if row["reversed"] else "",
            ", ".join(row["notices"]),
            ", ".join(_remarks(row)),
        )
    console.print(table)
    for row in summary:
        console.print(
            f"- {row['estimator']}: {MEANING[row['verdict']]}. In {row['world']}: {row['says']}.",
            markup=False,
        )
        for name in row["must_not_notice"]:
            console.print(f"  its advantages change with: {name}", markup=False)
    for file in files:
        console.print(f"counterexample, as a test: {file}", markup=False)


def _remarks(row: Row) -> list[str]:
    drawn = [] if row["listed"] else ["drawn"]
    return drawn if row["holds"] else [*drawn, "[red]not as claimed[/red]"]


def _factor(row: Row) -> str:
    low, high = row["scale_low"], row["scale_high"]
    if low is None:
        return ""
    return number(low) if number(low) == number(high) else f"{number(low)} to {number(high)}"
