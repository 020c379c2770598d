"""Garnets: random MDPs with a given branching, finite-horizon or discounted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpi_theory.checks import check_count, check_in_range
from cpi_theory.randomness import Key
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import as_policy
from tabular.mdp.validation import Array
from tabular.worlds.problem import DiscountedProblem, Problem


def garnet(
    states: int,
    actions: int,
    branching: int,
    horizon: int,
    *,
    layered: bool = False,
    as_sparse: bool | None = None,
    seed: int | Key = 0,
) -> Problem:
    """Draw a random MDP: each (state, action) leads to `branching` random states.

    Next states are drawn without repetition, their probabilities are uniform on the simplex,
    rewards uniform in [0, 1 / horizon], so that returns lie in [0, 1]. Start distribution and
    base policy are uniform on their simplices too.

    Args:
        states: S, at least 1.
        actions: A, at least 1.
        branching: next states of each (state, action), at most `states`.
        horizon: number of layers H.
        layered: whether each layer has tables of its own.
        as_sparse: whether transitions are sparse; None decides by size.
        seed: a seed or key.

    Raises:
        InvalidInput: if a size is out of range.

    Source: Archibald, McKinnon and Thomas, J. Opl Res. Soc. 46 (1995),
        https://doi.org/10.1057/jors.1995.50.
    """
    check_count("horizon", horizon)
    rng = _garnet_generator(states, actions, branching, seed)
    sparsely = _prefers_sparse(states, branching) if as_sparse is None else as_sparse
    # The order of draws (kernels, rewards, start, policy) is what a seed stands for.
    layers = [
        _garnet_kernel(rng, states, actions, branching, sparsely)
        for _ in range(horizon if layered else 1)
    ]
    rewards = rng.random((horizon, states, actions) if layered else (states, actions)) / horizon
    transitions = layers[0] if not layered else layers if sparsely else np.stack(layers)
    start = rng.dirichlet(np.ones(states))
    mdp = FiniteHorizonMDP(transitions, rewards, start, horizon, name="garnet")
    shape = (horizon, states) if layered else (states,)
    return Problem(mdp, as_policy(mdp, rng.dirichlet(np.ones(actions), size=shape)))


def discounted_garnet(
    states: int,
    actions: int,
    branching: int,
    discount: float,
    *,
    as_sparse: bool | None = None,
    seed: int | Key = 0,
) -> DiscountedProblem:
    """Draw a discounted :func:`garnet` with values in [0, 1].

    Raises:
        InvalidInput: if a size or `discount` is out of range.

    Source: see :func:`garnet`.
    """
    check_in_range("discount", discount, 0, 1)
    rng = _garnet_generator(states, actions, branching, seed)
    sparsely = _prefers_sparse(states, branching) if as_sparse is None else as_sparse
    kernel = _garnet_kernel(rng, states, actions, branching, sparsely)
    rewards = (1 - discount) * rng.random((states, actions))
    start = rng.dirichlet(np.ones(states))
    mdp = DiscountedMDP(kernel, rewards, start, discount, reward_bound=1.0, name="garnet")
    return DiscountedProblem(mdp, as_policy(mdp, rng.dirichlet(np.ones(actions), size=states)))


def _garnet_generator(
    states: int, actions: int, branching: int, seed: int | Key
) -> np.random.Generator:
    check_count("states", states)
    check_count("actions", actions)
    check_count("branching", branching)
    check_in_range("branching", branching, 1, states)
    return Key.of(seed).child("garnet").generator()


def _prefers_sparse(states: int, branching: int) -> bool:
    return states > 256 and branching * 8 <= states


def _garnet_kernel(
    rng: np.random.Generator, states: int, actions: int, branching: int, sparsely: bool
) -> Array | sparse.csr_array:
    rows = states * actions
    successors = _distinct(rng, rows, states, branching)
    # Spacings of sorted uniform numbers are uniform on the simplex.
    cuts = np.sort(rng.random((rows, branching - 1)), axis=1)
    shares = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
    if sparsely:
        starts = np.arange(rows + 1) * branching
        parts = (shares.reshape(-1), successors.reshape(-1), starts)
        return sparse.csr_array(parts, shape=(rows, states))
    kernel = np.zeros((rows, states))
    np.put_along_axis(kernel, successors, shares, axis=1)
    return kernel.reshape(states, actions, states)


def _distinct(
    rng: np.random.Generator, rows: int, states: int, branching: int
) -> NDArray[np.int64]:
    """Distinct successors per row, sorted, shape (rows, branching)."""
    # Redrawing rows with repetitions is quick only where they are rare; otherwise order all states.
    if branching * 4 >= states:
        order = rng.random((rows, states)).argpartition(branching - 1, axis=1)
        return np.sort(order[:, :branching], axis=1)
    drawn = np.sort(rng.integers(states, size=(rows, branching)), axis=1)
    while (clash := (np.diff(drawn, axis=1) == 0).any(axis=1)).any():
        drawn[clash] = np.sort(rng.integers(states, size=(int(clash.sum()), branching)), axis=1)
    return drawn
