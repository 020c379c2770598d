"""The laws of `ConservativeWorld`, conservative iteration and the estimators on tabular worlds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from cpi_theory.algorithms.conservative import ConservativePolicyIteration, Decision
from cpi_theory.algorithms.trials import ConservativeWorld, Trials
from cpi_theory.bounds.finite_horizon import improvement_lower_bound
from cpi_theory.diagnosis.localizers import estimate_coverage, localizer_quality
from cpi_theory.diagnosis.meters import SampledMeter
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import ImperfectReset, ImprovableReset
from cpi_theory.resets.uniform import UniformReset
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.simulation.conservative import ConservativeTabular
from tabular.worlds.trees import reasoning_tree
from tests.conformance.test_reset_policies import POLICIES
from tests.conformance.worlds import CONSERVATIVE
from tests.cpi_theory.small_world import SmallWorld

# An offset changes where a first error is, not what a world must do with it.
CHOSEN = {name: policy for name, policy in POLICIES.items() if name != "earlier"}
every = pytest.mark.parametrize("reset", CHOSEN.values(), ids=CHOSEN)
worlds = pytest.mark.parametrize("make", CONSERVATIVE.values(), ids=CONSERVATIVE)


def truth(world, reset, tau):
    """Precision and recall of a reset policy from its induced weight."""
    exact = world.evaluation
    mass = np.asarray(exact.occupancy, float) * np.asarray(world.reset_weight(reset), float)
    improvable = np.asarray(exact.best_advantages, float) >= tau
    occupied = np.asarray(exact.occupancy, float)[improvable].sum()
    return mass[improvable].sum() / mass.sum(), mass[improvable].sum() / occupied


@every
@worlds
def test_trials_are_as_many_as_asked_and_repeatable(make, reset):
    world = make()
    assert isinstance(world, ConservativeWorld)
    trials = world.draw_trials(reset, 64, Key.of(3))
    assert isinstance(trials, Trials)
    assert len(trials) == 64
    again = make().draw_trials(reset, 64, Key.of(3))
    np.testing.assert_array_equal(trials.returns, again.returns)
    assert trials.observations.max() < world.observation_count
    assert trials.actions.max() < world.action_count
    assert 0 <= trials.returns.min() <= trials.returns.max() <= world.reward_bound + 1e-12
    assert 0 < trials.coverage_hits <= trials.coverage_draws <= trials.rollouts
    assert (trials.remaining <= world.horizon - 1).all()


@every
@worlds
def test_mixing_gains_at_least_the_bound_and_leaves_the_world_alone(make, reset):
    world = make()
    before = world.value()
    candidate, step = world.exact_step(reset)
    for alpha in (0.2, 1.0):
        gain = world.mix(candidate, reset, alpha).value() - before
        assert gain >= improvement_lower_bound(step, alpha) - 1e-9
    assert world.value() == before
    # T1 is exact to first order in alpha.
    slope = (world.mix(candidate, reset, 1e-6).value() - before) / 1e-6
    first_order = step.horizon * step.coverage * step.advantage
    assert slope == pytest.approx(first_order, rel=1e-3, abs=1e-6)


@every
@worlds
def test_exact_iteration_improves_monotonically(make, reset):
    world = make()
    value = world.value()
    cpi = ConservativePolicyIteration(reset, target=1e-3, exact=True)
    for step in cpi.run(world, 0, 2):
        assert step.world.value() - value >= step.guaranteed_gain - 1e-9
        value = step.world.value()


@pytest.mark.parametrize(
    "reset", [UniformReset(), ImprovableReset(0.05), FirstErrorReset()], ids=str
)
def test_sampled_iteration_improves_the_tree(reset):
    problem = reasoning_tree(5, 3, 1, 0.3, 0.95, problems=2, seed=5)
    world = ConservativeTabular(problem.mdp, problem.policy)
    cpi = ConservativePolicyIteration(reset, target=0.01, samples=20_000)
    value, stepped = world.value(), 0
    for step in cpi.run(world, 4, 3):
        stepped += step.decision is Decision.STEPPED
        assert step.world.value() >= value
        assert step.world.value() - value >= step.guaranteed_gain - 1e-12
        value = step.world.value()
    assert stepped == 3


def test_the_oracle_gains_more_per_sampled_step_than_random_resets():
    problem = reasoning_tree(12, 3, 1, 0.3, 1.0, seed=5)
    world = ConservativeTabular(problem.mdp, problem.policy)
    gains = {}
    for reset in (UniformReset(), ImprovableReset(0.3)):
        cpi = ConservativePolicyIteration(reset, target=0.01, samples=20_000)
        gains[type(reset)] = cpi.improve(world, 1).guaranteed_gain
    assert gains[ImprovableReset] > 5 * gains[UniformReset]


def test_exact_iteration_stays_exact_on_rational_worlds():
    problem = reasoning_tree(3, 2, 1, Fraction(1, 3), Fraction(9, 10), seed=1)
    world = ConservativeTabular(problem.mdp, problem.policy)
    cpi = ConservativePolicyIteration(UniformReset(), target=Fraction(1, 100), exact=True)
    step = cpi.improve(world, 0)
    assert isinstance(step.alpha, Fraction)
    assert isinstance(step.guaranteed_gain, Fraction)
    gain = step.world.evaluation.value - world.evaluation.value
    assert isinstance(gain, Fraction)
    assert gain >= step.guaranteed_gain > 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reset", [UniformReset(), ImprovableReset(0.05)], ids=str)
def test_two_implementations_agree_to_rounding(seed, reset):
    """The tabular world against the tests' own, which shares no code with it."""
    small = SmallWorld.random(seed, 4, 3, 3)
    mdp = FiniteHorizonMDP(small.transitions, small.rewards, np.eye(3)[0], 4)
    world = ConservativeTabular(mdp, small.policy)
    assert world.value() == pytest.approx(small.value(), abs=1e-12)
    ours, theirs = world.exact_step(reset), small.exact_step(reset)
    reached = small.visits() > 1e-12  # candidates may differ where nothing is at stake
    same = small.candidate_policy(ours[0]) == small.candidate_policy(theirs[0])
    assert same[reached & (small.weight(reset) > 0)].all()
    _, again = small.exact_step(reset, ours[0])
    for name in ("coverage", "advantage", "remaining"):
        assert getattr(ours[1], name) == pytest.approx(getattr(again, name), abs=1e-12)
    for alpha in (0.3, 1.0):
        assert world.mix(ours[0], reset, alpha).value() == pytest.approx(
            small.mix(ours[0], reset, alpha).value(), abs=1e-12
        )


@worlds
def test_estimated_coverage_covers_the_exact_one(make):
    """Per step what the simulator says, per layer what the bounds use."""
    world = make()
    exact = world.evaluation
    improvable = np.asarray(exact.best_advantages, float) >= 0.05
    per_layer = np.asarray(exact.occupancy, float)[improvable].sum()
    held = []
    for seed in range(60):
        key = Key.of(seed)
        states = world.start_states(150, key.child("start"))
        rollouts = world.rollout(states, key.child("roll").integers(150))
        held.append(
            (
                world.improvable_coverage(0.05) in estimate_coverage(world, rollouts, 0.05, key),
                per_layer in estimate_coverage(world, rollouts, 0.05, key, horizon=world.horizon),
            )
        )
    assert (np.mean(held, axis=0) >= 0.85).all()


@pytest.mark.parametrize(
    "reset",
    [FirstErrorReset(), FirstErrorReset(offset=1), ImperfectReset(0.95, 0.3, 0.05)],
    ids=str,
)
@pytest.mark.parametrize("name", ["tree", "frozen_lake"])
def test_localiser_quality_agrees_with_the_induced_weight(name, reset):
    world = CONSERVATIVE[name]()
    precision, recall = truth(world, reset, 0.05)
    rollouts = world.rollout(world.start_states(4000, 1), Key.of(2).integers(4000))
    quality = localizer_quality(world, rollouts, 0.05, 3, reset=reset, level=0.999)
    assert precision in quality.precision
    assert recall in quality.recall


def test_a_world_without_advantages_is_judged_by_sampling():
    """As for a language model: rollouts alone, first errors named by the world itself."""
    problem = reasoning_tree(5, 3, 1, 0.4, 1.0, seed=2)
    world = ConservativeTabular(problem.mdp, problem.policy)
    rollouts = world.rollout(world.start_states(80, 1), Key.of(2).integers(80))
    quality = localizer_quality(
        world,
        rollouts,
        0.3,
        3,
        meter=SampledMeter(branches=12, screening=4, completions=60, most=60),
    )
    assert quality.precision.lower > 0.8  # its first errors are the one hard step
    assert estimate_coverage(
        world,
        rollouts,
        0.3,
        3,
        meter=SampledMeter(branches=12, screening=4, completions=60, most=60),
    ).estimate == pytest.approx(0.2, abs=0.12)
