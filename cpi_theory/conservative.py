"""Conservative policy iteration with resets: the object that the bounds speak about.

One iteration draws trials at reset states, lets the chooser pick a candidate, measures the
candidate's reset advantage on fresh trials, and mixes it in with the step size that the bound
guarantees at the lower confidence end. Random resets (CPI-RR) and the credit-assignment oracle
(CPI-CARO) are the same object with another reset policy. `confidence` is the probability delta
with which a statement may fail.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cpi_theory.bounds import ResetStep, best_step
from cpi_theory.checks import Exact, InvalidInput, check_count, check_in_range, check_positive
from cpi_theory.plans import samples_for
from cpi_theory.randomness import Key
from cpi_theory.seam import ResetPolicy, Simulator, State
from cpi_theory.statistics import Interval, bernstein_interval, chernoff_interval

Candidate = NDArray[np.int64]
"""A deterministic policy of the chooser's class: one action per observation, shape (O,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Independent one-step trials at reset states (the sample of T4).

    Trial i draws (s, h) from the reset distribution nu_w, then an action uniformly, then follows
    the current policy pi to the end.

    Attributes:
        states: n reset states (a sequence, or an array with n rows).
        observations: shape (n,) int, what the candidate policies see of each state.
        actions: shape (n,) int, uniform on the actions.
        returns: shape (n,), reward from the trial's action to the end, in [0, R_max].
        probabilities: shape (n,), pi_h(a|s) of each trial's action.
        remaining: shape (n,), H - 1 - h.
        coverage_hits: how many of `coverage_draws` were selected (a sum of weights w(s, h)).
        coverage_draws: on-policy draws of (s, h) behind the trials: E[hits / draws] = p_w.
        rollouts: rollouts generated for all of it.
        generated_steps: actions sampled in those rollouts.
    """

    states: Sequence[State] | NDArray[np.int64]
    observations: NDArray[np.int64]
    actions: NDArray[np.int64]
    returns: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    remaining: NDArray[np.int64]
    coverage_hits: float
    coverage_draws: int
    rollouts: int
    generated_steps: int = 0

    def __post_init__(self) -> None:
        n = len(self.states)
        for name in ("observations", "actions", "returns", "probabilities", "remaining"):
            shape = np.shape(getattr(self, name))
            if shape != (n,):
                raise InvalidInput(name, shape, "wrong shape", f"give one entry per state: ({n},)")

    def __len__(self) -> int:
        return len(self.states)


@runtime_checkable
class ConservativeWorld(Simulator, Protocol):
    """A simulator that can also be mixed with a candidate: what conservative iteration needs.

    Laws, tested over every implementation:
      1. ``draw_trials`` returns `count` i.i.d. trials and depends on its arguments alone.
      2. ``mix`` leaves this world as it is and returns the one under
         pi_alpha = (1 - alpha w) pi + alpha w pi', w the weight that `reset` induces under pi.
      3. ``value`` of the mixture exceeds this one's by at least T1 of ``exact_step``.
    """

    @property
    def horizon(self) -> int:
        """H, the number of steps of a rollout."""
        ...

    @property
    def reward_bound(self) -> float:
        """R_max: every return-to-go lies in [0, R_max]."""
        ...

    @property
    def action_count(self) -> int:
        """|A|."""
        ...

    @property
    def observation_count(self) -> int:
        """Number of observations that a candidate tells apart."""
        ...

    def draw_trials(self, reset: ResetPolicy, count: int, key: Key) -> Trials:
        """`count` trials at states drawn from the reset distribution of `reset`.

        None at all where the policy visits no state that `reset` selects.
        """
        ...

    def mix(self, candidate: Candidate, reset: ResetPolicy, alpha: Exact) -> ConservativeWorld:
        """The world under the localised conservative update with step `alpha`."""
        ...

    def exact_step(
        self, reset: ResetPolicy, candidate: Candidate | None = None
    ) -> tuple[Candidate, ResetStep]:
        """The candidate, by default the class's best for Abar_w, with its exact `ResetStep`."""
        ...

    def value(self) -> float:
        """J of the current policy, exact: for records, never looked at by the algorithm."""
        ...


@dataclass(frozen=True, slots=True)
class EmpiricalChooser:
    """The empirical maximiser over every map from observations to actions (T4).

    Statement (T4): with n trials and probability >= 1 - delta the chosen candidate's reset
    advantage is at most `chooser_error(n, ...)` below the best of the class, of |A|^O policies.
    """

    def log_policies(self, actions: int, observations: int) -> float:
        """ln |Pi| = O ln |A|."""
        return observations * math.log(actions)

    def choose(self, trials: Trials, actions: int, observations: int, key: Key) -> Candidate:
        """Per observation the action with the largest sum of returns; ties are drawn from `key`.

        That maximises the mean of |A| 1[a = pi'(o)] G over the class. An observation without trials
        is a tie of all actions, and always the first action would favour some worlds.
        """
        cells = trials.observations * actions + trials.actions
        sums = np.bincount(cells, weights=trials.returns, minlength=observations * actions)
        table = sums.reshape(observations, actions)
        lottery = key.generator().random(table.shape)
        ties = table >= table.max(axis=1, keepdims=True)
        return np.argmax(np.where(ties, lottery, -1.0), axis=1)


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
        confidence: probability with which anything said here may fail (0 in exact mode).
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
    confidence: float
    rollouts: int = 0
    generated_steps: int = 0


@dataclass(frozen=True, slots=True)
class ConservativePolicyIteration:
    """Conservative policy iteration over a reset policy.

    With probability at least 1 - `confidence` no step of a whole run, however long, makes J fall:
    iteration t may fail with probability :func:`iteration_confidence`, which sum to `confidence`.

    Attributes:
        reset: `UniformReset()` is CPI-RR, `ImprovableReset(tau)` is CPI-CARO.
        target: reset advantage worth going on for, in reward units: it stops once the advantage
            is surely below. tau for the oracle, p tau for random resets (T5).
        confidence: probability delta with which the run as a whole may fail, in (0, 1/2].
        chooser: picks the candidate from trials.
        samples: trials for the chooser and again for the fresh estimate; by default as many as T4
            asks for a chooser error of target / 2.
        exact: use the world's exact advantages; nothing is sampled and nothing can fail. In an
            exact world (fractions) so are the step size and the guaranteed gain.
        log_policies: ln |Pi| of the chooser's class, if the world restricts it further.

    Source: Kakade and Langford, ICML 2002; T1, T2, T4, T5 for the reset weights.
    """

    reset: ResetPolicy
    target: float
    confidence: float = 0.05
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
        check_positive("confidence", self.confidence)
        check_in_range("confidence", self.confidence, 0, 0.5)
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
        """One iteration; what it draws depends on (key, iteration) and the world alone."""
        if self.exact:
            return self._improve_exactly(world, iteration)
        return self._improve_by_samples(world, Key.of(key).child(iteration), iteration)

    def sample_size(self, world: ConservativeWorld, iteration: int = 0) -> int:
        """Trials that iteration `iteration` gives to the chooser, and again to the estimate."""
        if self.samples is not None:
            return self.samples
        log_policies = self.log_policies
        if log_policies is None:
            log_policies = self.chooser.log_policies(world.action_count, world.observation_count)
        return samples_for(
            self.target / 2,
            world.action_count,
            None,
            iteration_confidence(self.confidence, iteration) / 2,
            world.reward_bound,
            log_policies=log_policies,
        )

    def _improve_exactly(self, world: ConservativeWorld, iteration: int) -> ConservativeStep:
        candidate, step = world.exact_step(self.reset)
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
        count, confidence = self.sample_size(world, iteration), self._share(iteration)
        first = world.draw_trials(self.reset, count, key.child("choose"))
        candidate = self.chooser.choose(first, actions, observations, key.child("ties"))
        fresh = world.draw_trials(self.reset, count, key.child("estimate"))
        baseline = float(first.returns.mean()) if len(first) else 0.0
        measured = measure(fresh, candidate, world, baseline, confidence)
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
            iteration_confidence(self.confidence, iteration),
            first.rollouts + fresh.rollouts,
            first.generated_steps + fresh.generated_steps,
        )

    def _share(self, iteration: int) -> float:
        """Half of an iteration's confidence is the chooser's, half the fresh estimate's."""
        return iteration_confidence(self.confidence, iteration) / 2

    def _decide(self, measured: Measurement) -> Decision:
        if measured.advantage.upper < self.target:
            return Decision.STOPPED
        return Decision.STEPPED if measured.advantage.lower > 0 else Decision.UNDECIDED


@dataclass(frozen=True, slots=True)
class Measurement:
    """What fresh trials say of a candidate: intervals that all hold at once."""

    horizon: int
    reward_bound: float
    advantage: Interval
    coverage: Interval
    remaining: Interval

    def step(self) -> tuple[float, float]:
        """Step size and guaranteed gain of T2 at the unfavourable ends; Delta is 2 R_max."""
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
    baseline: float,
    confidence: float,
) -> Measurement:
    """Intervals for Abar_w, p_w and L_w from trials that the candidate was not chosen on.

    Statement: X = |A| (1[a = pi'(o)] - pi(a|s)) (G - c) with a ~ Unif(A) has mean
    Q(s, pi'(o)) - V(s) at every state, whatever the constant c, since both weights sum to one.
    Empirical Bernstein bounds it; half of `confidence` goes there, a quarter to p_w and L_w each.

    Args:
        trials: fresh trials under the reset policy.
        candidate: shape (O,).
        world: where they were drawn.
        baseline: c in [0, R_max], independent of `trials`; the mean return reduces the variance.
        confidence: probability with which any of the three intervals may miss.
    """
    bound, actions = world.reward_bound, world.action_count
    if len(trials) < 2:
        nothing = Interval(0.0, 0.0, 0.0)
        coverage = _coverage(trials, confidence / 4)
        return Measurement(world.horizon, bound, nothing, coverage, nothing)
    chosen = trials.actions == candidate[trials.observations]
    weights = actions * (chosen - trials.probabilities)
    reach = actions * max(baseline, bound - baseline)
    advantage = bernstein_interval(
        weights * (trials.returns - baseline), -reach, reach, confidence / 2
    )
    remaining = bernstein_interval(trials.remaining, 0, world.horizon - 1, confidence / 4)
    return Measurement(
        world.horizon, bound, advantage, _coverage(trials, confidence / 4), remaining
    )


def iteration_confidence(confidence: float, iteration: int) -> float:
    """delta_t = delta 6 / (pi^2 (t + 1)^2) for iterations t = 0, 1, ...: they sum to delta."""
    return confidence * 6 / (math.pi * (iteration + 1)) ** 2


def _coverage(trials: Trials, confidence: float) -> Interval:
    if trials.coverage_draws == 0:
        return Interval(math.nan, 0.0, 1.0)
    return chernoff_interval(trials.coverage_hits, trials.coverage_draws, confidence)
