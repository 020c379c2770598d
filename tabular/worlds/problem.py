"""A world with its base policy, and the parameters of families: exact or clear of rounding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from cpi_theory.checks import Exact
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.validation import Array

MARGIN = 1e-12
"""Relative margin by which float thresholds are kept clear of rounding."""


def same_kind(*dials: Exact) -> tuple[Exact, ...]:
    """The dials as fractions if one of them is a fraction, else as floats.

    A float among fractions would spoil exactness silently: their sum is a float.
    """
    exact = any(isinstance(dial, Fraction) for dial in dials)
    return tuple(Fraction(dial) if exact else float(dial) for dial in dials)


def clear_of_rounding(level: Exact) -> Exact:
    """Return the threshold itself if exact, else slightly more."""
    return level if isinstance(level, Fraction) else level * (1 + MARGIN)


def zeros(shape: int | tuple[int, ...], like: Exact) -> Array:
    """Zeros that may hold numbers like `like`: fractions or floats."""
    exact = isinstance(like, Fraction)
    return np.full(shape, Fraction(0) if exact else 0.0, dtype=object if exact else np.float64)


def scalar(number: Any) -> Exact:
    """A fraction as it is, any other number as a Python float."""
    return number if isinstance(number, Fraction) else float(number)


@dataclass(frozen=True, eq=False)
class Problem:
    """An MDP with the policy to improve: what a warm-started model is to its task.

    Attributes:
        mdp: the world.
        policy: the base policy, shape (H, S, A).
    """

    mdp: FiniteHorizonMDP
    policy: Array


@dataclass(frozen=True, eq=False)
class DiscountedProblem:
    """The discounted twin of :class:`Problem`.

    Attributes:
        mdp: the world.
        policy: the base policy, shape (S, A).
    """

    mdp: DiscountedMDP
    policy: Array
