"""Reasoning trees: the matching MDP of a language model that writes a thought per step.

A problem asks for `horizon` thoughts. In each step one of `branching` actions is the right next
thought. A wrong one leaves the path; off the path the right thought of a later step finds back
with probability `recoverability`, except in the last step, whose answer stands. The outcome is 1
if the last thought is right and on the path, else 0.

With rho_h the policy's probability of the right thought and g_h the value of being on the path
over being off it before step h,

    g_H = 1,   g_{H-1} = rho_{H-1},   g_h = (1 - recoverability) rho_h g_{h+1},

the best advantage is (1 - rho_h) g_{h+1} on the path and, before the last step, `recoverability`
times as much off it. So coverage, tau and the law of the first error are known in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int, Shaped
from numpy.typing import NDArray
from scipy import sparse

from cpi_theory.checks import Exact, InvalidInput, check_count, check_in_range, check_probability
from cpi_theory.randomness import Key
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.policies import as_policy
from tabular.mdp.validation import Array
from tabular.worlds.problem import MARGIN, Problem, same_kind, scalar, zeros

_DENSE_STATES = 64


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

    right: Shaped[np.ndarray, "problems H"]
    right_actions: Int[np.ndarray, "problems H"]
    hard: Bool[np.ndarray, "problems H"]
    recoverability: Exact

    @property
    def horizon(self) -> int:
        """Number of thoughts H."""
        return self.mdp.horizon

    @cached_property
    def gaps(self) -> Shaped[np.ndarray, "problems steps"]:
        """g_h: value on the path minus value off it before step h, shape (problems, H + 1)."""
        gaps = np.ones((len(self.right), self.horizon + 1), dtype=self.right.dtype)
        for h in reversed(range(self.horizon)):
            # Nobody finds back in the last step: g_{H-1} = rho_{H-1}.
            loses = 1 if h == self.horizon - 1 else 1 - self.recoverability
            gaps[:, h] = loses * self.right[:, h] * gaps[:, h + 1]
        return gaps

    @cached_property
    def on_path(self) -> Shaped[np.ndarray, "problems steps"]:
        """P(on the path before step h | problem), shape (problems, H + 1)."""
        on = np.ones((len(self.right), self.horizon + 1), dtype=self.right.dtype)
        for h in range(self.horizon):
            back = 0 if h == self.horizon - 1 else self.recoverability
            on[:, h + 1] = self.right[:, h] * (on[:, h] + back * (1 - on[:, h]))
        return on

    @cached_property
    def off_values(self) -> Shaped[np.ndarray, "problems steps"]:
        """P(success | off the path before step h), shape (problems, H + 1)."""
        values = np.zeros((len(self.right), self.horizon + 1), dtype=self.right.dtype)
        for h in reversed(range(self.horizon - 1)):
            # The chance to find back in step h, times what the path is then worth more.
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
        return scalar(self._weights @ self.on_path[:, -1])

    @cached_property
    def best_advantages(self) -> Shaped[np.ndarray, "H S"]:
        """max_a A_h(s, a) of the base policy, shape (H, S)."""
        on = ((1 - self.right) * self.gaps[:, 1:]).T
        off = self.recoverability * on
        # The last answer stands: off the path nothing is left to gain.
        off[-1] = 0
        return np.stack([on, off], axis=2).reshape(self.horizon, -1)

    @property
    def tau(self) -> Exact:
        """Largest threshold at which every hard step on the path is improvable.

        In floats it is lower by the margin 1e-12 (relative), so that an advantage that was computed
        another way is not lost to rounding.
        """
        if not self.hard.any():
            raise InvalidInput(
                "tau", None, "the tree has no hard step", "name a threshold yourself"
            )
        least = self.best_advantages[:, ::2].T[self.hard].min()
        return scalar(least if self.mdp.exact else least * (1 - MARGIN))

    def coverage(self, tau: Exact | None = None) -> Exact:
        """Return on-policy coverage p_tau of the base policy, by default at the tree's own tau."""
        threshold = self.tau if tau is None else tau
        on = self.on_path[:, :-1].T * self._weights
        visits = np.stack([on, self._weights - on], axis=2).reshape(self.horizon, -1)
        return scalar(visits[self.best_advantages >= threshold].sum() / self.horizon)

    def first_error_law(self, failed: bool = False) -> Shaped[np.ndarray, " steps"]:
        """Return the law of the first wrong thought of a rollout from the start, shape (H + 1,).

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
        # A first error at h ends in failure unless a later step finds back.
        law[:, :-1] *= 1 - self.off_values[:, 1:]
        total = self._weights @ law
        if total.sum() == 0:
            raise InvalidInput("failed", True, "the base policy never fails", "make a step hard")
        return np.asarray(total / total.sum())

    def first_error(self, problem: int, actions: Sequence[int]) -> int | None:
        """Find the first wrong thought of a rollout of `problem`; None if all are right."""
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
    """Make problems of `horizon` thoughts of which some are hard.

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
        InvalidInput: if a parameter is out of range or the pool of facts is too small.
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
    chance, easy, recoverability, slip = same_kind(
        right_probability, easy_probability, recoverability, 0 if habit is None else habit
    )
    # Places, then facts, then right actions: another order would change the tree of every seed.
    rng = Key.of(seed).child("reasoning tree").generator()
    hard = _place_hard_steps(rng, problems, horizon, hard_steps, hard_within)
    asked, pool = _choose_facts(rng, hard, facts)
    right_of_fact = rng.integers(branching, size=pool)
    right = zeros(hard.shape, chance)
    right[hard], right[~hard] = chance, easy
    start = zeros(problems, chance)
    start[:] = (chance * 0 + 1) / problems
    observations = observe(asked, pool, shared)
    return build_tree(
        right,
        right_of_fact[asked],
        hard,
        recoverability,
        start,
        branching,
        None if habit is None else slip,
        observations,
    )


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
            check_count("hard_steps", step, 0)
            check_in_range("hard_steps", step, 0, horizon - 1)
            hard[:, step] = True
        return hard
    room = horizon if within is None else within
    check_count("hard_within", room)
    check_count("hard_steps", hard_steps, 0)
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
    if facts < horizon:
        raise InvalidInput(
            "facts", facts, f"fewer than the {horizon} steps of a problem", "add facts"
        )
    hard_pool = round(facts * count / horizon)  # at least count, as facts >= horizon
    asked = np.empty(hard.shape, dtype=np.int64)
    for row, is_hard in zip(asked, hard, strict=True):
        row[is_hard] = rng.choice(hard_pool, size=count, replace=False)
        easy = rng.choice(facts - hard_pool, size=horizon - count, replace=False)
        row[~is_hard] = hard_pool + easy
    return asked, facts


def observe(asked: NDArray[np.int64], pool: int, shared: bool) -> NDArray[np.int64]:
    """Number the observation of each (h, s): the fact, and off the path perhaps a copy of it."""
    off = asked if shared else asked + pool
    return np.stack([asked.T, off.T], axis=2).reshape(asked.shape[1], -1)


def build_tree(
    right: Array,
    right_actions: NDArray[np.int64],
    hard: NDArray[np.bool_],
    recoverability: Exact,
    start: Array,
    branching: int,
    habit: Exact | None,
    observations: NDArray[np.int64],
) -> ReasoningTree:
    """Build the tree of given chances rho and right actions, both of shape (problems, H)."""
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
    # Actions counted from the right one on: 0 is right, 1 the habitual wrong one.
    turned = (np.arange(branching) - right_actions[:, :, None]) % branching
    rows = (1 - right)[:, :, None] * share[turned]
    rows[turned == 0] = right.reshape(-1)
    return np.asarray(rows.swapaxes(0, 1))


def _tables(lands: Array) -> object:
    """Transitions from P(on the path afterwards), shape (H, problems, 2, A)."""
    horizon, problems, _, branching = lands.shape
    states = 2 * problems
    on = lands.reshape(horizon, states, branching)
    # The state on the path of the problem that each state belongs to.
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
