"""Optimal values, certified: the result says how far it can be from the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from jaxtyping import Shaped

from cpi_theory.checks import InvalidInput, check_positive
from tabular.evaluation.discounted import evaluate_discounted
from tabular.evaluation.linear import ChainSystem, rounding
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.operators import csr_tables, pull
from tabular.mdp.policies import deterministic_policy
from tabular.mdp.validation import Array

_SHRINK = 0.05
"""How far the sweeps of one policy push the span down before the next greedy sweep."""
_MOST_SWEEPS = 10_000


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimal values and a policy that is greedy for them.

    Without an axis H for a discounted MDP. Exact on an exact MDP.

    Attributes:
        value: expected optimal return from the start distribution, in reward units.
        values: V*_h(s), shape (H, S).
        q_values: Q*_h(s, a), shape (H, S, A).
        policy: deterministic, as one-hot rows, shape (H, S, A).
        error_bound: sup-norm bound of the error of `values`, rounding included for a discounted
            MDP; 0 for a finite horizon, where backward induction only rounds.
        greedy_sweeps: passes over all transitions that a discounted solve took.
    """

    value: Any
    values: Shaped[np.ndarray, "*layers S"]
    q_values: Shaped[np.ndarray, "*layers S A"]
    policy: Shaped[np.ndarray, "*layers S A"]
    error_bound: float = 0.0
    greedy_sweeps: int = 0

    def __post_init__(self) -> None:
        for table in (self.values, self.q_values):
            table.setflags(write=False)


def solve(mdp: FiniteHorizonMDP | DiscountedMDP, accuracy: float = 1e-9) -> Solution:
    """Compute optimal values: backward induction, or certified policy iteration if discounted.

    A discounted solve stops on the span of the Bellman residual, moves the values to the middle
    of what they can be, and certifies them by the sup-norm residual of one more sweep, so the
    values themselves are right and not just up to a constant.

    Args:
        mdp: dense, sparse or exact.
        accuracy: sup-norm error that discounted values may have, in reward units.

    Raises:
        InvalidInput: if `accuracy` is not positive, or finer than rounding allows.

    Source: M. L. Puterman, Markov Decision Processes, https://doi.org/10.1002/9780470316887,
        chapters 4 and 6 (modified policy iteration, stopped on the span).
    """
    check_positive("accuracy", accuracy)
    if isinstance(mdp, FiniteHorizonMDP):
        return _backward_induction(mdp)
    if mdp.exact:
        return _policy_iteration(mdp)
    _check_attainable(mdp, accuracy)
    return _modified_policy_iteration(mdp, accuracy)


def _backward_induction(mdp: FiniteHorizonMDP) -> Solution:
    shape = (mdp.horizon, mdp.states, mdp.actions)
    q_values = np.empty(shape, dtype=mdp.rewards.dtype)
    ahead = np.zeros(mdp.states, dtype=mdp.rewards.dtype)
    for h in reversed(range(mdp.horizon)):
        q_values[h] = mdp.reward(h) + pull(mdp, h, ahead)
        ahead = q_values[h].max(axis=1)
    return _solution(mdp, q_values)


def _solution(mdp: FiniteHorizonMDP | DiscountedMDP, q_values: Array) -> Solution:
    values = q_values.max(axis=-1)
    first = values if values.ndim == 1 else values[0]
    value = mdp.start @ first
    # argmax takes the first of equals, so ties go to the lowest action.
    policy = deterministic_policy(mdp, q_values.argmax(axis=-1))
    return Solution(value if mdp.exact else float(value), values, q_values, policy)


def _policy_iteration(mdp: DiscountedMDP) -> Solution:
    """Exact: stops when no action is better than the policy's own."""
    choice = mdp.rewards.argmax(axis=1)
    sweeps = 0
    while True:
        sweeps += 1
        evaluation = evaluate_discounted(mdp, deterministic_policy(mdp, choice))
        better = np.asarray(evaluation.best_advantages > 0, dtype=bool)
        if not better.any():
            return replace(_solution(mdp, evaluation.q_values.copy()), greedy_sweeps=sweeps)
        # Only where an action is strictly better: switching among equals could go on for ever.
        choice = np.where(better, evaluation.advantages.argmax(axis=1), choice)


def _check_attainable(mdp: DiscountedMDP, accuracy: float) -> None:
    attainable = 4 * _rounding(mdp, _largest_value(mdp))
    if accuracy < attainable:
        raise InvalidInput(
            "accuracy",
            accuracy,
            f"rounding alone may cost {attainable:.2g}",
            f"choose at least {attainable:.2g}",
        )


def _largest_value(mdp: DiscountedMDP) -> float:
    return float(np.abs(mdp.rewards).max() / (1 - mdp.discount))


def _rounding(mdp: DiscountedMDP, largest: float) -> float:
    """What rounding in a Bellman sweep of values up to `largest` can add to their error."""
    terms = mdp.states if not mdp.sparse else int(np.diff(mdp.transitions.indptr).max())
    slack = rounding(terms, sequential=mdp.sparse)
    return float(slack * largest / (1 - mdp.discount))


class _Tables(Protocol):
    """Bellman sweeps over one kind of table."""

    def greedy(self, values: Array, choice: Array) -> tuple[Array, float, float, bool]:
        """T values, the least and greatest change, whether `choice` (updated) changed."""

    def follow(self, choice: Array, values: Array, enough: float) -> Array:
        """Values of the policy `choice`, up to a constant and `enough`."""

    def q_values(self, values: Array) -> Array:
        """r + gamma P values, shape (S, A)."""


def _modified_policy_iteration(mdp: DiscountedMDP, accuracy: float) -> Solution:
    tables: _Tables = _SparseTables(mdp) if mdp.sparse else _DenseTables(mdp)
    factor = float(mdp.discount / (1 - mdp.discount))
    # MacQueen's interval is factor * span wide; what rounding may cost is taken off first.
    target = (accuracy - _rounding(mdp, _largest_value(mdp))) / factor if factor > 0 else np.inf
    # No action is -1, so the first greedy sweep counts as a change.
    values, choice = mdp.rewards.max(axis=1), np.full(mdp.states, -1)
    for sweeps in range(1, _MOST_SWEEPS + 1):
        improved, least, greatest, switched = tables.greedy(values, choice)
        spread = greatest - least
        if spread <= target:
            # V* lies between T V + factor * least and T V + factor * greatest (MacQueen's bounds).
            middle = improved + factor * (least + greatest) / 2
            return _certified(mdp, tables.q_values(middle), middle, sweeps + 1)
        # While greedy actions still change, evaluating a policy exactly is wasted on it.
        enough = max(_SHRINK * spread, target) if switched else target
        values = tables.follow(choice, improved, enough)
    raise ArithmeticError(
        f"residual span {spread:.3g} after {_MOST_SWEEPS} sweeps, {target:.3g} wanted"
    )


def _certified(mdp: DiscountedMDP, q_values: Array, before: Array, sweeps: int) -> Solution:
    """The solution that one more sweep gives, with the bound gamma |T V - V| / (1 - gamma).

    Row sums that stray from one by rounding enter through the contraction factor.
    """
    solution = _solution(mdp, q_values)
    residual = float(np.abs(solution.values - before).max())
    modulus = mdp.discount * _largest_row_sum(mdp)
    bound = modulus * residual / (1 - modulus) + _rounding(mdp, float(np.abs(before).max()))
    return replace(solution, error_bound=bound, greedy_sweeps=sweeps)


def _largest_row_sum(mdp: DiscountedMDP) -> float:
    ones = np.ones(mdp.states)
    flat = mdp.transitions if mdp.sparse else mdp.transitions.reshape(-1, mdp.states)
    return float((flat @ ones).max())


class _SparseTables:
    def __init__(self, mdp: DiscountedMDP) -> None:
        self._mdp = mdp
        self._csr = csr_tables(mdp)

    def greedy(self, values: Array, choice: Array) -> tuple[Array, float, float, bool]:
        from tabular.evaluation.optimal_kernels import sparse_greedy

        improved = np.empty_like(values)
        mdp = self._mdp
        least, greatest, switched = sparse_greedy(
            *self._csr, mdp.rewards, float(mdp.discount), values, improved, choice
        )
        return improved, least, greatest, switched > 0

    def follow(self, choice: Array, values: Array, enough: float) -> Array:
        from tabular.evaluation.optimal_kernels import chosen_rows, sparse_sweeps

        mdp = self._mdp
        chances, targets, ends = chosen_rows(*self._csr, mdp.actions, choice)
        rewards = np.take_along_axis(mdp.rewards, choice[:, None], axis=1)[:, 0]
        discount = float(mdp.discount)
        if sparse_sweeps(chances, targets, ends, rewards, discount, values, enough):
            return values
        flat = np.arange(mdp.states) * mdp.actions + choice
        return ChainSystem(discount * mdp.transitions[flat]).solve(rewards)

    def q_values(self, values: Array) -> Array:
        mdp = self._mdp
        ahead = (mdp.transitions @ values).reshape(mdp.states, mdp.actions)
        return np.asarray(mdp.rewards + mdp.discount * ahead)


class _DenseTables:
    def __init__(self, mdp: DiscountedMDP) -> None:
        self._mdp = mdp

    def greedy(self, values: Array, choice: Array) -> tuple[Array, float, float, bool]:
        q_values = self.q_values(values)
        best = q_values.argmax(axis=1)
        improved = np.take_along_axis(q_values, best[:, None], axis=1)[:, 0]
        change = improved - values
        switched = bool((best != choice).any())
        # In place, as the sparse kernel does: the caller holds on to the array.
        choice[:] = best
        return improved, float(change.min()), float(change.max()), switched

    def follow(self, choice: Array, values: Array, enough: float) -> Array:
        mdp = self._mdp
        matrix = mdp.transitions[np.arange(mdp.states), choice]
        rewards = np.take_along_axis(mdp.rewards, choice[:, None], axis=1)[:, 0]
        marked = np.inf
        for sweep in range(1, 10_000):
            new = rewards + mdp.discount * (matrix @ values)
            spread = float(np.ptp(new - values))
            values = new
            if spread <= enough:
                return values
            # As in `sparse_sweeps`: a chain that mixes slowly is cheaper to solve directly.
            if sweep % 10 == 0:
                if spread > 0.5 * marked:
                    break
                marked = spread
        return np.linalg.solve(np.eye(mdp.states) - mdp.discount * matrix, rewards)

    def q_values(self, values: Array) -> Array:
        mdp = self._mdp
        flat = mdp.transitions.reshape(-1, mdp.states)
        ahead = (flat @ values).reshape(mdp.states, mdp.actions)
        return np.asarray(mdp.rewards + mdp.discount * ahead)
