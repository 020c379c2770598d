"""Intervals for a candidate's reset advantage, coverage and remaining horizon (T2, T4s)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.algorithms.trials import Candidate, ConservativeWorld, Trials
from cpi_theory.bounds.finite_horizon import ResetStep, best_step
from cpi_theory.statistics.intervals import Interval, bernstein_interval, chernoff_interval


@dataclass(frozen=True, slots=True)
class Measurement:
    """What fresh trials say of a candidate: intervals that all hold at once."""

    horizon: int
    reward_bound: float
    advantage: Interval
    coverage: Interval
    remaining: Interval

    def step(self) -> tuple[float, float]:
        """Return step size and guaranteed gain of T2 at the unfavourable ends; Delta is 2 R_max."""
        # T1 grows with coverage and advantage and falls with spread and remaining horizon. Delta is
        # not measured: |Abar| <= R_max and w <= 1 bound it by 2 R_max.
        worst = ResetStep(
            horizon=self.horizon,
            coverage=self.coverage.lower,
            advantage=self.advantage.lower,
            spread=2 * self.reward_bound,
            remaining=self.remaining.upper,
        )
        alpha, gain = best_step(worst)
        return float(alpha), float(gain)


def measure(
    trials: Trials,
    candidate: Candidate,
    world: ConservativeWorld,
    baseline: ArrayLike,
    delta: float,
) -> Measurement:
    """Estimate Abar_w, p_w and L_w from trials that the candidate was not chosen on.

    Statement: X = |A| (1[a = pi'(o)] - pi(a|s)) (G - b(o)) with a ~ Unif(A) has mean
    Q(s, pi'(o)) - V(s) at every state, whatever the baseline b, since both weights sum to one.
    Empirical Bernstein bounds it; half of `delta` goes there, a quarter to p_w and L_w each.

    Args:
        trials: fresh trials under the reset policy.
        candidate: shape (O,).
        world: where they were drawn.
        baseline: b in [0, R_max], one number or shape (O,), independent of `trials`; mean returns
            reduce the variance.
        delta: probability with which any of the three intervals may miss.

    Source: docs/theory.md, "From bounds to algorithms"; the interval of arXiv 0907.3740.
    """
    bound, actions = world.reward_bound, world.action_count
    # An interval needs a variance. At [0, 0] the advantage is below any target: the run stops.
    if len(trials) < 2:
        nothing = Interval(0.0, 0.0, 0.0)
        coverage = _coverage(trials, delta / 4)
        return Measurement(world.horizon, bound, nothing, coverage, nothing)
    # The weights of X: the factor |A| undoes that actions were drawn with probability 1 / |A|.
    chosen = trials.actions == candidate[trials.observations]
    weights = actions * (chosen - trials.probabilities)
    centres = np.broadcast_to(np.asarray(baseline, np.float64), (world.observation_count,))
    # |weight| <= |A| and |G - b| <= max(b, R_max - b): the bounds that Bernstein needs of X.
    reach = actions * float(max(centres.max(), bound - centres.min()))
    centred = trials.returns - centres[trials.observations]
    advantage = bernstein_interval(weights * centred, -reach, reach, delta / 2)
    remaining = bernstein_interval(trials.remaining, 0, world.horizon - 1, delta / 4)
    return Measurement(world.horizon, bound, advantage, _coverage(trials, delta / 4), remaining)


def _coverage(trials: Trials, delta: float) -> Interval:
    if trials.coverage_draws == 0:
        return Interval(math.nan, 0.0, 1.0)
    # Coverage may be tiny, and there the relative entropy gives a far narrower interval.
    return chernoff_interval(trials.coverage_hits, trials.coverage_draws, delta)
