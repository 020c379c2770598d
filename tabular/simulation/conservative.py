"""A finite MDP that conservative policy iteration can improve: trials, mixing, exact steps."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.trials import Candidate, Trials
from cpi_theory.bounds.finite_horizon import ResetStep
from cpi_theory.checks import Exact
from cpi_theory.randomness import Key
from cpi_theory.seam import ResetPolicy
from tabular.mdp.policies import deterministic_policy
from tabular.mdp.validation import check_shape
from tabular.resets.updates import mix, reset_step
from tabular.simulation.simulator import TabularSimulator
from tabular.simulation.trials import draw_trials


class ConservativeTabular(TabularSimulator):
    """A tabular simulator as a :class:`~cpi_theory.algorithms.trials.ConservativeWorld`."""

    @property
    def reward_bound(self) -> float:
        """R_max, in reward units."""
        return float(self.mdp.reward_bound)

    @property
    def action_count(self) -> int:
        """|A|."""
        return self.mdp.actions

    @property
    def observation_count(self) -> int:
        """O, the number of observations."""
        return self.mdp.observation_count

    def draw_trials(self, reset: ResetPolicy, count: int, key: Key) -> Trials:
        """Draw `count` trials at states of the reset distribution of `reset` (T4).

        Fewer, perhaps none, if `reset` selects hardly anything.
        """
        return draw_trials(self, reset, count, key)

    def mix(self, candidate: Candidate, reset: ResetPolicy, alpha: Exact) -> ConservativeTabular:
        """Return the world under pi_alpha = (1 - alpha w) pi + alpha w pi', w induced by `reset`.

        Args:
            candidate: action per observation, shape (O,).
            reset: any reset policy.
            alpha: step size in [0, 1].
        """
        # A float step would turn an exact policy into floats.
        step = Fraction(alpha) if self.mdp.exact else float(alpha)
        weight = self.reset_weight(reset)
        return self.with_policy(mix(self.policy, self._as_candidate(candidate), weight, step))

    def exact_step(
        self, reset: ResetPolicy, candidate: Candidate | None = None
    ) -> tuple[Candidate, ResetStep]:
        """Return the candidate with its exact `ResetStep`.

        Args:
            reset: any reset policy.
            candidate: action per observation, shape (O,); None takes the one of largest reset
                advantage, ties to the lowest action.
        """
        weight = self.reset_weight(reset)
        chosen = self._best_candidate(np.asarray(weight)) if candidate is None else candidate
        step = reset_step(self.evaluation, self._as_candidate(chosen), weight)
        return chosen, cast(ResetStep, step)

    def _as_candidate(self, candidate: Candidate) -> NDArray[Any]:
        table = np.asarray(candidate)
        check_shape("candidate", table.shape, [(self.observation_count,)])
        return deterministic_policy(self.mdp, table[self.mdp.observations])

    def _best_candidate(self, weight: NDArray[Any]) -> Candidate:
        """The action with the largest weighted advantage, summed over each observation's states."""
        gains = (self.evaluation.occupancy * weight)[..., None] * self.evaluation.advantages
        sums = np.zeros((self.observation_count, self.action_count), dtype=gains.dtype)
        # Not +=, which would count one of the states that share an observation.
        np.add.at(sums, self.mdp.observations, gains)
        return np.asarray(sums.argmax(axis=1), np.int64)
