r"""How many samples the policy chooser needs, theorems T4 and T7.

A *chooser* draws (s, h) from the reset distribution nu_w, an action uniformly, and rolls out pi
from there; it then picks the candidate with the largest importance-weighted mean return. `actions`
is |A|, `policies` the number of candidates, and `delta` the probability with which a statement
may fail (0.05, not 0.95). Rewards-to-go lie in [0, reward_bound].
"""

from __future__ import annotations

import math

from cpi_theory.checks import (
    Exact,
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)

# Nobody wants a statement that fails more often than it holds: a larger delta is a coverage level
# such as 0.95 that was given by mistake.
_LARGEST_DELTA = 0.5

# 1 / root^2 samples must stay below the largest float, 1.8e308.
_SMALLEST_ROOT = 1e-150


def uniform_accuracy(
    samples: int,
    actions: int,
    policies: int | None,
    delta: float,
    reward_bound: float = 1.0,
    *,
    log_policies: float | None = None,
) -> float:
    r"""Return how far the chooser's estimate of any candidate is from the truth.

    Statement (T4):  with l = ln(2 |Pi| / delta), with probability >= 1 - delta every candidate's
    mean of X = |A| pi'(a|s) G over n draws is within
    :math:`e(n) = \sqrt{2 |A| R^2 l / n} + |A| R l / (3 n)` of its expectation.
    Assumptions:  A1 draws are independent; A2 candidates were fixed before drawing; A3 G in [0, R].

    Args:
        samples: n >= 1.
        actions: |A| >= 1.
        policies: |Pi| >= 1, any size of integer; None when `log_policies` is given.
        delta: probability with which the statement may fail, in (0, 1/2].
        reward_bound: R; `e` has its unit.
        log_policies: ln |Pi|, for classes too large to write down.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4 of docs/theory.md: the inequality of Bernstein and Bennett as in Maurer and Pontil,
        https://arxiv.org/abs/0907.3740, theorem 3, and a union over candidates.
    """
    check_count("samples", samples)
    slow, fast = bernstein_terms(
        actions, class_log_size(policies, log_policies), delta, reward_bound
    )
    return slow / math.sqrt(samples) + fast / samples


def chooser_error(
    samples: int,
    actions: int,
    policies: int | None,
    delta: float,
    reward_bound: float = 1.0,
    *,
    log_policies: float | None = None,
) -> float:
    r"""Return how much reset advantage the chosen candidate may lack beside the best of its class.

    Statement (T4):  :math:`\bar A_w(chosen) \ge \max_\Pi \bar A_w - 2 e(n)` with probability
    >= 1 - delta; this function is 2 e(n). Arguments, unit and refusals as in
    :func:`uniform_accuracy`.

    Source: T4 of docs/theory.md; the chooser of Kakade and Langford (ICML 2002), drawing at the
        resets of arXiv 2605.25507.
    """
    return 2 * uniform_accuracy(
        samples, actions, policies, delta, reward_bound, log_policies=log_policies
    )


def samples_for(
    accuracy: float,
    actions: int,
    policies: int | None,
    delta: float,
    reward_bound: float = 1.0,
    *,
    log_policies: float | None = None,
) -> int:
    r"""Return the fewest samples with which the chooser's error is at most `accuracy`.

    Statement (T4):  :math:`n = 1 / u^2` with :math:`u = (\sqrt{a^2 + 2 b \epsilon} - a) / (2 b)`,
    a = sqrt(2 |A| R^2 l), b = |A| R l / 3; it grows like 8 |A| R^2 l / eps^2. The inverse of
    :func:`chooser_error` in both directions: ``samples_for(chooser_error(n)) == n``, and the error
    is above `accuracy` with one sample less.

    Args:
        accuracy: eps > 0, in the unit of `reward_bound`.
        actions: |A| >= 1.
        policies: |Pi| >= 1, any size of integer; None when `log_policies` is given.
        delta: probability with which the statement may fail, in (0, 1/2].
        reward_bound: R > 0.
        log_policies: ln |Pi|, for classes too large to write down.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4 of docs/theory.md, solved for n; see :func:`uniform_accuracy`.
    """
    check_positive("accuracy", accuracy)
    log_size = class_log_size(policies, log_policies)
    slow, fast = bernstein_terms(actions, log_size, delta, reward_bound)
    # The root of 2 (slow u + fast u^2) = eps, written without a difference of near equals.
    root = accuracy / (slow + math.sqrt(slow * slow + 2 * fast * accuracy))
    if root < _SMALLEST_ROOT:
        raise InvalidInput("accuracy", accuracy, "needs too many samples to count", "raise it")
    # The real solution lies between this count and the next; rounding may be off by a few, so both
    # loops walk to the first count that suffices.
    samples = max(1, math.floor(root**-2))
    grain = max(1, samples >> 50)  # beyond 2^50 floats no longer tell neighbours apart
    while 2 * (slow / math.sqrt(samples) + fast / samples) > accuracy:
        samples += grain
    while samples > grain:
        fewer = samples - grain
        if 2 * (slow / math.sqrt(fewer) + fast / fewer) > accuracy:
            break
        samples = fewer
    return samples


def aliased_lower_bound(
    coverage: Exact, tau: float, delta: float, reward_bound: float = 1.0
) -> float:
    r"""Return the samples that random resets need at least where states cannot be told apart.

    Statement (T7):  two worlds in which the better of two actions on I_tau differs, with outcomes
    R Bern(1/2 +- tau / R) there and R Bern(1/2) elsewhere, and one observation for all states:
    whatever picks the better action with error probability <= delta in both worlds draws
    :math:`n \ge \ln(1 / (4 \delta)) \; 3 R^2 / (32 p^2 \tau^2)` samples.
    Assumption:  p tau / R <= 1/4.

    Args:
        coverage: p in (0, 1].
        tau: in (0, reward_bound / 2], so that the outcomes have probabilities.
        delta: in (0, 1/2]; from 1/4 on the statement is empty and 0 is returned.
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range.
    Source: T7 of docs/theory.md: the inequality of Bretagnolle and Huber, Lattimore and Szepesvari,
        Bandit Algorithms (2020), theorem 14.2.
    """
    check_positive("reward_bound", reward_bound)
    check_positive("coverage", coverage)
    check_probability("coverage", coverage)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, reward_bound / 2)
    check_delta(delta)
    # x of T7; the relative entropy is at most (32/3) x^2 for x <= 1/4 alone.
    shift = coverage * tau / reward_bound
    if shift > 1 / 4:
        raise InvalidInput(
            "coverage * tau / reward_bound", shift, "above 1/4", "lower coverage or tau"
        )
    return max(0.0, 3 * math.log(1 / (4 * delta)) / (32 * shift * shift))


def bernstein_terms(
    actions: int, log_policies: float, delta: float, reward_bound: float
) -> tuple[float, float]:
    """Return (a, b) of e(n) = a / sqrt(n) + b / n."""
    check_count("actions", actions)
    check_positive("reward_bound", reward_bound)
    check_delta(delta)
    # ln(2 |Pi| / delta) as a sum: |Pi| = |A|^O itself is too large for a float.
    log_terms = math.log(2 / delta) + log_policies
    slow = reward_bound * math.sqrt(2 * actions * log_terms)
    return slow, actions * reward_bound * log_terms / 3


def class_log_size(policies: int | None, log_policies: float | None) -> float:
    """Return ln |Pi|, from exactly one of the two ways to say it."""
    if (policies is None) == (log_policies is None):
        raise InvalidInput(
            "policies", policies, f"log_policies is {log_policies}", "give exactly one of the two"
        )
    if policies is not None:
        check_count("policies", policies)
        return math.log(policies)
    check_in_range("log_policies", log_policies, 0, math.inf)  # type: ignore[arg-type]
    return float(log_policies)  # type: ignore[arg-type]


def check_delta(delta: float) -> None:
    """Refuse a probability of failure outside (0, 1/2]."""
    if not 0 < delta <= _LARGEST_DELTA:
        raise InvalidInput(
            "delta",
            delta,
            "not a probability of failure in (0, 1/2]",
            "give delta, e.g. 0.05 for statements that hold with probability 0.95",
        )
