"""What learning curves say: bands, paired differences, and how soon a level is reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.statistics.bootstrap import (
    LEAST_RUNS,
    bootstrap_interval,
    interquartile_mean,
    paired_difference,
)
from cpi_theory.statistics.intervals import (
    Interval,
    clustered_proportion,
    difference,
    wilson_interval,
)
from cpi_theory.statistics.medians import median_interval
from experiments.documents.numbers import interval_text
from experiments.documents.words import counted
from experiments.runs.files import Row

Floats = NDArray[np.float64]

AXES = ("rollouts", "steps")
"""What a curve is measured against."""

CONTRASTS = (
    ("SRPO", "RRPO"),
    ("SRPO", "GRPO"),
    ("RRPO", "GRPO"),
    ("SRPO-70", "GRPO"),
    ("SRPO-40", "GRPO"),
    ("SRPO-40", "SRPO"),
)
"""Which methods are compared in pairs: (first, second)."""

_LEVEL = 0.95

_POINTS = 41


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of one method in one world, one per seed, in the order of seeds.

    Attributes:
        world, method: their labels.
        seeds: shape (n,).
        rows: per seed its records, in the order of points.
    """

    world: str
    method: str
    seeds: tuple[int, ...]
    rows: tuple[tuple[Row, ...], ...]

    def column(self, name: str) -> list[Floats]:
        """A field of the records, one array over the points per seed."""
        return [np.array([row[name] for row in rows], dtype=np.float64) for rows in self.rows]

    @cached_property
    def values(self) -> list[Floats]:
        """Exact J at each point, per seed."""
        return self.column("value")

    def shared_budget(self, axis: str) -> float:
        """How far along `axis` every seed came."""
        return min(float(x[-1]) for x in self.column(axis))

    def at(self, axis: str, grid: Floats) -> Floats:
        """J interpolated at `grid` along `axis`, shape (seeds, points)."""
        pairs = zip(self.column(axis), self.values, strict=True)
        return np.stack([np.interp(grid, x, value) for x, value in pairs])

    def mean_until(self, axis: str, budget: float) -> Floats:
        """Mean of J over [0, budget] along `axis`, per seed: area under the curve / budget."""
        grid = np.linspace(0.0, budget, 16 * _POINTS + 1)
        return np.asarray(np.trapezoid(self.at(axis, grid), grid, axis=1) / budget)


def gather(records: Sequence[Row]) -> dict[tuple[str, str], Curves]:
    """The records of `learning_curve` by (world, method), both in the order of appearance."""
    found: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for row in records:
        seeds = found.setdefault((row["world"], row["method"]), {})
        seeds.setdefault(row["seed"], []).append(row)
    return {
        labels: Curves(*labels, tuple(seeds), tuple(map(tuple, seeds.values())))
        for labels, seeds in found.items()
    }


def bands(
    curves: Iterable[Curves],
    axes: Sequence[str],
    resamples: int,
    key: Key,
    until: float | None = None,
) -> list[Row]:
    """Interquartile mean of J over seeds with a bootstrap band, along each axis.

    Rows: `world`, `method`, `axis`, `x`, `value`, `lower`, `upper`, `seeds`. Fewer than
    :data:`~cpi_theory.statistics.bootstrap.LEAST_RUNS` seeds do not say how far another one would
    lie: `lower` and `upper` are null. The axis ends at `until`, where curves that stopped before
    keep their last value (nothing changes the policy any more), or by default where the first seed
    ends.
    """
    rows = []
    for one in curves:
        for axis in axes:
            grid = np.linspace(0.0, until or one.shared_budget(axis), _POINTS)
            where = key.child("bands", one.world, one.method, axis)
            columns = zip(grid, *_band(one.at(axis, grid), resamples, where), strict=True)
            labels = {"world": one.world, "method": one.method, "axis": axis}
            rows += [
                labels | {"x": x, "value": v, "lower": low, "upper": high, "seeds": len(one.seeds)}
                for x, v, low, high in columns
            ]
    return rows


def _band(values: Floats, resamples: int, key: Key) -> tuple[Sequence[float | None], ...]:
    """Estimate, lower and upper end at each point, from values of shape (seeds, points)."""
    if len(values) < LEAST_RUNS:
        unknown = [None] * values.shape[1]
        return interquartile_mean(values), unknown, unknown
    band = bootstrap_interval(values, interquartile_mean, _LEVEL, resamples, key)
    return band.estimate, band.lower, band.upper


def pairs(
    curves: dict[tuple[str, str], Curves],
    axes: Sequence[str] = AXES,
    contrasts: Sequence[tuple[str, str]] = CONTRASTS,
    problems: int | None = None,
) -> list[Row]:
    """Difference of the mean J over the curve between two methods, paired by seed.

    Both are measured up to the budget that every seed of both reached. Rows: `world`, `first`,
    `second`, `axis`, `budget`, `difference` (first - second), `lower`, `upper`, `seeds`, `verdict`:
    who is ahead, or that no difference is shown. Each interval holds with 95 % for itself: of many
    comparisons without a difference, one in twenty shows one. A world with one seed has no rows.

    Args:
        curves: by world and method.
        axes: what is matched.
        contrasts: (first, second).
        problems: if J is a pass rate, of so many held-out problems with a text each, the intervals
            are those of :func:`rate_difference`.
    """
    worlds = dict.fromkeys(world for world, _ in curves)
    rows = []
    for world in worlds:
        for first, second in contrasts:
            if (world, first) in curves and (world, second) in curves:
                a, b = curves[world, first], curves[world, second]
                if len(a.seeds) > 1:
                    rows += [_pair(a, b, axis, problems) for axis in axes]
    return rows


def _pair(first: Curves, second: Curves, axis: str, problems: int | None) -> Row:
    budget = min(first.shared_budget(axis), second.shared_budget(axis))
    ours, theirs = first.mean_until(axis, budget), second.mean_until(axis, budget)
    if problems is None:
        gap = paired_difference(ours, theirs, _LEVEL)
    else:
        gap = rate_difference(ours, theirs, problems)
    row = {
        "world": first.world,
        "first": first.method,
        "second": second.method,
        "axis": axis,
        "budget": budget,
        "difference": gap.estimate,
        "lower": gap.lower,
        "upper": gap.upper,
        "seeds": len(first.seeds),
    }
    return row | {"verdict": _verdict(row)}


def rate_difference(first: Floats, second: Floats, problems: int) -> Interval:
    """The mean of first - second of two pass rates, paired by seed: Student's interval in [-1, 1].

    One seed, or seeds that all differ by the same, show nothing of how far another would lie from
    them. Their interval is that of the drawn problems and texts alone, as if each rate were of
    texts of its own for problems of its own: rates of the same problems rise and fall together and
    differ by less, and a mean of several evaluations is of more texts, so it is conservative.

    Args:
        first: of each seed, shape (seeds,).
        second: the same.
        problems: of an evaluation, with one text each.
    """
    if len(first) > 1:
        gap = paired_difference(first, second, _LEVEL, limit=1.0)
        if gap.lower < gap.upper:
            return gap
    texts = problems * len(first)
    ours, theirs = (
        wilson_interval(min(float(rates.sum()) * problems, texts), texts)
        for rates in (first, second)
    )
    return difference(ours, theirs)


def difference_text(row: Row) -> str:
    """A difference with its interval for a terminal: bold where that excludes 0."""
    text = interval_text(row, "difference", "+.3f")
    sure = row["difference"] is not None and (row["lower"] > 0 or row["upper"] < 0)
    return f"[bold]{text}[/bold]" if sure else text


def difference_verdicts(pairs: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per comparison, axis and world: the difference, and who is ahead if anyone."""
    return tuple(
        f"{r['world']}: {r['first']} - {r['second']} = {interval_text(r, 'difference', '.3f')} per "
        f"{r['axis'].removesuffix('s')} over {counted(r['seeds'], 'seed')}: "
        + ("not distinguishable." if r["lower"] <= 0 <= r["upper"] else f"{_ahead(r)} is ahead.")
        for r in pairs
    )


def _ahead(row: Row) -> str:
    return str(row["first"] if row["lower"] > 0 else row["second"])


def idle_verdicts(collections: Sequence[Row]) -> tuple[str, ...]:
    """Which methods learned nothing because no group of theirs had rewards that differ.

    What their curves differ by is chance alone: that says nothing of the methods.
    """
    idle: dict[str, list[str]] = {}
    for row in collections:
        if row["informative"] == 0:
            idle.setdefault(row["world"], []).append(row["method"])
    return tuple(
        f"{world}: nothing was learned by {', '.join(methods)}: in no group did rewards differ, so "
        "no update had anything to follow."
        for world, methods in idle.items()
    )


def single_verdicts(finals: Sequence[Row]) -> tuple[str, ...]:
    """Which worlds were run with one seed, of which no interval over seeds can be given."""
    worlds = dict.fromkeys(row["world"] for row in finals if row["seeds"] == 1)
    return tuple(
        f"{world}: one seed. How far another would lie from it is unknown: the intervals of what "
        "was gained are of the problems and texts drawn alone, and methods are not compared; run "
        "more seeds."
        for world in worlds
    )


def _verdict(row: Row) -> str:
    per = f"per {row['axis'][:-1]}"
    if row["lower"] > 0:
        return f"{row['first']} is ahead of {row['second']} {per}"
    if row["upper"] < 0:
        return f"{row['second']} is ahead of {row['first']} {per}"
    return f"no difference shown between {row['first']} and {row['second']} {per}"


def groups(curves: Iterable[Curves]) -> list[Row]:
    """Share of groups that teach anything, over all seeds, between one record and the next.

    Rows: `world`, `method`, `x` (rollouts at the later record), `informative`, `groups`.
    """
    rows = []
    for one in curves:
        made, informative = (np.sum(one.column(name), axis=0) for name in ("groups", "informative"))
        x = one.column("rollouts")[0]
        for i in range(1, len(x)):
            share = float(informative[i] / made[i]) if made[i] else None
            labels = {"world": one.world, "method": one.method, "x": x[i]}
            rows.append(labels | {"informative": share, "groups": int(made[i])})
    return rows


def collections(
    curves: Iterable[Curves], totals: Sequence[str] = (*AXES, "localizations")
) -> list[Row]:
    """What each method generated and how its groups turned out, over all seeds.

    Rows: `world`, `method`, mean over seeds of the last value of each of `totals`,
    `informative` share of groups with `lower` and `upper` (seeds as clusters; null for one seed),
    `refusals` by reason in all seeds together.
    """
    return [_collected(one, totals) for one in curves]


def _collected(one: Curves, totals: Sequence[str]) -> Row:
    counts = {n: [float(x.sum()) for x in one.column(n)] for n in ("groups", "informative")}
    share = informative_share(counts["informative"], counts["groups"])
    last = {n: float(np.mean([x[-1] for x in one.column(n)])) for n in totals}
    refusals: Counter[str] = Counter()
    for rows in one.rows:
        for row in rows:
            refusals.update(row["refusals"])
    return {
        "world": one.world,
        "method": one.method,
        **last,
        **share,
        "refusals": dict(refusals),
    }


def informative_share(informative: Sequence[float], made: Sequence[float]) -> Row:
    """Share of groups that are informative, as `informative`, `lower` and `upper`.

    Args:
        informative: so many of each seed.
        made: groups of each seed; the interval, with seeds as clusters, takes two that made any.
    """
    if sum(n > 0 for n in made) < 2:
        estimate = sum(informative) / sum(made) if sum(made) else None
        return {"informative": estimate, "lower": None, "upper": None}
    share = clustered_proportion(informative, made, _LEVEL)
    return {"informative": share.estimate, "lower": share.lower, "upper": share.upper}


def reach(curves: dict[tuple[str, str], Curves], axes: Sequence[str] = AXES) -> list[Row]:
    """How much each method generates until half of what can be gained is gained.

    The level lies midway between the first value and the best last value (interquartile mean) of
    any method in that world. Rows: `world`, `method`, `axis`, `level`, `median` over seeds (null
    if fewer than half got there) with `lower` and `upper` (95 %, null: so many seeds do not say;
    see :func:`cpi_theory.statistics.medians.median_interval`), `reached` of `seeds`.
    """
    rows = []
    for world in dict.fromkeys(world for world, _ in curves):
        here = [one for one in curves.values() if one.world == world]
        level = _half_way(here)
        rows += [_reached(one, axis, level) for one in here for axis in axes]
    return rows


def _half_way(here: Sequence[Curves]) -> float:
    first = interquartile_mean([value[0] for value in here[0].values])
    last = max(interquartile_mean([value[-1] for value in one.values]) for one in here)
    return float(first + last) / 2


def _reached(one: Curves, axis: str, level: float) -> Row:
    times = _times(one, axis, level)
    found = median_interval(times, _LEVEL)
    return {
        "world": one.world,
        "method": one.method,
        "axis": axis,
        "level": level,
        "median": _finite(found.estimate),
        "lower": _finite(found.lower),
        "upper": _finite(found.upper),
        "reached": int(np.isfinite(times).sum()),
        "seeds": len(times),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def speedups(
    curves: dict[tuple[str, str], Curves],
    axes: Sequence[str] = AXES,
    contrasts: Sequence[tuple[str, str]] = CONTRASTS,
) -> list[Row]:
    """How many times as soon one method reaches the level of :func:`reach` as another.

    Of each seed what the second method took is divided by what the first one took. A seed in which
    one of them never gets there is infinitely far on one side; where neither does, or both are
    there from the start, nothing is known of it, and the interval allows for anything.

    Rows: `world`, `first`, `second`, `axis`, `level`, `speedup` (median over seeds, null: unknown)
    with `lower` and `upper` (95 %, null: so many seeds do not say), `seeds`, and `shown`: whether
    the interval excludes 1. A world with one seed has no rows.
    """
    rows = []
    for world in dict.fromkeys(world for world, _ in curves):
        level = _half_way([one for one in curves.values() if one.world == world])
        for first, second in contrasts:
            if (world, first) in curves and (world, second) in curves:
                a, b = curves[world, first], curves[world, second]
                if len(a.seeds) > 1:
                    rows += [_speedup(a, b, axis, level) for axis in axes]
    return rows


def _speedup(first: Curves, second: Curves, axis: str, level: float) -> Row:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = _times(second, axis, level) / _times(first, axis, level)
    # What is unknown counts for either end where it moves that end outwards.
    low = median_interval(np.nan_to_num(ratios, nan=0.0, posinf=np.inf), _LEVEL)
    high = median_interval(np.nan_to_num(ratios, nan=np.inf, posinf=np.inf), _LEVEL)
    known = low.estimate == high.estimate
    return {
        "world": first.world,
        "first": first.method,
        "second": second.method,
        "axis": axis,
        "level": level,
        "speedup": _finite(low.estimate) if known else None,
        "lower": _finite(low.lower),
        "upper": _finite(high.upper),
        "seeds": len(ratios),
        "shown": bool(low.lower > 1 or high.upper < 1),
    }


def speedup_verdicts(speedups: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per comparison and axis: who gets half-way sooner, if that is shown."""
    return tuple(
        f"{r['world']}, {r['axis']}: {r['first']} gets half-way {interval_text(r, 'speedup')} "
        f"times as soon as {r['second']} ({counted(r['seeds'], 'seed')}): "
        + (f"{_sooner(r)} is sooner." if r["shown"] else "not shown.")
        for r in speedups
    )


def _sooner(row: Row) -> str:
    return str(row["first"] if (row["lower"] or 0) > 1 else row["second"])


def _times(one: Curves, axis: str, level: float) -> Floats:
    """Where each seed first reaches `level`, shape (seeds,)."""
    found = zip(one.column(axis), one.values, strict=True)
    return np.array([_crossing(x, value, level) for x, value in found])


def _crossing(x: Floats, value: Floats, level: float) -> float:
    """Where the curve first reaches `level`, linear between records; infinite if it never does."""
    above = np.flatnonzero(value >= level)
    if not above.size:
        return float("inf")
    i = int(above[0])
    if i == 0:
        return float(x[0])
    share = (level - value[i - 1]) / (value[i] - value[i - 1])
    return float(x[i - 1] + share * (x[i] - x[i - 1]))
