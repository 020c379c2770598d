"""One-step trials at reset states, and the worlds that conservative iteration draws them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cpi_theory.bounds.finite_horizon import ResetStep
from cpi_theory.checks import Exact, InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import ResetPolicy, Simulator, State

Candidate = NDArray[np.int64]
"""A deterministic policy of the chooser's class: one action per observation, shape (O,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Independent one-step trials at reset states (the sample of T4s).

    Trial i draws (s, h) from the reset distribution nu_w, then an action uniformly, then follows
    the current policy pi to the end.

    Attributes:
        states: n reset states (a sequence, or an array with n rows).
        observations: shape (n,) int, what the candidate policies see of each state.
        actions: shape (n,) int, uniform on the actions.
        returns: shape (n,), reward from the trial's action to the end, in [0, R_max].
        probabilities: shape (n,), pi_h(a|s) of each trial's action.
        remaining: shape (n,), H - 1 - h.
        coverage_hits: how many of `coverage_draws` were selected (a sum of weights w(s, h)).
        coverage_draws: on-policy draws of (s, h) behind the trials: E[hits / draws] = p_w.
        rollouts: rollouts generated for all of it.
        generated_steps: actions sampled in those rollouts.
    """

    states: Sequence[State] | NDArray[np.int64]
    observations: NDArray[np.int64]
    actions: NDArray[np.int64]
    returns: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    remaining: NDArray[np.int64]
    coverage_hits: float
    coverage_draws: int
    rollouts: int
    generated_steps: int = 0

    def __post_init__(self) -> None:
        n = len(self.states)
        for name in ("observations", "actions", "returns", "probabilities", "remaining"):
            shape = np.shape(getattr(self, name))
            if shape != (n,):
                raise InvalidInput(name, shape, "wrong shape", f"give one entry per state: ({n},)")

    def __len__(self) -> int:
        return len(self.states)


@runtime_checkable
class ConservativeWorld(Simulator, Protocol):
    """A simulator that can also be mixed with a candidate: what conservative iteration needs.

    Laws, tested over every implementation:
      1. ``draw_trials`` returns `count` i.i.d. trials and depends on its arguments alone.
      2. ``mix`` leaves this world as it is and returns the one under
         pi_alpha = (1 - alpha w) pi + alpha w pi', w the weight that `reset` induces under pi.
      3. ``value`` of the mixture exceeds this one's by at least T1 of ``exact_step``.
    """

    @property
    def horizon(self) -> int:
        """H, the number of steps of a rollout."""
        ...

    @property
    def reward_bound(self) -> float:
        """R_max: every return-to-go lies in [0, R_max]."""
        ...

    @property
    def action_count(self) -> int:
        """|A|."""
        ...

    @property
    def observation_count(self) -> int:
        """Number of observations that a candidate tells apart."""
        ...

    def draw_trials(self, reset: ResetPolicy, count: int, key: Key) -> Trials:
        """Draw `count` trials at states of the reset distribution of `reset`.

        None at all where the policy visits no state that `reset` selects.
        """
        ...

    def mix(self, candidate: Candidate, reset: ResetPolicy, alpha: Exact) -> ConservativeWorld:
        """Return the world under the localised conservative update with step `alpha`."""
        ...

    def exact_step(
        self, reset: ResetPolicy, candidate: Candidate | None = None
    ) -> tuple[Candidate, ResetStep]:
        """Return the candidate, by default the best for Abar_w, with its exact `ResetStep`."""
        ...

    def value(self) -> float:
        """Return J of the current policy, exact: for records, never seen by the algorithm."""
        ...
