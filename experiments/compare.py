"""``cpi-resets compare``: what oracle resets are worth against random ones, measured.

Tables of the run:
  samples  trials until the policy chooser is right (T4 to T7), with fitted exponents;
  gains    guaranteed and exact gain of one step at the theory's step size (T2, T6);
  checks   the chooser's success measured again with real rollouts;
  worlds   p, reset advantage, step size and gain on Gymnasium worlds and reasoning trees;
  imperfect, looseness  what follows from samples and gains: T6's prediction, bounds against facts;
  positions, anatomy  where reset policies reset to, and real groups of rollouts, for pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput, check_count, check_in_range
from experiments.compare_anatomy import AnatomySpec, anatomy, reset_positions
from experiments.compare_checks import CheckSpec, check_samples
from experiments.compare_lines import GainSpec, Row, SamplesSpec, measure_gains, measure_samples
from experiments.compare_places import Place, PlaceSpec, measure_place, standard_places
from experiments.compare_settings import Learner, Line, Resets, Setting
from experiments.compare_summary import bounds_against_facts, imperfect_oracles
from experiments.store import Run
from experiments.sweep import Execution, Task, sweep
from experiments.verdicts import interval_text


@dataclass(frozen=True)
class CompareConfig:
    """Oracle resets against random and imperfect ones, over a grid of worlds.

    Attributes:
        name: folder of the run below the output folder.
        seed: of all random numbers.
        quick: fewer replications and a smaller grid, the same lines in the figures.
        coverages: values of p; each at most 1 / (largest horizon of the grid).
        taus: values of tau, in the reward's unit (R_max = 1), at most 1/2.
        horizons: values of H, at least 2.
        actions: values of |A|, at least 2.
        precisions: values of q for the imperfect oracle, at least the largest coverage.
        recalls: values of rho for the imperfect oracle.
        accuracy: wanted probability of a right choice.
        replications: experiments per number of samples.
        bootstraps: replicates behind each interval.
        check_replications: experiments with real rollouts per check; 0 leaves them out.
        worlds: names or kinds of the worlds of :func:`~experiments.compare_places.standard_places`
            to visit.
    """

    name: str = "compare"
    seed: int = 0
    quick: bool = False
    coverages: tuple[float, ...] = (1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128)
    taus: tuple[float, ...] = (0.1, 0.2, 0.4)
    horizons: tuple[int, ...] = (2, 4, 8)
    actions: tuple[int, ...] = (2, 4, 8)
    precisions: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    recalls: tuple[float, ...] = (0.25, 0.5, 1.0)
    accuracy: float = 0.9
    replications: int = 4000
    bootstraps: int = 400
    check_replications: int = 400
    worlds: tuple[str, ...] = ("FrozenLake", "CliffWalking", "Taxi", "tree", "lock")

    def __post_init__(self) -> None:
        check_in_range("accuracy", self.accuracy, 0.5, 0.99)
        check_count("replications", self.replications, 40)
        check_count("bootstraps", self.bootstraps, 20)
        check_count("check_replications", self.check_replications, 0)
        for name in ("coverages", "taus", "horizons", "actions", "precisions", "recalls"):
            if len(set(getattr(self, name))) < 2:
                raise InvalidInput(name, getattr(self, name), "no two values", "give at least two")
        for world in self.worlds:
            if not any(_is_called(place, world) for place in standard_places()):
                known = ", ".join(dict.fromkeys(p.name for p in standard_places()))
                raise InvalidInput("worlds", world, "no such world", f"choose among {known}")
        if max(self.coverages) > min(self.precisions):
            raise InvalidInput(
                "precisions", self.precisions, "some below a coverage", "raise them above p"
            )

    def effective(self) -> CompareConfig:
        """This configuration with what `quick` stands for spelled out."""
        if not self.quick:
            return self
        return replace(
            self,
            taus=self.taus[:2],
            horizons=self.horizons[:2],
            actions=self.actions[:2],
            replications=min(self.replications, 2000),
            bootstraps=min(self.bootstraps, 200),
            check_replications=min(self.check_replications, 100),
        )


def _is_called(place: Place, name: str) -> bool:
    return name in (place.name, place.kind)


_SITUATIONS: tuple[tuple[Learner, Resets], ...] = (
    ("aliased", "random"),
    ("aliased", "oracle"),
    ("statewise", "random"),
    ("statewise", "oracle"),
)


def lines(config: CompareConfig) -> list[Line]:
    """Every line that is measured: the base lines, the grid, and the imperfect oracles.

    The base setting has the second value of each dial; base lines sweep one dial each.
    """
    base = Setting(
        coverage=config.coverages[1],
        tau=config.taus[1],
        horizon=config.horizons[1],
        actions=config.actions[0],
    )
    found = [
        line
        for learner, resets in _SITUATIONS
        for line in _dials(replace(base, learner=learner, resets=resets), config)
    ]
    return found + _grid(base, config) + _imperfect(base, config) + _trees(config)


_TREE_RESETS: tuple[Resets, ...] = ("random", "oracle")


def _trees(config: CompareConfig) -> list[Line]:
    """Reasoning trees, where several hard steps of a rollout hang together."""
    tree = Setting(family="tree", tau=0.05, horizon=16, actions=4)
    return [
        Line(replace(tree, resets=resets), "coverage", config.coverages) for resets in _TREE_RESETS
    ]


def _dials(setting: Setting, config: CompareConfig) -> list[Line]:
    # A dial sweeps at the smallest coverage, which every horizon of the sweep allows.
    low = replace(setting, coverage=min(config.coverages))
    return [
        Line(setting, "coverage", config.coverages, base=True),
        Line(low, "tau", config.taus, base=True),
        Line(low, "horizon", tuple(map(float, config.horizons)), base=True),
        Line(low, "actions", tuple(map(float, config.actions)), base=True),
    ]


def _grid(base: Setting, config: CompareConfig) -> list[Line]:
    cells = [
        replace(base, learner=learner, resets=resets, tau=tau, horizon=horizon, actions=actions)
        for learner, resets in _SITUATIONS
        for tau in config.taus
        for horizon in config.horizons
        for actions in config.actions
    ]
    same = (base.tau, base.horizon, base.actions)
    return [
        Line(cell, "coverage", config.coverages)
        for cell in cells
        if (cell.tau, cell.horizon, cell.actions) != same
    ]


def _imperfect(base: Setting, config: CompareConfig) -> list[Line]:
    blurred = replace(base, resets="imperfect", precision=max(config.precisions[:-1]))
    by_precision = [
        Line(replace(blurred, coverage=p, recall=recall), "precision", config.precisions, base=True)
        for p in config.coverages[:3]
        for recall in config.recalls
    ]
    statewise = replace(blurred, learner="statewise")
    return [
        *by_precision,
        Line(blurred, "recall", config.recalls, base=True),
        Line(blurred, "coverage", config.coverages, base=True),
        Line(statewise, "precision", config.precisions, base=True),
    ]


def run(config: CompareConfig, output: Path, execution: Execution, console: Console) -> int:
    """Measure everything, store the tables and print the exponents; 0 when done."""
    full = config.effective()
    result = Run.open(output, config.name, config, config.seed)
    sweeps = _sweeps(full)
    tables = {
        table: sweep(task, specs, result, table, execution, console)
        for table, (task, specs) in sweeps.items()
    }
    samples, gains = tables["samples"], tables["gains"]
    if full.check_replications:
        sweep(check_samples, _checks(full, samples), result, "checks", execution, console)
    result.write("imperfect", imperfect_oracles(samples, gains))
    result.write("looseness", bounds_against_facts(samples, gains))
    spec = AnatomySpec(seed=config.seed)
    result.once("positions", lambda: reset_positions(spec))
    result.once("anatomy", lambda: anatomy(spec))
    console.print(exponent_table(samples, gains))
    console.print()
    console.print(place_table(tables["worlds"]))
    console.print(f"records: {result.directory}")
    return 0


def _sweeps(config: CompareConfig) -> dict[str, tuple[Task[Any], list[Any]]]:
    """Task and specifications of each table."""
    every = lines(config)
    effort = (config.accuracy, config.replications, config.bootstraps, config.seed)
    places = [p for p in standard_places() if any(_is_called(p, name) for name in config.worlds)]
    return {
        "samples": (
            measure_samples,
            [SamplesSpec(line, *effort) for line in every if line.setting.family != "tree"],
        ),
        "gains": (
            measure_gains,
            [GainSpec(line, config.bootstraps, config.seed) for line in every if _aliased(line)],
        ),
        "worlds": (
            measure_place,
            [
                PlaceSpec(
                    place,
                    accuracy=config.accuracy,
                    replications=min(config.replications, 1000),
                    bootstraps=config.bootstraps,
                    seed=config.seed,
                )
                for place in places
            ],
        ),
    }


_MOST_TRIALS = 1_000_000
"""Trials with real rollouts that one check may cost."""


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


def place_table(rows: list[Row]) -> Table:
    """The oracle (at its lower level) against random resets on the visited worlds."""
    columns = ("world", "policy", "p", "guaranteed", "gain", "samples")
    table = Table(
        *columns,
        title="One step towards the class' best: oracle over random resets",
        box=None,
        title_justify="left",
    )
    lowest = min(row["level"] for row in rows if row["resets"] == "oracle")
    plain = {(r["world"], r["policy"]): r for r in rows if r["resets"] == "random"}
    for row in rows:
        if row.get("level") == lowest:
            random = plain[row["world"], row["policy"]]
            ratios = [_ratio(row, random, key) for key in ("guaranteed", "gain", "samples")]
            table.add_row(row["world"], row["policy"], f"{row['coverage']:.3g}", *ratios)
    return table


def _ratio(row: Row, other: Row, key: str) -> str:
    return "" if row[key] is None or not other[key] else f"x {row[key] / other[key]:.3g}"
