"""What can be said of improvable states without knowing the world, from rollouts alone.

Coverage p_tau, the best advantage at a state and the precision and recall of a localiser are what
T5 and T6 need to predict the worth of resets before any training. A *judge* says whether a state is
improvable: exactly where the world knows its advantages, by sampling where it does not.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput, check_count, check_positive
from cpi_theory.collecting import Account, Request, draw_index
from cpi_theory.randomness import Key
from cpi_theory.resets import FirstErrorReset
from cpi_theory.seam import (
    OracleSimulator,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
    Simulator,
    State,
)
from cpi_theory.statistics import Interval, clustered_proportion, wilson_interval

Pick = tuple[Rollout, int]
"""A visited state: a rollout and the index of one of its steps."""


class Judge(Protocol):
    """Says which visited states are improvable."""

    def improvable(
        self, simulator: Simulator, picks: Sequence[Pick], tau: float, key: Key
    ) -> NDArray[np.bool_]:
        """Whether max_a A >= tau at each picked state, shape (len(picks),)."""
        ...


@dataclass(frozen=True, slots=True)
class ExactJudge:
    """Asks a world that knows its advantages."""

    def improvable(
        self, simulator: Simulator, picks: Sequence[Pick], tau: float, key: Key
    ) -> NDArray[np.bool_]:
        """Exact answers.

        Raises:
            InvalidInput: if the simulator does not know its advantages.
        """
        if not isinstance(simulator, OracleSimulator):
            raise InvalidInput(
                "judge",
                self,
                f"{type(simulator).__name__} does not know its advantages",
                "use SampledJudge()",
            )
        best = simulator.best_advantages([rollout for rollout, _ in picks])
        return np.array([b[i] >= tau for b, (_, i) in zip(best, picks, strict=True)], dtype=bool)


@dataclass(frozen=True, slots=True)
class SampledJudge:
    """Calls a state improvable if the estimate of :func:`best_advantage_lower_bounds` reaches tau.

    Its errors blur every share counted with it; they vanish as `completions` grows, except that an
    action which no branch tried is never found.

    Attributes:
        branches, screening, completions, by_action: see :func:`best_advantage_lower_bounds`.
    """

    branches: int = 8
    screening: int = 4
    completions: int = 64
    by_action: bool = False

    def improvable(
        self, simulator: Simulator, picks: Sequence[Pick], tau: float, key: Key
    ) -> NDArray[np.bool_]:
        """Answers from (1 + screening) branches + 2 completions rollouts per state."""
        bounds = best_advantage_lower_bounds(
            simulator,
            [rollout.states[i] for rollout, i in picks],
            key,
            branches=self.branches,
            screening=self.screening,
            completions=self.completions,
            by_action=self.by_action,
        )
        return np.array([b.estimate >= tau for b in bounds], dtype=bool)


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
        level: of the interval around the advantage of the chosen action (Newcombe's difference of
            Wilson intervals; conservative for rewards between 0 and reward_bound).
        numbers: of the states, by default 0, 1, ...

    Returns:
        One interval per state, in reward units; its `estimate` is NaN if the chosen action did not
        occur again (by_action alone).
    """
    check_count("branches", branches)
    check_count("screening", screening, minimum=0)
    check_count("completions", completions)
    check_positive("reward_bound", reward_bound)
    account = Account(simulator)
    ids = range(len(states)) if numbers is None else numbers
    spots = [_Spot(s, Key.of(key).child(int(i))) for i, s in zip(ids, states, strict=True)]
    sample = _after_best_action if by_action else _after_best_branch
    after = sample(account, spots, branches, screening, completions)
    before = account.draw([spot.request("value", completions) for spot in spots])
    return [
        _difference(rewards, [r.reward for r in rollouts], level, reward_bound)
        for rewards, rollouts in zip(after, before, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class LocalizerQuality:
    """How well a reset policy finds improvable states; the inputs of T6 beside coverage.

    Attributes:
        precision: share of the states it selects that are improvable, P_{nu_w}(I_tau).
        recall: weight it gives to a visited improvable state, E_{d^pi}[w | I_tau].
        refusals: how often it named no step, by reason.
        selected: rollouts in which it selected a step.
    """

    precision: Interval
    recall: Interval
    refusals: Counter[Reason]
    selected: int


def estimate_coverage(
    simulator: Simulator,
    rollouts: Sequence[Rollout],
    tau: float,
    key: Key | int,
    *,
    judge: Judge | None = None,
    horizon: int | None = None,
    level: float = 0.95,
) -> Interval:
    """Coverage p_tau with a Wilson interval, from rollouts of the policy from its start.

    One step of each rollout is judged: steps of one rollout are not independent.

    Args:
        simulator: where the rollouts come from.
        rollouts: independent rollouts from the start.
        tau: level of the improvable set, in reward units.
        key: of the choice of steps and of the judge.
        judge: by default :class:`ExactJudge`.
        horizon: H, to count the layers that a rollout no longer reaches after its end as not
            improvable, as the bounds do; by default the share among the steps taken.
        level: of the interval.

    Raises:
        InvalidInput: if a rollout is longer than the horizon or there is none.
    """
    address, judge = Key.of(key), judge or ExactJudge()
    if not rollouts:
        raise InvalidInput("rollouts", 0, "nothing to count", "give rollouts from the start")
    if horizon is None:
        labels = _judge_steps(
            simulator, rollouts, _any_steps(rollouts, address), judge, tau, address
        )
        lengths = np.array([len(r) for r in rollouts])
        return _proportion(labels * lengths, lengths, level)
    longest = max(map(len, rollouts))
    if longest > horizon:
        raise InvalidInput("horizon", horizon, f"a rollout has {longest} steps", "give H")
    layers = address.child("layers").generator().integers(horizon, size=len(rollouts)).tolist()
    steps = [h if h < len(r) else None for h, r in zip(layers, rollouts, strict=True)]
    labels = _judge_steps(simulator, rollouts, steps, judge, tau, address)
    return wilson_interval(float(labels.sum()), len(rollouts), level)


def localizer_quality(
    simulator: Simulator,
    rollouts: Sequence[Rollout],
    tau: float,
    key: Key | int,
    *,
    reset: ResetPolicy | None = None,
    judge: Judge | None = None,
    level: float = 0.95,
) -> LocalizerQuality:
    """Precision and recall of a reset policy at level tau, to hold against coverage (T6).

    Against random resets a localiser saves (precision / p)^2 in samples and gains recall precision
    / p in guaranteed improvement: it is worth having as far as its precision exceeds p.

    Args:
        simulator: where the rollouts come from.
        rollouts: independent rollouts from the start, successes included: recall counts them.
        tau: level of the improvable set, in reward units.
        key: of the localiser, of the choice of steps and of the judge.
        reset: the reset policy to judge; by default :class:`~cpi_theory.resets.FirstErrorReset`.
        judge: by default :class:`ExactJudge`.
        level: of the intervals; one whose share cannot be estimated is [0, 1] with estimate NaN.
    """
    address, judge = Key.of(key), judge or ExactJudge()
    keys = address.child("localize").integers(len(rollouts))
    answers = (reset or FirstErrorReset()).step_weights(rollouts, simulator, keys)
    refusals = Counter(answer.reason for answer in answers if isinstance(answer, Refusal))
    weights = [None if isinstance(a, Refusal) or not a.sum() > 0 else a for a in answers]
    mass = np.array([0.0 if w is None else float(w.sum()) for w in weights])

    named = [
        None if w is None else draw_index(w, address.child("named", i))
        for i, w in enumerate(weights)
    ]
    right = _judge_steps(simulator, rollouts, named, judge, tau, address.child("precision"))

    visited = _any_steps(rollouts, address)
    improvable = _judge_steps(simulator, rollouts, visited, judge, tau, address.child("recall"))
    found = np.array(
        [0.0 if w is None or i is None else w[i] for w, i in zip(weights, visited, strict=True)]
    )
    relevant = improvable * np.array([len(r) for r in rollouts])
    return LocalizerQuality(
        precision=_proportion(right * mass, mass, level),
        recall=_proportion(found * relevant, relevant, level),
        refusals=refusals,
        selected=int(np.count_nonzero(mass)),
    )


@dataclass(frozen=True, slots=True)
class _Spot:
    """A state at which advantages are estimated."""

    state: State
    key: Key

    def request(self, purpose: str, count: int) -> Request:
        return Request(self.state, self.key.child(purpose).integers(count))


@dataclass(frozen=True, slots=True)
class _Branch:
    """A next action that was tried at a spot."""

    first: Rollout
    key: Key

    def request(self, purpose: str, count: int) -> Request:
        """Completions after the action; none if it ended the rollout."""
        if len(self.first) < 2:
            return Request(None, self.key.integers(0))
        return Request(self.first.states[1], self.key.child(purpose).integers(count))


def _after_best_branch(
    account: Account, spots: list[_Spot], branches: int, screening: int, completions: int
) -> list[list[float]]:
    """Fresh rewards after the branch that did best in the screening (known if it ended there)."""
    tried = account.draw([spot.request("branch", branches) for spot in spots])
    tree = [
        _Branch(first, spot.key.child("branch", number))
        for spot, rollouts in zip(spots, tried, strict=True)
        for number, first in enumerate(rollouts)
    ]
    screened = account.draw([branch.request("screen", screening) for branch in tree])
    scores = [
        np.mean([branch.first.reward, *(r.reward for r in rollouts)])
        for branch, rollouts in zip(tree, screened, strict=True)
    ]
    best = np.reshape(scores, (len(spots), branches)).argmax(axis=1)
    chosen = [tree[i * branches + j] for i, j in enumerate(best)]
    fresh = account.draw([branch.request("completion", completions) for branch in chosen])
    return [
        [r.reward for r in rollouts] or [branch.first.reward] * completions
        for branch, rollouts in zip(chosen, fresh, strict=True)
    ]


def _after_best_action(
    account: Account, spots: list[_Spot], branches: int, screening: int, completions: int
) -> list[list[float]]:
    """Rewards of the fresh rollouts whose first action did best in the screening."""
    screened = account.draw([spot.request("screen", branches * (1 + screening)) for spot in spots])
    fresh = account.draw([spot.request("completion", branches * completions) for spot in spots])
    return [
        [r.reward for r in rollouts if r.actions[0] == best]
        for best, rollouts in zip(map(_best_first_action, screened), fresh, strict=True)
    ]


def _best_first_action(rollouts: Sequence[Rollout]) -> Hashable:
    """Largest mean, each shrunk by one rollout at the common mean: a single success is no proof."""
    common = float(np.mean([r.reward for r in rollouts]))
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
    below = math.hypot(q.estimate - q.lower, v.upper - v.estimate)
    above = math.hypot(q.upper - q.estimate, v.estimate - v.lower)
    d = q.estimate - v.estimate
    return Interval(d * reward_bound, (d - below) * reward_bound, (d + above) * reward_bound)


def _mean_interval(rewards: list[float], level: float, reward_bound: float) -> Interval:
    """In units of the reward bound."""
    if min(rewards) < 0 or max(rewards) > reward_bound:
        span = (min(rewards), max(rewards))
        raise InvalidInput("rewards", span, f"outside [0, {reward_bound}]", "set reward_bound")
    return wilson_interval(sum(rewards) / reward_bound, len(rewards), level)


def _any_steps(rollouts: Sequence[Rollout], key: Key) -> list[int | None]:
    """One step of each rollout, uniformly; None for an empty one."""
    uniforms = key.child("steps").generator().random(len(rollouts))
    return [int(u * len(r)) if len(r) else None for u, r in zip(uniforms, rollouts, strict=True)]


def _judge_steps(
    simulator: Simulator,
    rollouts: Sequence[Rollout],
    steps: Sequence[int | None],
    judge: Judge,
    tau: float,
    key: Key,
) -> NDArray[np.bool_]:
    """The judge's answer for the given step of each rollout; False where there is none."""
    labels = np.zeros(len(rollouts), dtype=bool)
    asked = [i for i, step in enumerate(steps) if step is not None]
    picks = [(rollouts[i], step) for i, step in enumerate(steps) if step is not None]
    if picks:
        labels[asked] = judge.improvable(simulator, picks, tau, key.child("judge"))
    return labels


def _proportion(
    successes: NDArray[np.float64], trials: NDArray[np.float64], level: float
) -> Interval:
    """The clustered interval, or all of [0, 1] from fewer than two clusters."""
    if np.count_nonzero(trials) < 2:
        return Interval(math.nan, 0.0, 1.0)
    return clustered_proportion(np.minimum(successes, trials), trials, level)
