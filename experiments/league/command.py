"""``cpi-resets league``: methods of credit at equal generated steps or tokens.

Tables of the run: ``costs`` (what one update of each method takes in each world, and who cannot
play), ``tuning`` (curves that chose rates, if there are several), ``scores`` (one compact row per
world, method and seed), and what is made of them: ``places``, ``pairs``, ``overall``; ``audit`` and
``signals`` (what the audit says of the methods), ``agreement`` (whether their order follows from
it); and ``unfinished`` (who cannot play, and curves that took longer than they may).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments.console import give
from experiments.documents.numbers import interval_text, with_ends
from experiments.execution.derived import Compute, derive
from experiments.execution.memory import check_runs, machine_memory
from experiments.execution.patience import Patience
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.exit_codes import DONE, LOST
from experiments.league.cells import (
    CellSpec,
    best_rates,
    cells,
    checkpoints_of,
    league_cell,
    rehearsals,
    rehearse,
    trials_of_rates,
)
from experiments.league.config import LeagueConfig
from experiments.league.prediction import agreement
from experiments.league.report import verdicts
from experiments.league.signals import (
    AuditSpec,
    SignalSpec,
    audit_specs,
    audited,
    measured_signal,
    signal_specs,
)
from experiments.league.summary import overall, pairs, places, ranked
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.tabular import World, build_world

Sweep = Callable[[Any, Sequence[Any], str], list[Row]]


def run(config: LeagueConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run every curve, rank the methods, print who is where.

    Returns: 0 when all are done, 3 if some curve took longer than it may: the same command tries
        these again and keeps all others.
    """
    runs = len(config.worlds) * len(config.methods)
    check_runs(config.seeds, runs, machine_memory())
    _check_worlds(config)
    record = Run.open(output, config.name, config, config.seed, free=("seeds", "resamples"))
    patience = None if config.limit is None else Patience(config.limit)
    with record.lock(), record.timed("league"):
        swept = functools.partial(_sweep, record, execution, console, patience)
        costs, scores = _played(config, record, swept)
        audit = swept(audited, audit_specs(config), "audit")
        signals = swept(measured_signal, signal_specs(config, costs), "signals")
        late = [] if patience is None else patience.late
        open_ends = record.write("unfinished", unfinished(costs, late, config.limit))
        parts = summaries(config, scores, audit, signals)
        tables = derive(record, parts, ("scores", "audit", "signals"), console)
    give(console, {**tables, "unfinished": open_ends})
    show(tables, open_ends, console)
    console.print(f"records: {record.directory}")
    return LOST if late else DONE


def _sweep(
    record: Run,
    execution: Execution,
    console: Console,
    patience: Patience | None,
    task: Any,
    specs: Sequence[Any],
    table: str,
) -> list[Row]:
    return sweep(task, specs, record, table, execution, console, patience)


def _check_worlds(config: LeagueConfig) -> None:
    """Refuse what is wrong with worlds of a user's own before anything is stored."""
    for world in config.more:
        if isinstance(world, World):
            build_world(world, Key.of(config.seed))
        else:
            world.task()


def _played(config: LeagueConfig, record: Run, swept: Sweep) -> tuple[list[Row], list[Row]]:
    """What updates cost, and the scores.

    Raises:
        InvalidInput: nobody can play.
    """
    costs = swept(rehearse, rehearsals(config), "costs")
    if not any(row["status"] == "ready" for row in costs):
        problems = sorted({row["problem"] for row in costs if row["problem"]})
        problem = "; ".join(problems) or "no update ended within the limit"
        remedy = "raise the budget or the limit, or choose other methods or worlds"
        raise InvalidInput("methods", config.methods, f"none can play: {problem}", remedy)
    checkpoints = checkpoints_of(config, record.directory / "models")
    task = functools.partial(league_cell, checkpoints=checkpoints)
    trials = trials_of_rates(config, costs)
    tuning = swept(task, trials, "tuning") if trials else []
    return costs, swept(task, cells(config, costs, best_rates(config, tuning)), "scores")


def unfinished(costs: Sequence[Row], late: Sequence[Any], limit: float | None) -> list[Row]:
    """Who cannot play, and what took longer than it may.

    Rows: `world`, `method`, `seed` (null: all), `why` ("unable", "below one update", "out of time",
    "signal out of time", or "audit out of time" in one of its small worlds) and the `problem`.
    """
    rows = [
        {**{name: row[name] for name in ("world", "method")}, "seed": None}
        | {"why": row["status"], "problem": row["problem"]}
        for row in costs
        if row["status"] != "ready"
    ]
    return rows + [{**_whose(spec), "problem": f"not done in {limit:g} s"} for spec in late]


def _whose(spec: CellSpec | AuditSpec | SignalSpec) -> Row:
    if isinstance(spec, CellSpec):
        run = spec.run
        labels = {"world": run.world.name, "method": run.method.name}
        return labels | {"seed": run.seed, "why": "out of time"}
    small = isinstance(spec, AuditSpec)
    return {
        "world": spec.world if isinstance(spec, AuditSpec) else spec.world.name,
        "method": spec.method if isinstance(spec, AuditSpec) else spec.method.name,
        "seed": None,
        "why": "audit out of time" if small else "signal out of time",
    }


def summaries(
    config: LeagueConfig, scores: Sequence[Row], audit: Sequence[Row], signals: Sequence[Row]
) -> dict[str, Compute]:
    """What makes each table that follows from scores and signals."""
    league, key = ranked(scores, config.seeds), Key.of(config.seed).child("league")
    compared = pairs(league)
    standing = places(league, compared, config.resamples, key)
    return {
        "pairs": lambda: compared,
        "places": lambda: standing,
        "overall": lambda: overall(league, standing, config.resamples, key),
        "agreement": lambda: agreement(league, audit, signals, config.resamples, key),
    }


def show(tables: Mapping[str, Sequence[Row]], open_ends: Sequence[Row], console: Console) -> None:
    """Print places world by world, and the verdicts."""
    for world in dict.fromkeys(row["world"] for row in tables["places"]):
        rows = [row for row in tables["places"] if row["world"] == world]
        console.print(f"\n{world}: mean J over the budget, from {rows[0]['base']:.4f} before")
        table = Table("method", "mean J", "rank", "shown", "at the end", "informative", box=None)
        for row in sorted(rows, key=lambda row: float(row["rank"])):
            shown = f"{1 + row['behind']} to {len(rows) - row['ahead']}"
            form = ".0f" if float(row["rank"]).is_integer() else ".1f"  # shared ones are halves
            rank = with_ends(row["rank"], row["rank_lower"], row["rank_upper"], form)
            mean, last = interval_text(row, "mean", ".3f"), f"{row['final']:.3f}"
            table.add_row(row["method"], mean, rank, shown, last, f"{row['informative']:.0%}")
        console.print(table)
    for sentence in verdicts(tables["overall"], tables["places"], tables["agreement"], open_ends):
        console.print(sentence, markup=False)
