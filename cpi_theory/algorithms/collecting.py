"""What algorithm objects share: keyed prompts, batched draws with an honest account, groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.advantages import Normalization, group_advantages
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import Collection, Group, Reason, Rollout, Simulator, State


@dataclass(frozen=True, slots=True)
class Task:
    """One prompt of a batch: everything drawn for it hangs on its key."""

    prompt: int
    start: State
    key: Key


@dataclass(frozen=True, slots=True)
class Request:
    """As many rollouts from a state as there are keys."""

    state: State
    keys: Keys


def tasks(
    starts: Sequence[State],
    rng: Key | int | np.random.Generator,
    prompts: Sequence[int] | None,
) -> list[Task]:
    """One task per start state, keyed by the prompt's id and nothing else of the batch.

    Raises:
        InvalidInput: if ids repeat (they would share random numbers) or are not one per start.
    """
    key = Key.of(rng)
    ids = list(range(len(starts)) if prompts is None else prompts)
    if len(ids) != len(starts):
        raise InvalidInput("prompts", len(ids), f"{len(starts)} starts", "give one id per start")
    if len(set(ids)) != len(ids):
        twice = [i for i, n in Counter(ids).items() if n > 1]
        raise InvalidInput(
            "prompts", twice, "ids given twice would share their random numbers", "number them"
        )
    return [Task(int(i), start, key.child(int(i))) for i, start in zip(ids, starts, strict=True)]


class Account:
    """Draws rollouts in batches and keeps count of what they cost."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.refusals: Counter[Reason] = Counter()
        self.rollouts = self.steps = self.localizations = 0

    def draw(self, requests: Sequence[Request]) -> list[list[Rollout]]:
        """The rollouts of each request, all of them in one call (none if nothing is asked for)."""
        states = [request.state for request in requests for _ in range(len(request.keys))]
        if not states:
            return [[] for _ in requests]
        drawn = self.simulator.rollout(states, np.concatenate([r.keys for r in requests]))
        if len(drawn) != len(states):
            raise InvalidInput(
                "rollouts", len(drawn), f"{len(states)} states given", "return one for each"
            )
        self.rollouts += len(drawn)
        self.steps += sum(map(len, drawn))
        stream = iter(drawn)
        return [[next(stream) for _ in range(len(request.keys))] for request in requests]

    def collection(self, groups: Sequence[Group]) -> Collection:
        """The groups with the account so far."""
        return Collection(
            tuple(groups), self.rollouts, self.steps, self.refusals, self.localizations
        )


def group(
    rollouts: Sequence[Rollout],
    prompt: int,
    normalization: Normalization,
    parent: Rollout | None = None,
    step: int | None = None,
) -> Group:
    """Rollouts of one state with the advantages that they have among themselves."""
    advantages = group_advantages([r.reward for r in rollouts], normalization)
    return Group(tuple(rollouts), advantages, prompt, parent, step)


def draw_index(probabilities: NDArray[np.float64], key: Key) -> int:
    """One index by inverse distribution function; rounding never picks one of probability 0."""
    cumulative = np.cumsum(probabilities)
    uniform = float(key.integers(1)[0] >> np.uint64(11)) * 2.0**-53
    index = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    return int(min(index, np.flatnonzero(probabilities)[-1]))


def from_start(task: Task, purpose: str, count: int) -> Request:
    """`count` rollouts from the prompt's start, keyed by what they are for."""
    return Request(task.start, task.key.child(purpose).integers(count))
