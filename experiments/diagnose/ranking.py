"""Every method by its signal per generated step at the base policy: a prediction of their order.

The signal-to-noise ratio of an update over the steps that it takes, |E U|^2 / E |U - E U|^2 over
steps, is what the league holds against the order in which methods learn. Here it is estimated for
the world at hand, from an update of each method for each of the same prompts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.checks import Unable
from cpi_theory.randomness import Key
from cpi_theory.statistics.bootstrap import paired_difference
from cpi_theory.statistics.ranks import bootstrap_ranks
from cpi_theory.statistics.signal_to_noise import signal_to_noise
from experiments.documents.numbers import with_ends
from experiments.documents.words import listed
from experiments.learn.drawn_updates import drawn_updates
from experiments.methods import ALGORITHMS, TABULAR_METHODS, GroupMethod
from experiments.runs.files import Row
from experiments.worlds.tabular import World, build_world

ALL = "all"
"""Stands for the names of all methods."""

_LEVEL, _RESAMPLES = 0.95, 2000

RANKED: Mapping[str, GroupMethod] = {
    name: method
    for name, method in TABULAR_METHODS.items()
    if isinstance(method, GroupMethod) and method.accuracy == 1
}
"""Methods that can be ranked: those of `learn` that follow a gradient."""


@dataclass(frozen=True)
class SignalSpec:
    """The updates of one method.

    Attributes:
        world: the world.
        method: with the accuracy of the world's localiser.
        prompts: of each of which an update is drawn.
        seed: of the diagnosis.
        instance: path of the key of the world's instance and of every draw.
    """

    world: World
    method: GroupMethod
    prompts: int
    seed: int
    instance: tuple[str, ...]


def at_accuracy(name: str, accuracy: float) -> GroupMethod:
    """The method of that name where the localiser is right with some probability.

    Frontier is told that probability, as `frontier` tells it.
    """
    if name in ALGORITHMS:
        return GroupMethod.of(name, name, accuracy)
    return dataclasses.replace(RANKED[name], accuracy=accuracy)


def signal_rows(spec: SignalSpec) -> list[Row]:
    """One row: `method`, `rollouts` and `steps` of a prompt, `cosine`, and `values` by prompt.

    `cosine` is that of the mean update and the exact gradient of J. The mean of `values` is the
    signal per step; see :class:`cpi_theory.statistics.signal_to_noise.SignalToNoise`. They are null
    for a method that asks what the world cannot do, with the `problem`.
    """
    key = Key.of(spec.seed).child(*spec.instance)
    seeded = build_world(spec.world, key.child("instance"))
    place = key.child("signals")
    row = {"method": spec.method.name, "prompts": spec.prompts, "problem": None}
    try:
        drawn = drawn_updates(spec.world, spec.method, seeded, spec.prompts, place)
    except Unable as error:
        nothing = dict.fromkeys(("rollouts", "steps", "cosine", "values"))
        return [row | nothing | {"problem": error.problem}]
    values = signal_to_noise(drawn.updates).values / drawn.steps
    return [
        row
        | {"rollouts": drawn.rollouts, "steps": drawn.steps, "cosine": drawn.cosine}
        | {"values": values.tolist()}
    ]


def ranking_rows(signals: Sequence[Row], key: Key) -> list[Row]:
    """The methods by signal per generated step, best first, and those that have none.

    Rows: `method`, `rank` with `rank_lower` and `rank_upper` and `first`, the share of resamples in
    which nobody is ahead, see :func:`cpi_theory.statistics.ranks.bootstrap_ranks` (prompts are what
    is resampled, for all methods alike); `signal_per_step` with `lower` and `upper`; `cosine`,
    `rollouts`, `steps`, `prompts` and `problem`.
    """
    known = [row for row in signals if row["values"] is not None]
    rows = [_unranked(row) for row in signals if row["values"] is None]
    if not known:
        return rows
    table = np.array([row["values"] for row in known]).T
    found = bootstrap_ranks([table], _LEVEL, _RESAMPLES, key)
    ranked = [
        _told(row)
        | {"rank": float(found.rank[i]), "first": float(found.first[i])}
        | {"rank_lower": float(found.lower[i]), "rank_upper": float(found.upper[i])}
        for i, row in enumerate(known)
    ]
    return sorted(ranked, key=lambda row: float(row["rank"])) + rows


_KEPT = ("method", "cosine", "rollouts", "steps", "prompts", "problem")


def _told(row: Row) -> Row:
    values = np.array(row["values"])
    mean = paired_difference(values, np.zeros(len(values)), _LEVEL)
    signal = {"signal_per_step": mean.estimate, "lower": mean.lower, "upper": mean.upper}
    return {name: row[name] for name in _KEPT} | signal


def _unranked(row: Row) -> Row:
    empty = ("signal_per_step", "lower", "upper", "rank", "rank_lower", "rank_upper", "first")
    return {name: row[name] for name in _KEPT} | dict.fromkeys(empty)


def ranking_sentences(rows: Sequence[Row]) -> list[str]:
    """Who is first and how surely, where GRPO is, whose signal is not shown, and who has none.

    Args:
        rows: of :func:`ranking_rows`.
    """
    ranked = [row for row in rows if row["rank"] is not None]
    left_out = [row for row in rows if row["problem"]]
    missing = [f"{row['method']} is not ranked: {row['problem']}." for row in left_out]
    if len(ranked) < 2:
        return missing
    best = ranked[0]
    text = f"By signal per generated step before any training, {listed([best['method']])} is first "
    text += f"of {len(ranked)} methods, in {best['first']:.0%} of resamples of {best['prompts']} "
    rivals = [r["method"] for r in ranked[1:] if r["rank_lower"] <= best["rank_upper"]]
    reach = f"the ranks of {listed(rivals)} reach its own" if rivals else "no other reaches it"
    text += f"prompts; {reach}."
    unclear = [row["method"] for row in ranked if row["lower"] <= 0]
    return [text, *_plain(ranked), *_unclear(unclear, len(ranked)), _CAVEAT, *missing]


_CAVEAT = (
    "That order is a prediction for equal generated steps: docs/diagnose.md says how well such "
    "orders agreed with measured ones."
)


def _plain(ranked: Sequence[Row]) -> list[str]:
    for row in ranked:
        if row["method"] == "GRPO" and row is not ranked[0]:
            place = with_ends(row["rank"], row["rank_lower"], row["rank_upper"])
            ahead = ranked[0]["signal_per_step"], row["signal_per_step"]
            times = f", with 1/{ahead[0] / ahead[1]:.1f} of that signal" if row["lower"] > 0 else ""
            return [f"GRPO is at rank {place}{times}."]
    return []


def _unclear(names: Sequence[str], of: int) -> list[str]:
    if not names:
        return []
    which = listed(names) if len(names) < of else "any method"
    return [f"Of {which} no signal is shown: the interval holds 0. Draw more (draws)."]
