r"""How surely the better of two candidates scores higher, theorem T4s.

A trial draws (s, h) from the reset distribution, an action uniformly and a return G. A baseline b
that does not depend on the trial's action and return makes

    D = |A| (pi*(a|s) - pi(a|s)) (G - b)

an unbiased estimate of how much better pi* is than pi, the gap g = E D > 0. The chooser prefers pi
only if the sum of n such D is not positive, which has probability at most exp(-n e) with an *error
exponent* e: -ln of the least E exp(-t D) over t > 0. `actions` is |A|, and returns lie in
[0, reward_bound].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.bounds.classes import check_delta
from cpi_theory.checks import (
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)

# A law whose exponent is asked for must sum to one up to so much.
_ROUNDING = 1e-9

# Beyond it a float does not tell neighbouring integers apart.
_LARGEST_COUNT = 1 << 53


def error_exponent(gap: float, actions: int, reach: float, differ: float = 1.0) -> float:
    r"""Return e such that the worse of two candidates is preferred with probability <= exp(-n e).

    Statement (T4s, closed form):
    :math:`e = -\ln(1 - (2 \nu / |A|) (1 - \sqrt{1 - (g / (2 \nu \beta))^2})) \ge
    g^2 / (4 \nu |A| \beta^2)`.
    Assumptions:  A1 n trials are independent; A2 b is fixed, or depends on the state alone, or
    comes from other rollouts; A3 both candidates were fixed before drawing.
    Attained up to a factor that falls with 1 / sqrt(n) by outcomes 0 and R with b = R/2: there e is
    the exponent of a sign test.

    Args:
        gap: g >= 0, how much more reset advantage pi* has; at most 2 nu beta.
        actions: |A| >= 2, or any for two candidates that agree.
        reach: beta = sup |G - b|: R/2 for b = R/2, R without a baseline. Unit of `gap`.
        differ: nu = E TV(pi*(.|s), pi(.|s)) in (0, 1]; 1 is the worst.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4s of docs/theory.md.
    """
    check_count("actions", actions)
    check_positive("reach", reach)
    check_positive("differ", differ)
    check_probability("differ", differ)
    check_in_range("gap", gap, 0, 2 * differ * reach * (1 + _ROUNDING))
    return _exponent(min(1.0, gap / (2 * differ * reach)), 2 * differ / actions)


def _exponent(slant: float, met: float) -> float:
    """-ln(1 - met (1 - sqrt(1 - slant^2))), without a difference of near equals."""
    square = slant * slant
    lost = met * square / (1 + math.sqrt(1 - square))
    return -math.log1p(-lost) if lost < 1 else math.inf


def outcome_exponent(
    better: float,
    worse: float,
    actions: int,
    differ: float = 1.0,
    baseline: float = 0.5,
    reward_bound: float = 1.0,
) -> float:
    r"""Return the error exponent of two deterministic candidates from their mean returns alone.

    Statement (T4s, on an instance):  exp(-t D) is convex in G, so that of all returns in [0, R]
    with given means the outcomes 0 and R are worst; their D has four values, and e is
    -ln inf_t E exp(-t D). With b = R/2 that is :func:`error_exponent`; with b = 0 it is
    :math:`-\ln(1 - (\sqrt{q^*} - \sqrt{q})^2 / |A|)`, which is larger where outcomes are rare.

    Args:
        better: q* = E[1[differ] Q(s, pi*(s))] / R in [0, differ], the share of successes where the
            two candidates differ.
        worse: q, the same of the other candidate, at most `better`.
        actions: |A| >= 1.
        differ: nu, the probability that the two candidates differ, in (0, 1].
        baseline: b in [0, R].
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4s of docs/theory.md.
    """
    check_count("actions", actions)
    check_positive("reward_bound", reward_bound)
    check_positive("differ", differ)
    check_probability("differ", differ)
    check_in_range("better", better, 0, differ)
    check_in_range("worse", worse, 0, better)
    check_in_range("baseline", baseline, 0, reward_bound)
    won, lost = reward_bound - baseline, -baseline
    values = np.array([won, lost, -won, -lost, 0.0])
    met = np.array([better, differ - better, worse, differ - worse]) / actions
    return chernoff_exponent(values, np.append(met, max(0.0, 1 - met.sum())))


def chernoff_exponent(values: ArrayLike, probabilities: ArrayLike) -> float:
    r"""Return -ln inf_{t >= 0} E exp(-t D), the best exponent of P(sum of n draws <= 0).

    Statement (T4s, on an instance):  :math:`P(D_1 + ... + D_n \le 0) \le e^{-n e}` for independent
    draws, and no larger e does for all n (Chernoff; Cramer).

    Args:
        values: shape (k,), the values that D takes.
        probabilities: shape (k,), with what probability.

    Returns: 0 if E D <= 0; infinite if D > 0 always.
    Raises: InvalidInput if shapes differ or `probabilities` is no law.
    Source: T4s of docs/theory.md.
    """
    # Loading it takes long, and every world imports the bounds.
    from scipy.optimize import brentq

    support, law = np.asarray(values, np.float64), np.asarray(probabilities, np.float64)
    if support.shape != law.shape or support.ndim != 1:
        raise InvalidInput("probabilities", law.shape, f"values are {support.shape}", "give pairs")
    if not (law >= 0).all() or not abs(law.sum() - 1) <= _ROUNDING:
        raise InvalidInput("probabilities", float(law.sum()), "no law", "give shares that sum to 1")
    support, law = support[law > 0], law[law > 0]
    if law @ support <= 0:
        return 0.0
    if support.min() >= 0:  # nothing speaks against: only draws that are all 0 do
        zero = law[support == 0].sum()
        return -math.log(zero) if zero > 0 else math.inf
    scale = -support.min()
    support = support / scale

    def slope(tilt: float) -> float:
        # Divided by exp(tilt), the largest of the terms, which would overflow.
        return float(law @ (-support * np.exp(-tilt * (support + 1))))

    # Where the losses alone outweigh all gains at tilt 0, which larger tilts only make smaller.
    end = math.log(float(law @ np.maximum(support, 0)) / float(law[support == -1].sum()))
    tilt = brentq(slope, 0.0, end, xtol=1e-15)
    least = float(law @ np.exp(-tilt * support))
    if least < 1 / 2:
        return -math.log(least)
    # For a small gap the mean of exp(-t D) is 1 up to rounding.
    return -math.log1p(float(law @ np.expm1(-tilt * support)))


def same_trials_failure(
    samples: int,
    better: float,
    worse: float,
    actions: int,
    mean: float,
    miss: float,
    differ: float = 1.0,
    reward_bound: float = 1.0,
) -> float:
    r"""Bound the probability of preferring the worse candidate when b is the trials' own mean.

    Statement (T4s, baseline from the same trials):  the sum of D is linear in b, so it is positive
    for the mean return b of the same n trials if it is for both ends of an interval that holds b:
    :math:`P \le \eta + e^{-n e(b_0)} + e^{-n e(b_1)}` with
    :math:`b_{0,1} = E G \mp R \sqrt{\ln(2 / \eta) / (2 n)}`, cut to [0, R], which b misses with
    probability at most eta (Hoeffding).

    Args:
        samples: n >= 1.
        better: q* as in :func:`outcome_exponent`.
        worse: q, the same of the other candidate.
        actions: |A| >= 1.
        mean: E G of a trial, in [0, R].
        miss: eta in (0, 1).
        differ: nu as in :func:`outcome_exponent`.
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4s of docs/theory.md.
    """
    check_count("samples", samples)
    check_positive("miss", miss)
    check_probability("miss", miss)
    check_positive("reward_bound", reward_bound)
    check_in_range("mean", mean, 0, reward_bound)
    width = reward_bound * math.sqrt(math.log(2 / miss) / (2 * samples))
    ends = (max(0.0, mean - width), min(reward_bound, mean + width))
    rest = (actions, differ)
    exponents = [outcome_exponent(better, worse, *rest, end, reward_bound) for end in ends]
    return min(1.0, miss + sum(math.exp(-samples * e) for e in exponents))


def union_samples(exponents: ArrayLike, delta: float, weights: ArrayLike = 1.0) -> int:
    r"""Return the fewest samples at which a weighted union of error exponents is small enough.

    Statement (T4s, T4w):  the least n with :math:`\sum_i w_i e^{-n e_i} \le \delta`; w_i = 1 is the
    union over the candidates that would be wrong.

    Args:
        exponents: shape (k,), positive.
        delta: in (0, 1/2].
        weights: shape (k,) or one for all, not negative.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4s and T4w of docs/theory.md.
    """
    check_delta(delta)
    rates = np.atleast_1d(np.asarray(exponents, np.float64))
    shares = np.broadcast_to(np.asarray(weights, np.float64), rates.shape)
    if not (rates > 0).all():
        raise InvalidInput("exponents", exponents, "some not positive", "leave equal ones out")
    if not (shares >= 0).all():
        raise InvalidInput("weights", weights, "some negative", "give probabilities")
    return least_count(lambda n: float(shares @ np.exp(-n * rates)) <= delta)


def least_count(enough: Callable[[int], bool]) -> int:
    """Return the least n >= 1 that is enough, for a property that larger n keep.

    Raises:
        InvalidInput: if no number that can be counted to is.
    """
    high = 1
    while not enough(high):
        high *= 2
        if high > _LARGEST_COUNT:
            raise InvalidInput("samples", high, "still too few", "ask for less")
    low = high // 2 + 1 if high > 1 else 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def samples_lower_bound(exponent: float, delta: float) -> float:
    r"""Return the samples that any chooser needs where two worlds exchange two actions.

    Statement (T4s, optimality):  in two worlds that exchange the means R/2 +- g/2 of two actions
    with outcomes 0 and R, trials with uniform actions have the affinity
    :math:`c = e^{-e}`, e the :func:`error_exponent` of the gap with b = R/2. Whatever picks the
    better action in both worlds with error probability <= delta draws
    :math:`n \ge \ln(1 / (4 \delta (1 - \delta))) / (2 e)`.

    Args:
        exponent: e > 0.
        delta: in (0, 1/2]; at 1/2 the statement is empty and 0 is returned.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4s of docs/theory.md.
    """
    if not exponent > 0:
        raise InvalidInput("exponent", exponent, "not positive", "give that of a positive gap")
    check_delta(delta)
    return -math.log(4 * delta * (1 - delta)) / (2 * exponent)
