"""Improvable sets, candidates, and conservative updates localised by a reset weight.

A reset weight w is an array (H, S) in [0, 1], or (S,) for every layer alike; a boolean mask is one
too, and so is anything that turns into such an array, e.g. a `ResetWeight`. In a discounted MDP
there is no axis H. Everything here is exact on an exact MDP.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import ArrayLike

from cpi_theory.bounds.discounted import DiscountedResetStep
from cpi_theory.bounds.finite_horizon import ResetStep
from cpi_theory.checks import Exact, check_positive, check_probability
from tabular.evaluation.result import Evaluation
from tabular.mdp.policies import as_weight
from tabular.mdp.validation import Array, as_numbers, check_shape, is_exact


def mix(
    policy: Shaped[np.ndarray, "*layers S A"],
    candidate: Shaped[np.ndarray, "*some S A"],
    weight: ArrayLike,
    alpha: Exact = 1,
) -> Shaped[np.ndarray, "*layers S A"]:
    """Mix a candidate in: pi_alpha = (1 - alpha w) pi + alpha w pi', the localised update.

    Args:
        policy: pi, shape (H, S, A).
        candidate: pi', shape (H, S, A), or (S, A) for all layers.
        weight: w, shape (H, S) or (S,).
        alpha: step size in [0, 1]; a fraction (or an integer) for exact policies.

    Returns: shape (H, S, A), read-only; exact if `policy` is.

    Raises:
        InvalidInput: if shapes do not fit, or alpha or a weight lies outside [0, 1].

    Source: Kakade and Langford, ICML 2002, for w = 1; the weights of resets as in docs/theory.md,
        after arXiv 2605.25507.
    """
    check_probability("alpha", alpha)
    policy = np.asarray(policy)
    exact = is_exact(policy)
    check_shape("candidate", np.shape(candidate), [policy.shape, policy.shape[-2:]])
    step = (alpha * as_weight(weight, policy.shape[:-1], exact))[..., None]
    other = as_numbers("candidate", candidate, exact)
    # Not pi + step (pi' - pi): a sum of non-negative terms stays non-negative in floats.
    mixed = np.asarray((1 - step) * policy + step * other)
    mixed.setflags(write=False)
    return mixed


def improvable(evaluation: Evaluation, tau: Exact) -> Bool[np.ndarray, "*layers S"]:
    """Return the improvable set I_tau = {(s, h): max_a A_h(s, a) >= tau}, mask (H, S).

    Raises:
        InvalidInput: if tau is not positive.

    Source: arXiv 2605.25507; docs/theory.md, Notation.
    """
    check_positive("tau", tau)
    return np.asarray(evaluation.best_advantages >= tau, dtype=bool)


def coverage(evaluation: Evaluation, tau: Exact) -> Exact:
    """Return on-policy coverage p_tau = P_d(I_tau), d the occupancy over all H layers.

    Source: arXiv 2605.25507, where it is p_pi; docs/theory.md, Notation.
    """
    return _number(evaluation.occupancy[improvable(evaluation, tau)].sum(), evaluation)


def greedy_on(
    evaluation: Evaluation, mask: ArrayLike | None = None
) -> Shaped[np.ndarray, "*layers S A"]:
    """Return the candidate that is greedy for A^pi on `mask` (by default everywhere), else pi.

    Ties go to the action with the lowest index. Returns shape (H, S, A), read-only.

    Source: the candidate of T3 in docs/theory.md; the greedy chooser of Kakade and Langford, ICML
        2002.
    """
    best = evaluation.advantages.argmax(axis=-1)
    one_hot = np.eye(evaluation.policy.shape[-1], dtype=np.int64)[best]
    chosen = np.broadcast_to(True if mask is None else np.asarray(mask), best.shape)
    table = np.where(chosen[..., None], one_hot, evaluation.policy)
    return as_numbers("candidate", table, is_exact(evaluation.policy))


def reset_step(
    evaluation: Evaluation, candidate: ArrayLike, weight: ArrayLike
) -> ResetStep | DiscountedResetStep:
    """Return the inputs of T1, T1s and T2 (T8 when discounted) for one update.

    A weight that covers nothing gives coverage, advantage and remaining horizon zero.

    Args:
        evaluation: of the policy pi that is updated.
        candidate: pi', shape (H, S, A) or (S, A).
        weight: w, shape (H, S) or (S,).

    Raises:
        InvalidInput: if shapes do not fit or a weight lies outside [0, 1].

    Source: docs/theory.md, Notation; Kakade and Langford, ICML 2002, for w = 1.
    """
    shape = evaluation.policy.shape
    exact = is_exact(evaluation.policy)
    check_shape("candidate", np.shape(candidate), [shape, shape[-2:]])
    table = as_weight(weight, shape[:-1], exact)
    # f = w Abar of T1; Delta is its spread over all (s, h), visited or not.
    gains = (as_numbers("candidate", candidate, exact) * evaluation.advantages).sum(axis=-1) * table
    selected = evaluation.occupancy * table
    covered = _number(selected.sum(), evaluation)
    # Abar_w = E_d[w Abar] / p_w.
    advantage = _mean(evaluation.occupancy * gains, covered, evaluation)
    spread = _number(gains.max() - gains.min(), evaluation)
    if evaluation.discount is not None:
        return DiscountedResetStep(evaluation.discount, covered, advantage, spread)
    # Python integers: a fraction times a numpy integer overflows without a word.
    later = np.array(range(shape[0])[::-1], dtype=object if exact else np.float64)[:, None]
    remaining = _mean(selected * later, covered, evaluation)
    # Rounding may carry a share above 1 and a mean above the largest of what it averages.
    return ResetStep(shape[0], min(covered, 1), advantage, spread, min(remaining, shape[0] - 1))


def _mean(masses: Array, covered: Exact, evaluation: Evaluation) -> Exact:
    return _number(masses.sum(), evaluation) / covered if covered > 0 else covered * 0


def _number(value: Any, evaluation: Evaluation) -> Exact:
    return Fraction(value) if is_exact(evaluation.policy) else float(value)
