"""The seam: all that an algorithm may know of the world it runs in.

A world, be it a finite MDP or a language model, implements :class:`Simulator`. Reset policies and
algorithms are frozen values that talk to a simulator only, so the value that was verified on an
MDP is the value that trains a language model.

A *reset* is a rollout from a later state and nothing else.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key, Keys

State = Hashable
"""Opaque to algorithms: (step, state index) in tabular worlds, (problem, kept prefix) in texts."""


class Ending(enum.Enum):
    """How a rollout ended."""

    TERMINAL = "terminal"
    """The world ended it: an absorbing state, an answer."""
    HORIZON = "horizon"
    """It used up its steps."""


class Reason(enum.Enum):
    """Why there is no reset state for a rollout."""

    NOT_FAILED = "not failed"
    NO_ERROR = "no error found"
    NO_ELIGIBLE_STEP = "no eligible step"
    UNPARSABLE = "unparsable"
    OUT_OF_RANGE = "out of range"
    TRUNCATED = "truncated"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Localization:
    """The world names step `step` (0-based index into the rollout's actions) as the first error."""

    step: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A typed record that no reset state was named; counted, never turned into a default step."""

    reason: Reason


class FailedLocalization(Refusal):
    """The world was asked for a first error and named none."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """One continuation of the current policy from a state.

    Attributes:
        states: the state before each action; ``states[0]`` is where the rollout started.
        actions: as many as `states`.
        reward: return from ``states[0]`` to the end; the outcome reward where rewards are terminal.
        failed: whether the world counts the outcome as a failure.
        ended: how it ended.
    """

    states: Sequence[State]
    actions: Sequence[Any]
    reward: float
    failed: bool
    ended: Ending

    def __post_init__(self) -> None:
        if len(self.states) != len(self.actions):
            raise InvalidInput(
                "states", len(self.states), f"{len(self.actions)} actions", "give one per action"
            )

    def __len__(self) -> int:
        return len(self.actions)

    def tail(self, step: int) -> Rollout:
        """What followed from ``states[step]``, as a rollout from there with the same outcome.

        Right where rewards are terminal: a reward paid before `step` would count here too. A
        world whose rollouts hold more than these fields overrides it.

        Raises:
            InvalidInput: if `step` is not a step, or a world's own rollouts cannot be cut.
        """
        if type(self) is not Rollout:
            remedy = "override tail, or keep whole rollouts"
            raise InvalidInput("rollout", type(self).__name__, "cannot be cut", remedy)
        if not 0 <= step < len(self):
            raise InvalidInput("step", step, f"not one of {len(self)} steps", "give 0 <= step")
        return Rollout(
            self.states[step:], self.actions[step:], self.reward, self.failed, self.ended
        )


@runtime_checkable
class Simulator(Protocol):
    """A world under its current policy.

    Laws, tested over every implementation:
      1. ``rollout(states, keys)[i]`` starts at ``states[i]`` and depends on ``states[i]`` and
         ``keys[i]`` alone: the batch may be split, re-ordered or run on any number of threads.
      2. Without `keys` a simulator numbers its rollouts from its own seed, so that consecutive
         calls draw fresh rollouts and a call of n equals calls of n1 + n2 = n.
      3. ``locate_first_error`` answers each rollout with a step of it or a typed refusal, and
         refuses rollouts that did not fail.
    """

    def rollout(self, states: Sequence[State], keys: Keys | None = None) -> Sequence[Rollout]:
        """One continuation of the current policy from each state, in one batched call."""
        ...

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys | None = None
    ) -> list[Localization | FailedLocalization]:
        """What this world can say of where each rollout first went wrong."""
        ...


@runtime_checkable
class OracleSimulator(Simulator, Protocol):
    """A simulator that also knows the truth about its current policy, as tabular worlds do."""

    def best_advantages(self, rollouts: Sequence[Rollout]) -> list[NDArray[np.float64]]:
        """max_a A(s, a) at each state of each rollout: shape (len(rollout),) per rollout."""
        ...

    def improvable_coverage(self, tau: float) -> float:
        """On-policy coverage p_tau: the share of (state, step) visits with max_a A >= tau."""
        ...


class ResetPolicy(ABC):
    """Says how strongly each step of a rollout is selected as a reset state.

    Implementations are frozen dataclasses with the one method :meth:`step_weights`.

    Laws, tested over every implementation: weights lie in [0, 1], have one entry per step, and
    depend on the rollout, its key and the simulator alone.
    """

    localizes: ClassVar[bool] = False
    """Whether the policy asks ``simulator.locate_first_error``, which costs a world real work."""

    @abstractmethod
    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys | None = None
    ) -> list[NDArray[np.float64] | Refusal]:
        """Selection weight of each step, shape (len(rollout),) per rollout, or a typed refusal.

        The expectation of the weight given s_h = s is, up to one common factor, the reset weight
        w(s, h) of the bounds; a refusal weighs nothing.
        """

    def step_probabilities(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys | None = None
    ) -> list[NDArray[np.float64] | Refusal]:
        """The weights of each rollout normalised to a distribution over its steps."""
        return [_normalise(w) for w in self.step_weights(rollouts, simulator, keys)]


def _normalise(weights: NDArray[np.float64] | Refusal) -> NDArray[np.float64] | Refusal:
    if isinstance(weights, Refusal):
        return weights
    total = weights.sum()
    return weights / total if total > 0 else Refusal(Reason.NO_ELIGIBLE_STEP)


@dataclass(frozen=True, slots=True)
class Group:
    """Rollouts that share a start state, with their group-relative advantages.

    Attributes:
        rollouts: the group's rollouts, all from the same state.
        advantages: shape (len(rollouts),).
        prompt: id of the prompt (start state) the group belongs to.
        parent: for a suffix group, the rollout that was reset; None for a group from the start.
        step: for a suffix group, the index into the parent's steps that was reset to.
    """

    rollouts: tuple[Rollout, ...]
    advantages: NDArray[np.float64]
    prompt: int
    parent: Rollout | None = None
    step: int | None = None

    @property
    def informative(self) -> bool:
        """Whether any advantage differs from zero: a constant group teaches nothing."""
        return bool(np.any(self.advantages != 0))


@dataclass(frozen=True, slots=True)
class Collection:
    """What one call of an algorithm collected.

    Attributes:
        groups: the groups to learn from.
        generated_rollouts: rollouts drawn, those that no group kept included.
        generated_steps: actions sampled in all of them; kept prefixes cost nothing.
        refusals: how often each reason left a prompt without a reset state.
        localizations: how many rollouts the world was asked to localise.
    """

    groups: tuple[Group, ...]
    generated_rollouts: int
    generated_steps: int
    refusals: Counter[Reason] = field(default_factory=Counter)
    localizations: int = 0

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)


class Algorithm(Protocol):
    """How rollouts are collected and turned into groups with advantages; no backend in it."""

    def collect(
        self,
        simulator: Simulator,
        starts: Sequence[State],
        rng: Key | int | np.random.Generator,
        prompts: Sequence[int] | None = None,
    ) -> Collection:
        """Collect groups from each start state.

        Args:
            simulator: the world under its current policy.
            starts: one start state per prompt.
            rng: key of this iteration; what is drawn for a prompt depends on it and on the
                prompt's id alone.
            prompts: ids of the prompts, by default 0, 1, ...
        """
        ...
