"""Search for the tightest instances: small MDPs, reset weights and step sizes near a bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, differential_evolution, minimize

from experiments.verify.claims import (
    GAIN,
    TELLING_ALPHA,
    Claim,
    Reading,
    best_step,
    discounted_best_step,
    discounted_improvement,
    greedy_improvement,
    improvement,
    layered_best_step,
    layered_improvement,
    planned_step,
    sharp_best_step,
    sharp_discounted_best_step,
    violated,
)
from experiments.verify.files import instance_to_json
from experiments.verify.instances import BoundInstance
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP

_STATES, _ACTIONS = 2, 2
_DISCOUNT = 0.75
# Below these the ratio of two differences is rounding, and the search would climb on that.
_LEAST = 0.02
_SMALL = 1e-5
# What stands for the tightness where the bound says nothing, or next to nothing.
_HOPELESS = -2.0
_POPULATION = 64
# Of the point: transitions, rewards, start, policy, candidate, weight and step size, in this order.
_SIZES = (4, 4, 1, 2, 2, 2, 1)

TARGETS: dict[str, Claim] = {
    "T1": improvement,
    "T1s": improvement,
    "T1h": layered_improvement,
    "T1e": layered_improvement,
    "T2": best_step,
    "T2h": layered_best_step,
    "T2s": sharp_best_step,
    "T3": greedy_improvement,
    "T6": planned_step,
    "T8": discounted_improvement,
    "T8s": discounted_improvement,
    "T8e": discounted_improvement,
    "T8 step": discounted_best_step,
    "T8s step": sharp_discounted_best_step,
}
"""The claim that reads each theorem."""


@dataclass(frozen=True)
class Search:
    """One adversarial search.

    Attributes:
        theorem: key of `TARGETS`.
        horizon: layers; ignored by the discounted theorems, whose discount is 3/4.
        evaluations: instances to try, roughly.
        seed: of the search.
    """

    theorem: str
    horizon: int
    evaluations: int
    seed: int


def build(point: NDArray[np.float64], search: Search) -> BoundInstance:
    """The instance at a point of the unit cube: two states, two actions, the same in all layers."""
    moves, rewards, start, policy, candidate, weight, alpha = np.split(
        point, np.cumsum(_SIZES)[:-1]
    )
    kernel = _pairs(moves).reshape(_STATES, _ACTIONS, _STATES)
    table = rewards.reshape(_STATES, _ACTIONS)
    mdp: FiniteHorizonMDP | DiscountedMDP
    layers: tuple[int, ...] = ()
    if search.theorem.startswith("T8"):
        mdp = DiscountedMDP(kernel, table, _pairs(start)[0], _DISCOUNT)
    else:
        mdp = FiniteHorizonMDP(kernel, table / search.horizon, _pairs(start)[0], search.horizon)
        layers = (search.horizon,)
    share = 1.0 if search.theorem == "T3" else 0.5
    return BoundInstance(
        label=f"search {search.theorem}",
        mdp=mdp,
        policy=np.broadcast_to(_pairs(policy), (*layers, _STATES, _ACTIONS)),
        candidate=np.broadcast_to(_pairs(candidate), (*layers, _STATES, _ACTIONS)),
        weight=np.broadcast_to(weight, (*layers, _STATES)),
        alphas=(float(TELLING_ALPHA + (1 - TELLING_ALPHA) * alpha[0]),),
        share=share,
    )


def _pairs(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([1 - chances, chances], axis=-1)


def read(instance: BoundInstance, theorem: str) -> Iterator[Reading]:
    """Readings of the theorem's bound on the gain."""
    for reading in TARGETS[theorem](instance):
        if reading.theorem == theorem and reading.says == GAIN:
            yield reading


def run_search(search: Search) -> list[dict[str, Any]]:
    """The tightest instance that scipy finds: one row, with the instance.

    Differential evolution explores, Powell's line searches climb from its best point. The row's
    `violated` says whether the search even broke the bound.
    """
    size = sum(_SIZES)
    cube = Bounds(np.zeros(size), np.ones(size))
    best = _Best(search)
    differential_evolution(
        best.loss,
        cube,
        init=_corners(search, size),
        maxiter=max(1, search.evaluations // (2 * _POPULATION) - 1),
        tol=1e-9,
        rng=np.random.default_rng(search.seed),
        polish=False,
    )
    climb = {"maxfev": search.evaluations // 2, "xtol": 1e-4, "ftol": 1e-9}
    minimize(best.loss, best.point, method="Powell", bounds=cube, options=climb)
    return [_row(best)]


class _Best:
    """The loss that scipy minimises; remembers where it was least."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.point = np.full(sum(_SIZES), 0.5)
        self.least = np.inf
        self.count = 0

    def loss(self, point: NDArray[np.float64]) -> float:
        """Minus the tightness of the bound at `point`."""
        point = np.clip(point, 0.0, 1.0)
        found = read(build(point, self.search), self.search.theorem)
        value = -max((_tightness(reading) for reading in found), default=_HOPELESS)
        self.count += 1
        if value < self.least:
            self.least, self.point = value, point.copy()
        return value


def _tightness(reading: Reading) -> float:
    """How close an instance comes to attaining the bound: 1 attains it, more violates it.

    Where a bound subtracts a penalty from the slope of the gain, this is the share of the penalty
    that the update really costs: bound over gain alone is near 1 wherever the penalty is small.
    """
    if reading.first_order is None:
        return float(reading.bound / reading.truth) if reading.truth > _SMALL else _HOPELESS
    penalty = float(reading.first_order - reading.bound)
    if penalty < _LEAST:
        return penalty - 1
    return float(reading.first_order - reading.truth) / penalty


def _corners(search: Search, size: int) -> NDArray[np.float64]:
    """First population: extremal worlds have many probabilities at 0 or 1."""
    rng = np.random.default_rng([search.seed, 1])
    points = rng.random((_POPULATION, size))
    return np.where(rng.random(points.shape) < 0.6, np.round(points), points)


def _row(best: _Best) -> dict[str, Any]:
    instance = build(best.point, best.search)
    reading = max(read(instance, best.search.theorem), key=_tightness, default=None)
    return {
        "kind": "search",
        "theorem": best.search.theorem,
        "horizon": None if instance.discounted else best.search.horizon,
        "evaluations": best.count,
        "tightness": None if reading is None else reading.ratio,
        "penalty_used": None if reading is None else reading.penalty_used,
        "violated": reading is not None and bool(violated(instance, reading)),
        "instance": instance_to_json(instance),
    }
