"""The reset weight w(s, h) that a reset policy induces, exactly wherever a recursion exists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.checks import Exact, check_count, check_probability
from cpi_theory.randomness import Key
from cpi_theory.resets import (
    AdvantageBasedReset,
    FirstErrorReset,
    ImperfectReset,
    ImprovableReset,
    StartReset,
    UniformReset,
)
from cpi_theory.seam import Refusal, ResetPolicy
from tabular.evaluation import Evaluation, evaluate
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


def reset_weight(
    mdp: FiniteHorizonMDP,
    policy: ArrayLike,
    reset: ResetPolicy,
    *,
    localizer: Localizer | None = None,
    success: Exact | None = None,
    samples: int = 20_000,
    key: Key | int = 0,
) -> ResetWeight:
    """The reset weight that `reset` induces on the rollouts of `policy` from the start.

    Exact for `StartReset`, `UniformReset`, every `AdvantageBasedReset` and, as long as rollouts
    have few distinct returns, for `FirstErrorReset`; Monte Carlo with 95 % intervals otherwise.

    Args:
        mdp: the world.
        policy: shape (H, S, A) or (S, A).
        reset: any reset policy.
        localizer: how the world names first errors (`tabular.localizer.Localizer`); by default
            exactly.
        success: a rollout fails if its return is below this; by default `reward_bound` less 1e-9.
        samples: number of rollouts if Monte Carlo is needed.
        key: their random stream.

    Raises:
        InvalidInput: if `policy` does not fit the MDP.
    """
    evaluation = evaluate(mdp, policy)
    values = _exact_weight(mdp, evaluation, reset, localizer, success)
    if values is None:
        return sampled_reset_weight(
            mdp, policy, reset, localizer=localizer, success=success, samples=samples, key=key
        )
    values.setflags(write=False)
    return ResetWeight(values, values, values, exact=True)


def _exact_weight(
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    reset: ResetPolicy,
    localizer: Localizer | None,
    success: Exact | None,
) -> Array | None:
    """The weight by a recursion, or None where none is known."""
    steps = np.broadcast_to(~mdp.terminal, evaluation.values.shape)
    if isinstance(reset, StartReset):
        table: Any = steps & (np.arange(mdp.horizon) == 0)[:, None]
    elif isinstance(reset, UniformReset):
        table = steps
    elif isinstance(reset, AdvantageBasedReset):
        table = np.where(steps, _advantage_weight(mdp, evaluation, reset), 0)
    elif isinstance(reset, FirstErrorReset):
        return first_error_weight(mdp, evaluation, reset.offset, localizer or Localizer(), success)
    else:
        return None
    table = table.astype(np.int64) if table.dtype == bool else table
    visited = np.asarray(evaluation.visits > 0, dtype=bool)
    return np.array(as_numbers("weight", np.where(visited, table, 0), mdp.exact))


def _advantage_weight(
    mdp: FiniteHorizonMDP, evaluation: Evaluation, reset: AdvantageBasedReset
) -> Array:
    best = evaluation.best_advantages
    if not isinstance(reset, ImprovableReset | ImperfectReset):
        best = best.astype(np.float64)
    return reset.weights_at(best, reset.calibrate(partial(step_coverage, mdp, evaluation)))


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
    mdp: FiniteHorizonMDP,
    policy: ArrayLike,
    reset: ResetPolicy,
    *,
    localizer: Localizer | None = None,
    success: Exact | None = None,
    samples: int = 20_000,
    key: Key | int = 0,
    confidence: float = 0.95,
) -> ResetWeight:
    """The induced reset weight of any reset policy, as means over sampled rollouts.

    The limits are Wilson's, which for weights between 0 and 1 are at least as wide as for hits.

    Args:
        mdp, policy, reset, localizer, success, samples, key: as for `reset_weight`.
        confidence: of each limit pair, in (0, 1).

    Raises:
        InvalidInput: if an argument is out of range or `policy` does not fit the MDP.
    """
    check_count("samples", samples)
    check_probability("confidence", confidence)
    from tabular.simulation import TabularSimulator  # which imports this module

    bar = None if success is None else float(success)
    simulator = TabularSimulator(mdp, policy, localizer=localizer, success=bar)
    streams = Key.of(key)
    starts = simulator.start_states(samples, streams.child("starts"))
    rollouts = simulator.rollout(starts, streams.child("rollouts").integers(samples))
    weights = reset.step_weights(rollouts, simulator, streams.child("reset").integers(samples))
    visits = np.zeros((mdp.horizon, mdp.states))
    total = np.zeros_like(visits)
    for rollout, weight in zip(rollouts, weights, strict=True):
        where = tuple(np.array(rollout.states, dtype=np.int64).reshape(-1, 2).T)
        visits[where] += 1
        if not isinstance(weight, Refusal):
            total[where] += weight
    return _with_limits(total, visits, confidence)


def _with_limits(total: Array, visits: Array, confidence: float) -> ResetWeight:
    """Means with Wilson limits; [0, 1] where nothing was seen."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    seen = np.maximum(visits, 1)
    mean = total / seen
    centre = (mean + z * z / (2 * seen)) / (1 + z * z / seen)
    half = z * np.sqrt(mean * (1 - mean) / seen + (z / (2 * seen)) ** 2) / (1 + z * z / seen)
    lower = np.where(visits > 0, np.clip(centre - half, 0.0, mean), 0.0)
    upper = np.where(visits > 0, np.clip(centre + half, mean, 1.0), 1.0)
    return ResetWeight(mean, lower, upper, exact=False)
