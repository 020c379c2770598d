"""Policies, candidates and reset weights as checked arrays."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from cpi_theory.checks import Exact, InvalidInput
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.validation import TOLERANCE, Array, as_numbers, check_distributions, check_shape


def as_policy(
    mdp: FiniteHorizonMDP | DiscountedMDP, policy: ArrayLike
) -> Shaped[np.ndarray, "*layers S A"]:
    """Check a policy pi_h(a | s): shape (H, S, A), or (S, A) for a discounted MDP; read-only.

    Args:
        mdp: the MDP it is for.
        policy: shape (H, S, A), or (S, A) for all layers. On an exact MDP entries become
            fractions, on any other floats.

    Raises:
        InvalidInput: if the shape does not fit or a row is no probability distribution.
    """
    return _as_policies(mdp, policy, 0)


def as_policies(
    mdp: FiniteHorizonMDP | DiscountedMDP, policies: ArrayLike
) -> Shaped[np.ndarray, "K *layers S A"]:
    """Check a batch of policies: shape (K, H, S, A), or (K, S, A) for a discounted MDP."""
    return _as_policies(mdp, policies, 1)


def _as_policies(mdp: FiniteHorizonMDP | DiscountedMDP, policy: ArrayLike, batch: int) -> Array:
    array = as_numbers("policy", policy, mdp.exact)
    one: tuple[int, ...] = (mdp.states, mdp.actions)
    axes: tuple[str, ...] = ("s",)
    if isinstance(mdp, FiniteHorizonMDP) and array.ndim - batch != 2:
        one, axes = (mdp.horizon, *one), ("h", "s")
    lead = array.shape[:batch]
    check_shape("policy", array.shape, [(*lead, *one)])
    check_distributions("policy", array, ("k",) * batch + axes)
    if isinstance(mdp, DiscountedMDP) or len(one) == 3:
        return array
    layers = (*lead, mdp.horizon, *one)
    # A copy, not a view: kernels are compiled for contiguous arrays.
    array = np.array(np.broadcast_to(np.expand_dims(array, batch), layers), order="C")
    array.setflags(write=False)
    return array


def uniform_policy(mdp: FiniteHorizonMDP | DiscountedMDP) -> Shaped[np.ndarray, "*layers S A"]:
    """Return the policy that draws every action alike."""
    share: Exact = Fraction(1, mdp.actions) if mdp.exact else 1 / mdp.actions
    dtype = object if mdp.exact else np.float64
    return as_policy(mdp, np.full((mdp.states, mdp.actions), share, dtype=dtype))


def deterministic_policy(
    mdp: FiniteHorizonMDP | DiscountedMDP, actions: ArrayLike | Sequence[int]
) -> Shaped[np.ndarray, "*layers S A"]:
    """Return the policy that takes one action per state, as one-hot rows.

    Args:
        mdp: the MDP it is for.
        actions: int, shape (H, S) or (S,).

    Raises:
        InvalidInput: if an entry is no action or the shape does not fit.
    """
    indices = np.asarray(actions)
    if indices.dtype.kind not in "iu" or indices.size == 0:
        raise InvalidInput("actions", actions, "not action indices", "give integers")
    if indices.min() < 0 or indices.max() >= mdp.actions:
        bad = indices[(indices < 0) | (indices >= mdp.actions)].reshape(-1)[0]
        raise InvalidInput("actions", int(bad), "no such action", f"choose 0..{mdp.actions - 1}")
    # Integers become floats or fractions, whichever the MDP holds.
    return as_policy(mdp, np.eye(mdp.actions, dtype=np.int64)[indices])


def as_weight(
    weight: ArrayLike, shape: tuple[int, ...], exact: bool
) -> Shaped[np.ndarray, "*layers S"]:
    """Check a reset weight; shape (H, S), or (S,) when `shape` has no layers.

    Raises:
        InvalidInput: if its shape does not fit or an entry lies outside [0, 1].
    """
    given = np.asarray(weight)
    if given.dtype == bool:
        given = given.astype(np.int64)
    table = as_numbers("weight", given, exact)
    check_shape("weight", table.shape, [shape] if table.ndim == len(shape) else [shape[-1:]])
    slack = 0 if exact else TOLERANCE
    if not (table.min() >= -slack and table.max() <= 1 + slack):
        bad = np.argwhere(~((table >= -slack) & (table <= 1 + slack)))[0]
        field = f"weight{[int(i) for i in bad]}"
        raise InvalidInput(field, float(table[tuple(bad)]), "outside [0, 1]", "clip or rescale")
    # What is tolerated is cut off, so that mixtures are policies.
    return np.broadcast_to(table if exact else np.clip(table, 0.0, 1.0), shape)
