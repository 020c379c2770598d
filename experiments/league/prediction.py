"""Whether the order of the league's methods follows from what the audit says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cpi_theory.randomness import Key
from cpi_theory.statistics.rank_agreement import order_agreement
from experiments.runs.files import Row

PREDICTORS: Mapping[str, str] = {
    "audit": "the audit's signal per generated step in its small worlds",
    "base": "the signal per generated step at each world's base policy",
    "aligned": "the part of that signal along the gradient of J",
    "updates": "the number of updates that the budget buys, which knows of no signal",
}


def agreement(
    league: dict[str, dict[str, list[Row]]],
    audit: Sequence[Row],
    signals: Sequence[Row],
    resamples: int,
    key: Key,
) -> list[Row]:
    """Whether what the audit says orders methods as the league does.

    Rows: `predictor` (see :data:`PREDICTORS`), `world` (null: the mean over all), `correlation`
    (Spearman) with `lower` and `upper` for other methods, `p` against random orders, `methods` and
    `worlds`. Of the worlds of the league those in which at least four methods have both numbers.
    """
    known = {
        "audit": dict.fromkeys(league, small_world_scores(audit)),
        "base": _of_signals(signals, "signal_per_step"),
        "aligned": _of_signals(signals, "aligned_per_step"),
        "updates": _updates(league),
    }
    rows = []
    for predictor, scores in known.items():
        tables = _tables(league, scores)
        each = [(world, {world: tables[world]}) for world in tables]
        for world, some in [*each, (None, tables)] if tables else []:
            row = _agreement(some, resamples, key.child(predictor, world or "all"))
            rows.append({"predictor": predictor, "world": world, **row})
    return rows


def small_world_scores(audit: Sequence[Row]) -> dict[str, float]:
    """Mean logarithm over the small worlds in which as many methods as anywhere have a number.

    A method without noise, or without a signal, has none.
    """
    by_world: dict[str, dict[str, float]] = {}
    for row in audit:
        signal = row["signal_per_step"]
        if signal is not None and signal > 0:
            by_world.setdefault(row["small_world"], {})[row["method"]] = math.log(signal)
    most = max((len(found) for found in by_world.values()), default=0)
    full = [found for found in by_world.values() if len(found) == most]
    names = list(full[0]) if full else []
    shared = [found for found in full if set(found) == set(names)]
    return {name: float(np.mean([found[name] for found in shared])) for name in names}


def _of_signals(signals: Sequence[Row], column: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for row in signals:
        found.setdefault(row["world"], {})[row["method"]] = row[column]
    return found


def _updates(league: dict[str, dict[str, list[Row]]]) -> dict[str, dict[str, float]]:
    """What a prediction has to surpass: who steps most often for the budget."""
    return {
        world: {m: float(np.mean([row["updates"] for row in rows])) for m, rows in methods.items()}
        for world, methods in league.items()
    }


_FEWEST = 4


def _tables(
    league: dict[str, dict[str, list[Row]]], scores: Mapping[str, Mapping[str, float]]
) -> dict[str, tuple[list[float], list[float]]]:
    """Predicted and measured scores by world, of the methods that have both in every world."""
    worlds = [world for world in league if scores.get(world)]
    names = [
        name
        for name in dict.fromkeys(m for methods in league.values() for m in methods)
        if all(name in league[world] and name in scores[world] for world in worlds)
    ]
    if len(names) < _FEWEST:
        return {}
    found = {
        world: (
            [scores[world][name] for name in names],
            [float(np.mean([row["mean"] for row in league[world][name]])) for name in names],
        )
        for world in worlds
    }
    return {w: both for w, both in found.items() if all(len(set(side)) > 1 for side in both)}


def _agreement(
    tables: Mapping[str, tuple[list[float], list[float]]], resamples: int, key: Key
) -> Row:
    found = order_agreement(
        [side for side, _ in tables.values()],
        [side for _, side in tables.values()],
        resamples=resamples,
        key=key,
    )
    return {
        "correlation": found.correlation.estimate,
        "lower": found.correlation.lower,
        "upper": found.correlation.upper,
        "p": found.p_value,
        "methods": found.methods,
        "worlds": found.settings,
    }
