"""Softmax policies over observations and their policy gradient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput, check_positive
from cpi_theory.seam import Group, Sample
from tabular.evaluation.evaluate import evaluate
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

    @cached_property
    def log_probabilities(self) -> Float[np.ndarray, "O A"]:
        """log pi(a | o), shape (O, A)."""
        # Nothing is above 0 then, so the exponentials below cannot overflow.
        shifted = self.logits - self.logits.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    def surrogate(self, groups: Iterable[Group], start: SoftmaxPolicy | None = None) -> float:
        r"""Sum advantage * log pi(action | observation) over every step of every group.

        A sample with `shaping` gamma contributes :math:`A p / (p + gamma)` in place of
        :math:`A \log p`, one with `kl` less :math:`kl \, KL(\pi \| \pi_{start})` at each step,
        and one with a `context` its steps after that state.

        Args:
            groups: e.g. a `Collection`. A suffix group holds its suffixes alone, so the kept
                prefix has no part in it.
            start: the policy that learning began with, where a sample has `kl`.

        Raises:
            InvalidInput: if a sample has `kl` and there is no `start`, or a context that is no
                copy of where it was sampled.
        """
        steps = self._steps(groups)
        log_pi = self.log_probabilities[steps.observed, steps.actions]
        shaped = np.exp(log_pi) / (np.exp(log_pi) + np.where(steps.shaping > 0, steps.shaping, 1.0))
        total = (steps.advantages * np.where(steps.shaping > 0, shaped, log_pi)).sum()
        if steps.kl.any():
            total -= (steps.kl * self._divergences(start)[steps.observed]).sum()
        return float(total)

    def gradient(self, groups: Iterable[Group], start: SoftmaxPolicy | None = None) -> Logits:
        """Return the gradient of `surrogate` with respect to the logits, shape (O, A).

        With advantages that are returns less a baseline independent of them, its expectation is
        the gradient of the expected return times the number of rollouts. Arguments and errors are
        those of `surrogate`.

        Source: R. J. Williams, Machine Learning 8 (1992), https://doi.org/10.1007/BF00992696.
        """
        steps = self._steps(groups)
        observed, weights = steps.observed, steps.advantages
        count, width = self.logits.shape
        if steps.shaping.any():
            # d p / (p + g) = g p / (p + g)^2 d log p.
            p = self.by_observation[observed, steps.actions]
            slope = steps.shaping * p / (p + steps.shaping) ** 2
            weights = weights * np.where(steps.shaping > 0, slope, 1.0)
        # d log pi(a | o) / d logits[o] = onehot(a) - pi(. | o), weighted with advantages and
        # summed.
        pushed = np.bincount(observed * width + steps.actions, weights, count * width)
        total = np.bincount(observed, weights, count)
        found = pushed.reshape(count, width) - total[:, None] * self.by_observation
        if steps.kl.any():
            # d KL / d logits[o] = pi (log pi - log pi_start - KL).
            gap = self._log_ratio(start) - self._divergences(start)[:, None]
            held = np.bincount(observed, steps.kl, count)
            found = found - held[:, None] * self.by_observation * gap
        return np.asarray(found)

    def gradient_of_return(self) -> Logits:
        r"""Exact gradient of J with respect to the logits, shape (O, A), in reward units.

        Formula:  sum over (h, s) with observation o of  d_h(s) pi(a | o) A_h(s, a), d_h the law of
        the state at step h.

        Source: Sutton et al. (1999), policy gradient theorem.
        """
        known = evaluate(self.mdp, self.probabilities())
        each = known.visits[:, :, None] * self.probabilities() * known.advantages
        total = np.zeros(self.logits.shape)
        np.add.at(total, self.mdp.observations, each.astype(np.float64))
        return total

    def _log_ratio(self, start: SoftmaxPolicy | None) -> NDArray[np.float64]:
        if start is None:
            remedy = "give the policy that learning began with"
            raise InvalidInput("start", None, "needed, as a sample is held near it", remedy)
        return np.asarray(self.log_probabilities - start.log_probabilities)

    def _divergences(self, start: SoftmaxPolicy | None) -> NDArray[np.float64]:
        """KL(pi || pi_start) at each observation, shape (O,)."""
        return np.asarray((self.by_observation * self._log_ratio(start)).sum(axis=1))

    def _steps(self, groups: Iterable[Group]) -> _Steps:
        samples = [s for group in groups if group.informative for s in group.samples]
        flat = FlatSteps.of([sample.rollout for sample in samples])
        lengths = [len(sample.rollout) for sample in samples]
        moved = np.repeat(np.array([self._moved(s) for s in samples], np.int64), lengths)
        return _Steps(
            self.mdp.observations[flat.layers, flat.states + moved],
            flat.actions,
            # `np.concatenate` wants one array at least.
            np.concatenate([np.empty(0), *[sample.advantages for sample in samples]]),
            np.repeat(np.array([sample.shaping for sample in samples], np.float64), lengths),
            np.repeat(np.array([sample.kl for sample in samples], np.float64), lengths),
        )

    def _moved(self, sample: Sample) -> int:
        """By how much states are moved for a sample to follow its context."""
        if sample.context is None or not len(sample.rollout):
            return 0
        first: Any = sample.rollout.states[0]
        layer, state = first
        size = self.mdp.states // getattr(self.mdp, "copies", 1)
        context: Any = sample.context
        if context[0] != layer or (context[1] - state) % size:
            problem = f"no copy of {(layer, state)}, where the sample starts"
            raise InvalidInput("context", context, problem, "learn it where it was sampled")
        return int(context[1] - state)


@dataclass(frozen=True, eq=False)
class _Steps:
    """Every step of informative groups, shape (m,) each: where it is learned, and how."""

    observed: NDArray[np.int64]
    actions: NDArray[np.int64]
    advantages: NDArray[np.float64]
    shaping: NDArray[np.float64]
    kl: NDArray[np.float64]
