"""The conservative world on MDPs: trials have the law that T4 assumes, updates are the mixture."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from scipy import special

from cpi_theory.algorithms.conservative import ConservativePolicyIteration, Decision
from cpi_theory.algorithms.trials import ConservativeWorld
from cpi_theory.bounds.finite_horizon import improvement_lower_bound
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageReset, ImperfectReset, ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import Numbered, ResetPolicy
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.resets.localizer import Localizer
from tabular.simulation.conservative import ConservativeTabular
from tabular.worlds.garnets import garnet
from tabular.worlds.trees import reasoning_tree

RESETS = {
    "start": StartReset(),
    "uniform": UniformReset(),
    "improvable": ImprovableReset(0.02),
    "imperfect": ImperfectReset(0.95, 0.8, 0.02),
    "advantage": AdvantageReset(0.05),
    "first error": FirstErrorReset(),
    "one before it": FirstErrorReset(offset=1),
}


def tree_world(**settings):
    tree = reasoning_tree(horizon=5, hard_steps=2, right_probability=0.4, branching=3)
    return ConservativeTabular(tree.mdp, np.asarray(tree.policy), **settings)


def garnet_world():
    problem = garnet(6, 3, 2, 4, layered=True, seed=4)
    return ConservativeTabular(problem.mdp, problem.policy, success=0.5)


def blurred_tree():
    return tree_world(localizer=Localizer(accuracy=0.5))


def ending_world(localizer=None):
    """Three layers; state 2 ends a rollout and is entered often."""
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(3), (3, 3, 2))
    rewards = rng.random((3, 3, 2)) / 3
    rows[:, 2] = np.eye(3)[2]
    rewards[:, 2] = 0
    mdp = FiniteHorizonMDP(rows, rewards, [0.6, 0.3, 0.1], 3, terminal=[False, False, True])
    policy = rng.dirichlet(np.ones(2), (3, 3))
    return ConservativeTabular(mdp, policy, success=0.4, localizer=localizer)


def blurred_ending():
    return ending_world(Localizer(precision=0.6, recall=0.7))


WORLDS = {"tree": tree_world, "garnet": garnet_world, "ends early": ending_world}
BLURRED = {"blurred tree": blurred_tree, "blurred, ends early": blurred_ending}


@pytest.mark.parametrize("reset", [RESETS["first error"], RESETS["one before it"]])
@pytest.mark.parametrize("world", BLURRED.values(), ids=BLURRED)
def test_trials_of_blurred_localizers_have_their_law(world, reset):
    assert_law(world(), reset)


@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_trials_have_the_law_that_the_chooser_assumes(world, reset):
    assert_law(world(), reset)


def assert_law(simulator, reset):
    """Trials against the occupancy times the exact weight, and against exact Q."""
    mdp, exact = simulator.mdp, simulator.evaluation
    n = 6_000
    trials = simulator.draw_trials(reset, n, Key.of(11))
    assert len(trials) == n
    weight = np.asarray(simulator.reset_weight(reset), float)
    mass = exact.occupancy * weight
    covered = mass.sum()

    layers, states = trials.states.T
    cells = layers * mdp.states + states
    expected = (mass / covered).ravel()
    seen = np.bincount(cells, minlength=expected.size)
    assert not seen[expected == 0].any()
    # One hit in a cell with an expectation of .02 is no surprise among many cells: pool them.
    common = n * expected >= 5
    counts = np.append(seen[common], seen[~common].sum())
    means = n * np.append(expected[common], expected[~common].sum())
    counts, means = counts[means > 0], means[means > 0]
    distance = ((counts - means) ** 2 / np.maximum(means, 1)).sum()
    assert special.gammaincc(max(means.size - 1, 1) / 2, distance / 2) > 1e-4

    assert abs(trials.coverage_hits / trials.coverage_draws - covered) < 5 * (
        (covered / trials.coverage_draws) ** 0.5
    )
    counts = np.bincount(trials.actions, minlength=mdp.actions)
    assert ((counts - n / mdp.actions) ** 2 / (n / mdp.actions)).sum() < 25
    np.testing.assert_array_equal(trials.observations, mdp.observations[layers, states])
    np.testing.assert_array_equal(trials.remaining, mdp.horizon - 1 - layers)
    np.testing.assert_allclose(
        trials.probabilities, exact.policy[layers, states, trials.actions].astype(float)
    )
    expected = exact.q_values[layers, states, trials.actions].astype(float)
    variance = expected * (1 - expected)  # the most that a return in [0, 1] can have
    for action in range(mdp.actions):
        mine = trials.actions == action
        surprise = (trials.returns - expected)[mine].sum()
        assert abs(surprise) < 4.5 * variance[mine].sum() ** 0.5 + 1e-12
    assert trials.rollouts == trials.coverage_draws + n
    assert trials.generated_steps >= trials.rollouts - (mdp.terminal.any()) * trials.rollouts


def test_trials_depend_on_their_arguments_alone():
    simulator = tree_world()
    reset = FirstErrorReset()
    first = simulator.draw_trials(reset, 50, Key.of(1))
    Numbered(simulator).rollout([(0, 0)] * 5)
    again = simulator.draw_trials(reset, 50, Key.of(1))
    threaded = tree_world(threads=2).draw_trials(reset, 50, Key.of(1))
    for other in (again, threaded):
        for name in ("states", "actions", "returns", "probabilities"):
            np.testing.assert_array_equal(getattr(first, name), getattr(other, name))
        assert first.coverage_hits == other.coverage_hits
    other = simulator.draw_trials(reset, 50, Key.of(2))
    assert (other.states != first.states).any()


@dataclass(frozen=True)
class Disguised(ResetPolicy):
    """A reset policy that the simulator has no shortcut for."""

    inner: ResetPolicy

    def step_weights(self, rollouts, simulator, keys):
        return self.inner.step_weights(rollouts, simulator, keys)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
def test_shortcuts_draw_what_the_rollouts_would(world, reset):
    simulator = world()
    short = simulator.draw_trials(reset, 200, Key.of(5))
    long = simulator.draw_trials(Disguised(reset), 200, Key.of(5))
    for name in ("states", "actions", "returns"):
        np.testing.assert_array_equal(getattr(short, name), getattr(long, name))
    assert short.coverage_hits == pytest.approx(long.coverage_hits)
    assert short.rollouts == long.rollouts


def test_a_reset_that_selects_nothing_gives_no_trials():
    tree = reasoning_tree(horizon=3)
    always_right = np.zeros((3, tree.mdp.states, tree.mdp.actions))
    always_right[..., :] = np.asarray(evaluate(tree.mdp, tree.policy).q_values.argmax(-1))[
        ..., None
    ] == np.arange(tree.mdp.actions)
    simulator = ConservativeTabular(tree.mdp, always_right)
    for reset in (ImprovableReset(0.1), FirstErrorReset()):
        trials = simulator.draw_trials(reset, 100, Key.of(0))
        assert len(trials) == 0
        assert trials.coverage_hits == 0
        assert trials.coverage_draws >= 20_000
    with pytest.raises(InvalidInput, match="count"):
        simulator.draw_trials(UniformReset(), 0, Key.of(0))


@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
def test_a_mixture_gains_at_least_what_t1_says(reset):
    simulator = tree_world()
    assert isinstance(simulator, ConservativeWorld)
    before = np.array(simulator.policy)
    candidate, step = simulator.exact_step(reset)
    weight = np.asarray(simulator.reset_weight(reset), float)
    for alpha in (0.05, 0.5, 1.0):
        mixed = simulator.mix(candidate, reset, alpha)
        gain = mixed.value() - simulator.value()
        assert gain >= improvement_lower_bound(step, alpha) - 1e-12
        share = (alpha * weight)[..., None]
        chosen = np.eye(simulator.action_count)[candidate[simulator.mdp.observations]]
        np.testing.assert_allclose(mixed.policy, (1 - share) * before + share * chosen)
    np.testing.assert_array_equal(simulator.policy, before)


@pytest.mark.parametrize("reset", [UniformReset(), ImprovableReset(0.02), FirstErrorReset()])
def test_the_exact_candidate_is_the_best_of_its_class(reset):
    tree = reasoning_tree(
        horizon=4, hard_steps=2, right_probability=0.4, branching=2, facts=5, problems=2
    )
    simulator = ConservativeTabular(tree.mdp, np.asarray(tree.policy))
    _, best = simulator.exact_step(reset)
    assert simulator.observation_count < tree.mdp.horizon * tree.mdp.states
    every = product(range(simulator.action_count), repeat=simulator.observation_count)
    advantages = [simulator.exact_step(reset, np.array(c))[1].advantage for c in every]
    assert best.advantage == pytest.approx(max(advantages), abs=1e-12)


def test_exact_worlds_stay_exact():
    tree = reasoning_tree(horizon=3, right_probability=Fraction(1, 3))
    rational = ConservativeTabular(tree.mdp, tree.policy)
    if not tree.mdp.exact:
        pytest.skip("the family computes in floats")
    candidate, step = rational.exact_step(UniformReset())
    mixed = rational.mix(candidate, UniformReset(), 0.25)
    assert isinstance(step.advantage, Fraction)
    assert mixed.policy.dtype == object
    assert mixed.evaluation.value >= rational.evaluation.value + improvement_lower_bound(
        step, Fraction(1, 4)
    )


def test_a_blurred_localizer_blurs_the_weight():
    exact, blurred = tree_world(), tree_world(localizer=Localizer(accuracy=0.3))
    reset = FirstErrorReset()
    sharp = np.asarray(exact.reset_weight(reset), float)
    soft = np.asarray(blurred.reset_weight(reset), float)
    # Failures last to the end here, so a uniform step is each of the five alike.
    failing = 1 - exact.value()
    visits = exact.evaluation.visits
    shares = (visits * soft).sum(axis=1)
    expected = 0.3 * (visits * sharp).sum(axis=1) + 0.7 * failing / 5
    np.testing.assert_allclose(shares, expected, atol=0.02)


@pytest.mark.parametrize("reset", [UniformReset(), ImprovableReset(0.05), FirstErrorReset()])
def test_conservative_iteration_climbs(reset):
    simulator = tree_world()
    algorithm = ConservativePolicyIteration(reset=reset, target=0.01, samples=10_000)
    steps = list(algorithm.run(simulator, 3, 4))
    values = [simulator.value(), *(step.world.value() for step in steps)]
    assert any(step.decision is Decision.STEPPED for step in steps)
    assert (np.diff(values) >= -1e-12).all()
    for before, after, step in zip(values, values[1:], steps, strict=False):
        assert after - before >= step.guaranteed_gain - 1e-12


def test_candidates_must_name_an_action_per_observation():
    simulator = tree_world()
    with pytest.raises(InvalidInput, match="candidate shape"):
        simulator.mix(np.zeros(3, int), UniformReset(), 0.5)
    with pytest.raises(InvalidInput, match="no such action"):
        simulator.mix(np.full(simulator.observation_count, 9), UniformReset(), 0.5)
    with pytest.raises(InvalidInput, match="alpha"):
        simulator.mix(np.zeros(simulator.observation_count, int), UniformReset(), 1.5)
