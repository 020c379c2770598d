"""When a mixed policy has left the one it came from, and how often rollouts visit a set."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from cpi_theory.checks import Exact, InvalidInput, check_probability
from tabular.evaluation.discounted import discounted_system
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.operators import push
from tabular.mdp.policies import as_policy, as_weight


def discounted_deviation(
    mdp: DiscountedMDP, policy: ArrayLike, weight: ArrayLike, alpha: Exact
) -> Exact:
    """Compute sum_t gamma^t P(D_t), D_t being "pi_alpha has left pi before time t" (T8, sharp).

    Equals 1 / (1 - gamma) minus the total discounted mass that follows pi throughout.

    Raises:
        InvalidInput: if an argument does not fit the MDP.

    Source: docs/theory.md, T8.
    """
    undeviated = undeviated_visits(mdp, policy, weight, alpha)
    total = 1 / (1 - mdp.discount)
    return total - undeviated.sum() if mdp.exact else max(0.0, float(total - undeviated.sum()))


def deviation_probabilities(
    mdp: FiniteHorizonMDP, policy: ArrayLike, weight: ArrayLike, alpha: Exact
) -> Shaped[np.ndarray, " H"]:
    """Compute P(D_h), the probability that pi_alpha has left pi before layer h, shape (H,).

    P(D_h) = 1 - E_pi[prod_{k<h} (1 - alpha w(s_k, k))], by a forward recursion (T1s).

    Raises:
        InvalidInput: if an argument does not fit the MDP.

    Source: docs/theory.md, T1s.
    """
    result = [1 - mass.sum() for mass in undeviated_visits(mdp, policy, weight, alpha)]
    return np.array(result) if mdp.exact else np.clip(result, 0.0, 1.0)


def undeviated_visits(
    mdp: FiniteHorizonMDP | DiscountedMDP, policy: ArrayLike, weight: ArrayLike, alpha: Exact
) -> Shaped[np.ndarray, "*layers S"]:
    """Compute the visits of rollouts of pi_alpha that have not left pi yet (T1e, T8e).

    At layer h and state s that is P_pi(s_h = s) E[prod_{k<h} (1 - alpha w(s_k, k)) | s_h = s]; in a
    discounted MDP the sum over time of gamma^t times this, from one linear solve.

    Args:
        mdp: the world.
        policy: pi, shape (H, S, A) or (S, A).
        weight: w, shape (H, S) or (S,).
        alpha: step size in [0, 1].

    Returns: shape (H, S), or (S,) in a discounted MDP.

    Raises:
        InvalidInput: if an argument does not fit the MDP.

    Source: docs/theory.md, T1s and T8.
    """
    check_probability("alpha", alpha)
    table = as_policy(mdp, policy)
    stay = 1 - alpha * as_weight(weight, table.shape[:-1], mdp.exact)
    if isinstance(mdp, DiscountedMDP):
        # The chain gamma P_pi (1 - alpha w) loses the mass that switches.
        return discounted_system(mdp, table * stay[:, None]).solve_transposed(mdp.start)
    masses = [mdp.start]
    for h in range(mdp.horizon - 1):
        masses.append(push(mdp, h, (masses[-1] * stay[h])[:, None] * table[h]))
    return np.array(masses)


def visit_counts(
    mdp: FiniteHorizonMDP, policy: ArrayLike, mask: ArrayLike
) -> Shaped[np.ndarray, " counts"]:
    """Compute P(N = n), n = 0..H, N the number of visits to `mask` in one rollout (T3).

    Args:
        mdp: the world.
        policy: shape (H, S, A) or (S, A).
        mask: bool, shape (H, S) or (S,).

    Returns: shape (H + 1,).

    Raises:
        InvalidInput: if an argument does not fit the MDP.

    Source: docs/theory.md, T3.
    """
    table = as_policy(mdp, policy)
    if np.asarray(mask).dtype != bool:
        raise InvalidInput("mask", mask, "not boolean", "give True where a visit counts")
    counted = as_weight(mask, table.shape[:-1], mdp.exact)
    # mass[n, s]: probability of being in s after n visits.
    mass = np.zeros((mdp.horizon + 1, mdp.states), dtype=table.dtype)
    mass[0] = mdp.start
    for h in range(mdp.horizon):
        moved = mass * (1 - counted[h])
        # Row H, cut off here, is still empty: before layer h there were at most h visits.
        moved[1:] += (mass * counted[h])[:-1]
        mass = push(mdp, h, moved[:, :, None] * table[h])
    return np.asarray(mass.sum(axis=1))
