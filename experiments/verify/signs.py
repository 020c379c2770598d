"""Laws of counts of signs: how often a chooser errs whose trials speak for or against."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf, log

import numpy as np
from scipy.stats import binom

BOUND = 2.0
"""R of the checks: not 1, so that a bound that forgets the unit of the reward is noticed."""

# Rounding of an exponent that is found by a search.
TINY = 1e-12


def sign_error(samples: int, plus: float, minus: float) -> float:
    """P(more of n trials speak for the wrong side) + P(as many do) / 2.

    Args:
        samples: n.
        plus: with what probability one trial speaks for the right side.
        minus: with what probability one speaks for the wrong side.
    """
    found, tie = sign_tails(samples, plus, minus)
    return found + tie / 2


def surprise(probability: float) -> float:
    """-ln of a probability: the smaller it claims a failure to be, the more a bound says."""
    return -log(probability) if probability > 0 else inf


@cache
def sign_tails(samples: int, plus: float, minus: float) -> tuple[float, float]:
    """P(fewer for than against) and P(as many for as against)."""
    k = np.arange(samples + 1)
    chance = binom.pmf(k, samples, plus)
    rest = min(1.0, minus / (1 - plus)) if plus < 1 else 0.0
    against = binom.sf(k, samples - k, rest)
    return float(chance @ against), float(chance @ binom.pmf(k, samples - k, rest))


@cache
def trials_needed(plus: float, minus: float, delta: float) -> int:
    """Fewest trials at which :func:`sign_error` is at most delta; it falls with every trial."""
    return fewest(lambda samples: sign_error(samples, plus, minus) <= delta)


def fewest(enough: Callable[[int], bool]) -> int:
    """The least n >= 1 that is enough, for a property that larger n keep."""
    high = 1
    while not enough(high):
        high *= 2
    low = high // 2 + 1 if high > 1 else 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
