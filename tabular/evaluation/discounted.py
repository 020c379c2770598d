"""Exact evaluation in a discounted MDP: two linear solves, certified by their residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import DiscountedMDP
from tabular.mdp.validation import Array

_RESIDUAL = 1e-13
"""Residual, relative to the largest value, that an iterative solve must reach."""


def evaluate_discounted(mdp: DiscountedMDP, policy: Array) -> Evaluation:
    """Values and discounted occupancy of a checked policy of shape (S, A).

    V solves (I - gamma P_pi) V = r_pi and d solves (I - gamma P_pi)^T d = (1 - gamma) start. The
    error bound is the sup-norm residual of V divided by 1 - gamma; zero on an exact MDP.
    """
    system = DiscountedSystem(mdp, policy)
    values = system.solve((policy * mdp.rewards).sum(axis=1))
    visits = system.solve_transposed((1 - mdp.discount) * mdp.start)
    ahead = (_flat(mdp) @ values).reshape(mdp.states, mdp.actions)
    q_values = mdp.rewards + mdp.discount * ahead
    residual = np.abs((policy * q_values).sum(axis=1) - values).max()
    return Evaluation(
        value=mdp.start @ values if mdp.exact else float(mdp.start @ values),
        values=values,
        q_values=q_values,
        advantages=q_values - values[:, None],
        visits=visits,
        policy=policy,
        discount=mdp.discount,
        error_bound=float(residual / (1 - mdp.discount)),
    )


class DiscountedSystem:
    """The matrix I - gamma P_pi and its solves; dense ones share one LU decomposition."""

    def __init__(self, mdp: DiscountedMDP, policy: Array) -> None:
        self._exact, self._sparse = mdp.exact, mdp.sparse
        averaged = _average(mdp, policy)
        if mdp.sparse:
            self._matrix: Any = sparse.identity(mdp.states, format="csr") - mdp.discount * averaged
        else:
            self._matrix = np.eye(mdp.states, dtype=np.int64) - mdp.discount * averaged
        self._factors: Any = None

    def solve(self, right: Array) -> Array:
        """X with (I - gamma P_pi) X = `right`, shape (S,)."""
        return self._solve(right, 0)

    def solve_transposed(self, right: Array) -> Array:
        """X with (I - gamma P_pi)^T X = `right`, shape (S,)."""
        return self._solve(right, 1)

    def _solve(self, right: Array, transposed: int) -> Array:
        if self._exact:
            return _eliminate(self._matrix.T if transposed else self._matrix, right)
        if self._sparse:
            return solve_sparse(self._matrix.T.tocsr() if transposed else self._matrix, right)
        from scipy.linalg import lu_factor, lu_solve

        self._factors = self._factors or lu_factor(self._matrix, check_finite=False)
        return lu_solve(self._factors, right, trans=transposed, check_finite=False)


def _flat(mdp: DiscountedMDP) -> Any:
    return mdp.transitions if mdp.sparse else mdp.transitions.reshape(-1, mdp.states)


def _average(mdp: DiscountedMDP, policy: Array) -> Any:
    """P_pi, shape (S, S): the transitions averaged over the actions of each state."""
    if not mdp.sparse:
        return (policy[:, None, :] @ mdp.transitions)[:, 0, :]
    columns = np.arange(mdp.states * mdp.actions)
    bounds = np.arange(mdp.states + 1) * mdp.actions
    chooser = sparse.csr_array((policy.reshape(-1), columns, bounds), (mdp.states, columns.size))
    return chooser @ mdp.transitions


def solve_sparse(matrix: Any, right: Array) -> Array:
    """Krylov iterations, and a sparse LU decomposition where they do not get there."""
    from scipy.sparse.linalg import bicgstab, splu

    solution, _ = bicgstab(matrix, right, rtol=_RESIDUAL, atol=0.0, maxiter=500)
    scale = max(float(np.abs(solution).max()), float(np.abs(right).max()))
    if np.abs(right - matrix @ solution).max() <= _RESIDUAL * scale:
        return solution
    return splu(matrix.tocsc()).solve(right)


def _eliminate(matrix: Array, right: Array) -> Array:
    """Gaussian elimination on fractions; the matrix is strictly diagonally dominant by rows."""
    size = len(right)
    table = np.concatenate([matrix, right[:, None]], axis=1)
    for pivot in range(size):
        table[pivot] = table[pivot] / table[pivot, pivot]
        for row in range(size):
            if row != pivot and table[row, pivot] != 0:
                table[row] = table[row] - table[row, pivot] * table[pivot]
    return table[:, size]
