"""Evaluate one policy or many, on any kind of MDP."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tabular.evaluation.finite_horizon import (
    evaluate_dense_many,
    evaluate_exact,
    evaluate_floats,
    evaluate_layers,
)
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import as_policies, as_policy


def evaluate(mdp: FiniteHorizonMDP | DiscountedMDP, policy: ArrayLike) -> Evaluation:
    """Compute values, advantages and visits of a stochastic policy.

    Args:
        mdp: dense, sparse or exact; finite-horizon or discounted.
        policy: pi_h(a | s), shape (H, S, A), or (S, A) for all layers.

    Raises:
        InvalidInput: if `policy` does not fit the MDP.

    Source: M. L. Puterman, Markov Decision Processes, https://doi.org/10.1002/9780470316887,
        sections 4.2 and 6.1.
    """
    if isinstance(mdp, DiscountedMDP):
        from tabular.evaluation.discounted import evaluate_discounted  # loads scipy

        return evaluate_discounted(mdp, as_policy(mdp, policy))
    if mdp.exact:
        return evaluate_exact(mdp, as_policy(mdp, policy))
    return evaluate_floats(mdp, policy)


def evaluate_many(mdp: FiniteHorizonMDP | DiscountedMDP, policies: ArrayLike) -> Evaluation:
    """Compute values, advantages and visits of K policies at once, with a leading axis K.

    A layer's transitions are read once for all policies (a matrix product instead of K products
    with a vector), which is what makes this several times faster than K calls of `evaluate`.

    Args:
        mdp: dense, sparse or exact; finite-horizon or discounted.
        policies: shape (K, H, S, A), or (K, S, A) for policies that are the same in all layers.

    Raises:
        InvalidInput: if `policies` do not fit the MDP.

    Source: M. L. Puterman, Markov Decision Processes, https://doi.org/10.1002/9780470316887,
        sections 4.2 and 6.1.
    """
    if isinstance(mdp, DiscountedMDP):
        return _stacked([evaluate(mdp, table) for table in as_policies(mdp, policies)])
    if mdp.exact or mdp.sparse:
        return evaluate_layers(mdp, as_policies(mdp, policies))
    return evaluate_dense_many(mdp, policies)


def _stacked(singles: list[Evaluation]) -> Evaluation:
    names = ("value", "values", "q_values", "advantages", "visits", "policy")
    tables = {name: np.stack([getattr(one, name) for one in singles]) for name in names}
    return Evaluation(
        **tables,
        discount=singles[0].discount,
        error_bound=max(one.error_bound for one in singles),
        visits_error_bound=max(one.visits_error_bound for one in singles),
    )
