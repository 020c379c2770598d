"""Checks and canonical forms of the arrays that make up an MDP.

Each check is one pass over the data when all is well; only when something is wrong is the first
offending row looked up, so that the message can name it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import Exact, InvalidInput

Integers = NDArray[np.int64]

Floats = NDArray[np.float64]

TOLERANCE = 1e-9
"""How far a float row may be from summing to one; exact tables get no tolerance."""

Array = NDArray[Any]


def is_sparse(table: object) -> bool:
    """Tell whether `table` is a sparse table of scipy, which whoever made it has loaded.

    Who has none need not load scipy to hear so: a tenth of a second.
    """
    module = sys.modules.get("scipy.sparse")
    return module is not None and bool(module.issparse(table))


def is_exact(array: object) -> bool:
    """Tell whether `array` holds Python objects (fractions) rather than machine numbers."""
    return isinstance(array, np.ndarray) and array.dtype.hasobject


def holds_fractions(field: str, table: Any) -> bool:
    """Tell whether a table as the user gave it, nested lists too, asks for exact arithmetic.

    Raises:
        InvalidInput: if the table is no array at all.
    """
    if is_sparse(table) or _is_sparse_sequence(table):
        return False
    try:
        return np.asarray(table).dtype.hasobject
    except ValueError as error:
        raise _not_numbers(field, table, error) from error


def _not_numbers(field: str, table: object, error: Exception) -> InvalidInput:
    return InvalidInput(
        field, table, f"not an array of finite numbers ({error})", "give real numbers"
    )


def as_numbers(field: str, array: ArrayLike, exact: bool) -> Array:
    """Return `array` as read-only float64 in C order, or as read-only fractions.

    A read-only float64 C-ordered array is shared, so that big tables need not be held twice;
    anything else is copied, so that what the caller writes later cannot reach the result.

    Raises:
        InvalidInput: if an entry is not a number.
    """
    try:
        result = _fractions(np.asarray(array)) if exact else _floats(array)
    except (TypeError, ValueError, OverflowError) as error:
        raise _not_numbers(field, array, error) from error
    result.setflags(write=False)
    return result


def _floats(array: ArrayLike) -> Array:
    given = np.asarray(array)
    if given.dtype.kind == "c":
        raise TypeError("complex entries")
    shareable = given.dtype == np.float64 and given.flags.c_contiguous and not given.flags.writeable
    return given if shareable else np.array(given, dtype=np.float64, order="C")


def _fractions(array: Array) -> Array:
    result = np.empty(array.shape, dtype=object)
    flat = result.reshape(-1)
    for i, x in enumerate(array.reshape(-1)):
        flat[i] = _fraction(x)
    return result


def _fraction(number: Any) -> Fraction:
    """A fraction of Python integers: one of numpy integers would overflow without a word."""
    if type(number) is Fraction and type(number.numerator) is int:
        return number
    if isinstance(number, Rational):
        return Fraction(int(number.numerator), int(number.denominator))
    return Fraction(float(number))


def as_csr(field: str, matrix: Any) -> Any:
    """Make a private float64 csr copy with sorted indices, no duplicates and no stored zeros."""
    from scipy import sparse

    result = sparse.csr_array(matrix, dtype=np.float64, copy=True)
    if result.ndim != 2:
        raise InvalidInput(field, result.shape, "not a matrix", "give shape (S * A, S)")
    # Kernels take every stored entry for a transition, and one for each next state.
    result.sum_duplicates()
    result.eliminate_zeros()
    for part in (result.data, result.indices, result.indptr):
        part.setflags(write=False)
    return result


def check_shape(field: str, shape: tuple[int, ...], allowed: Sequence[tuple[int, ...]]) -> None:
    """Refuse a shape that is not among `allowed`."""
    if shape not in allowed:
        wanted = " or ".join(str(tuple(one)) for one in allowed)
        raise InvalidInput(f"{field} shape", shape, "does not fit", f"give {wanted}")


def check_distributions(field: str, rows: Array, axes: Sequence[str]) -> None:
    """Refuse rows (last axis) that are not probability distributions.

    Args:
        field: name in the message.
        rows: shape (..., n).
        axes: name of each leading axis, e.g. ("h", "s", "a").

    Raises:
        InvalidInput: naming the first bad row, by how much it is off, and the remedy.
    """
    if rows.size == 0:
        raise InvalidInput(f"{field} shape", rows.shape, "is empty", "give at least one of each")
    sums, lowest = rows.sum(axis=-1), rows.min()
    # A NaN anywhere makes `lowest` NaN, and the comparison false.
    if lowest >= 0 and not _off_by(sums).any():
        return
    rows = rows.reshape(-1, rows.shape[-1])
    for i, row in enumerate(rows):
        _check_row(_label(field, axes, np.unravel_index(i, np.shape(sums))), row, row.sum())


def check_csr_distributions(field: str, matrix: Any, actions: int) -> None:
    """Refuse a csr matrix of shape (S * A, S) with a row that is no probability distribution."""
    sums = np.asarray(matrix.sum(axis=1)).reshape(-1)
    lowest = matrix.data.min() if matrix.nnz else 0.0
    if lowest >= 0 and not _off_by(sums).any():
        return
    for i, total in enumerate(sums):
        row = matrix.data[matrix.indptr[i] : matrix.indptr[i + 1]]
        _check_row(_label(field, ("s", "a"), divmod(i, actions)), row, total)


def _off_by(sums: Array) -> NDArray[np.bool_]:
    """Which sums are not one; NaN is not."""
    table = np.asarray(sums)
    tolerance = 0 if is_exact(table) else TOLERANCE
    off: NDArray[np.bool_] = np.logical_not(np.asarray(np.abs(table - 1) <= tolerance, dtype=bool))
    return off


def _label(field: str, axes: Sequence[str], index: Sequence[Any]) -> str:
    inside = ", ".join(f"{axis}={int(i)}" for axis, i in zip(axes, index, strict=True))
    return f"{field}[{inside}]" if inside else field


def _check_row(label: str, row: Array, total: Any) -> None:
    if not is_exact(row) and not np.isfinite(row).all():
        bad = row[~np.isfinite(row)][0]
        raise InvalidInput(label, float(bad), "not a finite probability", "replace it")
    if row.size and row.min() < 0:
        raise InvalidInput(
            label, _plain(row.min()), "negative probability", "set it to 0 and renormalise the row"
        )
    if _off_by(total):
        excess = "too much" if total > 1 else "too little"
        raise InvalidInput(
            label,
            _plain(total),
            f"probabilities sum to {_plain(total)}, {_plain(abs(total - 1))} {excess}",
            "divide the row by its sum",
        )


def _plain(number: Any) -> Any:
    """A number as it should read in a message: exact as a quotient, else a short float."""
    return str(number) if isinstance(number, Fraction) else float(f"{float(number):.9g}")


def check_finite(field: str, array: Array, axes: Sequence[str]) -> None:
    """Refuse NaN and infinities, naming where the first one is."""
    if is_exact(array) or np.isfinite(array).all():
        return
    index = np.argwhere(~np.isfinite(array))[0]
    raise InvalidInput(
        _label(field, axes, index), float(array[tuple(index)]), "not finite", "give a real number"
    )


def check_returns(lowest: Array, highest: Array, bound: Any, remedy: str) -> None:
    """Refuse values outside [0, bound]: the standing assumption of every bound.

    Args:
        lowest: least value of any policy, shape (H, S) or (S,).
        highest: greatest value of any policy, of the same shape.
        bound: R_max.
        remedy: what the message advises.
    """
    slack = 0 if is_exact(highest) else TOLERANCE * max(1.0, float(bound))
    low, high = lowest.min(), highest.max()
    if low >= -slack and high <= bound + slack:
        return
    worst, table = (low, lowest) if low < -slack else (high, highest)
    where = np.unravel_index(int(np.argmax(table == worst)), table.shape)
    axes = ("h", "s")[-table.ndim :]
    raise InvalidInput(
        _label("return-to-go", axes, where),
        _plain(worst),
        f"returns-to-go range over [{_plain(low)}, {_plain(high)}], not inside "
        f"[0, reward_bound = {_plain(bound)}]",
        remedy,
    )


def canonical_transitions(
    transitions: Any, rewards: Array, horizon: int | None, exact: bool
) -> Any:
    """Bring transitions into the form they are kept in, with their shape checked."""
    if rewards.ndim not in (2, 3):
        raise InvalidInput(
            "rewards shape", rewards.shape, "does not fit", "give (S, A) or (H, S, A)"
        )
    states, actions = rewards.shape[-2:]
    if is_sparse(transitions) or _is_sparse_sequence(transitions):
        if exact:
            raise InvalidInput("transitions", "sparse", "cannot be exact", "give a dense array")
        return _canonical_sparse(transitions, (states * actions, states), horizon)
    array = as_numbers("transitions", transitions, exact)
    layer = (states, actions, states)
    check_shape(
        "transitions", array.shape, [layer] if horizon is None else [layer, (horizon, *layer)]
    )
    return array


def _is_sparse_sequence(transitions: Any) -> bool:
    return (
        isinstance(transitions, list | tuple)
        and len(transitions) > 0
        and all(is_sparse(layer) for layer in transitions)
    )


def _canonical_sparse(transitions: Any, shape: tuple[int, int], horizon: int | None) -> Any:
    if is_sparse(transitions):
        check_shape("transitions", transitions.shape, [shape])
        return as_csr("transitions", transitions)
    if len(transitions) != horizon:
        raise InvalidInput(
            "transitions", len(transitions), "not one matrix per layer", f"give {horizon}"
        )
    for h, layer in enumerate(transitions):
        check_shape(f"transitions[h={h}]", layer.shape, [shape])
    return tuple(as_csr(f"transitions[h={h}]", layer) for h, layer in enumerate(transitions))


def check_kernels(transitions: Any, actions: int) -> None:
    """Refuse transitions, in canonical form, with a row that is no probability distribution."""
    if isinstance(transitions, np.ndarray):
        axes = ("h", "s", "a")[1 - (transitions.ndim - 3) :]
        check_distributions("transitions", transitions, axes)
    elif isinstance(transitions, tuple):
        for h, layer in enumerate(transitions):
            check_csr_distributions(f"transitions[h={h}]", layer, actions)
    else:
        check_csr_distributions("transitions", transitions, actions)


def as_terminal(terminal: ArrayLike | None, states: int) -> NDArray[np.bool_]:
    """Check terminal flags, shape (S,), read-only; None marks no state."""
    result = np.zeros(states, dtype=bool) if terminal is None else np.array(terminal)
    check_shape("terminal", result.shape, [(states,)])
    if result.dtype != bool:
        raise InvalidInput("terminal", result.dtype.name, "not boolean", "give True or False")
    result.setflags(write=False)
    return result


def as_observations(given: ArrayLike | None, horizon: int, states: int) -> NDArray[np.int64]:
    """Check observations, shape (H, S), read-only; None gives every (h, s) its own."""
    if given is None:
        result = np.arange(horizon * states, dtype=np.int64).reshape(horizon, states)
    else:
        array = np.asarray(given)
        check_shape("observations", array.shape, [(horizon, states), (states,)])
        if array.dtype.kind not in "iu" or array.min() < 0:
            raise InvalidInput("observations", array, "not indices >= 0", "number them from 0")
        result = np.array(np.broadcast_to(array, (horizon, states)), dtype=np.int64, order="C")
    result.setflags(write=False)
    return result


def check_ends(step: int, ends: NDArray[np.int64], kernel: Any, reward: Array) -> None:
    """Refuse terminal states that can be left or that pay."""
    actions = reward.shape[1]
    rows = (ends[:, None] * actions + np.arange(actions)).reshape(-1)
    columns = np.repeat(ends, actions)
    stays = kernel[rows, columns] if is_sparse(kernel) else kernel[ends, :, ends].reshape(-1)
    stays = np.asarray(stays).reshape(-1)
    for row, probability in zip(rows, stays, strict=True):
        state, action = divmod(int(row), actions)
        if abs(probability - 1) > (0 if is_exact(reward) else 1e-9):
            raise InvalidInput(
                f"transitions[h={step}, s={state}, a={action}]",
                float(probability),
                f"terminal state {state} is left with probability {float(1 - probability):.9g}",
                "make it absorbing or unmark it",
            )
        if reward[state, action] != 0:
            raise InvalidInput(
                f"rewards[h={step}, s={state}, a={action}]",
                float(reward[state, action]),
                f"terminal state {state} pays",
                "pay on the way into it or unmark it",
            )


def surely_inside(rewards: Array, horizon: int, bound: Exact) -> bool:
    """Tell whether no path at all can leave [0, bound]: spares the backward induction."""
    if rewards.min() < 0:
        return False
    most = rewards.max() * horizon if rewards.ndim == 2 else rewards.max(axis=(1, 2)).sum()
    return bool(most <= bound)


def return_range(transitions: Any, rewards: Array, horizon: int) -> tuple[Array, Array]:
    """Return the least and greatest value that any policy has at each (h, s): two arrays (H, S).

    Takes canonical tables; one pass over the transitions serves both.
    """
    states = rewards.shape[-2]
    lowest = np.zeros((horizon, states), dtype=rewards.dtype)
    highest = lowest.copy()
    # Columns: least and greatest value.
    ahead = np.zeros((states, 2), dtype=rewards.dtype)
    for h in reversed(range(horizon)):
        kernel = transitions[h] if _layered(transitions) else transitions
        reward = rewards if rewards.ndim == 2 else rewards[h]
        flat = kernel if is_sparse(kernel) else kernel.reshape(-1, states)
        q = reward[..., None] + (flat @ ahead).reshape(*reward.shape, 2)
        ahead = np.stack([q[..., 0].min(axis=1), q[..., 1].max(axis=1)], axis=1)
        lowest[h], highest[h] = ahead[:, 0], ahead[:, 1]
    return lowest, highest


def _layered(transitions: Any) -> bool:
    return isinstance(transitions, tuple) or getattr(transitions, "ndim", 0) == 4
