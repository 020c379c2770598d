"""The linear system (I - gamma P) x = b of a Markov chain, and its transposed.

Values solve the system and are right in the largest norm, mass solves the transposed one and is
right in the sum norm: there a residual r proves |x - truth| <= |r| / (1 - modulus), `modulus` being
the largest row sum of gamma P. So every solve stops on the residual in the norm that proves
something, and whoever calls certifies what came out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from tabular.mdp.validation import Array, is_exact

Norm = Callable[[Array], float]
Solver = Callable[[Array], Array]

_DIRECT = 500
"""Up to so many states a dense LU decomposition is as quick as iterating (10 ms)."""
_ROUNDS = 4
"""Most corrections of each Krylov solver; two are usual."""
_SWEEPS = 10_000
"""Most contraction sweeps; they come last, and each reads the matrix once."""
_BLOCK = 100
"""Sweeps after which they must have come nearer."""


def largest(table: Array) -> float:
    """Return the norm of values: max_s |x(s)|."""
    return float(np.abs(table).max())


def total(table: Array) -> float:
    """Return the norm of mass: sum_s |x(s)|."""
    return float(np.abs(table).sum())


def rounding(terms: int, sequential: bool = True) -> float:
    """Return the relative error of a sum of so many products.

    Args:
        terms: how many.
        sequential: whether they are added one by one, as for csr, where many equal terms err in
            one direction. Pairwise or vectorised sums err far less than one unit per term; the
            root is still generous.
    """
    units = terms + 4 if sequential else 4 + 2 * np.sqrt(terms)
    return float(units * np.finfo(float).eps)


def proven_error(residual: float, magnitude: float, slack: float, modulus: float) -> float:
    """Bound the error of x in the norm of its residual, rounding of the residual included.

    Args:
        residual: norm of b - (I - gamma P) x as computed.
        magnitude: norm of what was summed to compute it, |b| + 2 |x|.
        slack: relative error of its sums, see :func:`rounding`.
        modulus: largest row sum of gamma P.

    Returns: infinite if the rows do not contract: rounding can bring that about.
    """
    if modulus >= 1:
        return float("inf")
    return float((residual + slack * magnitude) / (1 - modulus))


class ChainSystem:
    """The matrix I - gamma P and its solves; two solves share one LU decomposition.

    A dense or a small chain is decomposed, one of fractions eliminated. For any other, the cost of
    which grows as S^3 on a random graph, Krylov iterations correct X until rounding hides the
    residual: first without, then with an incomplete LU decomposition, which is all but complete
    where chains are long and the plain ones stall. What is left is for contraction sweeps.

    Attributes:
        chain: gamma P, shape (S, S): an array, an array of fractions, or csr.
        modulus: its largest row sum; below 1 unless rounding spoils it.
    """

    def __init__(self, chain: Any) -> None:
        self.chain = chain
        self.modulus = chain.sum(axis=1).max()

    def solve(self, right: Array) -> Array:
        """Return the values X with (I - gamma P) X = `right`, shape (S,)."""
        return self._solve(right, 0, right)

    def solve_transposed(self, right: Array, guess: Array | None = None) -> Array:
        """Return the mass X with (I - gamma P)^T X = `right`, (S,); iterations begin at `guess`."""
        return self._solve(right, 1, right if guess is None else guess)

    @property
    def slack(self) -> float:
        """Relative error of the sums in a residual of the transposed system."""
        if isinstance(self.chain, np.ndarray):
            return rounding(len(self.chain), sequential=False)
        return rounding(int(np.bincount(self.chain.indices, minlength=1).max()))

    def _solve(self, right: Array, transposed: int, guess: Array) -> Array:
        if is_exact(self.chain):
            return _eliminate(self._matrix.T if transposed else self._matrix, right)
        if isinstance(self.chain, np.ndarray) or len(right) <= _DIRECT:
            from scipy.linalg import lu_solve  # slow to import

            return np.asarray(lu_solve(self._factors, right, trans=transposed, check_finite=False))
        # The transpose of csr is csc, whose `indptr` counts columns where `begin` wants rows.
        matrix = self._matrix.T.tocsr() if transposed else self._matrix
        norm = total if transposed else largest
        attempt = _Attempt.begin(matrix, right, norm, guess)
        return _swept(_corrected(attempt), self.modulus).solution

    @cached_property
    def _matrix(self) -> Any:
        size = self.chain.shape[0]
        if isinstance(self.chain, np.ndarray):
            return np.eye(size, dtype=np.int64) - self.chain
        return sparse.identity(size, format="csr") - self.chain

    @cached_property
    def _factors(self) -> Any:
        from scipy.linalg import lu_factor

        dense = isinstance(self.chain, np.ndarray)
        return lu_factor(self._matrix if dense else self._matrix.toarray(), check_finite=False)


@dataclass(frozen=True, eq=False, slots=True)
class _Attempt:
    """A solution so far, its residual and the size of that, and what rounding may hide of it."""

    matrix: Any
    right: Array
    norm: Norm
    slack: float
    solution: Array
    residual: Array
    size: float

    @classmethod
    def begin(cls, matrix: Any, right: Array, norm: Norm, solution: Array) -> _Attempt:
        """The attempt that a first `solution` is."""
        slack = rounding(int(np.diff(matrix.indptr).max()))
        residual = right - matrix @ solution
        return cls(matrix, right, norm, slack, solution, residual, norm(residual))

    @property
    def good(self) -> bool:
        """Whether the residual is no larger than what rounding may hide, in its proof of error."""
        magnitude = self.norm(self.right) + 2 * self.norm(self.solution)
        return self.size <= self.slack * magnitude

    def moved(self, step: Array) -> _Attempt:
        """The attempt a step further."""
        solution = self.solution + step
        residual = self.right - self.matrix @ solution
        return replace(self, solution=solution, residual=residual, size=self.norm(residual))

    def corrected(self, solver: Solver) -> _Attempt:
        """A better attempt, or this one if the correction does not shrink the residual."""
        # scipy takes small numbers for a breakdown, so that right sides are made of length 1.
        length = float(np.linalg.norm(self.residual))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)
            other = self.moved(solver(self.residual / length) * length)
        # A solver that broke down gives NaN, which is never smaller.
        return other if other.size < self.size else self


def _corrected(attempt: _Attempt) -> _Attempt:
    """The attempt after iterative refinement with one Krylov solver after the other."""
    solvers = _krylov_solvers(attempt.matrix)
    while not attempt.good and (solver := next(solvers, None)) is not None:
        for _ in range(_ROUNDS):
            better = attempt.corrected(solver)
            stuck, attempt = better is attempt, better
            if stuck or attempt.good:
                break
    return attempt


def _krylov_solvers(matrix: Any) -> Iterator[Solver]:
    """Functions from b to X, first a plain one, then one for long chains."""
    from scipy.sparse.linalg import bicgstab, gmres

    # Digits per round: fewer cost a residual more often, more are lost to rounding.
    digits = {"rtol": 1e-8, "atol": 0.0}
    yield lambda right: bicgstab(matrix, right, maxiter=200, **digits)[0]
    inverse = _rough_inverse(matrix)
    yield lambda right: gmres(matrix, right, M=inverse, restart=20, maxiter=10, **digits)[0]


def _rough_inverse(matrix: Any) -> Any:
    """An incomplete LU decomposition in the order that brings neighbours together.

    In that order a long chain is a narrow band, whose decomposition is all but complete. On a
    random graph of 1e5 states, where it is not needed, so rough a one costs 1 s, one with
    drop_tol=0.03 takes 11.
    """
    from scipy.sparse.csgraph import reverse_cuthill_mckee
    from scipy.sparse.linalg import LinearOperator, spilu

    order = reverse_cuthill_mckee(matrix, symmetric_mode=False)
    factors = spilu(
        matrix[order][:, order].tocsc(),
        drop_tol=0.1,
        fill_factor=4,
        diag_pivot_thresh=0.0,  # the diagonal dominates: no pivot has to be looked for
        permc_spec="NATURAL",
    )

    def apply(right: Array) -> Array:
        solution = np.empty_like(right)
        solution[order] = factors.solve(right[order])
        return solution

    return LinearOperator(matrix.shape, apply, dtype=np.float64)


def _swept(attempt: _Attempt, modulus: float) -> _Attempt:
    """The attempt after sweeps X <- b + gamma P X: the step of a sweep is the residual.

    Each shrinks the residual by `modulus` at least, until rounding stops it.
    """
    for _ in range(_SWEEPS // _BLOCK):
        before = attempt.size
        for _ in range(_BLOCK):
            if attempt.good:
                return attempt
            attempt = attempt.moved(attempt.residual)
        # A block should shrink the residual by modulus^_BLOCK; if not by half as many factors,
        # rounding has stopped it.
        if attempt.size > before * modulus ** (_BLOCK // 2):
            break
    return attempt


def _eliminate(matrix: Array, right: Array) -> Array:
    """Gaussian elimination on fractions; the matrix is strictly diagonally dominant by rows."""
    size = len(right)
    # Diagonal dominance keeps every pivot from vanishing, so that no rows have to be exchanged.
    table = np.concatenate([matrix, right[:, None]], axis=1)
    for pivot in range(size):
        table[pivot] = table[pivot] / table[pivot, pivot]
        # Gauss-Jordan: rows above the pivot too, so that no back substitution is left.
        for row in range(size):
            if row != pivot and table[row, pivot] != 0:
                table[row] = table[row] - table[row, pivot] * table[pivot]
    return table[:, size]
