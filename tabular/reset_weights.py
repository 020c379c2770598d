"""The reset weight w(s, h) that a reset policy induces, exactly wherever a recursion exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, singledispatch
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.checks import Exact, check_count, check_probability
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageBasedReset, ImperfectReset, ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import Refusal, ResetPolicy, Simulator, State
from tabular.evaluation import Evaluation
from tabular.first_errors import first_error_weight
from tabular.localizer import Localizer
from tabular.mdp import FiniteHorizonMDP
from tabular.validation import Array, as_numbers


@dataclass(frozen=True, eq=False)
class ResetWeight:
    """An induced reset weight; `numpy.asarray` gives its values, so it serves as a weight.

    Attributes:
        values: w(s, h) = E[weight of step h | s_h = s], shape (H, S); 0 at states never visited.
        lower, upper: confidence limits, shape (H, S); equal to `values` when `exact`.
        exact: whether a recursion gave the values; else they are means over sampled rollouts.
    """

    values: Array
    lower: Array
    upper: Array
    exact: bool

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)


def exact_reset_weight(
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    reset: ResetPolicy,
    localizer: Localizer | None = None,
    success: Exact | None = None,
) -> ResetWeight | None:
    """The reset weight that `reset` induces, by a recursion; None where none is known.

    Args:
        mdp: the world.
        evaluation: of the policy that rolls out from the start.
        reset: any reset policy.
        localizer: how the world names first errors; by default exactly.
        success: a rollout fails if its return is below this; by default `reward_bound` less 1e-9.
    """
    values = exact_weight(reset, mdp, evaluation, localizer or Localizer(), success)
    if values is None:
        return None
    values.setflags(write=False)
    return ResetWeight(values, values, values, exact=True)


@singledispatch
def exact_weight(
    reset: ResetPolicy,
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    localizer: Localizer,
    success: Exact | None,
) -> Array | None:
    """w(s, h) = E[weight of step h | s_h = s], shape (H, S), or None where no recursion is known.

    The law of a new reset policy is added from anywhere by ``@exact_weight.register``; a policy
    without one is sampled.
    """
    return None


@exact_weight.register
def _start_weight(
    reset: StartReset,
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    localizer: Localizer,
    success: Exact | None,
) -> Array:
    return _on_visits(mdp, evaluation, (np.arange(mdp.horizon) == 0)[:, None])


@exact_weight.register
def _uniform_weight(
    reset: UniformReset,
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    localizer: Localizer,
    success: Exact | None,
) -> Array:
    return _on_visits(mdp, evaluation, np.True_)


@exact_weight.register
def _advantage_weight(
    reset: AdvantageBasedReset,
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    localizer: Localizer,
    success: Exact | None,
) -> Array:
    best = evaluation.best_advantages
    if not isinstance(reset, ImprovableReset | ImperfectReset):
        best = best.astype(np.float64)  # a softmax has no exact fractions
    calibration = reset.calibrate(partial(step_coverage, mdp, evaluation))
    return _on_visits(mdp, evaluation, reset.weights_at(best, calibration))


@exact_weight.register
def _first_error_weight(
    reset: FirstErrorReset,
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    localizer: Localizer,
    success: Exact | None,
) -> Array | None:
    return first_error_weight(mdp, evaluation, reset.offset, localizer, success)


def _on_visits(mdp: FiniteHorizonMDP, evaluation: Evaluation, weight: ArrayLike) -> Array:
    """A weight that depends on (s, h) alone, shape (H, S): 0 at ends and where nobody comes."""
    acting = np.broadcast_to(~mdp.terminal, evaluation.values.shape)
    visited = np.asarray(evaluation.visits > 0, dtype=bool)
    table = np.asarray(weight)
    table = table.astype(np.int64) if table.dtype == bool else table
    return np.array(as_numbers("weight", np.where(acting & visited, table, 0), mdp.exact))


def step_coverage(mdp: FiniteHorizonMDP, evaluation: Evaluation, tau: float) -> float:
    """Share of the *steps* of rollouts whose best advantage reaches tau.

    Unlike `coverage` it leaves out the layers that a rollout no longer reaches after its end, so
    that it is what a simulator can count.
    """
    acting = evaluation.visits * ~mdp.terminal
    hits = acting * np.asarray(evaluation.best_advantages >= tau, dtype=bool)
    total = float(acting.sum())
    return float(hits.sum()) / total if total > 0 else 0.0


def sampled_reset_weight(
    simulator: Simulator,
    starts: Sequence[State],
    reset: ResetPolicy,
    shape: tuple[int, int],
    *,
    key: Key | int = 0,
    level: float = 0.95,
) -> ResetWeight:
    """The induced reset weight of any reset policy, as means over sampled rollouts.

    The limits are Wilson's, which for weights between 0 and 1 are at least as wide as for hits.

    Args:
        simulator: a world whose states are pairs (h, s).
        starts: where the rollouts start, one each.
        reset: any reset policy.
        shape: (H, S).
        key: of the rollouts and of the reset policy.
        level: of each pair of limits, in (0, 1).

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
        visits[where] += 1
        if not isinstance(weight, Refusal):
            total[where] += weight
    return _with_limits(total, visits, level)


def _with_limits(total: Array, visits: Array, level: float) -> ResetWeight:
    """Means with Wilson limits; [0, 1] where nothing was seen."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    seen = np.maximum(visits, 1)
    mean = total / seen
    centre = (mean + z * z / (2 * seen)) / (1 + z * z / seen)
    half = z * np.sqrt(mean * (1 - mean) / seen + (z / (2 * seen)) ** 2) / (1 + z * z / seen)
    lower = np.where(visits > 0, np.clip(centre - half, 0.0, mean), 0.0)
    upper = np.where(visits > 0, np.clip(centre + half, mean, 1.0), 1.0)
    return ResetWeight(mean, lower, upper, exact=False)
