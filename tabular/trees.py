"""Reasoning trees: the tabular twin of a language model that writes one thought per step.

A problem asks for `horizon` thoughts. In each step one of `branching` actions is the right next
thought. A wrong one leaves the path; off the path the right thought of a later step finds back
with probability `recoverability`, except in the last step, whose answer stands. The outcome is 1
if the last thought is right and on the path, else 0.

With rho_h the policy's probability of the right thought and g_h the value of being on the path
over being off it before step h,

    g_H = 1,   g_{H-1} = rho_{H-1},   g_h = (1 - recoverability) rho_h g_{h+1},

the best advantage is (1 - rho_h) g_{h+1} on the path and, before the last step, `recoverability`
times as much off it. So coverage, level and the law of the first error are known in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpi_theory.checks import (
    Exact,
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)
from cpi_theory.randomness import Key
from tabular.mdp import FiniteHorizonMDP, as_policy
from tabular.validation import Array

_DENSE_STATES = 64
_HAIR = 1e-12
"""Relative margin by which float levels are kept clear of rounding."""


@dataclass(frozen=True, eq=False)
class Problem:
    """An MDP with the policy to improve: what a warm-started model is to its task.

    Attributes:
        mdp: the world.
        policy: the base policy, shape (H, S, A), or (S, A) for a discounted MDP.
    """

    mdp: FiniteHorizonMDP
    policy: Array


@dataclass(frozen=True, eq=False)
class ReasoningTree(Problem):
    """A reasoning tree with its base policy and the closed forms of that policy.

    State 2 i is "problem i, on the path", state 2 i + 1 "problem i, off the path".

    Attributes:
        right: rho, the base policy's probability of the right action, shape (problems, H).
        right_actions: index of the right action, shape (problems, H).
        hard: which steps are hard, bool (problems, H).
        recoverability: probability that a right thought off the path finds back.
    """

    right: Array
    right_actions: NDArray[np.int64]
    hard: NDArray[np.bool_]
    recoverability: Exact

    @property
    def horizon(self) -> int:
        """Number of thoughts H."""
        return self.mdp.horizon

    @cached_property
    def gaps(self) -> Array:
        """g_h: value on the path minus value off it before step h, shape (problems, H + 1)."""
        gaps = np.ones((len(self.right), self.horizon + 1), dtype=self.right.dtype)
        for h in reversed(range(self.horizon)):
            loses = 1 if h == self.horizon - 1 else 1 - self.recoverability
            gaps[:, h] = loses * self.right[:, h] * gaps[:, h + 1]
        return gaps

    @cached_property
    def on_path(self) -> Array:
        """P(on the path before step h | problem), shape (problems, H + 1)."""
        on = np.ones((len(self.right), self.horizon + 1), dtype=self.right.dtype)
        for h in range(self.horizon):
            back = 0 if h == self.horizon - 1 else self.recoverability
            on[:, h + 1] = self.right[:, h] * (on[:, h] + back * (1 - on[:, h]))
        return on

    @cached_property
    def off_values(self) -> Array:
        """P(success | off the path before step h), shape (problems, H + 1)."""
        values = np.zeros((len(self.right), self.horizon + 1), dtype=self.right.dtype)
        for h in reversed(range(self.horizon - 1)):
            found = self.recoverability * self.right[:, h] * self.gaps[:, h + 1]
            values[:, h] = values[:, h + 1] + found
        return values

    @property
    def _weights(self) -> Array:
        """Probability of each problem."""
        return self.mdp.start[::2]

    @property
    def base_pass(self) -> Exact:
        """P(success) of the base policy: its J."""
        return _scalar(self._weights @ self.on_path[:, -1])

    @cached_property
    def best_advantages(self) -> Array:
        """max_a A_h(s, a) of the base policy, shape (H, S)."""
        on = ((1 - self.right) * self.gaps[:, 1:]).T
        off = self.recoverability * on
        off[-1] = 0
        return np.stack([on, off], axis=2).reshape(self.horizon, -1)

    @property
    def tau(self) -> Exact:
        """Largest level at which every hard step on the path is improvable.

        In floats a hair (1e-12, relative) lower, so that an advantage that was computed another
        way is not lost to rounding.
        """
        if not self.hard.any():
            raise InvalidInput("tau", None, "the tree has no hard step", "name a level yourself")
        least = self.best_advantages[:, ::2].T[self.hard].min()
        return _scalar(least if self.mdp.exact else least * (1 - _HAIR))

    def coverage(self, tau: Exact | None = None) -> Exact:
        """On-policy coverage p_tau of the base policy, by default at the tree's own level."""
        level = self.tau if tau is None else tau
        on = self.on_path[:, :-1].T * self._weights
        visits = np.stack([on, self._weights - on], axis=2).reshape(self.horizon, -1)
        return _scalar(visits[self.best_advantages >= level].sum() / self.horizon)

    def first_error_law(self, failed: bool = False) -> Array:
        """Law of the first wrong thought of a rollout from the start, shape (H + 1,).

        Entry h < H is the probability that step h is the first error, entry H that there is
        none. With `failed` the law is that of a failed rollout, whose last entry is 0.

        Raises:
            InvalidInput: with `failed`, if the base policy never fails.
        """
        reach = np.cumprod(self.right, axis=1)
        before = np.concatenate([np.ones_like(reach[:, :1]), reach], axis=1)
        law = np.concatenate([before[:, :-1] * (1 - self.right), before[:, -1:]], axis=1)
        if not failed:
            return np.asarray(self._weights @ law)
        law[:, -1] = 0
        law[:, :-1] *= 1 - self.off_values[:, 1:]
        total = self._weights @ law
        if total.sum() == 0:
            raise InvalidInput("failed", True, "the base policy never fails", "make a step hard")
        return np.asarray(total / total.sum())

    def first_error(self, problem: int, actions: Sequence[int]) -> int | None:
        """The first wrong thought of a rollout of `problem` from the start; None if all right."""
        wrong = np.asarray(actions) != self.right_actions[problem, : len(actions)]
        return int(np.argmax(wrong)) if wrong.any() else None


def reasoning_tree(
    horizon: int = 10,
    branching: int = 4,
    hard_steps: int | Sequence[int] = 2,
    right_probability: Exact = 0.3,
    easy_probability: Exact = 0.99,
    recoverability: Exact = 0.0,
    *,
    problems: int = 1,
    facts: int | None = None,
    hard_within: int | None = None,
    habit: Exact | None = None,
    shared: bool = True,
    seed: int | Key = 0,
) -> ReasoningTree:
    """Problems of `horizon` thoughts of which some are hard.

    Args:
        horizon: thoughts per problem H.
        branching: actions per thought, at least 2.
        hard_steps: how many steps are hard, their places drawn for each problem; or the places.
        right_probability: the base policy's chance of the right thought in a hard step.
        easy_probability: the same in any other step.
        recoverability: chance that a right thought off the path finds back.
        problems: number of problems, all equally likely.
        facts: size of a pool of facts that the problems share: each step asks for one fact, and
            a policy's choice there depends on the fact alone. The pool has hard and easy facts
            in the problems' proportion. None gives every step of every problem its own fact.
        hard_within: hard steps are drawn among the first so many steps; None: among all.
        habit: share of the wrong probability that falls on one habitual wrong action of the
            fact; None spreads it evenly.
        shared: whether a step asks for its fact on and off the path alike; otherwise what is
            learnt off the path has parameters of its own.
        seed: of places, facts and right actions.

    Returns:
        The tree; exact if a probability is given as a fraction.

    Raises:
        InvalidInput: if a dial is out of range or the pool of facts is too small.
    """
    for field, count, least in (
        ("horizon", horizon, 1),
        ("branching", branching, 2),
        ("problems", problems, 1),
    ):
        check_count(field, count, least)
    for field, value in (
        ("right_probability", right_probability),
        ("easy_probability", easy_probability),
        ("recoverability", recoverability),
        ("habit", 0 if habit is None else habit),
    ):
        check_probability(field, value)
    chance, easy, recoverability = same_kind(right_probability, easy_probability, recoverability)
    rng = Key.of(seed).child("reasoning tree").generator()
    hard = _place_hard_steps(rng, problems, horizon, hard_steps, hard_within)
    asked, pool = _choose_facts(rng, hard, facts)
    right_of_fact = rng.integers(branching, size=pool)
    right = zeros(hard.shape, chance)
    right[hard], right[~hard] = chance, easy
    start = zeros(problems, chance)
    start[:] = (chance * 0 + 1) / problems
    observations = _observe(asked, pool, shared)
    return _build(
        right, right_of_fact[asked], hard, recoverability, start, branching, habit, observations
    )


def calibrated_tree(
    horizon: int,
    branching: int,
    coverage: Exact,
    tau: Exact,
    recoverability: Exact = 0.0,
    *,
    place: str = "last",
    seed: int | Key = 0,
) -> ReasoningTree:
    """A reasoning tree whose coverage at level `tau` is exactly `coverage`.

    Every hard step on the path has best advantage `tau`: rho_h = 1 - tau / g_{h+1} (in floats a
    hair more, so that rounding does not lose it). There are as few hard steps as reach the
    coverage; a second problem without hard steps dilutes them to it. Other steps are
    always right.

    Args:
        horizon: thoughts per problem H.
        branching: actions per thought, at least 2.
        coverage: p in (0, 1].
        tau: level in (0, 1).
        recoverability: chance that a right thought off the path finds back, below 1.
        place: whether the hard steps are the "first" or the "last" ones, which sets how much
            horizon remains after them.
        seed: of the right actions.

    Returns:
        The tree; exact if `coverage`, `tau` or `recoverability` is a fraction.

    Raises:
        InvalidInput: if no tree of this horizon has so much coverage at this level.
    """
    check_count("horizon", horizon)
    check_count("branching", branching, 2)
    check_positive("coverage", coverage)
    check_positive("tau", tau)
    check_in_range("recoverability", recoverability, 0, 1)
    if place not in ("first", "last"):
        raise InvalidInput("place", place, "unknown", "choose first or last")
    coverage, level, recoverability = same_kind(coverage, tau, recoverability)
    chain, reached = _hardest_chain(
        horizon, coverage, clear_of_rounding(level), recoverability, place
    )
    right = np.stack([chain, np.ones_like(chain)])
    hard = np.stack([chain != 1, np.zeros(horizon, dtype=bool)]).astype(bool)
    start = np.array([coverage / reached, 1 - coverage / reached], dtype=right.dtype)
    rng = Key.of(seed).child("calibrated tree").generator()
    actions = rng.integers(branching, size=hard.shape)
    observations = _observe(np.arange(hard.size).reshape(hard.shape), hard.size, True)
    return _build(right, actions, hard, recoverability, start, branching, None, observations)


def _hardest_chain(
    horizon: int, coverage: Exact, tau: Exact, recoverability: Exact, place: str
) -> tuple[Array, Exact]:
    """rho of the chain with the fewest hard steps that reach `coverage`, and what it has."""
    most = coverage * 0
    for count in range(1, horizon + 1):
        hard = range(count) if place == "first" else range(horizon - count, horizon)
        right = _level_chain(horizon, hard, tau, recoverability)
        if right is None:
            break
        reached = _hard_visits(right, hard, recoverability) / horizon
        if reached >= coverage:
            return right, reached
        most = max(most, reached)
    raise InvalidInput(
        "coverage",
        coverage,
        f"a tree of {horizon} steps has at most {float(most):.6g} at level {float(tau):.6g}",
        "lower coverage, tau or recoverability",
    )


def _level_chain(horizon: int, hard: range, tau: Exact, recoverability: Exact) -> Array | None:
    """rho such that every hard step has best advantage `tau`; None if there is no such chain."""
    right = zeros(horizon, tau) + 1
    gap = right[0]
    for h in reversed(range(horizon)):
        if h in hard:
            if gap <= tau:
                return None
            right[h] = 1 - tau / gap
        gap = right[h] * gap * (1 if h == horizon - 1 else 1 - recoverability)
    return right


def _hard_visits(right: Array, hard: range, recoverability: Exact) -> Exact:
    """Expected number of hard steps met on the path in one rollout."""
    on, visits = right[0] * 0 + 1, right[0] * 0
    for h, rho in enumerate(right):
        visits += on if h in hard else 0
        on = rho * (on + recoverability * (1 - on))
    return _scalar(visits)


def same_kind(*dials: Exact) -> tuple[Exact, ...]:
    """The dials as fractions if one of them is a fraction, else as floats.

    A float among fractions would spoil exactness silently: their sum is a float.
    """
    exact = any(isinstance(dial, Fraction) for dial in dials)
    return tuple(Fraction(dial) if exact else float(dial) for dial in dials)


def clear_of_rounding(level: Exact) -> Exact:
    """The level itself if exact, else a hair above it."""
    return level if isinstance(level, Fraction) else level * (1 + _HAIR)


def zeros(shape: int | tuple[int, ...], like: Exact) -> Array:
    """Zeros that may hold numbers like `like`: fractions or floats."""
    exact = isinstance(like, Fraction)
    return np.full(shape, Fraction(0) if exact else 0.0, dtype=object if exact else np.float64)


def _scalar(number: Any) -> Exact:
    return number if isinstance(number, Fraction) else float(number)


def _place_hard_steps(
    rng: np.random.Generator,
    problems: int,
    horizon: int,
    hard_steps: int | Sequence[int],
    within: int | None,
) -> NDArray[np.bool_]:
    hard = np.zeros((problems, horizon), dtype=bool)
    if isinstance(hard_steps, Sequence):
        for step in hard_steps:
            check_in_range("hard_steps", step, 0, horizon - 1)
            hard[:, step] = True
        return hard
    room = horizon if within is None else within
    check_in_range("hard_within", room, 1, horizon)
    check_in_range("hard_steps", hard_steps, 0, room)
    for row in hard:
        row[rng.choice(room, size=hard_steps, replace=False)] = True
    return hard


def _choose_facts(
    rng: np.random.Generator, hard: NDArray[np.bool_], facts: int | None
) -> tuple[NDArray[np.int64], int]:
    """Which fact each step asks for, (problems, H), and how many facts there are."""
    if facts is None:
        return np.arange(hard.size).reshape(hard.shape), hard.size
    check_count("facts", facts)
    count, horizon = int(hard[0].sum()), hard.shape[1]
    hard_pool = min(max(count, round(facts * count / horizon)), facts - (horizon - count))
    if hard_pool < count:
        raise InvalidInput(
            "facts", facts, f"fewer than the {horizon} steps of a problem", "add facts"
        )
    asked = np.empty(hard.shape, dtype=np.int64)
    for row, is_hard in zip(asked, hard, strict=True):
        row[is_hard] = rng.choice(hard_pool, size=count, replace=False)
        easy = rng.choice(facts - hard_pool, size=horizon - count, replace=False)
        row[~is_hard] = hard_pool + easy
    return asked, facts


def _observe(asked: NDArray[np.int64], pool: int, shared: bool) -> NDArray[np.int64]:
    """Observation of each (h, s): the fact, and off the path perhaps a copy of it."""
    off = asked if shared else asked + pool
    return np.stack([asked.T, off.T], axis=2).reshape(asked.shape[1], -1)


def _build(
    right: Array,
    right_actions: NDArray[np.int64],
    hard: NDArray[np.bool_],
    recoverability: Exact,
    start: Array,
    branching: int,
    habit: Exact | None,
    observations: NDArray[np.int64],
) -> ReasoningTree:
    problems, horizon = right.shape
    is_right = right_actions.T[:, :, None] == np.arange(branching)  # (H, problems, A)
    lands = np.zeros((horizon, problems, 2, branching), dtype=right.dtype)
    lands[:, :, 0][is_right] = 1
    lands[:, :, 1][is_right] = recoverability
    rewards = np.zeros((horizon, 2 * problems, branching), dtype=right.dtype)
    rewards[-1, ::2][is_right[-1]] = 1
    first = np.zeros(2 * problems, dtype=right.dtype)
    first[::2] = start
    mdp = FiniteHorizonMDP(
        _tables(lands), rewards, first, horizon, observations=observations, name="reasoning tree"
    )
    rows = _spread(right, right_actions, branching, habit)
    policy = as_policy(mdp, np.repeat(rows, 2, axis=1))
    return ReasoningTree(mdp, policy, right, right_actions, hard, recoverability)


def _spread(
    right: Array, right_actions: NDArray[np.int64], branching: int, habit: Exact | None
) -> Array:
    """Action probabilities given rho, shape (H, problems, A)."""
    one = Fraction(1) if right.dtype == object else 1.0
    even = one / (branching - 1)
    share = np.full(branching, even, dtype=right.dtype)
    if habit is not None and branching > 2:
        share[1:] = (one - habit) / (branching - 2)
        share[1] = habit
    share[0] = 0
    turned = (np.arange(branching) - right_actions[:, :, None]) % branching
    rows = (1 - right)[:, :, None] * share[turned]
    rows[turned == 0] = right.reshape(-1)
    return rows.swapaxes(0, 1)


def _tables(lands: Array) -> object:
    """Transitions from P(on the path afterwards), shape (H, problems, 2, A)."""
    horizon, problems, _, branching = lands.shape
    states = 2 * problems
    on = lands.reshape(horizon, states, branching)
    home = np.arange(states) // 2 * 2
    if states <= _DENSE_STATES or lands.dtype == object:
        tables = np.zeros((horizon, states, branching, states), dtype=lands.dtype)
        tables[:, np.arange(states), :, home] = on.swapaxes(0, 1)
        tables[:, np.arange(states), :, home + 1] = 1 - on.swapaxes(0, 1)
        return tables
    columns = np.repeat(home, branching)
    rows = np.arange(states * branching)
    shape = (states * branching, states)
    return [
        sparse.csr_array((layer.reshape(-1), (rows, columns)), shape=shape)
        + sparse.csr_array((1 - layer.reshape(-1), (rows, columns + 1)), shape=shape)
        for layer in on
    ]
