"""What evaluating a policy gives: its value, tables of values and advantages, and visits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Shaped

from cpi_theory.checks import Exact


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What a policy is worth and where it goes; exact fractions on an exact MDP.

    Of a batch of K policies every array has a leading axis K. For a discounted MDP there is no
    axis H, and `visits` is the discounted occupancy (1 - gamma) sum_t gamma^t P(s_t = s).

    Attributes:
        value: J, the expected return from the start distribution, in reward units; () or (K,).
        values: V_h(s), shape (H, S).
        q_values: Q_h(s, a), shape (H, S, A).
        advantages: A_h(s, a) = Q_h(s, a) - V_h(s), shape (H, S, A).
        visits: P(s_h = s), shape (H, S); every layer sums to one.
        policy: the policy that was evaluated, shape (H, S, A).
        discount: gamma, or None with a finite horizon.
        error_bound: proven bound of the largest error of `values`, rounding included, for a
            discounted MDP; 0 for an exact one and over a finite horizon, where sums only round.
        visits_error_bound: the same of `visits`, in the sum norm: sum_s |error(s)|, which bounds
            the error of the probability of any set of states. The value of a function f of the
            state, averaged over `visits`, is off by at most this times max |f|.
    """

    value: Any
    values: Shaped[np.ndarray, "*layers S"]
    q_values: Shaped[np.ndarray, "*layers S A"]
    advantages: Shaped[np.ndarray, "*layers S A"]
    visits: Shaped[np.ndarray, "*layers S"]
    policy: Shaped[np.ndarray, "*layers S A"]
    discount: Exact | None = None
    error_bound: float = 0.0
    visits_error_bound: float = 0.0

    def __post_init__(self) -> None:
        # Cached properties are made of these: a later write would make them wrong.
        for table in (self.values, self.q_values, self.advantages, self.visits):
            table.setflags(write=False)

    def __repr__(self) -> str:
        sizes = "x".join(map(str, self.policy.shape))
        return f"Evaluation(value={self.value}, policy of shape {sizes})"

    @property
    def horizon(self) -> int | None:
        """Number of layers H; None in a discounted MDP."""
        return None if self.discount is not None else int(self.values.shape[-2])

    @cached_property
    def occupancy(self) -> Shaped[np.ndarray, "*layers S"]:
        """d(s, h), shape as `visits`: a distribution over (s, h), or over s when discounted."""
        if self.horizon is None:
            return self.visits
        exact = self.visits.dtype.hasobject
        return self.visits * (Fraction(1, self.horizon) if exact else 1 / self.horizon)

    @cached_property
    def best_advantages(self) -> Shaped[np.ndarray, "*layers S"]:
        """max_a A_h(s, a), shape (H, S); never negative."""
        return np.asarray(self.advantages.max(axis=-1))
