"""Conservative policy iteration with resets: the object that the bounds speak about.

One iteration draws trials at reset states, lets the chooser pick a candidate, measures the
candidate's reset advantage on fresh trials, and mixes it in with the step size that the bound
guarantees at the lower confidence end. Random resets (CPI-RR) and the credit-assignment oracle
(CPI-CARO) are the same object with another reset policy. `delta` is the probability with which
a statement may fail.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from cpi_theory.algorithms.chooser import EmpiricalChooser, baselines, tables
from cpi_theory.algorithms.measurement import Measurement, measure
from cpi_theory.algorithms.trials import Candidate, ConservativeWorld
from cpi_theory.bounds.chooser import samples_for
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.finite_horizon import best_step
from cpi_theory.checks import Exact, InvalidInput, check_count, check_in_range, check_positive
from cpi_theory.randomness import Key
from cpi_theory.seam import ResetPolicy
from cpi_theory.statistics.intervals import Interval


class Decision(enum.Enum):
    """What an iteration did."""

    STEPPED = "stepped"
    """The advantage is surely positive: the candidate was mixed in."""
    UNDECIDED = "undecided"
    """The interval holds both 0 and the target: nothing was changed, more trials may tell."""
    STOPPED = "stopped"
    """The advantage is surely below the target: there is nothing left to gain here."""


@dataclass(frozen=True, slots=True, eq=False)
class ConservativeStep:
    """Record of one iteration.

    Attributes:
        iteration: its number, from 0.
        decision: what was done.
        world: the world afterwards (the one before it unless the decision is STEPPED).
        candidate: the candidate chosen, shape (O,).
        advantage: reset advantage Abar_w of the candidate, in reward units, with its interval.
        coverage: p_w with its interval.
        remaining: L_w with its interval.
        alpha: step size taken, 0 if none.
        guaranteed_gain: what J rises by at least, in reward units.
        delta: probability with which anything said here may fail (0 in exact mode).
        rollouts: rollouts generated.
        generated_steps: actions sampled in them.
    """

    iteration: int
    decision: Decision
    world: ConservativeWorld
    candidate: Candidate
    advantage: Interval
    coverage: Interval
    remaining: Interval
    alpha: Exact
    guaranteed_gain: Exact
    delta: float
    rollouts: int = 0
    generated_steps: int = 0


@dataclass(frozen=True, slots=True)
class ConservativePolicyIteration:
    """Conservative policy iteration over a reset policy.

    With probability at least 1 - `delta` no step of a whole run, however long, makes J fall:
    iteration t may fail with probability :func:`iteration_delta`, which sum to `delta`.

    Attributes:
        reset: `UniformReset()` is CPI-RR, `ImprovableReset(tau)` is CPI-CARO.
        target: reset advantage worth going on for, in reward units: it stops once the advantage
            is surely below. tau for the oracle, p tau for random resets (T5).
        delta: probability with which the run as a whole may fail, in (0, 1/2].
        chooser: picks the candidate from trials.
        samples: trials for the chooser and again for the fresh estimate; by default as many as
            T4s asks for a chooser error of target / 2. That count is proved for b = R_max / 2; with
            the chooser's own default, the shrunk baseline, it is measured to be enough. What an
            iteration guarantees rests on the fresh estimate and holds for every baseline.
        exact: use the world's exact advantages; nothing is sampled and nothing can fail. In an
            exact world (fractions) so are the step size and the guaranteed gain.
        log_policies: ln |Pi| of the chooser's class, if the world restricts it further.

    Source: Kakade and Langford, ICML 2002; T1, T2, T4s, T5 for the reset weights.
    """

    reset: ResetPolicy
    target: float
    delta: float = 0.05
    chooser: EmpiricalChooser = field(default_factory=EmpiricalChooser)
    samples: int | None = None
    exact: bool = False
    log_policies: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.reset, ResetPolicy):
            raise InvalidInput(
                "reset", self.reset, "not a reset policy", "give e.g. UniformReset()"
            )
        check_positive("target", self.target)
        check_positive("delta", self.delta)
        check_in_range("delta", self.delta, 0, 0.5)
        if self.samples is not None:
            check_count("samples", self.samples, minimum=2)

    def run(
        self, world: ConservativeWorld, key: Key | int | np.random.Generator, iterations: int
    ) -> Iterator[ConservativeStep]:
        """Iterate until stopped, at most `iterations` times; yields each record as it is made."""
        check_count("iterations", iterations, minimum=0)
        address = Key.of(key)
        for iteration in range(iterations):
            step = self.improve(world, address, iteration)
            yield step
            if step.decision is Decision.STOPPED:
                return
            world = step.world

    def improve(
        self,
        world: ConservativeWorld,
        key: Key | int | np.random.Generator,
        iteration: int = 0,
    ) -> ConservativeStep:
        """Run one iteration; what it draws depends on (key, iteration) and the world alone."""
        if self.exact:
            return self._improve_exactly(world, iteration)
        return self._improve_by_samples(world, Key.of(key).child(iteration), iteration)

    def sample_size(self, world: ConservativeWorld, iteration: int = 0) -> int:
        """Count the trials that an iteration gives to the chooser, and again to the estimate."""
        if self.samples is not None:
            return self.samples
        log_policies = self.log_policies
        if log_policies is None:
            log_policies = self.chooser.log_policies(world.action_count, world.observation_count)
        # Half of the target for the chooser's error, so that half is left to the step (T5); half of
        # the iteration's delta, since the fresh estimate needs the other half.
        policies = PolicyClass(
            world.action_count,
            self._share(iteration),
            log_policies=log_policies,
            reward_bound=world.reward_bound,
        )
        # An interval needs two trials, even where there is no choice.
        return max(2, samples_for(self.target / 2, policies))

    def _improve_exactly(self, world: ConservativeWorld, iteration: int) -> ConservativeStep:
        candidate, step = world.exact_step(self.reset)
        # Without coverage there is no reset distribution that an advantage could be the mean over.
        stop = step.coverage <= 0 or step.advantage < self.target
        alpha, gain = (0, 0) if stop else best_step(step)
        return ConservativeStep(
            iteration,
            Decision.STOPPED if stop else Decision.STEPPED,
            world if stop else world.mix(candidate, self.reset, alpha),
            candidate,
            Interval(step.advantage, step.advantage, step.advantage),
            Interval(step.coverage, step.coverage, step.coverage),
            Interval(step.remaining, step.remaining, step.remaining),
            alpha,
            gain,
            0.0,
        )

    def _improve_by_samples(
        self, world: ConservativeWorld, key: Key, iteration: int
    ) -> ConservativeStep:
        actions, observations = world.action_count, world.observation_count
        count, delta = self.sample_size(world, iteration), self._share(iteration)
        first = world.draw_trials(self.reset, count, key.child("choose"))
        bound = world.reward_bound
        candidate = self.chooser.choose(first, actions, observations, key.child("ties"), bound)
        # On the trials that it was chosen by, the mean of the best candidate is biased upwards.
        fresh = world.draw_trials(self.reset, count, key.child("estimate"))
        # From the chooser's trials: a baseline must not depend on the trials that are measured.
        centres = baselines(*tables(first, actions, observations))
        measured = measure(fresh, candidate, world, centres, delta)
        decision = self._decide(measured)
        alpha, gain = measured.step() if decision is Decision.STEPPED else (0.0, 0.0)
        return ConservativeStep(
            iteration,
            decision,
            world.mix(candidate, self.reset, alpha) if alpha > 0 else world,
            candidate,
            measured.advantage,
            measured.coverage,
            measured.remaining,
            alpha,
            gain,
            iteration_delta(self.delta, iteration),
            first.rollouts + fresh.rollouts,
            first.generated_steps + fresh.generated_steps,
        )

    def _share(self, iteration: int) -> float:
        """Split an iteration's delta: half for the chooser, half for the fresh estimate."""
        return iteration_delta(self.delta, iteration) / 2

    def _decide(self, measured: Measurement) -> Decision:
        # First, since an advantage may be surely positive and still surely not worth a step.
        if measured.advantage.upper < self.target:
            return Decision.STOPPED
        return Decision.STEPPED if measured.advantage.lower > 0 else Decision.UNDECIDED


def iteration_delta(delta: float, iteration: int) -> float:
    """Return delta_t = delta 6 / (pi^2 (t + 1)^2), t = 0, 1, ...: these sum to delta."""
    # The sum over t >= 1 of 1 / t^2 is pi^2 / 6. Trials grow with ln(1 / delta_t), which rises by
    # 2 ln t alone, so that late iterations need few more than early ones.
    return delta * 6 / (math.pi * (iteration + 1)) ** 2
