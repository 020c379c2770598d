"""What is audited: an algorithm, or a function that gives credit to rollouts that one collects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.collecting import collect
from cpi_theory.audit.batch import Batch, Estimator, advantages_of
from cpi_theory.audit.branching import Branch, BranchingKey, BranchingWorld
from cpi_theory.audit.forest import Forest
from cpi_theory.checks import Exact, InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Algorithm, Collection, Group, Simulator


@dataclass(frozen=True)
class Subject:
    """An estimator under audit.

    Attributes:
        name: of it.
        algorithm: collects the rollouts; without `credit` it also says their advantages.
        credit: a function that gives advantages to all rollouts of all prompts at once; None:
            those of the algorithm.
        exact: give `credit` rewards as fractions; what it returns is then added up exactly.
    """

    name: str
    algorithm: Algorithm
    credit: Estimator | None = None
    exact: bool = False


@dataclass(frozen=True)
class Update:
    """One update of a subject: what it learns from, and what that took.

    Attributes:
        pushes: (start, state, action, advantage) of every step of every sample.
        samples: (start, reward) of every sample.
        rollouts, steps: generated, those included that nothing is learned from.
    """

    pushes: tuple[tuple[int, int, int, Exact], ...]
    samples: tuple[tuple[int, float], ...]
    rollouts: int
    steps: int


def listed_update(
    subject: Subject, forest: Forest, branch: Branch, seed: int = 0, twice: bool = False
) -> Update:
    """The update of one branch of everything that can happen.

    Args:
        subject: under audit.
        forest: the world; each of its prompts is collected from once.
        branch: chooses rollouts, first errors and drawn indices.
        seed: of whatever else the algorithm takes from its keys.
        twice: call a credit function twice, to see that it says the same.
    """
    key = BranchingKey(Key.of(seed).path, branch)
    return _update(subject, forest, BranchingWorld(forest, branch), key, twice)


def drawn_update(subject: Subject, forest: Forest, key: Key) -> Update:
    """One update drawn at random, as in training."""
    return _update(subject, forest, forest, key, False)


def _update(subject: Subject, forest: Forest, world: Simulator, key: Key, twice: bool) -> Update:
    collection = collect(subject.algorithm, world, forest.starts, key)
    groups = collection.groups
    rows = [(sample.rollout, sample.advantages) for group in groups for sample in group.samples]
    if any(sample.context is not None for group in groups for sample in group.samples):
        problem = "learns rollouts in another context than they were sampled in"
        raise InvalidInput("algorithm", subject.name, problem, "audit it without revisions")
    if subject.credit is not None and rows:
        batch = Batch.of(groups, forest, subject.exact)
        credit = advantages_of(subject.credit, batch, twice)
        rows = [(r, row[: len(r)]) for (r, _), row in zip(rows, credit, strict=True)]
    return _as_update(rows, collection)


def _as_update(rows: Sequence[tuple[Any, NDArray[Any]]], collection: Collection) -> Update:
    pushes = [
        (rollout.states[0], state, action, advantage)
        for rollout, advantages in rows
        for state, action, advantage in zip(
            rollout.states, rollout.actions, advantages.tolist(), strict=True
        )
    ]
    samples = tuple((rollout.states[0], rollout.reward) for rollout, _ in rows)
    return Update(tuple(pushes), samples, collection.generated_rollouts, collection.generated_steps)


def groups_of(subject: Subject, forest: Forest, key: Key) -> tuple[Group, ...]:
    """The groups of one update drawn at random."""
    return collect(subject.algorithm, forest, forest.starts, key).groups


def summed(update: Update) -> dict[tuple[int, int, int], Exact]:
    """The advantages of an update, added up for each (start, state, action)."""
    sums: defaultdict[tuple[int, int, int], Exact] = defaultdict(Fraction)
    for start, state, action, advantage in update.pushes:
        sums[start, state, action] += advantage
    return sums


def vector(
    sums: dict[tuple[int, int, int], Exact], forest: Forest, scores: dict[Any, Any]
) -> NDArray[np.float64]:
    """Sum of advantage times score, shape (parameters,), as floats."""
    total = np.zeros(len(forest.parameters))
    for (_, state, action), advantage in sums.items():
        if advantage:
            score = scores.get((state, action))
            if score is None:
                score = scores[state, action] = forest.score(state, action).astype(np.float64)
            total += float(advantage) * score
    return total
