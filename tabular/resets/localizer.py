"""How a tabular world names the first error of its failed rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt64

from cpi_theory.checks import InvalidInput, check_positive, check_probability
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Localization, Reason, Rollout
from tabular.mdp.validation import Floats, Integers
from tabular.sampling import kernels
from tabular.sampling.rollouts import FlatSteps

# Draws of one key for different purposes: is the answer right, where does it err, is there one.
_RIGHT, _WHERE, _ANSWER = (Key.of(0).child("localizer", n).integers(1)[0] for n in range(3))


@dataclass(frozen=True, slots=True)
class Localizer:
    """Names the first step whose action is worse than the policy by at least `threshold`.

    The exact answer can be blurred, at random from the key given with the rollout:

    - `accuracy` c: with probability 1 - c it names a uniform step of the rollout instead.
    - `precision` q, `recall` r: with probability 1 - r it names nothing (NO_ERROR), else with
      probability 1 - q a uniform one of the *other* steps, if there is one. So a share r of
      the failures that hold an error is answered, and a share q of the answers is right.

    A failure without an error (bad luck alone) is refused with NO_ERROR, blurred or not.

    Attributes:
        threshold: how negative A(s, a) must be, in reward units, > 0.
        accuracy: in [0, 1]; excludes `precision`.
        precision, recall: in [0, 1]; None is 1.
    """

    threshold: float = 1e-9
    accuracy: float = 1.0
    precision: float | None = None
    recall: float | None = None

    def __post_init__(self) -> None:
        check_positive("threshold", self.threshold)
        check_probability("accuracy", self.accuracy)
        for name in ("precision", "recall"):
            if getattr(self, name) is not None:
                check_probability(name, getattr(self, name))
        if self.accuracy < 1 and self.precision is not None:
            raise InvalidInput(
                "precision", self.precision, "accuracy blurs the answer too", "give one of them"
            )

    @property
    def exact(self) -> bool:
        """Whether it always names the first error."""
        return self.accuracy == 1 and self.precision in (None, 1) and self.recall in (None, 1)

    def locate(
        self, rollouts: Sequence[Rollout], advantages: Floats, keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Name the first error of each rollout, or say why there is none.

        Args:
            rollouts: of the policy that `advantages` belongs to.
            advantages: A_h(s, a), shape (H, S, A).
            keys: shape (len(rollouts),).
        """
        named = self.name(FlatSteps.of(rollouts), advantages, keys)
        return [
            _answer(rollout.failed, step)
            for rollout, step in zip(rollouts, named.tolist(), strict=True)
        ]

    def name(
        self,
        steps: FlatSteps,
        advantages: Float[np.ndarray, "H S A"],
        keys: UInt64[np.ndarray, " n"],
    ) -> Int[np.ndarray, " n"]:
        """Return the index of the step named in each rollout, failed or not; -1 for none.

        Args:
            steps: of n rollouts.
            advantages: A_h(s, a), shape (H, S, A).
            keys: shape (n,).
        """
        taken = advantages[steps.layers, steps.states, steps.actions]
        first = steps.first(taken <= -self.threshold)
        return self._blur(first, np.diff(steps.bounds), keys)

    def _blur(self, first: Integers, lengths: Integers, keys: Keys) -> Integers:
        """The step that is named, -1 for none; shapes (n,)."""
        if self.exact:
            return first
        # Each purpose has a draw of its own, so changing one setting leaves the other draws alone.
        known, named = first >= 0, first
        where = _uniforms(keys, _WHERE)
        if self.precision is not None:
            others = (where * (lengths - 1)).astype(np.int64)
            others += others >= first  # uniform on the other steps: skip the right one
            wrong = (_uniforms(keys, _RIGHT) >= self.precision) & (lengths > 1)
            named = np.where(known & wrong, others, named)
        else:
            wrong = _uniforms(keys, _RIGHT) >= self.accuracy
            named = np.where(known & wrong, (where * lengths).astype(np.int64), named)
        if self.recall is not None:
            named = np.where(_uniforms(keys, _ANSWER) < self.recall, named, -1)
        return named


def _uniforms(keys: Keys, purpose: np.uint64) -> Floats:
    out = np.empty(keys.size)
    kernels.uniforms(keys, purpose, out)
    return out


def _answer(failed: bool, step: int) -> Localization | FailedLocalization:
    if not failed:
        return FailedLocalization(Reason.NOT_FAILED)
    return Localization(step) if step >= 0 else FailedLocalization(Reason.NO_ERROR)


def best_advantages(
    rollouts: Sequence[Rollout], best: Float[np.ndarray, "H S"]
) -> list[Float[np.ndarray, " steps"]]:
    """Look up max_a A(s, a) at each state of each rollout in `best`, shape (H, S)."""
    flat = FlatSteps.of(rollouts)
    return flat.split(best[flat.layers, flat.states])
