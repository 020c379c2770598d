"""The seam: all that an algorithm may know of the world it runs in.

A world, be it a finite MDP or a language model, implements :class:`Simulator`. An algorithm is a
frozen value whose :meth:`Algorithm.plan` is a generator over one prompt: it yields what it wants
next, rollouts from some state or the steps that a reset policy names, is sent the answers, and
returns groups of samples with their advantages. It never sees a backend or a batch, so the value
that was verified on an MDP is the value that trains a language model. A driver,
:func:`cpi_theory.algorithms.collecting.collect` or
:func:`cpi_theory.algorithms.streaming.stream`, runs the plans of many prompts at once.

A *reset* is a rollout from a later state and nothing else.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self, TypeGuard, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput, check_count, check_in_range
from cpi_theory.randomness import Key, Keys

State = Hashable
"""Opaque to algorithms: (step, state index) in tabular worlds, (problem, kept prefix) in texts."""


class Ending(enum.Enum):
    """How a rollout ended."""

    TERMINAL = "terminal"
    """The world ended it: an absorbing state, an answer."""
    HORIZON = "horizon"
    """It used up its steps."""
    CUT = "cut"
    """It was ended by request: it has no outcome yet and goes on from its last state."""


class Outcome(enum.Enum):
    """What became of a rollout: success, or why there was none."""

    SUCCESS = "success"
    WRONG = "wrong outcome"
    """It came to an end of its own, which the world counts as a failure."""
    NO_ANSWER = "no answer"
    """It came to an end of its own without an answer that could be judged."""
    STEP_LIMIT = "out of steps"
    TOKEN_LIMIT = "out of tokens"
    """It had steps left, but they are limited by their size, too."""
    UNFINISHED = "unfinished"
    """It was cut by request and has no outcome yet."""


class Reason(enum.Enum):
    """Why there is no reset state for a rollout."""

    NOT_FAILED = "not failed"
    NO_ERROR = "no error found"
    NO_ELIGIBLE_STEP = "no eligible step"
    UNPARSABLE = "unparsable"
    OUT_OF_RANGE = "out of range"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    SINGLE_STEP = "single step"
    """The rollout has one step, so a first error in it says nothing."""
    NO_SUCCESS = "no success"
    """A success was looked for, and there was none."""


@dataclass(frozen=True, slots=True)
class Localization:
    """The world names step `step` (0-based index into the rollout's actions) as the first error."""

    step: int

    def __post_init__(self) -> None:
        # Whether it is a step of its rollout is for who has the rollout to say.
        if not hasattr(self.step, "__index__"):
            raise InvalidInput("step", self.step, "not an integer", "give the index of an action")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A typed record that no reset state was named; counted, never turned into a default step."""

    reason: Reason


class FailedLocalization(Refusal):
    """The world was asked for a first error and named none."""

    # Without it an empty subclass would bring back the `__dict__` that `Refusal` does without.
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """One continuation of the current policy from a state.

    Attributes:
        states: the state before each action; ``states[0]`` is where the rollout started.
        actions: as many as `states`.
        reward: return from ``states[0]`` to the end; the outcome reward where rewards are terminal;
            NaN of a rollout that was cut, for it has no outcome yet.
        failed: whether the world counts the outcome as a failure.
        ended: how it ended.
        last: the state after the last action, from which a rollout that was cut goes on.
    """

    states: Sequence[State]
    actions: Sequence[Any]
    reward: float
    failed: bool
    ended: Ending
    last: State | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if len(self.states) != len(self.actions):
            raise InvalidInput(
                "states", len(self.states), f"{len(self.actions)} actions", "give one per action"
            )

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def outcome(self) -> Outcome:
        """What became of it; a world that can tell more of its failures overrides it."""
        if self.ended is Ending.CUT:
            return Outcome.UNFINISHED
        if not self.failed:
            return Outcome.SUCCESS
        return Outcome.STEP_LIMIT if self.ended is Ending.HORIZON else Outcome.WRONG

    def cut(self, begin: int = 0, end: int | None = None) -> Rollout:
        """Return the steps from `begin` to before `end`, as a rollout of their own.

        What is cut off at the front counts for nothing: right where rewards are terminal. Cut at
        the back it has no outcome, ends with ``Ending.CUT`` and goes on from ``states[end]``. A
        world whose rollouts hold more than these fields overrides it.

        Raises:
            InvalidInput: if the steps are none of this rollout, or a world's own rollouts cannot be
                cut.
        """
        # Slicing states and actions would silently drop whatever else a subclass holds per step.
        if type(self) is not Rollout:
            remedy = "override cut, or keep whole rollouts"
            raise InvalidInput("rollout", type(self).__name__, "cannot be cut", remedy)
        end = self.check_cut(begin, end)
        states, actions = self.states[begin:end], self.actions[begin:end]
        if end == len(self):
            return Rollout(states, actions, self.reward, self.failed, self.ended, last=self.last)
        # NaN and not 0: a cut rollout that strays into a group is refused instead of counted as a
        # failure.
        return Rollout(states, actions, np.nan, False, Ending.CUT, last=self.states[end])

    def behind(self, parent: Rollout, step: int) -> Rollout:
        """Return the steps of `parent` before `step` and this rollout behind them, as one rollout.

        What :meth:`cut` takes apart this puts together: a rollout from ``parent.states[step]`` as a
        whole, as if it had been drawn from where the parent started. It ends as this one did and
        has its reward: right where rewards are terminal. A world whose rollouts hold more than
        these fields overrides it.

        Raises:
            InvalidInput: if this rollout did not start at that state, or a world's own rollouts
                cannot be put together.
        """
        if type(self) is not Rollout:
            remedy = "override behind, or keep suffixes"
            raise InvalidInput("rollout", type(self).__name__, "cannot be put together", remedy)
        self.check_behind(parent, step)
        return replace(
            self,
            states=[*parent.states[:step], *self.states],
            actions=[*parent.actions[:step], *self.actions],
        )

    def check_behind(self, parent: Rollout, step: int) -> None:
        """Refuse to put this rollout behind a step that it did not start at.

        Raises:
            InvalidInput: unless 0 <= step < len(parent), and this starts at that state if it has
                any step.
        """
        parent.check_cut(step, None)
        if len(self) and self.states[0] != parent.states[step]:
            problem = "the rollout starts at another state"
            raise InvalidInput("step", step, problem, "give the step that was reset to")

    def check_cut(self, begin: int, end: int | None) -> int:
        """Return where a cut ends, once `begin` and `end` are known to be steps of this rollout.

        Raises:
            InvalidInput: unless 0 <= begin < end <= len(self).
        """
        end = len(self) if end is None else end
        if not 0 <= begin < end <= len(self):
            problem = f"not within {len(self)} steps"
            raise InvalidInput("steps", (begin, end), problem, "give 0 <= begin < end <= length")
        return end


@runtime_checkable
class Simulator(Protocol):
    """A world under its current policy.

    Laws, checked for any world by :func:`cpi_theory.testing.check_simulator`:
      1. ``rollout(states, keys)[i]`` starts at ``states[i]`` and depends on ``states[i]`` and
         ``keys[i]`` alone: the batch may be split, re-ordered or run on any number of threads.
      2. Other keys draw other rollouts, independent of each other.
      3. ``locate_first_error`` answers each rollout with a step of it or a typed refusal, and
         refuses rollouts that did not fail.
    """

    def rollout(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        """Continue the current policy from each state, in one batched call.

        Args:
            states: where to start, any number.
            keys: the randomness of each rollout, uint64, shape (len(states),).
        """
        ...

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Say where each rollout first went wrong, as far as this world can.

        Args:
            rollouts: of this world, any number.
            keys: the randomness of each answer, uint64, shape (len(rollouts),).
        """
        ...


@runtime_checkable
class OracleSimulator(Simulator, Protocol):
    """A simulator that also knows the truth about its current policy, as tabular worlds do."""

    def best_advantages(self, rollouts: Sequence[Rollout]) -> list[NDArray[np.float64]]:
        """Return max_a A(s, a) at each state of each rollout: shape (len(rollout),) per rollout."""
        ...

    def improvable_coverage(self, tau: float) -> float:
        """Return coverage p_tau: the share of (state, step) visits with max_a A >= tau."""
        ...


@runtime_checkable
class CuttingSimulator(Simulator, Protocol):
    """A simulator that can stop rollouts early, and so spares what nobody asked for.

    Law: ``rollout_cut(states, keys, steps)[i]`` is ``rollout(states, keys)[i].cut(0, steps[i])``,
    or the whole rollout where that has no more steps or ``steps[i]`` is None.
    """

    def rollout_cut(
        self, states: Sequence[State], keys: Keys, steps: Sequence[int | None]
    ) -> Sequence[Rollout]:
        """Return what `rollout` does, each rollout cut after so many steps."""
        ...


@runtime_checkable
class RevisingSimulator(Simulator, Protocol):
    """A simulator that can put a finished rollout into the state of a second attempt."""

    def revise(self, rollouts: Sequence[Rollout], keys: Keys) -> Sequence[State]:
        """Return the state after each rollout in which its answer is to be given again."""
        ...


@runtime_checkable
class ScoringSimulator(Simulator, Protocol):
    """A simulator that can say how likely each step was under the policy that took it."""

    def step_logprobs(self, rollouts: Sequence[Rollout]) -> list[NDArray[np.float64]]:
        """Return the log-probability of each step, in nats, shape (len(rollout),) per rollout.

        Of a step that is made of several decisions, such as a thought of several tokens, it is
        that of the least likely one: how sure the policy was where it was least so.
        """
        ...


@runtime_checkable
class DemonstratingSimulator(Simulator, Protocol):
    """A simulator that can show how it is done, whatever its policy can do."""

    def demonstrate(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        """Return a rollout from each state as somebody able would go on; nobody samples it.

        Args:
            states: start states, any number.
            keys: of the draw where there are several demonstrations, shape (len(states),).
        """
        ...


@dataclass(frozen=True, slots=True)
class Localize:
    """A request to say where each rollout first went wrong, see `locate_first_error`.

    Attributes:
        rollouts: at least one.
        keys: of the answers, shape (len(rollouts),).
    """

    rollouts: Sequence[Rollout]
    keys: Keys


class Stream(Protocol):
    """Requests that a world works on side by side, each handed over as soon as it is done.

    Law, checked by :func:`cpi_theory.testing.check_simulator`: a request has the answer that
    `rollout_cut` or `locate_first_error` would have given, whatever else was under way and in
    whatever order requests came and went.
    """

    def submit(self, request: Draw | Localize) -> int:
        """Take a request; returns its ticket, a number that no other request has here.

        Nothing is computed yet, so that requests that come one after the other begin together.
        """
        ...

    def finished(self) -> Sequence[tuple[int, Sequence[Any]]]:
        """Work until at least one request is done, if any is open.

        Returns:
            (ticket, answer) of each that is done and was not handed over yet: a list with a rollout
            for each key of a :class:`Draw` (cut where the world can), or with an answer about each
            rollout of a :class:`Localize`.
        """
        ...

    def close(self) -> None:
        """Drop what is not done."""
        ...


@runtime_checkable
class StreamingSimulator(Simulator, Protocol):
    """A simulator that can begin new requests while it is still busy with earlier ones."""

    def stream(self) -> Stream:
        """Begin an empty stream; the policy must not change until it is closed."""
        ...


# What a world can do is asked by attribute. `isinstance` of a protocol does not see what a wrapper
# passes on through `__getattr__` from Python 3.12 on, and the wrapped world would be refused.


def knows_advantages(simulator: Simulator) -> TypeGuard[OracleSimulator]:
    """Tell whether a simulator, or what it wraps, is an :class:`OracleSimulator`."""
    return hasattr(simulator, "best_advantages") and hasattr(simulator, "improvable_coverage")


def can_cut(simulator: Simulator) -> TypeGuard[CuttingSimulator]:
    """Tell whether a simulator, or what it wraps, is a :class:`CuttingSimulator`."""
    return hasattr(simulator, "rollout_cut")


def can_revise(simulator: Simulator) -> TypeGuard[RevisingSimulator]:
    """Tell whether a simulator, or what it wraps, is a :class:`RevisingSimulator`."""
    return hasattr(simulator, "revise")


def can_score(simulator: Simulator) -> TypeGuard[ScoringSimulator]:
    """Tell whether a simulator, or what it wraps, is a :class:`ScoringSimulator`."""
    return hasattr(simulator, "step_logprobs")


def can_demonstrate(simulator: Simulator) -> TypeGuard[DemonstratingSimulator]:
    """Tell whether a simulator, or what it wraps, is a :class:`DemonstratingSimulator`."""
    return hasattr(simulator, "demonstrate")


def can_stream(simulator: Simulator) -> TypeGuard[StreamingSimulator]:
    """Tell whether a simulator, or what it wraps, is a :class:`StreamingSimulator`."""
    return hasattr(simulator, "stream")


class ResetPolicy(ABC):
    """Says how strongly each step of a rollout is selected as a reset state.

    Implementations are frozen dataclasses with the one method :meth:`step_weights`.

    Laws, checked for any policy by :func:`cpi_theory.testing.check_reset_policy`: weights lie in
    [0, 1], have one entry per step, and depend on the rollout, its key and the simulator alone.
    """

    localizes: ClassVar[bool] = False
    """Whether the policy asks ``simulator.locate_first_error``, which costs a world real work."""

    draws: ClassVar[bool] = False
    """Whether the policy draws rollouts of its own, which are counted with all others."""

    @abstractmethod
    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[NDArray[np.float64] | Refusal]:
        """Return the weight of each step, shape (len(rollout),) per rollout, or a typed refusal.

        The expectation of the weight given s_h = s is, up to one common factor, the reset weight
        w(s, h) of the bounds; a refusal weighs nothing.
        """

    def step_probabilities(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[NDArray[np.float64] | Refusal]:
        """Return the weights of each rollout normalised to a distribution over its steps."""
        return [_normalise(w) for w in self.step_weights(rollouts, simulator, keys)]


def _normalise(weights: NDArray[np.float64] | Refusal) -> NDArray[np.float64] | Refusal:
    if isinstance(weights, Refusal):
        return weights
    # Weights that are all zero select nothing: dividing by their sum would give NaN probabilities.
    total = weights.sum()
    return weights / total if total > 0 else Refusal(Reason.NO_ELIGIBLE_STEP)


@dataclass(frozen=True, slots=True)
class Sample:
    """A rollout to learn from, with the credit of each of its steps.

    Attributes:
        rollout: what was sampled.
        advantages: of each step, shape (len(rollout),).
        context: learn as if the rollout had followed this state, not the one it was sampled from
            (a revised answer under the plain prompt, say); such a sample is off-policy.
        shaping: gamma of an off-policy sample: what it contributes to the objective is
            A p / (p + gamma), with p the probability of a decision in its context, so that unlikely
            decisions get more of the gradient than A p would give them; 0: A log p, or whatever
            the learner makes of samples.
        kl: weight of the KL divergence to the policy that learning began with, at each decision of
            this sample, beside its advantages and in their unit per nat.
    """

    rollout: Rollout
    advantages: NDArray[np.float64]
    context: State | None = None
    shaping: float = 0.0
    kl: float = 0.0

    def __post_init__(self) -> None:
        for name in ("shaping", "kl"):
            check_in_range(name, getattr(self, name), 0, 1000)
        # One NaN here would reach every parameter through the gradient.
        shape, steps = np.shape(self.advantages), (len(self.rollout),)
        if shape != steps or not np.isfinite(self.advantages).all():
            problem = f"not one finite number for each of {len(self.rollout)} steps"
            raise InvalidInput("advantages", self.advantages, problem, "repair the rewards")

    @property
    def advantage(self) -> float:
        """Mean over the steps, to the last digit where all have the same; 0 without steps."""
        return equal_mean(self.advantages)


def equal_mean(values: NDArray[np.float64]) -> float:
    """Return the mean of `values`, shape (n,), exact where all of them are equal; 0 for none."""
    # Differences to the first value are exact zeros where all are equal; a plain mean rounds.
    return float(values[0] + (values - values[0]).mean()) if len(values) else 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Samples whose credit was given by looking at all of them.

    Attributes:
        samples: what to learn from.
        prompt: id of the prompt (start state) that the group belongs to.
        parent: the rollout that was reset, if the samples start at a reset state; else None.
        step: the index into the parent's steps that was reset to, or None.
        named: step and length of each failure of the prompt whose first error the world named, on
            one group of the prompt; for algorithms that learn how good such answers are.
    """

    samples: tuple[Sample, ...]
    prompt: int
    parent: Rollout | None = None
    step: int | None = None
    named: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.parent is None and self.step is None:
            return
        steps = 0 if self.parent is None else len(self.parent)
        if self.step is None or not 0 <= self.step < steps:
            problem = f"no step of a parent of {steps} steps"
            raise InvalidInput("step", self.step, problem, "give parent and step, or neither")

    @classmethod
    def of(
        cls,
        rollouts: Sequence[Rollout],
        advantages: NDArray[np.float64] | Sequence[float],
        prompt: int,
        parent: Rollout | None = None,
        step: int | None = None,
    ) -> Self:
        """Make a group of one advantage per rollout, shape (len(rollouts),), for all its steps.

        Raises:
            InvalidInput: if there is not one finite advantage per rollout, or `step` is none of
                the parent's.
        """
        if len(advantages) != len(rollouts):
            problem = f"{len(rollouts)} rollouts"
            raise InvalidInput("advantages", advantages, problem, "give one per rollout")
        samples = (
            Sample(rollout, np.full(len(rollout), advantage, dtype=np.float64))
            for rollout, advantage in zip(rollouts, advantages, strict=True)
        )
        return cls(tuple(samples), prompt, parent, step)

    @property
    def rollouts(self) -> tuple[Rollout, ...]:
        """The rollouts of the samples."""
        return tuple(sample.rollout for sample in self.samples)

    @property
    def advantages(self) -> NDArray[np.float64]:
        """Mean advantage of each sample, shape (len(samples),); see :attr:`Sample.advantage`."""
        return np.array([sample.advantage for sample in self.samples])

    @property
    def informative(self) -> bool:
        """Whether any advantage differs from zero, or a sample is held near the start policy.

        There is nothing to learn from others.
        """
        # Compared exactly: `group_advantages` gives constant groups exact zeros.
        return any(bool(np.any(sample.advantages != 0)) or sample.kl > 0 for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Collection:
    """What a driver collected with an algorithm.

    Attributes:
        groups: the groups to learn from.
        generated_rollouts: rollouts drawn, those that no group kept included.
        generated_steps: actions sampled in all of them; kept prefixes cost nothing.
        refusals: how often each reason left a prompt without a reset state.
        localizations: how many rollouts the world was asked to localise.
        policy_version: of the policy that sampled, where the simulator counts its versions.
    """

    groups: tuple[Group, ...]
    generated_rollouts: int
    generated_steps: int
    refusals: Counter[Reason] = field(default_factory=Counter)
    localizations: int = 0
    policy_version: int | None = None

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A start state with the id that everything drawn for it hangs on."""

    id: int
    start: State


@dataclass(frozen=True, slots=True)
class Draw:
    """A wish for rollouts from a state, as many as there are keys; answered by their list.

    Attributes:
        state: where they start.
        keys: one per rollout, shape (n,); none costs nothing.
        steps: cut each after so many steps; None: run to the end.
    """

    state: State
    keys: Keys
    steps: int | None = None

    def __post_init__(self) -> None:
        _check_keys(self.keys)
        if self.steps is not None:
            check_count("steps", self.steps)


@dataclass(frozen=True, slots=True)
class NameSteps:
    """A wish for a distribution over the steps of each rollout; a refusal is counted.

    The answer is a list with an array of shape (len(rollout),) or a :class:`Refusal` for each.

    Attributes:
        reset: the reset policy that is asked.
        rollouts: any number.
        keys: of the answers, shape (len(rollouts),).
    """

    reset: ResetPolicy
    rollouts: Sequence[Rollout]
    keys: Keys

    def __post_init__(self) -> None:
        _check_keys(self.keys)
        if isinstance(self.reset, type):
            remedy = f"make a value of it: {self.reset.__name__}()"
            raise InvalidInput("reset", self.reset, "a class and no reset policy", remedy)


@dataclass(frozen=True, slots=True)
class Revise:
    """A wish for the state of a second attempt after each rollout; answered by their list."""

    rollouts: Sequence[Rollout]
    keys: Keys

    def __post_init__(self) -> None:
        _check_keys(self.keys)


@dataclass(frozen=True, slots=True)
class ScoreSteps:
    """A wish for the log-probabilities of the steps of each rollout.

    Answered by a list of arrays, see :meth:`ScoringSimulator.step_logprobs`.
    """

    rollouts: Sequence[Rollout]


@dataclass(frozen=True, slots=True)
class Demonstrate:
    """A wish for demonstrations from a state, one per key; answered by their list."""

    state: State
    keys: Keys

    def __post_init__(self) -> None:
        _check_keys(self.keys)


def _check_keys(keys: Keys) -> None:
    if np.ndim(keys) != 1:
        remedy = "give an array with one for each, such as key.integers(4)"
        raise InvalidInput("keys", keys, "not a list of keys", remedy)


@dataclass(frozen=True, slots=True)
class Barrier:
    """A wish to wait until no other prompt can go on either, so that calls are shared."""


Wish = Draw | NameSteps | Revise | ScoreSteps | Demonstrate | Refusal | Barrier
"""What a plan may yield; a refusal of its own is counted and answered by None."""

Plan = Generator[Wish | Sequence[Wish], Any, Sequence[Group]]
"""Yields a wish, or several at once, and is sent the answer, or their list; returns groups."""


class Algorithm(Protocol):
    """How the rollouts of one prompt are collected and turned into groups with advantages.

    Laws, checked for any algorithm by :func:`cpi_theory.testing.check_algorithm`: a plan depends
    on its prompt, its key and the answers alone, so that any driver, in any order and company,
    gives the same groups; it returns at most `rows_per_prompt` samples. One that changes from
    update to update is another value then, see :func:`scheduled` and :func:`learned`.
    """

    @property
    def rows_per_prompt(self) -> int:
        """Most samples of a prompt that are learned from."""
        ...

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """Return the plan of one prompt.

        Args:
            prompt: where to start.
            key: of this prompt in this iteration; all that is drawn hangs on it.
        """
        ...


def needs_start(algorithm: object) -> bool:
    """Tell whether some samples of an algorithm are held near the policy that learning began with.

    Whoever learns from them has to keep that policy.
    """
    return bool(getattr(algorithm, "needs_start", False))


Scheduled = TypeVar("Scheduled")


def scheduled(algorithm: Scheduled, progress: float) -> Scheduled:
    """Return the algorithm as it is when a share of all updates is done.

    Most are the same from first to last. One with a schedule has a method `at(progress)` that
    returns another value: a plan knows of nothing but its prompt and its key.

    Args:
        algorithm: any.
        progress: updates done of all updates, in [0, 1].
    """
    at = getattr(algorithm, "at", None)
    return algorithm if at is None else at(progress)


def learned(algorithm: Scheduled, collection: Collection) -> Scheduled:
    """Return the algorithm as it is after a collection of its own.

    Most are the same for ever. One that draws conclusions for later updates has a method
    `after(collection)` that returns another value; what it has concluded is its memory.

    Args:
        algorithm: what collected.
        collection: what it collected.
    """
    after = getattr(algorithm, "after", None)
    return algorithm if after is None else after(collection)


def memory_of(algorithm: object) -> dict[str, Any] | None:
    """Return what an algorithm has concluded so far, as JSON can hold it; None of most."""
    memory = getattr(algorithm, "memory", None)
    return None if memory is None else memory()


def recalling(algorithm: Scheduled, memory: dict[str, Any] | None) -> Scheduled:
    """Return the algorithm with a memory that :func:`memory_of` gave."""
    return algorithm if memory is None else algorithm.recall(memory)  # type: ignore[attr-defined]


class Numbered:
    """A simulator for use without keys: it numbers what it is asked from a seed.

    Consecutive calls draw fresh rollouts, and a call of n gives what calls of n1 + n2 = n give.
    Algorithms never need it; it is for looking at a world by hand.
    """

    def __init__(self, simulator: Simulator, seed: Key | int = 0) -> None:
        self.simulator, self._key = simulator, Key.of(seed)
        self._rolled = self._located = 0

    def rollout(self, states: Sequence[State]) -> Sequence[Rollout]:
        """Return the next rollouts, one from each state."""
        # Longer requests extend shorter ones, so that what follows the first keys is fresh.
        first, self._rolled = self._rolled, self._rolled + len(states)
        keys = self._key.child("rollout").integers(self._rolled)[first:]
        return self.simulator.rollout(states, keys)

    def locate_first_error(
        self, rollouts: Sequence[Rollout]
    ) -> list[Localization | FailedLocalization]:
        """Return the next answers, one about each rollout."""
        first, self._located = self._located, self._located + len(rollouts)
        keys = self._key.child("locate").integers(self._located)[first:]
        return self.simulator.locate_first_error(rollouts, keys)
