"""``cpi-resets compare``: what oracle resets are worth against random ones, measured.

Tables of the run:
  samples  trials until the policy chooser is right (T4s, T4w, T7s), with fitted exponents;
  gains    guaranteed and exact gain of one step at the theory's step size (T2, T6);
  baselines  trials that the chooser needs by what it subtracts from returns;
  checks   the chooser's success measured again with real rollouts;
  worlds   p, reset advantage, step size and gain on Gymnasium worlds and reasoning trees;
  imperfect, looseness  what follows from samples and gains: T6's prediction, bounds against facts;
  positions, anatomy  where reset policies reset to, and real groups of rollouts, for pictures.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cpi_theory.algorithms.chooser import Baseline
from experiments.compare.across_worlds import ResetsSpec, measure_resets
from experiments.compare.baselines import (
    CLASSES,
    BaselineSpec,
    baseline_table,
    measure_baseline,
)
from experiments.compare.checks import CheckSpec, check_samples
from experiments.compare.chooser_samples import GRID
from experiments.compare.config import CompareConfig
from experiments.compare.illustrations import AnatomySpec, anatomy, reset_positions
from experiments.compare.measures import GainSpec, SamplesSpec, measure_gains, measure_samples
from experiments.compare.plan import lines
from experiments.compare.report import lowest_levels
from experiments.compare.settings import Line, Setting
from experiments.compare.summary import bounds_against_facts, imperfect_oracles
from experiments.compare.worlds import transition_numbers
from experiments.console import give
from experiments.documents.numbers import interval_text
from experiments.execution.derived import Compute, derive
from experiments.execution.memory import check_held, machine_memory
from experiments.execution.settings import Execution
from experiments.execution.sweep import Task, sweep
from experiments.runs.files import Row
from experiments.runs.store import Run

_BYTES = 8
"""Of a probability."""


def check_sizes(config: CompareConfig, memory: float | None) -> None:
    """Refuse worlds whose transitions, and counts of experiments that this machine cannot hold.

    Args:
        config: with what `quick` stands for spelled out.
        memory: of the machine, GiB; None: unknown.

    Raises:
        InvalidInput: naming the number of actions, the horizon or the number that is too large.
    """
    least = {"actions": min(config.horizons), "horizons": min(config.actions)}
    for name, other in least.items():
        for i, value in enumerate(getattr(config, name)):
            held = _BYTES * transition_numbers(value, other)
            check_held(f"{name}[{i}]", value, held, "transitions of such a world", memory)
    largest = max(config.actions), max(config.horizons)
    held = _BYTES * transition_numbers(*largest)
    what = f"transitions of a world of {largest[0]} actions and horizon {largest[1]}"
    check_held("actions", config.actions, held, what, memory)
    # Wins and losses of every action at every observation, as counts and as floats.
    counts = 4 * max(of.law().success.size for of in CLASSES)
    experiments = _MORE * config.replications
    what = f"counts of {experiments:,} experiments"
    check_held("replications", config.replications, _BYTES * counts * experiments, what, memory)
    held = _BYTES * GRID * config.bootstraps
    check_held("bootstraps", config.bootstraps, held, "replicates of such a grid", memory)


def run(config: CompareConfig, output: Path, execution: Execution, console: Console) -> int:
    """Measure everything, store the tables and print the exponents; 0 when done."""
    full = config.effective()
    check_sizes(full, machine_memory())
    result = Run.open(output, config.name, config, config.seed)
    with result.lock():
        tables = {
            table: sweep(task, specs, result, table, execution, console)
            for table, (task, specs) in _sweeps(full).items()
        }
        samples, gains = tables["samples"], tables["gains"]
        if full.check_replications:
            sweep(check_samples, _checks(full, samples), result, "checks", execution, console)
        conclusions: dict[str, Compute] = {
            "imperfect": lambda: imperfect_oracles(samples, gains),
            "looseness": lambda: bounds_against_facts(samples, gains),
        }
        derive(result, conclusions, ("samples", "gains"), console)
        spec = AnatomySpec(seed=config.seed)
        pictures: dict[str, Compute] = {
            "positions": lambda: reset_positions(spec),
            "anatomy": lambda: anatomy(spec),
        }
        derive(result, pictures, (), console)
    give(console, tables)
    console.print(exponent_table(samples, gains))
    console.print()
    console.print(baseline_table(tables["baselines"]))
    console.print()
    console.print(world_table(tables["worlds"]))
    console.print(f"records: {result.directory}")
    return 0


def _sweeps(config: CompareConfig) -> dict[str, tuple[Task[Any], list[Any]]]:
    """Task and specifications of each table."""
    every = lines(config)
    effort = (config.accuracy, config.replications, config.bootstraps, config.seed)
    more = (config.accuracy, _MORE * config.replications, config.bootstraps, config.seed)
    return {
        "samples": (
            measure_samples,
            [SamplesSpec(line, *effort) for line in every if line.setting.family != "tree"],
        ),
        "gains": (
            measure_gains,
            [GainSpec(line, config.bootstraps, config.seed) for line in every if _aliased(line)],
        ),
        "baselines": (
            measure_baseline,
            [BaselineSpec(of, kind, *more) for of in CLASSES for kind in Baseline],
        ),
        "worlds": (
            measure_resets,
            [
                ResetsSpec(
                    world,
                    accuracy=config.accuracy,
                    replications=min(config.replications, 1000),
                    bootstraps=config.bootstraps,
                    seed=config.seed,
                )
                for world in config.chosen_worlds()
            ],
        ),
    }


# Times as many experiments of baselines: they may be a few percent apart, and classes are small.
_MORE = 4

# Trials with real rollouts that one check may cost.
_MOST_TRIALS = 1_000_000


def _checks(config: CompareConfig, samples: list[Row]) -> list[CheckSpec]:
    """The base lines' settings whose samples are few enough to be drawn as real rollouts."""
    return [
        CheckSpec(
            Setting(**{f.name: row[f.name] for f in fields(Setting)}),
            row["samples"],
            config.accuracy,
            config.check_replications,
            config.seed,
        )
        for row in samples
        if row["kind"] == "point" and row["base"] and row["dial"] == "coverage"
        if row["samples"] * config.check_replications <= _MOST_TRIALS
    ]


def _aliased(line: Line) -> bool:
    """The gain of a step does not depend on who chooses; one learner stands for both."""
    return line.setting.learner == "aliased"


def exponent_table(samples: list[Row], gains: list[Row]) -> Table:
    """The base lines' exponents beside the theory's."""
    columns = ("quantity", "in", "class", "resets", "exponent, 95 % interval", "theory")
    table = Table(*columns, title="Exponents in the coverage p", box=None, title_justify="left")
    for row in base_exponents(samples, gains):
        table.add_row(
            row["quantity"],
            row["versus"].replace("coverage", "p"),
            row["learner"],
            row["resets"],
            interval_text(row, "exponent"),
            "" if row["expected"] is None else f"{row['expected']:g}",
        )
    return table


def base_exponents(samples: list[Row], gains: list[Row]) -> list[Row]:
    """Exponents in the coverage of the base lines, samples first."""
    rows = [*samples, *(g for g in gains if g.get("spread_rule") == "exact")]
    return [r for r in rows if r["kind"] == "exponent" and r["base"] and r["dial"] == "coverage"]


def world_table(rows: list[Row]) -> Table:
    """The oracle (at its lower level) against random resets on the visited worlds."""
    columns = ("world", "policy", "p", "guaranteed", "gain", "samples")
    table = Table(
        *columns,
        title="One step towards the class' best: oracle over random resets",
        box=None,
        title_justify="left",
    )
    plain = {(r["world"], r["policy"]): r for r in rows if r["resets"] == "random"}
    for row in lowest_levels(rows):
        if row["resets"] == "oracle":
            random = plain[row["world"], row["policy"]]
            ratios = [_ratio(row, random, key) for key in ("guaranteed", "gain", "samples")]
            table.add_row(row["world"], row["policy"], f"{row['coverage']:.3g}", *ratios)
    return table


def _ratio(row: Row, other: Row, key: str) -> str:
    return "" if row[key] is None or not other[key] else f"x {row[key] / other[key]:.3g}"
