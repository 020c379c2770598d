"""Optimisers of logits as values: plain gradient ascent and Adam."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Float

from cpi_theory.checks import check_in_range, check_positive

Logits = Float[np.ndarray, "O A"]
"""Logits of a softmax policy, or their gradient: a row per observation."""


class Optimizer(Protocol):
    """Turns gradients into steps uphill; a value, so that it can be a setting of a run."""

    def start(self, logits: Logits) -> OptimizerState:
        """Return the state before the first step."""
        ...

    def ascend(self, state: OptimizerState, gradient: Logits) -> OptimizerState:
        """Return the state after one step along `gradient`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class OptimizerState:
    """Where an optimiser is.

    Attributes:
        logits: shape (O, A).
        steps: how many it has taken.
        mean, square: running moments of the gradient, shape (O, A); zeros for `Sgd`.
    """

    logits: Logits
    steps: int
    mean: Logits
    square: Logits


def _at(logits: Logits) -> OptimizerState:
    logits = np.array(logits, dtype=np.float64)
    return OptimizerState(logits, 0, np.zeros_like(logits), np.zeros_like(logits))


@dataclass(frozen=True, slots=True)
class Sgd:
    """logits + rate * gradient.

    Attributes:
        rate: > 0, in logits per unit of gradient.
    """

    rate: float

    def __post_init__(self) -> None:
        check_positive("rate", self.rate)

    def start(self, logits: Logits) -> OptimizerState:
        """Return the state before the first step."""
        return _at(logits)

    def ascend(self, state: OptimizerState, gradient: Logits) -> OptimizerState:
        """Return the state after one step along `gradient`."""
        return replace(state, logits=state.logits + self.rate * gradient, steps=state.steps + 1)


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam uphill; invariant to the scale of the gradient.

    Attributes:
        rate: > 0, about the largest change of a logit in one step.
        beta1, beta2: decay of the running moments, in [0, 1).
        epsilon: > 0, keeps the division finite.

    Source: Kingma and Ba, arXiv 1412.6980.
    """

    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        check_positive("rate", self.rate)
        check_positive("epsilon", self.epsilon)
        for name in ("beta1", "beta2"):
            check_in_range(name, getattr(self, name), 0, 1 - 1e-12)

    def start(self, logits: Logits) -> OptimizerState:
        """Return the state before the first step."""
        return _at(logits)

    def ascend(self, state: OptimizerState, gradient: Logits) -> OptimizerState:
        """Return the state after one step along `gradient`."""
        steps = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * gradient
        square = self.beta2 * state.square + (1 - self.beta2) * gradient**2
        # Moments begin at zero; the divisions take that bias out.
        root = np.sqrt(square / (1 - self.beta2**steps)) + self.epsilon
        change = self.rate * mean / (1 - self.beta1**steps) / root
        return OptimizerState(state.logits + change, steps, mean, square)
