"""``cpi-resets diagnose``: are resets worth it for this model and this data?

Tables of the run: ``limit`` and ``plan`` (what it takes, said before it starts), ``estimates`` (one
row per number with its interval), ``summary`` (one row), ``order`` (how sure the predicted order of
each pair is), ``corrections`` (resets tried beside their controls) and ``verdict`` (sentences).
With ``--methods`` also ``signals`` and ``ranking`` (see :mod:`experiments.diagnose.ranking`).
While it is under way the folder ``drawn`` holds what a language model has written so far. With
``--validate`` the run ``<name>-validate`` holds ``intervals`` and ``coverage`` (see
:mod:`experiments.diagnose.validation`), with ``--order`` the run ``<name>-order`` holds
``predicted``, ``measured``, ``settings`` and ``agreement`` (see
:mod:`experiments.diagnose.order`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose
from cpi_theory.diagnosis.estimates import Correction
from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import Interval
from experiments.console import give
from experiments.diagnose.checks import compare_orders, validate
from experiments.diagnose.config import DiagnoseConfig
from experiments.diagnose.cost import Plan, plan, trial, upper_limit
from experiments.diagnose.labels import correction_label, number_label
from experiments.diagnose.ranking import (
    SignalSpec,
    ranking_rows,
    ranking_sentences,
    signal_rows,
)
from experiments.diagnose.unknown import (
    NOT_ASKED,
    unknown_sentences,
    why_unknown,
    why_unmeasured,
)
from experiments.diagnose.verdict import verdict
from experiments.documents.numbers import ends, number, with_ends
from experiments.documents.words import counted
from experiments.execution.derived import Compute
from experiments.execution.memory import check_rows, machine_memory
from experiments.execution.progress import progress
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.runs.encoding import digest
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.prepared import PreparedWorld

Tables = Mapping[str, Sequence[Row]]


def run(config: DiagnoseConfig, output: Path, execution: Execution, console: Console) -> int:
    """Diagnose, validate or compare orders, and print what came out; 0 when done.

    A validation returns 1 if an interval covers less often than it should.
    """
    rollouts = config.prompts * DiagnosisSettings().rollouts
    check_rows("prompts", config.prompts, rollouts, "rollouts", machine_memory())
    config.check_tau(_key(config))
    if config.validate:
        return validate(config, output, execution, console)
    if config.order:
        return compare_orders(config, output, execution, console)
    record = Run.open(output, config.name, config, config.seed)
    with record.lock(), record.timed("diagnose"):
        tables = diagnosed(config, record, console)
        tables |= ranked(config, record, execution, console)
    give(console, tables)
    show(tables, console)
    console.print(f"records: {record.directory}")
    return 0


def diagnosed(config: DiagnoseConfig, record: Run, console: Console) -> dict[str, list[Row]]:
    """The tables of a diagnosis, as stored or made now; an interrupted one goes on."""
    drawn = record.directory / "drawn"
    journal = drawn / digest(dataclasses.asdict(record.origin()))[:32]
    if record.outdated("verdict"):
        console.print("What is stored is of other code or data; the diagnosis is made again.")
    label = "diagnosis" if config.model is None else "diagnosis, completions"
    with progress(console, label) as advance:
        opened = functools.cache(lambda: config.prepared(_key(config), journal, advance))
        planned = functools.cache(lambda: _planned(config, opened(), record, drawn))
        found = functools.cache(lambda: _diagnosis(config, opened(), planned()))
        before: dict[str, Compute] = {
            "limit": lambda: [{"sentence": _limit(config, opened())}],
            "plan": lambda: [{"sentence": sentence} for sentence in planned().sentences],
        }
        for table, compute in before.items():
            for row in record.once(table, compute):
                console.print(row["sentence"], markup=False)
        asked = config.sampling
        unmeasured = why_unmeasured(asked.audited, asked.traced, config.tokens)
        parts: dict[str, Compute] = {
            "estimates": lambda: estimate_rows(*found()[:2], unmeasured),
            "summary": lambda: [{**summary_row(*found()[:2]), "tokens": found()[2]}],
            "order": lambda: [_ahead(found()[1], *pair) for pair in found()[1].order.ahead],
            "corrections": lambda: [correction_row(row) for row in found()[1].corrections],
            "verdict": lambda: [
                {"sentence": sentence}
                for sentence in verdict(found()[1], config.model is not None, unmeasured)
            ],
        }
        tables = {table: record.once(table, compute) for table, compute in parts.items()}
    shutil.rmtree(drawn, ignore_errors=True)
    return tables


def ranked(
    config: DiagnoseConfig, record: Run, execution: Execution, console: Console
) -> dict[str, list[Row]]:
    """The table of all methods by signal per generated step; none where none is asked for."""
    methods = config.ranked_methods()
    if not methods:
        return {}
    world, key = config.world_with_localizer().world, _key(config)
    specs = [SignalSpec(world, m, config.draws, config.seed, _address(config)) for m in methods]
    console.print(
        f"{len(methods)} methods are ranked from {config.draws} prompts each.", markup=False
    )
    signals = sweep(signal_rows, specs, record, "signals", execution, console)
    rows = record.once("ranking", lambda: ranking_rows(signals, key.child("rank")), ("signals",))
    return {"ranking": rows}


def _limit(config: DiagnoseConfig, prepared: PreparedWorld) -> str:
    """The most that it can take."""
    return upper_limit(prepared, config.sampling.settings(prepared.reward_bound), config.tokens)


def _planned(config: DiagnoseConfig, prepared: PreparedWorld, record: Run, drawn: Path) -> Plan:
    """What will be drawn."""
    settings = config.sampling.settings(prepared.reward_bound)
    lengths = trial(prepared, _key(config).child("trial"))
    try:
        return plan(prepared, settings, lengths, config.tokens)
    except InvalidInput:
        # A trial is no result: it must not stand in the way of the settings that are tried next.
        shutil.rmtree(drawn, ignore_errors=True)
        record.remove("limit")
        raise


def _diagnosis(
    config: DiagnoseConfig, prepared: PreparedWorld, chosen: Plan
) -> tuple[str, Diagnosis, int | None]:
    """What a world is called, what was found out about it, and the tokens that this took."""
    starts = prepared.starts[: chosen.prompts]
    found = diagnose(
        prepared.simulator,
        starts,
        _key(config),
        chosen.settings,
        prepared.reference,
        chosen.budget,
    )
    return prepared.label, found, prepared.tokens()


def _key(config: DiagnoseConfig) -> Key:
    return Key.of(config.seed).child(*_address(config))


def _address(config: DiagnoseConfig) -> tuple[str, ...]:
    return "diagnose", config.world or ""


def estimate_rows(world: str, found: Diagnosis, unmeasured: str = NOT_ASKED) -> list[Row]:
    """One row per number: `world`, `section`, `name`, `estimate` (null: unknown) and its ends.

    Where it is unknown, `why` says why; `unmeasured` why no advantages were measured, if none were.
    """
    rows: list[Row] = []
    for section, name, interval in found.estimates():
        row = {"world": world, "section": section, "name": name, **_ends(interval)}
        if row["estimate"] is None:
            row["why"] = why_unknown(section, name, found, unmeasured)
        rows.append(row)
    return rows


def _ends(interval: Interval) -> Row:
    ends = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    return {name: float(end) if math.isfinite(end) else None for name, end in ends.items()}


def _ahead(found: Diagnosis, first: str, second: str, sure: float) -> Row:
    pair = found.order.comparison(first, second)
    return {
        "first": first,
        "second": second,
        "ahead": sure,
        "confidence": found.order.confidence(first, second),
        "differing": pair.differing,
    }


def correction_row(row: Correction) -> Row:
    """Resets of a `kind` and `label`, how many, and success rates with their ends."""
    rates = ("own", "matched", "control", "difference")
    return {
        "kind": row.kind,
        "label": row.label,
        "resets": row.resets,
        **{rate: _ends(getattr(row, rate)) for rate in rates},
    }


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


def show(tables: Tables, console: Console) -> None:
    """Print the numbers of a diagnosis, what they took and what they mean."""
    table = Table("", "", "estimate", "95 % interval", box=None)
    last = None
    for row in tables["estimates"]:
        section = row["section"]
        if section == "correction" or row["estimate"] is None:
            continue
        label = "" if section == last else f"[bold]{section}[/bold]"
        last = section
        table.add_row(label, number_label(row["name"]), number(row["estimate"]), _interval(row))
    console.print(table)
    for sentence in unknown_sentences(tables["estimates"]):
        console.print(sentence, markup=False)
    _show_corrections(tables["corrections"], console)
    (cost,) = tables["summary"]
    drawn = f"{counted(cost['rollouts'], 'rollout')} ({cost['measuring']:,} to measure advantages)"
    asked = counted(cost["localizations"], "localisation")
    # Records of before tokens were counted have none, and neither have tabular worlds.
    tokens = cost.get("tokens")
    took = "" if tokens is None else f", {tokens:,} tokens"
    console.print(f"\n{counted(cost['prompts'], 'prompt')}, {drawn}, {asked}{took}\n")
    for row in tables["verdict"]:
        console.print(f"- {row['sentence']}", markup=False)
    if "ranking" in tables:
        _show_ranking(tables["ranking"], console)


def _show_ranking(rows: Sequence[Row], console: Console) -> None:
    console.print("\nMethods by signal per 1,000 generated steps, before any training")
    columns = ("rank", "method", "signal", "cosine", "rollouts", "steps")
    table = Table(*columns, box=None)
    for row in rows:
        if row["rank"] is not None:
            rank = with_ends(row["rank"], row["rank_lower"], row["rank_upper"])
            ends = (row["signal_per_step"], row["lower"], row["upper"])
            cost = (number(row[name], ".0f") for name in ("rollouts", "steps"))
            signal, cosine = with_ends(*ends, scale=1000), number(row["cosine"], ".2f")
            table.add_row(rank, row["method"], signal, cosine, *cost)
    console.print(table)
    for sentence in ranking_sentences(rows):
        console.print(f"- {sentence}", markup=False)


def _interval(row: Row) -> str:
    # Records have no infinity: where an estimate is known, an upper end that is null is infinite.
    if row["upper"] is None:
        return f"at least {number(row['lower'] or 0.0)}"
    return ends(row["lower"], row["upper"])


def _show_corrections(rows: Sequence[Row], console: Console) -> None:
    if not any(row["resets"] for row in rows):
        return
    console.print(
        "\nSuffixes that succeed, in percent: of all resets, by the part of the rollout that they "
        "go back to,\nand by where that is beside the reference's step. The control is the same "
        "step of another failure of\nthe same prompt; the difference is that of the resets that "
        "have one."
    )
    table = Table("", "resets", "all", "with a control", "control", "difference", box=None)
    for row in rows:
        if row["resets"]:
            rates = ("own", "matched", "control", "difference")
            cells = [_in_percent(row[name]) for name in rates]
            label = correction_label(row["kind"], row["label"])
            table.add_row(label, str(row["resets"]), *cells)
    console.print(table)


def _in_percent(rate: Row) -> str:
    return with_ends(rate["estimate"], rate["lower"], rate["upper"], scale=100)
