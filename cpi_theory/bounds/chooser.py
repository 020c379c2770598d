r"""How many samples the policy chooser needs, theorems T4 and T4s.

A *chooser* draws (s, h) from the reset distribution nu_w, an action uniformly, and rolls out pi
from there; it then picks the candidate with the largest importance-weighted mean of G - b, b a
baseline. What it chooses from is a :class:`~cpi_theory.bounds.classes.PolicyClass`.
"""

from __future__ import annotations

import math

from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.pairs import error_exponent
from cpi_theory.checks import Exact, InvalidInput, check_count, check_positive

# A share of the reward bound below which the number of samples, the inverse of its square, is no
# float any more.
_SMALLEST_SHARE = 1e-150


def uniform_accuracy(samples: int, policies: PolicyClass) -> float:
    r"""Return how far the chooser's estimate of any candidate is from the truth, without baseline.

    Statement (T4):  with l = ln(2 |Pi| / delta), with probability >= 1 - delta every candidate's
    mean of X = |A| pi'(a|s) G over n draws is within
    :math:`e(n) = \sqrt{2 |A| R^2 l / n} + |A| R l / (3 n)` of its expectation.
    Assumptions:  A1 draws are independent; A2 candidates were fixed before drawing; A3 G in [0, R].

    Args:
        samples: n >= 1.
        policies: the class Pi, with |A|, delta and R.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4 of docs/theory.md: the inequality of Bernstein and Bennett as in Maurer and Pontil,
        https://arxiv.org/abs/0907.3740, theorem 3, and a union over candidates.
    """
    check_count("samples", samples)
    slow, fast = bernstein_terms(policies)
    return slow / math.sqrt(samples) + fast / samples


def bernstein_terms(policies: PolicyClass) -> tuple[float, float]:
    """Return (a, b) of e(n) = a / sqrt(n) + b / n."""
    # ln(2 |Pi| / delta) as a sum: |Pi| = |A|^O itself is too large for a float.
    log_terms = math.log(2 / policies.delta) + policies.log_size
    bound = float(policies.reward_bound)
    return bound * math.sqrt(2 * policies.actions * log_terms), (
        policies.actions * bound * log_terms / 3
    )


def chooser_error(samples: int, policies: PolicyClass) -> float:
    r"""Return how much reset advantage the chosen candidate may lack beside the best of its class.

    Statement (T4s):  with b = R/2, :math:`\bar A_w(chosen) > \max_\Pi \bar A_w - \epsilon` with
    probability >= 1 - delta, where eps is the gap whose :func:`error_exponent`, times n, is
    l = ln((|Pi| - 1) / delta). It is at most sqrt(|A| R^2 l / n), and R, which no gap exceeds,
    where n is too small to say anything.
    Assumptions:  A1 draws are independent; A2 candidates were fixed before drawing; A3 G in [0, R];
    A4 the baseline is R/2.

    Args:
        samples: n >= 1.
        policies: the class Pi, with |A|, delta and R.

    Returns: in the unit of the reward bound; 0 if the class has one candidate.
    Raises: InvalidInput naming the argument outside its range.
    Source: T4s of docs/theory.md; the chooser of Kakade and Langford (ICML 2002), drawing at the
        resets of arXiv 2605.25507.
    """
    check_count("samples", samples)
    log_terms = _log_terms(policies)
    if log_terms <= 0:
        return 0.0
    # 1 - sqrt(1 - (eps / R)^2), from l = -n ln(1 - 2 / |A| times it).
    lost = -math.expm1(-log_terms / samples) * policies.actions / 2
    return float(policies.reward_bound) * (math.sqrt(lost * (2 - lost)) if lost < 1 else 1.0)


def samples_for(accuracy: Exact, policies: PolicyClass) -> int:
    r"""Return the fewest samples with which the chooser's error is at most `accuracy`.

    Statement (T4s):  :math:`n = l / e(\epsilon)` with l = ln((|Pi| - 1) / delta) and e the
    :func:`error_exponent` of a gap eps for b = R/2, which is at most
    :math:`|A| R^2 l / \epsilon^2`. The inverse of :func:`chooser_error`.

    Args:
        accuracy: eps > 0, in the unit of the reward bound.
        policies: the class Pi, with |A|, delta and R.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4s of docs/theory.md, solved for n; assumptions as in :func:`chooser_error`.
    """
    check_positive("accuracy", accuracy)
    share = float(accuracy / policies.reward_bound)
    if share < _SMALLEST_SHARE:
        raise InvalidInput("accuracy", accuracy, "needs too many samples to count", "raise it")
    log_terms = _log_terms(policies)
    if log_terms <= 0 or share > 1:  # no candidate is worse by more than R
        return 1
    needed = log_terms / error_exponent(share, policies.actions, 0.5)
    # Rounding may lift the quotient over the integer that it is.
    return max(1, math.ceil(needed * (1 - _ROUNDING)))


# Relative rounding of a number of samples that was computed in floats.
_ROUNDING = 1e-12


def leading_samples(accuracy: Exact, policies: PolicyClass) -> float:
    """Return |A| R^2 l / accuracy^2, the samples of T4s to leading order and an upper bound."""
    share = float(accuracy / policies.reward_bound)
    return policies.actions * max(0.0, _log_terms(policies)) / share**2


def _log_terms(policies: PolicyClass) -> float:
    """ln((|Pi| - 1) / delta)."""
    return policies.log_rivals - math.log(policies.delta)
