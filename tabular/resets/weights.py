"""The reset weight w(s, h) that a reset policy induces, exactly wherever a recursion exists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, singledispatch
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from cpi_theory.checks import Exact
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageBasedReset, ImperfectReset, ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import ResetPolicy
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.validation import Array, as_numbers
from tabular.resets.first_errors import first_error_weight
from tabular.resets.localizer import Localizer


@dataclass(frozen=True, eq=False)
class ResetWeight:
    """The weight of a reset policy that is applied to every rollout, failed or not.

    `numpy.asarray` gives its values, so it serves as a weight wherever one is wanted. An algorithm
    that resets some rollouts only has another law of reset states:
    :func:`tabular.resets.reset_states.reset_state_law`.

    Attributes:
        values: w(s, h) = E[weight of step h | s_h = s], shape (H, S); 0 at states never visited.
        lower, upper: confidence limits, shape (H, S); equal to `values` when `exact`.
        exact: whether a recursion gave the values; else they are means over sampled rollouts.
    """

    values: Shaped[np.ndarray, "H S"]
    lower: Shaped[np.ndarray, "H S"]
    upper: Shaped[np.ndarray, "H S"]
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
    """Compute the reset weight that `reset` induces by a recursion; None if none is known.

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
    """Compute w(s, h) = E[weight of step h | s_h = s], (H, S); None without a recursion.

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
    """Return the share of the *steps* of rollouts whose best advantage reaches tau.

    Unlike `coverage` it leaves out the layers that a rollout no longer reaches after its end, so
    that it is what a simulator can count.
    """
    acting = evaluation.visits * ~mdp.terminal
    hits = acting * np.asarray(evaluation.best_advantages >= tau, dtype=bool)
    total = float(acting.sum())
    return float(hits.sum()) / total if total > 0 else 0.0
