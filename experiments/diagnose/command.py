"""``cpi-resets diagnose``: are resets worth it for this model and this data?

Tables of the run: ``estimates`` (one row per number with its interval), ``summary`` (one row),
``order`` (how sure the predicted order of each pair is) and ``verdict`` (sentences). With
``--validate`` the run ``<name>-validate`` holds ``intervals`` and ``coverage`` (see
:mod:`experiments.diagnose_validate`), with ``--order`` the run ``<name>-order`` holds
``predicted``, ``measured``, ``settings`` and ``agreement`` (see :mod:`experiments.diagnose_order`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.diagnosis.diagnose import diagnose
from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import Interval
from experiments.diagnose.checks import compare_orders, validate
from experiments.diagnose.config import DiagnoseConfig, Sampling
from experiments.diagnose.verdict import verdict
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.runs.sweep import Execution
from experiments.worlds.sites import Site


def run(config: DiagnoseConfig, output: Path, execution: Execution, console: Console) -> int:
    """Diagnose, validate or compare orders, and print what came out; 0 when done.

    A validation returns 1 if an interval covers less often than it should.
    """
    if config.validate:
        return validate(config, output, execution, console)
    if config.order:
        return compare_orders(config, output, execution, console)
    record = Run.open(output, config.name, config, config.seed)
    key = Key.of(config.seed).child("diagnose", config.world or "")
    with record.lock():
        diagnose_site(config.site(key), config.sampling, key, record, console)
    return 0


def diagnose_site(
    site: Site, sampling: Sampling, key: Key, record: Run, console: Console
) -> Diagnosis:
    """Diagnose any world that a front end built, store the tables and print them."""
    with record.timed("diagnose"):
        found = diagnose(
            site.simulator, site.starts, key, sampling.settings(site.reward_bound), site.reference
        )
    sentences = verdict(found)
    record.write("estimates", estimate_rows(site.label, found))
    record.write("summary", [summary_row(site.label, found)])
    record.write("order", [{"first": a, "second": b, "ahead": p} for a, b, p in found.order.ahead])
    record.write("verdict", [{"sentence": sentence} for sentence in sentences])
    _print(found, sentences, console)
    console.print(f"records: {record.directory}")
    return found


def estimate_rows(world: str, found: Diagnosis) -> list[Row]:
    """One row per number: `world`, `section`, `name`, `estimate` (null: unknown) and its ends."""
    return [
        {"world": world, "section": section, "name": name, **_ends(interval)}
        for section, name, interval in found.estimates()
    ]


def _ends(interval: Interval) -> Row:
    ends = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    return {name: float(end) if math.isfinite(end) else None for name, end in ends.items()}


def summary_row(world: str, found: Diagnosis) -> Row:
    """What has no interval: the level, the predicted order, and what was drawn."""
    return {
        "world": world,
        "tau": found.tau,
        "tau_chosen": found.tau_chosen,
        "exact": found.exact,
        "order": list(found.order.methods),
        **dataclasses.asdict(found.cost),
    }


def _print(found: Diagnosis, sentences: Sequence[str], console: Console) -> None:
    table = Table("", "", "estimate", "95 % interval", box=None)
    last = None
    for section, name, interval in found.estimates():
        if section == "correction" or not math.isfinite(interval.estimate):
            continue
        label = "" if section == last else f"[bold]{section}[/bold]"
        last = section
        ends = rf"\[{interval.lower:.3g}, {interval.upper:.3g}]"
        table.add_row(label, name, f"{interval.estimate:.3g}", ends)
    console.print(table)
    _print_corrections(found, console)
    cost = found.cost
    drawn = f"{cost.rollouts:,} rollouts ({cost.measuring:,} to measure advantages)"
    console.print(f"\n{cost.prompts} prompts, {drawn}, {cost.localizations:,} localisations\n")
    for sentence in sentences:
        console.print(f"- {sentence}", markup=False)


def _print_corrections(found: Diagnosis, console: Console) -> None:
    console.print("\nSuffixes that succeed, in percent")
    table = Table(
        "", "resets", "named step", "same step of another failure", "difference", box=None
    )
    for row in found.corrections:
        if row.resets:
            cells = [in_percent(x) for x in (row.own, row.control, row.difference)]
            label = row.kind if row.label == row.kind else f"{row.kind} {row.label}"
            table.add_row(label, str(row.resets), *cells)
    console.print(table)


def in_percent(share: Interval) -> str:
    """A share with its interval in brackets that the console does not take for markup."""
    if math.isnan(share.estimate):
        return "-"
    ends = rf"\[{100 * share.lower:.3g}, {100 * share.upper:.3g}]"
    return f"{100 * share.estimate:.3g} {ends}"
