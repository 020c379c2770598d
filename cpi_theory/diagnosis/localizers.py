"""Coverage and the quality of a localiser, from rollouts: what T5 and T6 need beside tau.

A *judge* says whether a state is improvable: exactly where the world knows its advantages, by
sampling where it does not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.pieces import draw_index
from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.branching import Pick, best_advantage_lower_bounds
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.seam import OracleSimulator, Reason, Refusal, ResetPolicy, Rollout, Simulator
from cpi_theory.statistics.intervals import Interval, clustered_proportion, wilson_interval


class Judge(Protocol):
    """Says which visited states are improvable."""

    def improvable(
        self, simulator: Simulator, picks: Sequence[Pick], tau: float, key: Key
    ) -> NDArray[np.bool_]:
        """Whether max_a A >= tau at each picked state, shape (len(picks),)."""
        ...


@dataclass(frozen=True, slots=True)
class ExactJudge:
    """Asks a world that knows its advantages."""

    def improvable(
        self, simulator: Simulator, picks: Sequence[Pick], tau: float, key: Key
    ) -> NDArray[np.bool_]:
        """Exact answers.

        Raises:
            InvalidInput: if the simulator does not know its advantages.
        """
        if not isinstance(simulator, OracleSimulator):
            raise InvalidInput(
                "judge",
                self,
                f"{type(simulator).__name__} does not know its advantages",
                "use SampledJudge()",
            )
        best = simulator.best_advantages([rollout for rollout, _ in picks])
        return np.array([b[i] >= tau for b, (_, i) in zip(best, picks, strict=True)], dtype=bool)


@dataclass(frozen=True, slots=True)
class SampledJudge:
    """Calls a state improvable if the estimate of :func:`best_advantage_lower_bounds` reaches tau.

    Its errors blur every share counted with it; they vanish as `completions` grows, except that an
    action which no branch tried is never found.

    Attributes:
        branches, screening, completions, by_action: see :func:`best_advantage_lower_bounds`.
    """

    branches: int = 8
    screening: int = 4
    completions: int = 64
    by_action: bool = False

    def improvable(
        self, simulator: Simulator, picks: Sequence[Pick], tau: float, key: Key
    ) -> NDArray[np.bool_]:
        """Answers from (1 + screening) branches + 2 completions rollouts per state."""
        bounds = best_advantage_lower_bounds(
            simulator,
            [rollout.states[i] for rollout, i in picks],
            key,
            branches=self.branches,
            screening=self.screening,
            completions=self.completions,
            by_action=self.by_action,
        )
        return np.array([b.estimate >= tau for b in bounds], dtype=bool)


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
    judge: Judge | None = None,
    horizon: int | None = None,
    level: float = 0.95,
) -> Interval:
    """Coverage p_tau with a Wilson interval, from rollouts of the policy from its start.

    One step of each rollout is judged: steps of one rollout are not independent.

    Args:
        simulator: where the rollouts come from.
        rollouts: independent rollouts from the start.
        tau: level of the improvable set, in reward units.
        key: of the choice of steps and of the judge.
        judge: by default :class:`ExactJudge`.
        horizon: H, to count the layers that a rollout no longer reaches after its end as not
            improvable, as the bounds do; by default the share among the steps taken.
        level: of the interval.

    Raises:
        InvalidInput: if a rollout is longer than the horizon or there is none.
    """
    address, judge = Key.of(key), judge or ExactJudge()
    if not rollouts:
        raise InvalidInput("rollouts", 0, "nothing to count", "give rollouts from the start")
    if horizon is None:
        labels = _judge_steps(
            simulator, rollouts, _any_steps(rollouts, address), judge, tau, address
        )
        lengths = np.array([len(r) for r in rollouts])
        return _proportion(labels * lengths, lengths, level)
    longest = max(map(len, rollouts))
    if longest > horizon:
        raise InvalidInput("horizon", horizon, f"a rollout has {longest} steps", "give H")
    layers = address.child("layers").generator().integers(horizon, size=len(rollouts)).tolist()
    steps = [h if h < len(r) else None for h, r in zip(layers, rollouts, strict=True)]
    labels = _judge_steps(simulator, rollouts, steps, judge, tau, address)
    return wilson_interval(float(labels.sum()), len(rollouts), level)


def localizer_quality(
    simulator: Simulator,
    rollouts: Sequence[Rollout],
    tau: float,
    key: Key | int,
    *,
    reset: ResetPolicy | None = None,
    judge: Judge | None = None,
    level: float = 0.95,
) -> LocalizerQuality:
    """Precision and recall of a reset policy at level tau, to hold against coverage (T6).

    Against random resets a localiser saves (precision / p)^2 in samples and gains recall precision
    / p in guaranteed improvement: it is worth having as far as its precision exceeds p.

    Args:
        simulator: where the rollouts come from.
        rollouts: independent rollouts from the start, successes included: recall counts them.
        tau: level of the improvable set, in reward units.
        key: of the localiser, of the choice of steps and of the judge.
        reset: the reset policy to judge; by default :class:`~cpi_theory.FirstErrorReset`.
        judge: by default :class:`ExactJudge`.
        level: of the intervals; one whose share cannot be estimated is [0, 1] with estimate NaN.
    """
    address, judge = Key.of(key), judge or ExactJudge()
    keys = address.child("localize").integers(len(rollouts))
    answers = (reset or FirstErrorReset()).step_weights(rollouts, simulator, keys)
    refusals = Counter(answer.reason for answer in answers if isinstance(answer, Refusal))
    weights = [None if isinstance(a, Refusal) or not a.sum() > 0 else a for a in answers]
    mass = np.array([0.0 if w is None else float(w.sum()) for w in weights])

    named = [
        None if w is None else draw_index(w, address.child("named", i))
        for i, w in enumerate(weights)
    ]
    right = _judge_steps(simulator, rollouts, named, judge, tau, address.child("precision"))

    visited = _any_steps(rollouts, address)
    improvable = _judge_steps(simulator, rollouts, visited, judge, tau, address.child("recall"))
    found = np.array(
        [0.0 if w is None or i is None else w[i] for w, i in zip(weights, visited, strict=True)]
    )
    relevant = improvable * np.array([len(r) for r in rollouts])
    return LocalizerQuality(
        precision=_proportion(right * mass, mass, level),
        recall=_proportion(found * relevant, relevant, level),
        refusals=refusals,
        selected=int(np.count_nonzero(mass)),
    )


def _any_steps(rollouts: Sequence[Rollout], key: Key) -> list[int | None]:
    """One step of each rollout, uniformly; None for an empty one."""
    uniforms = key.child("steps").generator().random(len(rollouts))
    return [int(u * len(r)) if len(r) else None for u, r in zip(uniforms, rollouts, strict=True)]


def _judge_steps(
    simulator: Simulator,
    rollouts: Sequence[Rollout],
    steps: Sequence[int | None],
    judge: Judge,
    tau: float,
    key: Key,
) -> NDArray[np.bool_]:
    """The judge's answer for the given step of each rollout; False where there is none."""
    labels = np.zeros(len(rollouts), dtype=bool)
    asked = [i for i, step in enumerate(steps) if step is not None]
    picks = [(rollouts[i], step) for i, step in enumerate(steps) if step is not None]
    if picks:
        labels[asked] = judge.improvable(simulator, picks, tau, key.child("judge"))
    return labels


def _proportion(
    successes: NDArray[np.float64], trials: NDArray[np.float64], level: float
) -> Interval:
    """The clustered interval, or all of [0, 1] from fewer than two clusters."""
    if np.count_nonzero(trials) < 2:
        return Interval(math.nan, 0.0, 1.0)
    return clustered_proportion(np.minimum(successes, trials), trials, level)
