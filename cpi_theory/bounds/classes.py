"""The class of candidates that a chooser chooses from: how large or of which structure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class PolicyClass:
    """A class of candidates, the actions that trials try, and how surely one is to choose well.

    Say its size in exactly one of three ways: `policies`, `log_policies` or `observations`.

    Attributes:
        actions: |A| >= 1, tried uniformly.
        delta: probability with which a statement may fail, in (0, 1/2].
        policies: |Pi| >= 1, any size of integer.
        log_policies: ln |Pi| >= 0, for classes too large to write down.
        observations: m >= 1: all maps from observations to actions, m of which hold improvable
            states; what is done in the others does not matter. T4w knows more of such a class than
            its size.
        purity: with `observations`, the least share of improvable states among the states that an
            observation stands for, in (0, 1]; 1 where every state is an observation of its own.
        wide_gaps: with `observations` of purity 1 and of equal masses, whether every wrong action
            at an improvable state is worse than the right one by tau or more; it always is with
            two actions.
        reward_bound: R_max > 0; rewards-to-go lie in [0, R_max].

    Raises:
        InvalidInput: naming the field that no class can have.
    """

    actions: int
    delta: float
    policies: int | None = None
    log_policies: float | None = None
    observations: int | None = None
    purity: Exact = 1.0
    wide_gaps: bool = False
    reward_bound: Exact = 1.0

    def __post_init__(self) -> None:
        check_count("actions", self.actions)
        check_delta(self.delta)
        sizes = (self.policies, self.log_policies, self.observations)
        if sum(size is not None for size in sizes) != 1:
            raise InvalidInput(
                "policies",
                self.policies,
                f"log_policies is {self.log_policies}, observations is {self.observations}",
                "give exactly one of the three",
            )
        if self.policies is not None:
            check_count("policies", self.policies)
        if self.log_policies is not None:
            check_in_range("log_policies", self.log_policies, 0, math.inf)
        if self.observations is not None:
            check_count("observations", self.observations)
        check_positive("purity", self.purity)
        check_probability("purity", self.purity)
        if self.observations is None and self.purity != 1:
            raise InvalidInput("purity", self.purity, "without observations", "leave it at 1")
        if self.wide_gaps and (self.observations is None or self.purity != 1):
            raise InvalidInput(
                "wide_gaps", True, "needs observations of purity 1", "leave it at False"
            )
        check_positive("reward_bound", self.reward_bound)

    @property
    def log_size(self) -> float:
        """Return ln |Pi|."""
        if self.policies is not None:
            return math.log(self.policies)
        if self.log_policies is not None:
            return float(self.log_policies)
        assert self.observations is not None
        return self.observations * math.log(self.actions)

    @property
    def log_rivals(self) -> float:
        """Return ln(|Pi| - 1), minus infinity if there is no choice."""
        size = self.log_size
        return size + math.log(-math.expm1(-size)) if size > 0 else -math.inf


def check_delta(delta: float) -> None:
    """Refuse a probability of failure outside (0, 1/2]."""
    if not 0 < delta <= _LARGEST_DELTA:
        raise InvalidInput(
            "delta",
            delta,
            "not a probability of failure in (0, 1/2]",
            "give delta, e.g. 0.05 for statements that hold with probability 0.95",
        )
