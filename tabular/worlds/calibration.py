"""Reasoning trees made to have a given coverage at a given threshold."""

from __future__ import annotations

import numpy as np

from cpi_theory.checks import (
    Exact,
    InvalidInput,
    check_choice,
    check_count,
    check_in_range,
    check_positive,
)
from cpi_theory.randomness import Key
from tabular.mdp.validation import Array
from tabular.worlds.problem import clear_of_rounding, same_kind, scalar, zeros
from tabular.worlds.trees import ReasoningTree, build_tree, observe


def calibrated_tree(
    horizon: int,
    branching: int,
    coverage: Exact,
    tau: Exact,
    recoverability: Exact = 0.0,
    *,
    place: str = "last",
    seed: int | Key = 0,
) -> ReasoningTree:
    """Make a reasoning tree whose coverage at threshold `tau` is exactly `coverage`.

    Every hard step on the path has best advantage `tau`: rho_h = 1 - tau / g_{h+1} (in floats
    slightly more, so that rounding does not lose it). There are as few hard steps as reach the
    coverage; a second problem without hard steps dilutes them to it. Other steps are
    always right.

    Args:
        horizon: thoughts per problem H.
        branching: actions per thought, at least 2.
        coverage: p in (0, 1].
        tau: threshold in (0, 1).
        recoverability: chance that a right thought off the path finds back, below 1.
        place: whether the hard steps are the "first" or the "last" ones, which sets how much
            horizon remains after them.
        seed: of the right actions.

    Returns:
        The tree; exact if `coverage`, `tau` or `recoverability` is a fraction.

    Raises:
        InvalidInput: if no tree of this horizon has so much coverage at this threshold.

    Source: the closed forms of :mod:`tabular.worlds.trees`; coverage as in arXiv 2605.25507.
    """
    check_count("horizon", horizon)
    check_count("branching", branching, 2)
    check_positive("coverage", coverage)
    check_positive("tau", tau)
    check_in_range("recoverability", recoverability, 0, 1)
    check_choice("place", place, ("first", "last"))
    coverage, tau, recoverability = same_kind(coverage, tau, recoverability)
    chain, reached = _hardest_chain(
        horizon, coverage, clear_of_rounding(tau), recoverability, place
    )
    # The second problem has no hard step; its probability sets the coverage.
    right = np.stack([chain, np.ones_like(chain)])
    hard = np.stack([chain != 1, np.zeros(horizon, dtype=bool)]).astype(bool)
    start = np.array([coverage / reached, 1 - coverage / reached], dtype=right.dtype)
    rng = Key.of(seed).child("calibrated tree").generator()
    actions = rng.integers(branching, size=hard.shape)
    observations = observe(np.arange(hard.size).reshape(hard.shape), hard.size, True)
    return build_tree(right, actions, hard, recoverability, start, branching, None, observations)


def _hardest_chain(
    horizon: int, coverage: Exact, tau: Exact, recoverability: Exact, place: str
) -> tuple[Array, Exact]:
    """rho of the chain with the fewest hard steps that reach `coverage`, and what it has."""
    most = coverage * 0
    for count in range(1, horizon + 1):
        hard = range(count) if place == "first" else range(horizon - count, horizon)
        right = _chain_at_threshold(horizon, hard, tau, recoverability)
        if right is None:
            break
        reached = _hard_visits(right, hard, recoverability) / horizon
        if reached >= coverage:
            return right, reached
        most = max(most, reached)
    raise InvalidInput(
        "coverage",
        coverage,
        f"a tree of {horizon} steps has at most {float(most):.6g} at threshold {float(tau):.6g}",
        "lower coverage, tau or recoverability",
    )


def _chain_at_threshold(
    horizon: int, hard: range, tau: Exact, recoverability: Exact
) -> Array | None:
    """rho such that every hard step has best advantage `tau`; None if there is no such chain."""
    right = zeros(horizon, tau) + 1
    gap = right[0]
    for h in reversed(range(horizon)):
        if h in hard:
            # The best advantage is (1 - rho_h) g_{h+1}, below g_{h+1} for every rho_h > 0.
            if gap <= tau:
                return None
            # (1 - rho_h) g_{h+1} = tau, solved for rho_h.
            right[h] = 1 - tau / gap
        gap = right[h] * gap * (1 if h == horizon - 1 else 1 - recoverability)
    return right


def _hard_visits(right: Array, hard: range, recoverability: Exact) -> Exact:
    """Expected number of hard steps met on the path in one rollout."""
    on, visits = right[0] * 0 + 1, right[0] * 0
    for h, rho in enumerate(right):
        visits += on if h in hard else 0
        # On the path next: a right thought, on it already or finding back.
        on = rho * (on + recoverability * (1 - on))
    return scalar(visits)
