"""Softmax policies over observations and their policy gradient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput, check_positive
from cpi_theory.seam import Group, Rollout
from tabular.learning.optimizers import Logits
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.policies import as_policy
from tabular.mdp.validation import check_finite, check_shape
from tabular.sampling.rollouts import FlatSteps


@dataclass(frozen=True, eq=False)
class SoftmaxPolicy:
    """pi(a | o) proportional to exp(logits[o, a]), o the observation at (h, s).

    States with one observation share their logits, as the positions of a text share a model.

    Attributes:
        mdp: the MDP whose observations it conditions on.
        logits: shape (O, A).

    Raises:
        InvalidInput: if the shape does not fit or a logit is not finite.
    """

    mdp: FiniteHorizonMDP
    logits: Logits

    def __post_init__(self) -> None:
        logits = np.array(self.logits, dtype=np.float64)
        check_shape("logits", logits.shape, [(self.mdp.observation_count, self.mdp.actions)])
        check_finite("logits", logits, ("o", "a"))
        logits.setflags(write=False)
        object.__setattr__(self, "logits", logits)

    @classmethod
    def uniform(cls, mdp: FiniteHorizonMDP) -> SoftmaxPolicy:
        """Return the policy that draws every action alike."""
        return cls(mdp, np.zeros((mdp.observation_count, mdp.actions)))

    @classmethod
    def from_policy(
        cls, mdp: FiniteHorizonMDP, policy: ArrayLike, floor: float = 1e-12
    ) -> SoftmaxPolicy:
        """Return the softmax policy with the probabilities of `policy`.

        Args:
            mdp: the MDP.
            policy: shape (H, S, A) or (S, A); alike wherever the observation is.
            floor: probability that stands for 0, in (0, 1).

        Raises:
            InvalidInput: if two states of one observation have different probabilities.
        """
        check_positive("floor", floor)
        table = np.asarray(as_policy(mdp, policy), np.float64).reshape(-1, mdp.actions)
        observed = mdp.observations.reshape(-1)
        # Observations that no state has keep the uniform row.
        shared = np.ones((mdp.observation_count, mdp.actions)) / mdp.actions
        shared[observed] = table
        # Alike up to rounding; of states that share an observation the last one written counts.
        apart = np.abs(shared[observed] - table).max(axis=1) > 1e-9
        if apart.any():
            h, s = divmod(int(np.argmax(apart)), mdp.states)
            raise InvalidInput(
                f"policy[h={h}, s={s}]",
                table[h * mdp.states + s].tolist(),
                f"differs from another state with observation {mdp.observations[h, s]}",
                "give states of one observation the same probabilities",
            )
        # ln 0 is no logit.
        return cls(mdp, np.log(np.maximum(shared, floor)))

    @cached_property
    def by_observation(self) -> Float[np.ndarray, "O A"]:
        """pi(a | o), shape (O, A)."""
        # Less their largest: exp of large logits would overflow.
        weights = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def probabilities(self) -> Float[np.ndarray, "H S A"]:
        """Return pi_h(a | s), shape (H, S, A)."""
        return np.asarray(self.by_observation[self.mdp.observations])

    def with_logits(self, logits: Logits) -> SoftmaxPolicy:
        """Return the same policy class at other logits."""
        return replace(self, logits=logits)

    def surrogate(self, groups: Iterable[Group]) -> float:
        """Sum advantage * log pi(action | observation) over every step of every group.

        Args:
            groups: e.g. a `Collection`. A suffix group holds its suffixes alone, so the kept
                prefix has no part in it.
        """
        observed, actions, advantages = self._steps(groups)
        # Nothing is above 0 then, so the exponentials below cannot overflow.
        shifted = self.logits - self.logits.max(axis=1, keepdims=True)
        log_pi = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float((advantages * log_pi[observed, actions]).sum())

    def gradient(self, groups: Iterable[Group]) -> Logits:
        """Return the gradient of `surrogate` with respect to the logits, shape (O, A).

        With advantages that are returns less a baseline independent of them, its expectation is
        the gradient of the expected return times the number of rollouts.

        Source: R. J. Williams, Machine Learning 8 (1992), https://doi.org/10.1007/BF00992696.
        """
        observed, actions, advantages = self._steps(groups)
        count, width = self.logits.shape
        # d log pi(a | o) / d logits[o] = onehot(a) - pi(. | o), weighted with advantages and
        # summed.
        pushed = np.bincount(observed * width + actions, advantages, count * width)
        total = np.bincount(observed, advantages, count)
        return np.asarray(pushed.reshape(count, width) - total[:, None] * self.by_observation)

    def _steps(
        self, groups: Iterable[Group]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Observation, action and advantage of every step that has one; shapes (m,)."""
        rollouts: list[Rollout] = []
        # `np.concatenate` wants one array at least.
        advantages: list[NDArray[np.float64]] = [np.empty(0)]
        for group in groups:
            if group.informative:
                rollouts.extend(group.rollouts)
                advantages.extend(sample.advantages for sample in group.samples)
        flat = FlatSteps.of(rollouts)
        observed = self.mdp.observations[flat.layers, flat.states]
        return observed, flat.actions, np.concatenate(advantages)
