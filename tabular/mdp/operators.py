"""The MDP as an operator: mass pushed forwards, values pulled backwards, csr tables for kernels."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.validation import Array


def push(mdp: FiniteHorizonMDP, step: int, mass: Array) -> Array:
    """Move state-action mass (..., S, A) at layer `step` to the next states, (..., S)."""
    rows = mass.reshape(-1, mdp.states * mdp.actions)
    kernel = mdp.kernel(step)
    flat = kernel if mdp.sparse else kernel.reshape(rows.shape[1], mdp.states)
    return np.asarray(rows @ flat).reshape(*mass.shape[:-2], mdp.states)


def pull(mdp: FiniteHorizonMDP, step: int, values: Array) -> Array:
    """Average values (..., S) after layer `step` over next states, shape (..., S, A)."""
    kernel = mdp.kernel(step)
    flat = kernel if mdp.sparse else kernel.reshape(-1, mdp.states)
    columns = np.ascontiguousarray(values.reshape(-1, mdp.states).T)
    return np.asarray(flat @ columns).T.reshape(*values.shape[:-1], mdp.states, mdp.actions)


# Weak: the tables live as long as their MDP.
_TABLES: WeakKeyDictionary[Any, tuple[Array, Array, Array]] = WeakKeyDictionary()
_PACKED: WeakKeyDictionary[Any, tuple[Array, Array] | None] = WeakKeyDictionary()
_COLUMNS: WeakKeyDictionary[Any, Array] = WeakKeyDictionary()
_SPARE = 1.25
"""Entries that rows of four may have, as a multiple of those that they need."""
_MANY = 4096
"""Entries from which rows of four are worth making."""


def csr_tables(mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[Array, Array, Array]:
    """Return csr data, indices and row bounds of a sparse MDP, made once, for the kernels.

    Layers stand one below another, so that one kernel call serves them all. Indices are unsigned
    and, below 65,537 states, two bytes wide: large tables are bound by the bytes they read.
    """
    tables = _TABLES.get(mdp)
    if tables is None:
        tables = _TABLES[mdp] = _csr(mdp)
    return tables


def packed_tables(mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[Array, Array] | None:
    """Return a sparse MDP as rows of four entries, made once, for the kernels; None if it is not.

    Shorter rows end in transitions of probability 0 to state 0. It is not where tables are small,
    rows longer or much shorter, or states more than 16 bits can number.

    Returns: probabilities, shape (rows * 4,), and the four next states of a row in the 16-bit parts
        of a word, shape (rows,); layers one below another as in `csr_tables`.
    """
    if mdp not in _PACKED:
        _PACKED[mdp] = _packed(mdp)
    return _PACKED[mdp]


def _packed(mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[Array, Array] | None:
    if mdp.states > 1 << 16:
        return None
    data, indices, bounds = csr_tables(mdp)
    lengths = np.diff(bounds)
    if lengths.max() > 4 or not _MANY <= 4 * lengths.size <= _SPARE * data.size:
        return None
    filled = np.arange(4) < lengths[:, None]
    chances, targets = np.zeros(filled.shape), np.zeros(filled.shape, np.uint64)
    chances[filled], targets[filled] = data, indices
    words = np.bitwise_or.reduce(targets << np.arange(0, 64, 16, dtype=np.uint64), axis=1)
    for part in (chances, words):
        part.setflags(write=False)
    return chances.reshape(-1), words


def columns_by_layer(mdp: FiniteHorizonMDP) -> Array:
    """Return dense float transitions by next state, shape (L, S, S * A), made once; L is 1 or H."""
    columns = _COLUMNS.get(mdp)
    if columns is None:
        rows = mdp.transitions.reshape(-1, mdp.states * mdp.actions, mdp.states)
        columns = np.ascontiguousarray(rows.transpose(0, 2, 1))
        columns.setflags(write=False)
        _COLUMNS[mdp] = columns
    return columns


def _csr(mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[Array, Array, Array]:
    from scipy import sparse

    layered = isinstance(mdp.transitions, tuple)
    table = sparse.vstack(mdp.transitions, format="csr") if layered else mdp.transitions
    indices = table.indices.astype(np.uint16 if mdp.states <= 1 << 16 else np.uint32)
    wide = np.uint32 if table.nnz < 1 << 32 else np.uint64
    tables = (table.data, indices, table.indptr.astype(wide))
    for part in tables:
        part.setflags(write=False)
    return tables
