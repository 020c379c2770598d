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


def csr_tables(mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[Array, Array, Array]:
    """Return csr data, indices and row bounds of a sparse MDP, made once, for the kernels.

    Layers stand one below another, so that one kernel call serves them all. Indices are unsigned
    and, below 65,537 states, two bytes wide: large tables are bound by the bytes they read.
    """
    tables = _TABLES.get(mdp)
    if tables is None:
        from scipy import sparse

        layered = isinstance(mdp.transitions, tuple)
        table = sparse.vstack(mdp.transitions, format="csr") if layered else mdp.transitions
        indices = table.indices.astype(np.uint16 if mdp.states <= 1 << 16 else np.uint32)
        wide = np.uint32 if table.nnz < 1 << 32 else np.uint64
        tables = (table.data, indices, table.indptr.astype(wide))
        for part in tables:
            part.setflags(write=False)
        _TABLES[mdp] = tables
    return tables
