"""Search for pairs of candidates that are confused nearly as often as T4s' closed form allows."""

from __future__ import annotations

from math import exp, inf, log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, differential_evolution

from cpi_theory.bounds import pairs
from experiments.verify.claims import Reading
from experiments.verify.sampling import contradicted
from experiments.verify.signs import sign_error

FAIR_TIES = "failures, ties drawn"
"""The statement: the chooser that draws ties fails with probability at most exp(-n e) / 2."""

# Without it a single trial of two equal candidates, which fails half of the time, would win.
_DELTA = 0.1
_MOST_TRIALS = 2_000
_POPULATION = 32
_ACTIONS = (2, 12)


class Pair(NamedTuple):
    """Two candidates that are told apart by outcomes 0 and R, b = R/2.

    Attributes:
        actions: |A|.
        differ: how much of the reset distribution they differ on.
        slant: their gap as a share of the largest possible, 2 nu beta.
    """

    actions: int
    differ: float
    slant: float

    def reading(self) -> Reading | None:
        """Failures against half of exp(-n e), at the least n where that is at most one tenth."""
        exponent = pairs.error_exponent(self.slant * self.differ, self.actions, 0.5, self.differ)
        if not 0 < exponent < inf or exponent * _MOST_TRIALS < -log(2 * _DELTA):
            return None
        samples = pairs.union_samples(exponent, _DELTA, 0.5)
        met = self.differ / self.actions
        failures = sign_error(samples, met * (1 + self.slant), met * (1 - self.slant))
        return Reading("T4s", FAIR_TIES, 0, failures, exp(-samples * exponent) / 2)

    @property
    def share(self) -> float:
        """Failures over exp(-n e), at most 1/2; 0 where n would be too large to try."""
        reading = self.reading()
        return 0.0 if reading is None else float(reading.bound / reading.truth) / 2


# Of |A| (from its least to its most), differ and slant; at slant 1 outcomes are certain.
_CUBE = Bounds(np.array([0.0, 0.01, 0.01]), np.array([1.0, 1.0, 1.0 - 1e-9]))


def _pair(point: NDArray[np.float64]) -> Pair:
    low, high = _ACTIONS
    actions = low + round(float(point[0]) * (high - low))
    return Pair(actions, float(point[1]), float(point[2]))


def search_pairs(evaluations: int, seed: int) -> list[dict[str, Any]]:
    """The pair with the largest share that differential evolution finds.

    One row, as of a search among instances; its tightness is the share.
    """
    found = differential_evolution(
        lambda point: -_pair(point).share,
        _CUBE,
        init=np.random.default_rng([seed, 1]).uniform(_CUBE.lb, _CUBE.ub, (_POPULATION, 3)),
        maxiter=max(1, evaluations // _POPULATION - 1),
        rng=np.random.default_rng(seed),
        polish=False,
    )
    pair = _pair(found.x)
    reading = pair.reading()
    return [
        {
            "kind": "search",
            "theorem": "T4s",
            "horizon": None,
            "evaluations": int(found.nfev),
            "tightness": pair.share,
            "penalty_used": None,
            "violated": reading is not None and contradicted(reading),
            "instance": None,
            "pair": list(pair),
        }
    ]
