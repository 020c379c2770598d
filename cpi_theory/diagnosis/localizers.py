"""Coverage and the quality of a localiser, from rollouts: what T5 and T6 need beside tau.

A :class:`~cpi_theory.diagnosis.meters.Meter` measures the best advantage of a state: exactly where
the world knows it, by sampling where it does not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.pieces import draw_index
from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.meters import ExactMeter, Meter
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.seam import Reason, Refusal, ResetPolicy, Rollout, Simulator
from cpi_theory.statistics.intervals import Interval, clustered_proportion, wilson_interval


@dataclass(frozen=True, slots=True)
class LocalizerQuality:
    """How well a reset policy finds improvable states; the inputs of T6 beside coverage.

    Attributes:
        precision: share of the states it selects that are improvable, P_{nu_w}(I_tau).
        recall: weight it gives to a visited improvable state, E_{d^pi}[w | I_tau].
        refusals: how often it named no step, by reason.
        selected: rollouts in which it selected a step.
    """

    precision: Interval
    recall: Interval
    refusals: Counter[Reason]
    selected: int


def estimate_coverage(
    simulator: Simulator,
    rollouts: Sequence[Rollout],
    tau: float,
    key: Key | int,
    *,
    meter: Meter | None = None,
    horizon: int | None = None,
    level: float = 0.95,
) -> Interval:
    """Estimate coverage p_tau, with a Wilson interval, from rollouts from the start.

    One step of each rollout is measured: steps of one rollout are not independent.

    Args:
        simulator: where the rollouts come from.
        rollouts: independent rollouts from the start.
        tau: threshold of the improvable set, in reward units.
        key: of the choice of steps and of the meter.
        meter: of best advantages; by default :class:`~cpi_theory.diagnosis.meters.ExactMeter`.
        horizon: H, to count the layers that a rollout no longer reaches after its end as not
            improvable, as the bounds do; by default the share among the steps taken.
        level: probability with which the interval covers.

    Raises:
        InvalidInput: if a rollout is longer than the horizon or there is none.

    Source: docs/theory.md, Notation; arXiv 2605.25507, where coverage is p_pi.
    """
    address, meter = Key.of(key), meter or ExactMeter()
    if not rollouts:
        raise InvalidInput("rollouts", 0, "nothing to count", "give rollouts from the start")
    if horizon is None:
        labels = _improvable_steps(
            simulator, rollouts, _any_steps(rollouts, address), meter, tau, address
        )
        lengths = np.array([len(r) for r in rollouts])
        # The measured step stands for all of its rollout, or steps of short rollouts would count
        # more.
        return _proportion(labels * lengths, lengths, level)
    longest = max(map(len, rollouts))
    if longest > horizon:
        raise InvalidInput("horizon", horizon, f"a rollout has {longest} steps", "give H")
    # A uniform layer and not a uniform step: layers after the end count as not improvable.
    layers = address.child("layers").generator().integers(horizon, size=len(rollouts)).tolist()
    steps = [h if h < len(r) else None for h, r in zip(layers, rollouts, strict=True)]
    labels = _improvable_steps(simulator, rollouts, steps, meter, tau, address)
    return wilson_interval(float(labels.sum()), len(rollouts), level)


def localizer_quality(
    simulator: Simulator,
    rollouts: Sequence[Rollout],
    tau: float,
    key: Key | int,
    *,
    reset: ResetPolicy | None = None,
    meter: Meter | None = None,
    level: float = 0.95,
) -> LocalizerQuality:
    """Estimate precision and recall of a reset policy at threshold tau (T6).

    Against random resets a localiser saves (precision / p)^2 in samples and gains recall precision
    / p in guaranteed improvement: it is worth having as far as its precision exceeds p.

    Args:
        simulator: where the rollouts come from.
        rollouts: independent rollouts from the start, successes included: recall counts them.
        tau: threshold of the improvable set, in reward units.
        key: of the localiser, of the choice of steps and of the meter.
        reset: the reset policy that is looked at; by default :class:`~cpi_theory.FirstErrorReset`.
        meter: of best advantages; by default :class:`~cpi_theory.diagnosis.meters.ExactMeter`.
        level: probability with which each interval covers; one whose share cannot be estimated is
            [0, 1] with estimate NaN.

    Source: T6 of docs/theory.md, on the localisers of arXiv 2605.25507.
    """
    address, meter = Key.of(key), meter or ExactMeter()
    keys = address.child("localize").integers(len(rollouts))
    answers = (reset or FirstErrorReset()).step_weights(rollouts, simulator, keys)
    refusals = Counter(answer.reason for answer in answers if isinstance(answer, Refusal))
    weights = [None if isinstance(a, Refusal) or not a.sum() > 0 else a for a in answers]
    mass = np.array([0.0 if w is None else float(w.sum()) for w in weights])

    named = [
        None if w is None else draw_index(w, address.child("named", i))
        for i, w in enumerate(weights)
    ]
    right = _improvable_steps(simulator, rollouts, named, meter, tau, address.child("precision"))

    visited = _any_steps(rollouts, address)
    improvable = _improvable_steps(
        simulator, rollouts, visited, meter, tau, address.child("recall")
    )
    found = np.array(
        [0.0 if w is None or i is None else w[i] for w, i in zip(weights, visited, strict=True)]
    )
    relevant = improvable * np.array([len(r) for r in rollouts])
    return LocalizerQuality(
        # In nu_w a rollout counts with the total weight that it gives to its steps.
        precision=_proportion(right * mass, mass, level),
        recall=_proportion(found * relevant, relevant, level),
        refusals=refusals,
        selected=int(np.count_nonzero(mass)),
    )


def _any_steps(rollouts: Sequence[Rollout], key: Key) -> list[int | None]:
    """One step of each rollout, uniformly; None for an empty one."""
    uniforms = key.child("steps").generator().random(len(rollouts))
    return [int(u * len(r)) if len(r) else None for u, r in zip(uniforms, rollouts, strict=True)]


def _improvable_steps(
    simulator: Simulator,
    rollouts: Sequence[Rollout],
    steps: Sequence[int | None],
    meter: Meter,
    tau: float,
    key: Key,
) -> NDArray[np.bool_]:
    """Whether the given step of each rollout is improvable; False where there is none."""
    labels = np.zeros(len(rollouts), dtype=bool)
    asked = [i for i, step in enumerate(steps) if step is not None]
    picks = [(rollouts[i], step) for i, step in enumerate(steps) if step is not None]
    if picks:
        labels[asked] = meter.measure(simulator, picks, key.child("judge"), tau).estimate >= tau
    return labels


def _proportion(
    successes: NDArray[np.float64], trials: NDArray[np.float64], level: float
) -> Interval:
    """The clustered interval, or all of [0, 1] from fewer than two clusters."""
    if np.count_nonzero(trials) < 2:
        return Interval(math.nan, 0.0, 1.0)
    return clustered_proportion(np.minimum(successes, trials), trials, level)
