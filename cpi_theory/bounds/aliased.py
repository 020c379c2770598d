r"""How many samples random resets need where states cannot be told apart, theorem T7s.

Two worlds in which the better of two actions on I_tau differs, with outcomes R Bern(1/2 +- tau / R)
there and R Bern(1/2) elsewhere, and one observation for all states. With b = R/2 every trial has
D = +-R, those outside I_tau too: the score is a count of signs, each right with probability
1/2 + x, x = p tau / R, and that count is all that a trial tells.
"""

from __future__ import annotations

import math

from cpi_theory.bounds.classes import check_delta
from cpi_theory.bounds.pairs import error_exponent, least_count, samples_lower_bound
from cpi_theory.checks import (
    Exact,
    InvalidInput,
    check_in_range,
    check_positive,
    check_probability,
)


def aliased_samples(coverage: Exact, tau: Exact, delta: float, reward_bound: Exact = 1.0) -> int:
    r"""Return the samples that random resets need in the aliased worlds: exactly so many.

    Statement (T7s):  the least n with :math:`P(Bin(n, 1/2 + x) < n/2) + P(= n/2) / 2 \le \delta`,
    which is odd and about z^2 / (4 x^2), z the normal quantile of 1 - delta. No rule, adaptive in
    its actions or not, has error probability <= delta in both worlds with fewer trials; the chooser
    with b = R/2 and fair ties has it with these.

    Args:
        coverage: p in (0, 1].
        tau: in (0, reward_bound / 2], so that the outcomes have probabilities.
        delta: in (0, 1/2].
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range, or if p tau / R is 1/2.
    Source: T7s of docs/theory.md.
    """
    # Loading it takes long, and every world imports the bounds.
    from scipy.special import betainc

    shift = _shift(coverage, tau, reward_bound)
    check_delta(delta)
    # An even number of trials is no better than one trial less: the last decides nothing but ties.
    # P(Bin(2 k - 1, 1/2 + x) < k) is the incomplete beta function I_{1/2 - x}(k, k).
    wins = least_count(lambda k: bool(betainc(k, k, 0.5 - shift) <= delta))
    return 2 * wins - 1


def aliased_lower_bound(
    coverage: Exact, tau: Exact, delta: float, reward_bound: Exact = 1.0
) -> float:
    r"""Return a closed form below :func:`aliased_samples`.

    Statement (T7s, closed form):  whatever picks the better action with error probability <= delta
    in both worlds draws :math:`n \ge \ln(1 / (4 \delta (1 - \delta))) / (-\ln(1 - 4 x^2))` samples.

    Args:
        coverage: p in (0, 1].
        tau: in (0, reward_bound / 2], so that the outcomes have probabilities.
        delta: in (0, 1/2]; at 1/2 the statement is empty and 0 is returned.
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range, or if p tau / R is 1/2.
    Source: T7s of docs/theory.md: the affinity of Le Cam, see Tsybakov, Introduction to
        Nonparametric Estimation (2009), section 2.4.
    """
    # The worlds exchange the means of two actions, which are 2 p tau apart.
    gap = 2 * _shift(coverage, tau, reward_bound)
    return samples_lower_bound(error_exponent(gap, 2, 0.5), delta)


def sequential_aliased_lower_bound(
    coverage: Exact, tau: Exact, delta: float, reward_bound: Exact = 1.0
) -> float:
    r"""Return the mean number of samples that a test needs which may stop when it knows enough.

    Statement (T7s, sequential):  with error probability <= delta in both worlds,
    :math:`E n \ge (1 - 2 \delta) \ln((1 - \delta) / \delta) / (2 x \ln((1 + 2x) / (1 - 2x)))`.
    Attained by the sequential probability ratio test wherever it stops on its boundaries.

    Args:
        coverage: p in (0, 1].
        tau: in (0, reward_bound / 2], so that the outcomes have probabilities.
        delta: in (0, 1/2]; at 1/2 the statement is empty and 0 is returned.
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range, or if p tau / R is 1/2.
    Source: T7s of docs/theory.md: Wald, Sequential Analysis (1947), for the mean sample number.
    """
    shift = _shift(coverage, tau, reward_bound)
    check_delta(delta)
    # Relative entropy of one sign in the two worlds.
    entropy = 2 * shift * math.log((1 + 2 * shift) / (1 - 2 * shift))
    return (1 - 2 * delta) * math.log((1 - delta) / delta) / entropy


def _shift(coverage: Exact, tau: Exact, reward_bound: Exact) -> float:
    """x = p tau / R, below 1/2."""
    check_positive("reward_bound", reward_bound)
    check_positive("coverage", coverage)
    check_probability("coverage", coverage)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, reward_bound / 2)
    shift = coverage * tau / reward_bound
    if not shift < 1 / 2:
        raise InvalidInput(
            "coverage * tau / reward_bound", shift, "one sample tells all", "lower coverage or tau"
        )
    return float(shift)
