"""A world with its base policy, and the parameters of families: exact or clear of rounding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Shaped

from cpi_theory.checks import Exact
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.validation import Array

MARGIN = 1e-12
"""Relative margin by which float thresholds are kept clear of rounding."""


def same_kind(*parameters: Exact) -> tuple[Exact, ...]:
    """Return the parameters as fractions if one of them is a fraction, else as floats.

    A float among fractions would spoil exactness silently: their sum is a float.
    """
    exact = any(isinstance(one, Fraction) for one in parameters)
    return tuple(Fraction(one) if exact else float(one) for one in parameters)


def clear_of_rounding(threshold: Exact) -> Exact:
    """Return the threshold itself if exact, else slightly more."""
    return threshold if isinstance(threshold, Fraction) else threshold * (1 + MARGIN)


def zeros(shape: int | tuple[int, ...], like: Exact) -> Array:
    """Return zeros that may hold numbers like `like`: fractions or floats."""
    exact = isinstance(like, Fraction)
    return np.full(shape, Fraction(0) if exact else 0.0, dtype=object if exact else np.float64)


def scalar(number: Any) -> Exact:
    """Return a fraction as it is, any other number as a Python float."""
    return number if isinstance(number, Fraction) else float(number)


@dataclass(frozen=True, eq=False)
class Problem:
    """An MDP with the policy to improve: what a warm-started model is to its task.

    Attributes:
        mdp: the world.
        policy: the base policy, shape (H, S, A).
    """

    mdp: FiniteHorizonMDP
    policy: Shaped[np.ndarray, "H S A"]


@dataclass(frozen=True, eq=False)
class DiscountedProblem:
    """A :class:`Problem` whose MDP is discounted.

    Attributes:
        mdp: the world.
        policy: the base policy, shape (S, A).
    """

    mdp: DiscountedMDP
    policy: Shaped[np.ndarray, "S A"]
