"""One curve of the league: a method in a world from one seed, at the league's budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cpi_theory.checks import Unable
from experiments.curve_statistics import Curves
from experiments.league.config import LeagueConfig
from experiments.learn.curves import Budget, CurveSpec, learning_curve
from experiments.methods import GroupMethod, LanguageMethod
from experiments.runs.files import Row
from experiments.train.spec import Checkpoints, TrainBudget, TrainSpec
from experiments.worlds.language import LanguageWorld
from experiments.worlds.tabular import World
from tabular.learning.optimizers import Adam

Run = CurveSpec | TrainSpec

GRID = 11
"""Points at which a compact record tells J, the first before anything was generated."""


@dataclass(frozen=True)
class CellSpec:
    """One curve.

    Attributes:
        run: what is run.
        rate: its learning rate.
        budget: generated steps or tokens.
    """

    run: Run
    rate: float
    budget: int


def make_cell(
    config: LeagueConfig,
    world: World | LanguageWorld,
    method: GroupMethod | LanguageMethod,
    seed: int,
    rate: float,
    cost: float | None = None,
) -> CellSpec:
    """The curve of a method in a world from a seed.

    Args:
        config: of the league.
        world: of its kind.
        method: of its kind.
        seed: of the curve.
        rate: learning rate.
        cost: steps or tokens of one update, by which records are spread; None: a single update, to
            find out.
    """
    every = 1 if cost is None else max(1, round(config.budget / (cost * config.points)))
    # An update that generates nothing ends a curve, too, though late: there is a last one.
    updates, most = (1, None) if cost is None else (config.budget, config.budget)
    run: Run
    if isinstance(method, GroupMethod):
        assert isinstance(world, World)
        budget = Budget(prompts=config.prompts, updates=updates, every=every, steps=most)
        run = CurveSpec(world, method, Adam(rate), budget, seed)
    else:
        assert isinstance(world, LanguageWorld)
        held_out = 1 if cost is None else config.held_out
        training = TrainBudget(
            config.prompts, updates, every, held_out, config.temperature, tokens=most
        )
        optimizer = replace(config.optimizer, rate=rate)
        run = TrainSpec(
            world, method, config.model, optimizer, config.loss, training, seed, config.sampler
        )
    return CellSpec(run, rate, config.budget)


def curve_of(spec: CellSpec, checkpoints: Checkpoints | None = None) -> list[Row]:
    """The records of the curve, as `learn` or `train` make them."""
    if isinstance(spec.run, CurveSpec):
        return learning_curve(spec.run)
    from experiments.train.engines import training_curve  # needs PyTorch

    if checkpoints is not None:
        checkpoints = replace(checkpoints, folder=checkpoints.folder / f"rate {spec.rate:g}")
    return training_curve(spec.run, checkpoints)


def axis_of(spec: CellSpec) -> str:
    """What the budget of a curve counts."""
    return "steps" if isinstance(spec.run, CurveSpec) else "tokens"


_COUNTED = ("rollouts", "localizations")


def league_cell(spec: CellSpec, checkpoints: Checkpoints | None = None) -> list[Row]:
    """The compact record of a curve.

    Columns: `world`, `method`, `seed`, `rate`; `mean`, of J over the budget (area under the curve
    over the budget), `base`, J before any update, `final`, J where the budget is used up, and
    `curve`, J at eleven points from 0 to the budget; `updates`, and `generated` (steps or tokens),
    `rollouts` and `localizations` of all of them; `groups`, how many were `informative`, and
    `refusals` by reason.
    """
    rows = curve_of(spec, checkpoints)
    first, last, axis = rows[0], rows[-1], axis_of(spec)
    curve = Curves(first["world"], first["method"], (first["seed"],), (tuple(rows),))
    grid = np.linspace(0, spec.budget, GRID)
    values = curve.at(axis, grid)[0]
    refusals: dict[str, int] = {}
    for row in rows:
        for reason, count in row["refusals"].items():
            refusals[reason] = refusals.get(reason, 0) + count
    return [
        {
            **{name: first[name] for name in ("world", "method", "seed")},
            "rate": spec.rate,
            "mean": float(curve.mean_until(axis, spec.budget)[0]),
            "base": float(values[0]),
            "final": float(values[-1]),
            "curve": [round(float(value), 5) for value in values],
            "updates": last["update"],
            "generated": last[axis],
            **{name: last[name] for name in _COUNTED},
            **{name: sum(row[name] for row in rows) for name in ("groups", "informative")},
            "refusals": refusals,
        }
    ]


def rehearse(spec: CellSpec) -> list[Row]:
    """What one update takes, and whether the method can play at all.

    Columns: `world`, `method`; `generated`, `rollouts`, `localizations` of the update (null where
    there is none); `status`: "ready", "unable" (the world lacks what the method asks) or "below one
    update" (of the budget); `problem` in words, or null.
    """
    labels = {"world": spec.run.world.name, "method": spec.run.method.name}
    try:
        last = curve_of(spec)[-1]
    except Unable as error:
        nothing = dict.fromkeys(("generated", *_COUNTED))
        return [labels | nothing | {"status": "unable", "problem": error.problem}]
    cost = last[axis_of(spec)]
    counted = {"generated": cost} | {name: last[name] for name in _COUNTED}
    if cost > spec.budget:
        problem = f"one update takes {cost:,} of {spec.budget:,} {axis_of(spec)}"
        return [labels | counted | {"status": "below one update", "problem": problem}]
    return [labels | counted | {"status": "ready", "problem": None}]


def rehearsals(config: LeagueConfig) -> list[CellSpec]:
    """One for each world and method."""
    return [
        make_cell(config, world, method, config.seed, config.rates[0])
        for world in config.chosen_worlds()
        for method in config.chosen_methods()
    ]


def _ready(config: LeagueConfig, costs: Sequence[Row]) -> Iterator[tuple[Any, Any, float]]:
    known = {(r["world"], r["method"]): r["generated"] for r in costs if r["status"] == "ready"}
    for world in config.chosen_worlds():
        for method in config.chosen_methods():
            if (world.name, method.name) in known:
                # A method that generates nothing has one record at the end.
                yield world, method, max(known[world.name, method.name], 1)


def trials_of_rates(config: LeagueConfig, costs: Sequence[Row]) -> list[CellSpec]:
    """Curves that choose the rate of each method in each world; none if there is one rate."""
    first = config.seed + config.seeds
    return [
        make_cell(config, world, method, seed, rate, cost)
        for world, method, cost in _ready(config, costs)
        for rate in (config.rates if len(config.rates) > 1 else ())
        for seed in range(first, first + config.tuning_seeds)
    ]


def best_rates(config: LeagueConfig, tuning: Sequence[Row]) -> dict[tuple[str, str], float]:
    """The rate with the largest mean over its seeds, by world and method; the first of equals."""
    means: dict[tuple[str, str], dict[float, list[float]]] = {}
    for row in tuning:
        place = means.setdefault((row["world"], row["method"]), {})
        place.setdefault(row["rate"], []).append(row["mean"])
    return {
        place: max(config.rates, key=lambda rate: np.mean(found.get(rate, [-np.inf])))
        for place, found in means.items()
    }


def cells(
    config: LeagueConfig, costs: Sequence[Row], rates: Mapping[tuple[str, str], float]
) -> list[CellSpec]:
    """The curves that count: what is compared in pairs is finished together."""
    ready = list(_ready(config, costs))
    return [
        make_cell(config, world, method, seed, _rate(config, rates, world, method), cost)
        for seed in range(config.seed, config.seed + config.seeds)
        for world, method, cost in ready
    ]


def _rate(
    config: LeagueConfig, rates: Mapping[tuple[str, str], float], world: Any, method: Any
) -> float:
    return rates.get((world.name, method.name), config.rates[0])


def checkpoints_of(config: LeagueConfig, folder: Path) -> Checkpoints | None:
    """Where trainings are stored while they are under way."""
    if config.kind == "tabular" or config.checkpoint_every == 0:
        return None
    return Checkpoints(folder.resolve(), config.checkpoint_every, replace=True)
