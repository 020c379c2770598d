"""What the layered bounds T1e, T1h and T8e need: gains before and after a deviation, by layer.

A reset weight w is an array (H, S) in [0, 1], or (S,); in a discounted MDP there is no axis H.
Everything here is exact on an exact MDP.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import ArrayLike

from cpi_theory.bounds.layers import LayeredStep
from cpi_theory.checks import Exact
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.operators import push
from tabular.mdp.policies import as_policy, as_weight
from tabular.mdp.validation import Array, as_numbers, check_shape, is_exact
from tabular.resets.deviations import undeviated_visits


def layered_step(
    mdp: FiniteHorizonMDP, evaluation: Evaluation, candidate: ArrayLike, weight: ArrayLike
) -> LayeredStep:
    """Return the inputs of T1h for one update.

    Args:
        mdp: the world.
        evaluation: of the policy pi that is updated.
        candidate: pi', shape (H, S, A) or (S, A).
        weight: w, shape (H, S) or (S,).

    Raises:
        InvalidInput: if shapes do not fit or a weight lies outside [0, 1].

    Source: docs/theory.md, T1h.
    """
    gains = weighted_gains(evaluation, candidate, weight)
    visits, table = evaluation.visits, as_weight(weight, gains.shape, is_exact(gains))
    # Reached by pi itself; states that only rounding keeps from 0 count, as a larger set is valid.
    best = [row[mass > 0].max() for row, mass in zip(gains, visits, strict=True)]
    least = least_deviated_gains(mdp, evaluation, candidate, weight)
    # Rounding may carry a sum of shares above one.
    covered = (visits * table).sum(axis=1)
    return LayeredStep(
        coverages=_numbers(covered if is_exact(gains) else np.minimum(covered, 1.0)),
        gains=_numbers((visits * gains).sum(axis=1)),
        spreads=_numbers(np.array(best) - least),
    )


def weighted_gains(
    evaluation: Evaluation, candidate: ArrayLike, weight: ArrayLike
) -> Shaped[np.ndarray, "*layers S"]:
    """Return f = w * Abar of a candidate, shape (H, S), or (S,) in a discounted MDP.

    Source: docs/theory.md, Notation.
    """
    shape = evaluation.policy.shape
    exact = is_exact(evaluation.policy)
    check_shape("candidate", np.shape(candidate), [shape, shape[-2:]])
    gains = (as_numbers("candidate", candidate, exact) * evaluation.advantages).sum(axis=-1)
    return np.asarray(gains * as_weight(weight, shape[:-1], exact))


def undeviated_gains(
    mdp: FiniteHorizonMDP | DiscountedMDP,
    evaluation: Evaluation,
    candidate: ArrayLike,
    weight: ArrayLike,
    alpha: Exact,
) -> tuple[Exact, ...]:
    """Return E_pi[f Lambda_h] by layer (T1e), or its discounted sum over time as only entry (T8e).

    Lambda_h is the share of pi_alpha's rollouts along the same path that have not left pi.

    Raises:
        InvalidInput: if an argument does not fit the MDP.

    Source: docs/theory.md, T1e and T8.
    """
    visits = undeviated_visits(mdp, evaluation.policy, weight, alpha)
    gains = visits * weighted_gains(evaluation, candidate, weight)
    return _numbers(np.atleast_1d(gains.sum(axis=-1)))


def least_deviated_gains(
    mdp: FiniteHorizonMDP | DiscountedMDP,
    evaluation: Evaluation,
    candidate: ArrayLike,
    weight: ArrayLike,
) -> Shaped[np.ndarray, " layers"]:
    """Return m_h, the least f on T_h, by layer (T1e), or over all states after a deviation (T8e).

    Returns: shape (H,), or (1,) in a discounted MDP; 0 where no deviation leads.

    Raises:
        InvalidInput: if an argument does not fit the MDP.

    Source: docs/theory.md, T1e and T8.
    """
    gains = np.atleast_2d(weighted_gains(evaluation, candidate, weight))
    after = np.atleast_2d(deviated_states(mdp, evaluation.policy, candidate, weight))
    nothing = gains.flat[0] * 0  # a zero of the same kind of numbers
    return np.array(
        [row[some].min() if some.any() else nothing for row, some in zip(gains, after, strict=True)]
    )


def deviated_states(
    mdp: FiniteHorizonMDP | DiscountedMDP,
    policy: ArrayLike,
    candidate: ArrayLike,
    weight: ArrayLike,
) -> Bool[np.ndarray, "*layers S"]:
    """Return T_h: the states where rollouts of pi_alpha may be that have left pi, 0 < alpha < 1.

    They took an action of the candidate at an earlier state with w > 0 and since then actions of
    pi, or of the candidate where w > 0.

    Returns: mask, shape (H, S), or (S,) for any time in a discounted MDP.

    Raises:
        InvalidInput: if an argument does not fit the MDP.

    Source: docs/theory.md, T1e.
    """
    table = as_policy(mdp, policy)
    check_shape("candidate", np.shape(candidate), [table.shape, table.shape[-2:]])
    leaves = np.broadcast_to(np.asarray(candidate) > 0, table.shape).copy()
    leaves &= (as_weight(weight, table.shape[:-1], mdp.exact) > 0)[..., None]
    if isinstance(mdp, DiscountedMDP):
        return _any_time(mdp, table > 0, leaves)
    loyal, after = np.asarray(mdp.start) > 0, [np.zeros(mdp.states, bool)]
    for h in range(mdp.horizon - 1):
        moves = (loyal | after[h])[:, None] & leaves[h]
        after.append(_next(mdp, h, moves | (after[h][:, None] & (table[h] > 0))))
        loyal = _next(mdp, h, loyal[:, None] & (table[h] > 0))
    return np.array(after)


def _any_time(mdp: DiscountedMDP, stays: Array, leaves: Array) -> Bool[np.ndarray, " S"]:
    if mdp.discount == 0:  # time 0 alone counts, when nothing has left yet
        return np.zeros(mdp.states, bool)
    flat = mdp.transitions if mdp.sparse else mdp.transitions.reshape(-1, mdp.states)
    edges = np.asarray((flat > 0).toarray() if mdp.sparse else flat > 0)

    def reached(moves: Array) -> Array:
        return np.asarray(edges[moves.ravel()].any(axis=0))

    loyal, after = np.asarray(mdp.start) > 0, np.zeros(mdp.states, bool)
    while True:
        later = after | reached((loyal | after)[:, None] & leaves | after[:, None] & stays)
        further = loyal | reached(loyal[:, None] & stays)
        if (later == after).all() and (further == loyal).all():
            return after
        loyal, after = further, later


def _next(mdp: FiniteHorizonMDP, step: int, moves: Array) -> Array:
    """States that some of the moves, mask (S, A), may lead to."""
    mass = moves.astype(object if mdp.exact else np.float64)
    if mdp.exact:
        mass = mass * 1  # integers, which fractions add up with
    return np.asarray(push(mdp, step, mass) > 0)


def _numbers(values: Any) -> tuple[Exact, ...]:
    exact = is_exact(np.asarray(values))
    return tuple(Fraction(value) if exact else float(value) for value in values)
