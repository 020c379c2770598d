"""Does a predicted order agree with a measured one, over many settings and beyond chance?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.randomness import Key

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """How well predicted scores order methods, over settings.

    Attributes:
        kendall: mean over settings of Kendall's tau-a between predicted and measured scores.
        chance: p-value of `kendall` when the methods of each setting are ordered at random.
        fixed: the largest mean tau that any one order of methods reaches in all settings.
        between: p-value of `kendall` when predictions are dealt out to other settings: whether
            they know more of a setting than which methods are good in general.
        settings: how many.
    """

    kendall: float
    chance: float
    fixed: float
    between: float
    settings: int


def rank_agreement(
    predicted: ArrayLike, measured: ArrayLike, permutations: int = 9999, key: Key | int = 0
) -> RankAgreement:
    """Return the mean Kendall correlation within settings, with two permutation tests.

    Args:
        predicted: scores, larger is better, shape (settings, methods), at least two of each.
        measured: the same of what was measured; ties count neither way.
        permutations: draws of each test; a p-value is at least 1 / (permutations + 1).
        key: of the permutations.

    Raises:
        InvalidInput: if the tables do not match or are too small.
    """
    scores, truth = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    check_count("permutations", permutations)
    if scores.ndim != 2 or scores.shape != truth.shape or min(scores.shape) < 2:
        raise InvalidInput(
            "predicted", scores.shape, f"measured has {truth.shape}", "give two (n >= 2, k >= 2)"
        )
    rng = Key.of(key).child("rank agreement").generator()
    signs, target = _signs(scores), _signs(truth)
    found = _mean_tau(signs, target)
    # Each row on its own: under the null the methods of a setting are exchangeable.
    shuffled = [
        _mean_tau(_signs(rng.permuted(scores, axis=1)), target) for _ in range(permutations)
    ]
    # Whole rows change settings, so what all settings have in common survives.
    dealt = [_mean_tau(rng.permutation(signs), target) for _ in range(permutations)]
    return RankAgreement(
        kendall=found,
        chance=_p_value(found, shuffled),
        fixed=_best_fixed(target),
        between=_p_value(found, dealt),
        settings=len(scores),
    )


def rank_correlation(
    first: ArrayLike, second: ArrayLike, permutations: int = 9999, key: Key | int = 0
) -> tuple[float, float]:
    """Return Spearman's correlation with its one-sided permutation p-value.

    Args:
        first: shape (n,), n >= 3; ties get their mean rank.
        second: shape (n,).
        permutations: draws of the test; the p-value is at least 1 / (permutations + 1).
        key: of the permutations.

    Raises:
        InvalidInput: if the arrays do not match or are too short.
    """
    from scipy.stats import rankdata  # imported late: `import cpi_theory` stays quick

    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    check_count("permutations", permutations)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 3:
        raise InvalidInput("first", x.shape, f"second has {y.shape}", "give two (n >= 3,) arrays")
    # Centred at the mean rank (n + 1) / 2: the correlation is then a scalar product.
    ranks, others = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
    size = np.sqrt((ranks @ ranks) * (others @ others))
    if size == 0:
        raise InvalidInput("first", x, "constant, or second is", "give values that differ")
    rng = Key.of(key).child("rank correlation").generator()
    drawn = [float(rng.permutation(ranks) @ others) / size for _ in range(permutations)]
    found = float(ranks @ others) / size
    return float(found), _p_value(found, drawn)


def _signs(scores: Array) -> Array:
    """Which of each pair of methods is ahead, shape (settings, pairs): 1, -1, or 0 for a tie."""
    i, j = np.triu_indices(scores.shape[1], 1)
    return np.sign(scores[:, i] - scores[:, j])


def _mean_tau(signs: Array, target: Array) -> float:
    return float((signs * target).mean())


def _p_value(found: float, drawn: list[float]) -> float:
    # The sample itself counts as one draw, so a p-value is never 0; draws that equal it but for
    # rounding count as reaching it.
    return (1 + int(np.sum(np.array(drawn) >= found - 1e-12))) / (1 + len(drawn))


def _best_fixed(target: Array) -> float:
    """Return the largest mean tau of a fixed order; methods are few enough to try all orders."""
    from itertools import permutations

    pairs = target.shape[1]
    # pairs = k (k - 1) / 2, solved for k.
    methods = round((1 + np.sqrt(1 + 8 * pairs)) / 2)
    orders = np.array(list(permutations(range(methods))), dtype=np.float64)
    return max(_mean_tau(order, target) for order in _signs(orders))
