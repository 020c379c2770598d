"""The reset weight that any reset policy induces, as means over sampled rollouts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cpi_theory.checks import check_count, check_probability
from cpi_theory.randomness import Key
from cpi_theory.seam import Refusal, ResetPolicy, Simulator, State
from cpi_theory.statistics.intervals import wilson_interval
from tabular.mdp.validation import Array
from tabular.resets.weights import ResetWeight


def sampled_reset_weight(
    simulator: Simulator,
    starts: Sequence[State],
    reset: ResetPolicy,
    shape: tuple[int, int],
    *,
    key: Key | int = 0,
    level: float = 0.95,
) -> ResetWeight:
    """Estimate the reset weight of any reset policy by means over sampled rollouts.

    The limits are Wilson's, which for weights between 0 and 1 are at least as wide as for hits.

    Args:
        simulator: a world whose states are pairs (h, s).
        starts: where the rollouts start, one each.
        reset: any reset policy.
        shape: (H, S).
        key: of the rollouts and of the reset policy.
        level: probability with which each pair of limits covers, in (0, 1).

    Raises:
        InvalidInput: if there is no start or `level` is out of range.
    """
    check_count("starts", len(starts))
    check_probability("level", level)
    streams, samples = Key.of(key), len(starts)
    rollouts = simulator.rollout(starts, streams.child("rollouts").integers(samples))
    weights = reset.step_weights(rollouts, simulator, streams.child("reset").integers(samples))
    visits, total = np.zeros(shape), np.zeros(shape)
    for rollout, weight in zip(rollouts, weights, strict=True):
        where = tuple(np.array(rollout.states, dtype=np.int64).reshape(-1, 2).T)
        # A rollout is in each layer once, so no index comes twice and += is safe.
        visits[where] += 1
        if not isinstance(weight, Refusal):
            total[where] += weight
    return _with_limits(total, visits, level)


def _with_limits(total: Array, visits: Array, level: float) -> ResetWeight:
    """Means with Wilson limits; [0, 1] where nothing was seen."""
    # One trial in place of none; its limits are replaced below.
    found = wilson_interval(np.minimum(total, visits), np.maximum(visits, 1), level)
    seen = visits > 0
    lower, upper = np.where(seen, found.lower, 0.0), np.where(seen, found.upper, 1.0)
    return ResetWeight(found.estimate, lower, upper, exact=False)
