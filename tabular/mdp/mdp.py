"""Finite MDPs: layered with a finite horizon, or stationary and discounted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from cpi_theory.checks import Exact, InvalidInput, check_count, check_in_range, check_positive
from tabular.mdp.text import describe, pretty_lines
from tabular.mdp.validation import (
    Array,
    as_numbers,
    as_observations,
    as_terminal,
    canonical_transitions,
    check_distributions,
    check_ends,
    check_finite,
    check_kernels,
    check_returns,
    check_shape,
    holds_fractions,
    is_exact,
    return_range,
    surely_inside,
)

Transitions = Any
"""Dense (H, S, A, S) or (S, A, S), a scipy sparse (S * A, S), or H sparse ones."""

_RESCALE = "raise reward_bound, or shift and scale the rewards with tabular.rescale"


class _Tables:
    """What the tables of either kind of MDP say about themselves."""

    transitions: Transitions
    rewards: Array
    name: str

    def _set(self, **values: Any) -> None:
        for field, value in values.items():
            # The one way to complete a frozen dataclass.
            object.__setattr__(self, field, value)

    def _asks_for_fractions(self) -> bool:
        tables = ("transitions", "rewards", "start")
        return any(holds_fractions(field, getattr(self, field)) for field in tables)

    def __repr__(self) -> str:
        title = type(self).__name__ + (f" {self.name!r}" if self.name else "")
        return describe(self, title, {}, {})

    _repr_pretty_ = pretty_lines

    @property
    def states(self) -> int:
        """Number of states S."""
        return int(self.rewards.shape[-2])

    @property
    def actions(self) -> int:
        """Number of actions A."""
        return int(self.rewards.shape[-1])

    @property
    def sparse(self) -> bool:
        """Whether transitions are held as csr matrices."""
        return not isinstance(self.transitions, np.ndarray)

    @property
    def exact(self) -> bool:
        """Whether the tables hold fractions."""
        return is_exact(self.rewards)


@dataclass(frozen=True)
class RewardScaling:
    """How an MDP's rewards were made from the original ones: r' = scale * (r + shift).

    Attributes:
        shift: added to every reward of every step, in original units.
        scale: factor applied afterwards.
        horizon: steps that a value from the start sums over: H, or 1 / (1 - gamma).
    """

    shift: float = 0.0
    scale: float = 1.0
    horizon: float = 0.0

    def original(self, value: Any, step: int = 0) -> Any:
        """Turn a value (number or array) at step `step` into original reward units.

        In a discounted MDP every state has all its steps ahead, so that `step` stays 0.
        """
        # H - step shifts were added from this step on.
        return value / self.scale - self.shift * (self.horizon - step)

    def scaled(self, value: Any, step: int = 0) -> Any:
        """Invert :meth:`original`."""
        return self.scale * (value + self.shift * (self.horizon - step))


@dataclass(frozen=True, eq=False, repr=False)
class FiniteHorizonMDP(_Tables):
    """A finite MDP with layers h = 0..H-1, states 0..S-1 and actions 0..A-1.

    Every return-to-go must lie in [0, reward_bound] under every policy, the standing assumption
    of the bounds; this is checked by backward induction. Arrays are copied, canonical and
    read-only. If any table holds fractions the whole MDP is exact: no rounding, no tolerance.

    Attributes:
        transitions: P_h(s' | s, a): dense (H, S, A, S), or (S, A, S) for all layers; or scipy
            sparse with shape (S * A, S), row s * A + a, for all layers; or a sequence of H such.
        rewards: expected reward r_h(s, a), shape (H, S, A) or (S, A).
        start: distribution of the first state, shape (S,).
        horizon: number of layers H, at least 1.
        reward_bound: R_max, in reward units.
        terminal: shape (S,) bool: absorbing states without reward; a rollout ends on entering
            one. None means none.
        observations: int (H, S) or (S,): what a policy may condition on. States with one
            observation share one action choice. None gives every (h, s) its own.
        name: human-readable label.
        scaling: how `rewards` were made from the original ones, if they were.

    Raises:
        InvalidInput: naming the first offending row, its value and the remedy.
    """

    transitions: Transitions
    rewards: Array
    start: Array
    horizon: int
    reward_bound: Exact = 1.0
    terminal: Any = None
    observations: Any = None
    name: str = ""
    scaling: RewardScaling = RewardScaling()

    def __post_init__(self) -> None:
        check_count("horizon", self.horizon)
        check_positive("reward_bound", self.reward_bound)
        exact = self._asks_for_fractions()
        self._set(horizon=int(self.horizon), reward_bound=_number(self.reward_bound, exact))
        # Rewards first: their shape says what S and A are, which transitions are held against.
        self._set(rewards=as_numbers("rewards", self.rewards, exact))
        self._set(
            transitions=canonical_transitions(self.transitions, self.rewards, self.horizon, exact)
        )
        self._set(start=as_numbers("start", self.start, exact))
        self._check_tables()
        self._set(terminal=as_terminal(self.terminal, self.states))
        self._set(observations=as_observations(self.observations, self.horizon, self.states))
        self._check_terminal()
        self._check_returns()

    @property
    def stationary(self) -> bool:
        """Whether one transition table serves every layer."""
        if isinstance(self.transitions, np.ndarray):
            return self.transitions.ndim == 3
        return not isinstance(self.transitions, tuple)

    @cached_property
    def observation_count(self) -> int:
        """Number of observations O; they are 0..O-1."""
        return int(self.observations.max()) + 1

    def kernel(self, step: int) -> Any:
        """Return one layer's transitions: dense (S, A, S), or csr (S * A, S), row s * A + a."""
        return self.transitions if self.stationary else self.transitions[step]

    def reward(self, step: int) -> Array:
        """Return the expected rewards of one layer, shape (S, A)."""
        return self.rewards if self.rewards.ndim == 2 else self.rewards[step]

    def _check_tables(self) -> None:
        states, actions = self.states, self.actions
        if states < 1 or actions < 1:
            raise InvalidInput("rewards shape", self.rewards.shape, "is empty", "give states")
        allowed = [(states, actions), (self.horizon, states, actions)]
        check_shape("rewards", self.rewards.shape, allowed)
        check_finite("rewards", self.rewards, ("h", "s", "a")[-self.rewards.ndim :])
        check_shape("start", self.start.shape, [(states,)])
        check_distributions("start", self.start, ())
        check_kernels(self.transitions, actions)

    def _check_terminal(self) -> None:
        if not self.terminal.any():
            return
        ends = np.flatnonzero(self.terminal)
        # One layer stands for all where neither transitions nor rewards depend on it.
        for h in range(1 if self.stationary and self.rewards.ndim == 2 else self.horizon):
            check_ends(h, ends, self.kernel(h), self.reward(h))

    def _check_returns(self) -> None:
        if surely_inside(self.rewards, self.horizon, self.reward_bound):
            return
        lowest, highest = return_range(self.transitions, self.rewards, self.horizon)
        check_returns(lowest, highest, self.reward_bound, _RESCALE)


@dataclass(frozen=True, eq=False, repr=False)
class DiscountedMDP(_Tables):
    """A stationary MDP whose values V(s) = E sum_t gamma^t r_t lie in [0, reward_bound].

    Attributes:
        transitions: P(s' | s, a): dense (S, A, S) or scipy sparse (S * A, S), row s * A + a.
        rewards: expected reward r(s, a), shape (S, A).
        start: distribution of the first state, shape (S,).
        discount: gamma in [0, 1).
        reward_bound: R_max, a bound of V in reward units; None takes the largest reward divided
            by 1 - gamma.
        name: human-readable label.
        scaling: how `rewards` were made from the original ones, if they were.

    Raises:
        InvalidInput: naming the first offending row, its value and the remedy.
    """

    transitions: Transitions
    rewards: Array
    start: Array
    discount: Exact
    reward_bound: Any = None
    name: str = ""
    scaling: RewardScaling = RewardScaling()

    def __post_init__(self) -> None:
        check_in_range("discount", self.discount, 0, 1)
        if self.discount == 1:
            raise InvalidInput("discount", 1, "values may diverge", "use FiniteHorizonMDP")
        exact = self._asks_for_fractions()
        self._set(discount=_number(self.discount, exact))
        self._set(rewards=as_numbers("rewards", self.rewards, exact))
        self._set(transitions=canonical_transitions(self.transitions, self.rewards, None, exact))
        self._set(start=as_numbers("start", self.start, exact))
        self._check_tables()
        self._check_values()

    def kernel(self, step: int = 0) -> Any:
        """Return the transitions: dense (S, A, S), or csr (S * A, S) with row s * A + a."""
        return self.transitions

    def reward(self, step: int = 0) -> Array:
        """Return the expected rewards, shape (S, A)."""
        return self.rewards

    def _check_tables(self) -> None:
        states, actions = self.states, self.actions
        check_shape("rewards", self.rewards.shape, [(states, actions)])
        check_finite("rewards", self.rewards, ("s", "a"))
        check_shape("start", self.start.shape, [(states,)])
        check_distributions("start", self.start, ())
        check_kernels(self.transitions, actions)

    def _check_values(self) -> None:
        largest = self.rewards.max() / (1 - self.discount)
        if self.reward_bound is None:
            self._set(reward_bound=largest if largest > 0 else largest * 0 + 1)
        check_positive("reward_bound", _number(self.reward_bound, self.exact))
        self._set(reward_bound=_number(self.reward_bound, self.exact))
        if self.rewards.min() >= 0 and largest <= self.reward_bound:
            return
        check_returns(*_discounted_range(self), self.reward_bound, _RESCALE)


def _number(value: Exact, exact: bool) -> Exact:
    return Fraction(value) if exact else float(value)


def _discounted_range(mdp: DiscountedMDP) -> tuple[Array, Array]:
    """Least and greatest value of any policy, shape (S,), by value iteration in floats."""
    discount, reward = float(mdp.discount), mdp.rewards.astype(np.float64)
    flat = mdp.transitions if mdp.sparse else mdp.transitions.reshape(-1, mdp.states)
    flat = flat if mdp.sparse else flat.astype(np.float64)
    # Column 0 takes the worst action everywhere, column 1 the best; one product serves both.
    values = np.zeros((mdp.states, 2))
    # Values are then within a tenth of the tolerance of `check_returns`.
    tolerance = 1e-10 * max(1.0, float(mdp.reward_bound)) * (1 - discount)
    for _ in range(10_000_000):
        q = reward[..., None] + discount * (flat @ values).reshape(*reward.shape, 2)
        new = np.stack([q[..., 0].min(axis=1), q[..., 1].max(axis=1)], axis=1)
        change, values = np.abs(new - values).max(), new
        if change <= tolerance:
            break
    return values[:, 0], values[:, 1]
