"""A lower bound of the best advantage at a state, from rollouts alone, by sample splitting.

A candidate next action is chosen on one sample and its advantage estimated on another; the largest
estimate of a single sample would be biased upwards.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.algorithms.collecting import Batcher
from cpi_theory.checks import InvalidInput, check_count, check_positive
from cpi_theory.randomness import Key
from cpi_theory.seam import Draw, Rollout, Simulator, State
from cpi_theory.statistics.intervals import Interval, difference, scaled, wilson_interval

Pick = tuple[Rollout, int]
"""A visited state: a rollout and the index of one of its steps."""


def best_advantage_lower_bounds(
    simulator: Simulator,
    states: Sequence[State],
    key: Key | int,
    *,
    branches: int = 8,
    screening: int = 4,
    completions: int = 64,
    by_action: bool = False,
    level: float = 0.95,
    reward_bound: float = 1.0,
    numbers: Sequence[int] | None = None,
) -> list[Interval]:
    """Estimate a lower bound of max_a A(s, a) at each state by sample splitting.

    Statement: a candidate next action is chosen on one sample; its advantage is the mean of fresh
    completions after it less the mean of fresh rollouts from s. The estimate is unbiased for the
    advantage of that one action, hence in expectation at most max_a A(s, a). Taking the largest
    estimate of a single sample instead would be biased upwards.

    Assumptions: A1 returns lie in [0, reward_bound].
        With ``by_action=False``, for texts: A2 an action determines the next state and a final
        action the outcome; A3 rewards are paid at the end. Completions start after the action.
        With ``by_action=True``, for few actions and any transitions: rollouts from s are sorted by
        their first action; nothing but A1 is assumed.

    Args:
        simulator: any world.
        states: where to estimate.
        key: of the sampling; the i-th state's draws depend on (key, numbers[i]) alone, and more
            completions extend fewer.
        branches: next actions sampled at each state.
        screening: further completions of each branch for the choice.
        completions: fresh completions of the chosen branch, and fresh rollouts from the state
            (by_action: `branches` times as many, of which those with the chosen action count).
        level: probability with which the interval covers the advantage of the chosen action
            (Newcombe's difference of Wilson intervals; conservative for rewards between 0 and
            reward_bound).
        by_action: sort rollouts by their first action instead of branching; see above.
        reward_bound: R_max, in reward units.
        numbers: of the states, by default 0, 1, ...

    Returns:
        One interval per state, in reward units; its `estimate` is NaN if the chosen action did not
        occur again (by_action alone).

    Source: the double estimator of H. van Hasselt, Double Q-learning, NIPS 2010.
    """
    check_count("branches", branches)
    check_count("screening", screening, minimum=0)
    check_count("completions", completions)
    check_positive("reward_bound", reward_bound)
    batcher = Batcher(simulator)
    ids = range(len(states)) if numbers is None else numbers
    spots = [_Spot(s, Key.of(key).child(int(i))) for i, s in zip(ids, states, strict=True)]
    sample = _after_best_action if by_action else _after_best_branch
    after = sample(batcher, spots, branches, screening, completions)
    # Rollouts of their own: those that the branch was chosen by are not independent of the choice.
    before = batcher.draw_all([spot.request("value", completions) for spot in spots])
    return [
        _difference(rewards, [r.reward for r in rollouts], level, reward_bound)
        for rewards, rollouts in zip(after, before, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Spot:
    """A state at which advantages are estimated."""

    state: State
    key: Key

    def request(self, purpose: str, count: int) -> Draw:
        return Draw(self.state, self.key.child(purpose).integers(count))


@dataclass(frozen=True, slots=True)
class _Branch:
    """A next action that was tried at a spot."""

    first: Rollout
    key: Key

    def request(self, purpose: str, count: int) -> Draw:
        """Completions after the action; none if it ended the rollout."""
        if len(self.first) < 2:
            return Draw(None, self.key.integers(0))
        return Draw(self.first.states[1], self.key.child(purpose).integers(count))


def _after_best_branch(
    batcher: Batcher, spots: list[_Spot], branches: int, screening: int, completions: int
) -> list[list[float]]:
    """Fresh rewards after the branch that did best in the screening (known if it ended there)."""
    tried = batcher.draw_all([spot.request("branch", branches) for spot in spots])
    tree = [
        _Branch(first, spot.key.child("branch", number))
        for spot, rollouts in zip(spots, tried, strict=True)
        for number, first in enumerate(rollouts)
    ]
    screened = batcher.draw_all([branch.request("screen", screening) for branch in tree])
    # The rollout that found the branch counts as one of its completions.
    scores = [
        np.mean([branch.first.reward, *(r.reward for r in rollouts)])
        for branch, rollouts in zip(tree, screened, strict=True)
    ]
    best = np.reshape(scores, (len(spots), branches)).argmax(axis=1)
    chosen = [tree[i * branches + j] for i, j in enumerate(best)]
    fresh = batcher.draw_all([branch.request("completion", completions) for branch in chosen])
    return [
        # Where the action ended the rollout its outcome is known: all completions would be that
        # (A2).
        [r.reward for r in rollouts] or [branch.first.reward] * completions
        for branch, rollouts in zip(chosen, fresh, strict=True)
    ]


def _after_best_action(
    batcher: Batcher, spots: list[_Spot], branches: int, screening: int, completions: int
) -> list[list[float]]:
    """Rewards of the fresh rollouts whose first action did best in the screening."""
    screened = batcher.draw_all(
        [spot.request("screen", branches * (1 + screening)) for spot in spots]
    )
    fresh = batcher.draw_all([spot.request("completion", branches * completions) for spot in spots])
    return [
        [r.reward for r in rollouts if r.actions[0] == best]
        for best, rollouts in zip(map(_best_first_action, screened), fresh, strict=True)
    ]


def _best_first_action(rollouts: Sequence[Rollout]) -> Hashable:
    """Largest mean, each shrunk by one rollout at the common mean: a single success is no proof."""
    common = float(np.mean([r.reward for r in rollouts]))
    # The list of an action begins with the common mean, the rollout that it is shrunk by.
    rewards: dict[Hashable, list[float]] = defaultdict(lambda: [common])
    for rollout in rollouts:
        rewards[rollout.actions[0]].append(rollout.reward)
    return max(rewards, key=lambda action: np.mean(rewards[action]))


def _difference(
    after: list[float], before: list[float], level: float, reward_bound: float
) -> Interval:
    """Newcombe's interval for a difference of means of values in [0, reward_bound]."""
    if not after:
        return Interval(math.nan, -reward_bound, reward_bound)
    q, v = (_mean_interval(rewards, level, reward_bound) for rewards in (after, before))
    return scaled(difference(q, v), reward_bound)


def _mean_interval(rewards: list[float], level: float, reward_bound: float) -> Interval:
    """Return the interval of a mean reward, in units of the reward bound."""
    if min(rewards) < 0 or max(rewards) > reward_bound:
        span = (min(rewards), max(rewards))
        raise InvalidInput("rewards", span, f"outside [0, {reward_bound}]", "set reward_bound")
    return wilson_interval(sum(rewards) / reward_bound, len(rewards), level)
