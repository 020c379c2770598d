"""Worlds whose improvable states cannot be told apart, for the lower bound T7."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from cpi_theory.checks import Exact, check_in_range, check_positive
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.policies import uniform_policy
from tabular.worlds.problem import Problem, clear_of_rounding, same_kind, zeros


def aliased(
    coverage: Exact,
    tau: Exact,
    *,
    reward_bound: Exact = 1.0,
    better: int = 0,
    statewise: bool = False,
) -> Problem:
    """Make two actions whose merit shows in few states, with one parameter for all of them.

    At step 0 a context is drawn: an improvable one (state 0) or a plain one (state 1). Action
    `better` reaches the paying state 2 with probability 1/2 + tau / R_max in the improvable
    context, the other action with 1/2 - tau / R_max, either with 1/2 in a plain one; otherwise
    the losing state 3 is reached. At step 1 state 2 pays R_max. So outcomes are R_max or 0, and
    a reset to step 1 tells nothing about the actions. The base policy draws both alike. The
    improvable set at threshold `tau` is the improvable context at step 0.

    Args:
        coverage: p in (0, 1/2]; half of all visits are at step 1, where nothing is left to do.
        tau: threshold in (0, R_max / 2].
        reward_bound: R_max.
        better: the better action, 0 or 1: the two worlds that T7 tells apart.
        statewise: whether each (step, state) has an action choice of its own. If not, one
            observation hides them all: the aliased class of T7.

    Returns:
        The problem; exact if a parameter is a fraction.

    Raises:
        InvalidInput: if a parameter is out of range.

    Source: docs/theory.md, T7.
    """
    check_positive("coverage", coverage)
    check_in_range("coverage", coverage, 0, 0.5)
    check_positive("reward_bound", reward_bound)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, reward_bound / 2)
    check_in_range("better", better, 0, 1)
    # Step 0 holds half of all visits: contexts of probability 2 p are a share p of visits.
    share, tau, bound = same_kind(2 * coverage, tau, reward_bound)
    half = tau * 0 + Fraction(1, 2)
    moves, wins, rewards = zeros((4, 2, 4), tau), zeros((2, 2), tau), zeros((4, 2), tau)
    # Above 1/2 a probability would be negative.
    edge = min(clear_of_rounding(tau / bound), half)
    wins[:] = half
    wins[0, better] += edge
    wins[0, 1 - better] -= edge
    moves[:2, :, 2], moves[:2, :, 3] = wins, 1 - wins
    moves[2:, :, 3] = 1
    rewards[2] = bound
    start = zeros(4, tau)
    start[:2] = share, 1 - share
    hidden = None if statewise else np.zeros(4, dtype=np.int64)
    name = "statewise" if statewise else "aliased"
    mdp = FiniteHorizonMDP(
        moves, rewards, start, 2, reward_bound=bound, observations=hidden, name=name
    )
    return Problem(mdp, uniform_policy(mdp))
