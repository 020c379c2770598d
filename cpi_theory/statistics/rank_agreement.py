"""Does a predicted order agree with a measured one, over many settings and beyond chance?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.statistics.bootstrap import check_resamples
from cpi_theory.statistics.intervals import Interval
from cpi_theory.statistics.quantiles import tail_probability

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
    check_resamples("permutations", permutations)
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
    check_resamples("permutations", permutations)
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


@dataclass(frozen=True, slots=True)
class OrderAgreement:
    """Whether scores of methods order them as they turn out.

    Attributes:
        correlation: mean over settings of Spearman's correlation over methods, with a percentile
            interval for other methods in these settings.
        p_value: one-sided, when methods are ordered at random, in all settings alike.
        methods, settings: how many.
    """

    correlation: Interval
    p_value: float
    methods: int
    settings: int


def order_agreement(
    predicted: ArrayLike,
    measured: ArrayLike,
    level: float = 0.95,
    resamples: int = 9999,
    key: Key | int = 0,
) -> OrderAgreement:
    """Return the mean rank correlation within settings, methods being what is resampled.

    A method is resampled with its scores in all settings, and so it is permuted: settings that
    resemble each other do not count as so many proofs. Resamples in which some setting has no two
    different scores are left out of the interval.

    Args:
        predicted: scores, larger is better, shape (settings, methods), at least 4 methods.
        measured: the same of what was measured; ties get their mean rank.
        level: probability with which the interval covers.
        resamples: and permutations, of which the p-value is at least 1 / (permutations + 1).
        key: of both.

    Raises:
        InvalidInput: if the tables do not match or are too small, or a setting has no two different
            scores.
    """
    scores, truth = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    check_resamples("resamples", resamples)
    tail = tail_probability(level)
    if scores.ndim != 2 or scores.shape != truth.shape or scores.shape[1] < 4 or not len(scores):
        problem = f"measured has {truth.shape}"
        raise InvalidInput("predicted", scores.shape, problem, "give two (n >= 1, k >= 4)")
    found = float(_spearman(scores, truth))
    if not np.isfinite(found):
        problem = "a setting whose scores are all the same"
        raise InvalidInput("predicted", scores.shape, problem, "leave that setting out")
    rng = Key.of(key).child("order agreement").generator()
    picks = rng.integers(scores.shape[1], size=(resamples, scores.shape[1]))
    drawn = _spearman(_picked(scores, picks), _picked(truth, picks))
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    orders = np.array([rng.permutation(scores.shape[1]) for _ in range(resamples)])
    chance = _spearman(_picked(scores, orders), truth)
    return OrderAgreement(
        Interval(found, float(low), float(high)),
        _p_value(found, chance.tolist()),
        scores.shape[1],
        len(scores),
    )


def _picked(table: Array, picks: NDArray[np.int64]) -> Array:
    """The columns of each pick, shape (picks, settings, methods)."""
    return np.moveaxis(table[:, picks], 0, 1)


def _spearman(first: Array, second: Array) -> Array:
    """Spearman's correlation along the last axis, averaged over the one before it."""
    from scipy.stats import rankdata  # imported late: `import cpi_theory` stays quick

    x, y = (rankdata(v, axis=-1) - (v.shape[-1] + 1) / 2 for v in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        each = (x * y).sum(axis=-1) / np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return np.asarray(each.mean(axis=-1))


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
