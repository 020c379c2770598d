r"""Comparing methods that were evaluated on the same problems, from several seeds each.

Both seeds and problems are drawn: a claim about a *method* has to hold for other seeds and for
other problems. So the differences :math:`d_{sp}` of two methods on problem p under seed s are
analysed as a two-way table with random rows and columns: seeds that agree on few problems say
little, and so do many problems under three seeds. The scores of one method are such a table, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.checks import InvalidInput, check_count, check_probability
from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import Array, Interval, difference, wilson_ends
from cpi_theory.statistics.quantiles import student_p_value, student_quantile

_EXACT = 12
"""Largest number of units whose sign changes are all gone through: 4,096 of them."""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """How far one method is ahead of another.

    Attributes:
        difference: of the mean scores, with its interval for other seeds and problems; within
            [-1, 1] where scores are in [0, 1].
        p_value: two-sided, of the test that belongs to the interval.
        sign_flips: p-value of the sign-flip test over seeds (over problems, if there is one seed),
            which assumes nothing of how they are distributed, and with few seeds cannot be small.
        detectable: the smallest true difference that would be shown in 80 % of such comparisons.
        seeds, problems: how many there are.
        freedom: degrees of freedom behind the interval.
    """

    difference: Interval
    p_value: float
    sign_flips: float
    detectable: float
    seeds: int
    problems: int
    freedom: float

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0."""
        return 0 not in self.difference


def compare_paired(
    first: ArrayLike,
    second: ArrayLike,
    level: float = 0.95,
    key: Key | int = 0,
    comparisons: int = 1,
) -> PairedComparison:
    r"""Compare two methods by their scores on the same problems under the same seeds.

    With the mean squares of seeds A (times the number of problems), of problems B (times that of
    seeds) and of what is left E, the variance of the mean difference over S seeds and P problems is
    estimated by :math:`\max(A + B - E, A, B, E) / (S P)`, with
    :math:`(A + B)^2 / (A^2 / (S - 1) + B^2 / (P - 1))` degrees of freedom. Where the seeds alone
    vary this is Student's interval over seeds. With one seed the interval is over problems, and
    speaks of the two evaluated models rather than of the methods. Where all differences are the
    same, as of methods that solve nothing, the interval is the difference of those of the
    two :func:`mean_score`, if scores are in [0, 1], and the p-value that of a sign per problem.

    Args:
        first: scores of a method, such as pass rates, shape (S, P); P >= 2.
        second: of the other, of the same shape; entry [s, p] is of the same seed and problem.
        level: probability with which the interval covers.
        key: of the sign changes, where there are too many to go through.
        comparisons: over which p-values are adjusted; what is detectable is so at its share of the
            error (Bonferroni's, and the first that :func:`holm` asks for).

    Raises:
        InvalidInput: the shapes do not pair, or there are fewer than two problems.

    Source: Searle, Casella and McCulloch (1992), Variance Components (two-way random model);
    Satterthwaite (1946), https://doi.org/10.2307/3002019 (degrees of freedom).
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 2 or a.shape != b.shape or a.shape[0] < 1 or a.shape[1] < 2:
        remedy = "give two (seeds, problems) arrays, of two problems or more"
        raise InvalidInput("second", b.shape, f"does not pair with {a.shape}", remedy)
    check_count("comparisons", comparisons)
    gaps = a - b
    seeds, problems = gaps.shape
    error, freedom = _standard_error(gaps)
    mean, quantile = float(gaps.mean()), student_quantile(level, freedom)
    shares = all(0 <= end <= 1 for table in (a, b) for end in (table.min(), table.max()))
    most = 1.0 if shares else math.inf  # no two shares are further apart
    found = Interval(mean, max(mean - quantile * error, -most), min(mean + quantile * error, most))
    p_value = student_p_value(mean / error, freedom) if error else 1.0
    if not error:
        # Differences that are all the same have no spread to judge by.
        if mean:
            p_value = 2.0 ** (1 - problems)
        if shares:
            found = difference(mean_score(a, level), mean_score(b, level))
            error = max(found.upper - mean, mean - found.lower) / quantile
    # The one-sided quantile of 80 % is the two-sided one of 60 %.
    strict = student_quantile(1 - (1 - level) / comparisons, freedom)
    detectable = (strict + student_quantile(0.6, freedom)) * error
    units = gaps.mean(axis=1) if seeds > 1 else gaps[0]
    flips = sign_flip_p_value(units, key=key)
    return PairedComparison(found, p_value, flips, detectable, seeds, problems, freedom)


def mean_score(scores: ArrayLike, level: float = 0.95, trials: int = 1) -> Interval:
    r"""Estimate the mean score of a method, for other seeds and other problems.

    The variance of the mean is that of :func:`compare_paired`. It is turned into the number of
    independent trials that would have it, :math:`p (1 - p) / \mathrm{var}` (at most those that
    there were), and that goes into the Wilson formula with a Student quantile: the interval
    stays in [0, 1] and does not shrink to a point where a method has no success. Where all scores
    are 0, or all are 1, each problem counts as one trial.

    With one seed this is :func:`~cpi_theory.statistics.intervals.clustered_proportion` over the
    problems, and speaks of the evaluated model rather than of the method.

    Args:
        scores: such as pass rates, shape (seeds, problems), each in [0, 1]; two problems at least.
        level: probability with which the interval covers.
        trials: attempts behind each score.

    Raises:
        InvalidInput: the scores are no such table.

    Source: E. B. Wilson, JASA 22 (1927); for the variance see :func:`compare_paired`.
    """
    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        remedy = "give (seeds, problems), of two problems or more"
        raise InvalidInput("scores", table.shape, "not a table of two problems", remedy)
    if not ((table >= 0) & (table <= 1)).all():
        raise InvalidInput("scores", table, "not all in [0, 1]", "divide by the highest reward")
    check_count("trials", trials)
    error, freedom = _standard_error(table)
    mean, problems, most = float(table.mean()), table.shape[1], float(table.size * trials)
    spread, effective = mean * (1 - mean), float(problems)
    if spread > 0:
        effective = spread / error**2 if error**2 * most > spread else most
    quantile = student_quantile(level, freedom if error else problems - 1.0)
    found = wilson_ends(mean, effective, quantile)
    return Interval(mean, float(found.lower), float(found.upper))


def _standard_error(gaps: Array) -> tuple[float, float]:
    """Of the mean of a two-way table, and its degrees of freedom."""
    seeds, problems = gaps.shape
    of_problems = seeds * float(gaps.mean(axis=0).var(ddof=1))
    if seeds == 1:
        return float(np.sqrt(of_problems / problems)), problems - 1.0
    of_seeds = problems * float(gaps.mean(axis=1).var(ddof=1))
    rest = gaps - gaps.mean(axis=0) - gaps.mean(axis=1, keepdims=True) + gaps.mean()
    left = float((rest**2).sum()) / ((seeds - 1) * (problems - 1))
    # The unbiased estimate may fall below each of them, which it cannot be in truth.
    variance = max(of_seeds + of_problems - left, of_seeds, of_problems, left) / gaps.size
    total = of_seeds**2 / (seeds - 1) + of_problems**2 / (problems - 1)
    freedom = (of_seeds + of_problems) ** 2 / total if total > 0 else seeds - 1.0
    return float(np.sqrt(variance)), freedom


def sign_flip_p_value(differences: ArrayLike, draws: int = 10_000, key: Key | int = 0) -> float:
    """Test that differences of independent units are symmetric about 0, two-sided.

    The share of sign changes whose mean is at least as far from 0 as the one found. All are gone
    through up to 12 units; n units reach no less than 2 / 2^n, so three seeds never show
    anything at 5 %.

    Args:
        differences: shape (n,).
        draws: sign changes drawn where there are more units.
        key: of the draw.

    Raises:
        InvalidInput: there are none.

    Source: Fisher (1935), The Design of Experiments, section 21.
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not len(values):
        raise InvalidInput("differences", values.shape, "not (n,)", "give one per unit")
    check_count("draws", draws)
    if len(values) <= _EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=len(values))))
        extra = 0
    else:
        rng = Key.of(key).child("sign flips").generator()
        signs = rng.choice((1.0, -1.0), size=(draws, len(values)))
        extra = 1  # the unchanged signs are one of them: a p-value is never 0
    # A sum that equals the one found in exact arithmetic must not fall below it by rounding.
    least = abs(values.sum()) * (1 - 1e-12) - 1e-15
    reached = int((np.abs(signs @ values) >= least).sum())
    return (reached + extra) / (len(signs) + extra)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several tests, so that the chance of any false alarm is held.

    Args:
        p_values: each in [0, 1], in any order.

    Returns:
        Adjusted ones in the same order: a test is shown at a level if its value is at most that.

    Raises:
        InvalidInput: one is not a probability.

    Source: Holm (1979), https://www.jstor.org/stable/4615733.
    """
    for p in p_values:
        check_probability("p_values", p)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, (len(p_values) - rank) * p_values[i])
        adjusted[i] = min(1.0, highest)
    return adjusted
