"""The softmax policy's gradient is the policy gradient; optimisers take the steps they say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.seam import Collection, Ending, Group, Numbered, Rollout
from tabular.evaluation.evaluate import evaluate
from tabular.learning.optimizers import Adam, Sgd
from tabular.learning.softmax import SoftmaxPolicy
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.policies import as_policy
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.trees import reasoning_tree

seeds = st.integers(0, 10_000)


def small_world(seed, horizon=2, states=2, actions=3, observations=3):
    rng = np.random.default_rng(seed)
    mdp = FiniteHorizonMDP(
        rng.dirichlet(np.ones(states), (horizon, states, actions)),
        rng.random((horizon, states, actions)) / horizon,
        rng.dirichlet(np.ones(states)),
        horizon,
        observations=rng.integers(observations, size=(horizon, states)),
    )
    logits = rng.normal(size=(mdp.observation_count, actions))
    return mdp, SoftmaxPolicy(mdp, logits), rng


def every_rollout(mdp, policy):
    """All rollouts from the start with their probabilities, by enumeration."""
    steps = list(product(range(mdp.states), range(mdp.actions)))
    for path in product(steps, repeat=mdp.horizon):
        chance, reward = mdp.start[path[0][0]], 0.0
        for h, (s, a) in enumerate(path):
            chance = chance * policy[h, s, a]
            reward += mdp.reward(h)[s, a]
            if h + 1 < mdp.horizon:
                chance = chance * mdp.kernel(h)[s, a, path[h + 1][0]]
        states = [(h, s) for h, (s, _) in enumerate(path)]
        rollout = Rollout(states, [a for _, a in path], reward, False, Ending.HORIZON)
        yield chance, rollout


def numerical_gradient(function, logits, width=1e-6):
    gradient = np.empty_like(logits)
    for index in np.ndindex(logits.shape):
        bump = np.zeros_like(logits)
        bump[index] = width
        gradient[index] = (function(logits + bump) - function(logits - bump)) / (2 * width)
    return gradient


@given(seeds)
def test_its_expectation_is_the_gradient_of_the_value(seed):
    mdp, softmax, _ = small_world(seed)
    expected = np.zeros_like(softmax.logits)
    for chance, rollout in every_rollout(mdp, softmax.probabilities()):
        group = Group.of((rollout,), np.array([rollout.reward - 0.37]), 0)
        expected += chance * softmax.gradient([group])

    def value(logits):
        return evaluate(mdp, softmax.with_logits(logits).probabilities()).value

    np.testing.assert_allclose(expected, numerical_gradient(value, softmax.logits), atol=1e-8)


@given(seeds)
@settings(max_examples=20)
def test_the_exact_gradient_is_that_of_the_value(seed):
    mdp, policy, _ = small_world(seed)

    def value(logits):
        return evaluate(mdp, policy.with_logits(logits).probabilities()).value

    found = policy.gradient_of_return()
    np.testing.assert_allclose(found, numerical_gradient(value, policy.logits), atol=1e-7)


@settings(max_examples=20)
@given(seeds)
def test_sampled_rollouts_give_it_without_bias(seed):
    mdp, softmax, _ = small_world(seed, horizon=3)
    policy = softmax.probabilities()
    simulator = Numbered(TabularSimulator(mdp, policy), seed)
    n, batches = 200, 50
    estimates = []
    for batch in range(batches):
        starts = simulator.simulator.start_states(n, Key.of(seed).child(batch))
        rollouts = tuple(simulator.rollout(starts))
        advantages = np.array([r.reward for r in rollouts]) - 0.5
        estimates.append(softmax.gradient([Group.of(rollouts, advantages, 0)]) / n)
    mean, error = np.mean(estimates, axis=0), np.std(estimates, axis=0) / batches**0.5

    def value(logits):
        return evaluate(mdp, softmax.with_logits(logits).probabilities()).value

    exact = numerical_gradient(value, softmax.logits)
    assert (np.abs(mean - exact) <= 6 * error + 1e-7).all()


def collected(algorithm, seed=3):
    tree = reasoning_tree(horizon=6, hard_steps=2, right_probability=0.5)
    softmax = SoftmaxPolicy.from_policy(tree.mdp, tree.policy)
    simulator = TabularSimulator(tree.mdp, softmax.probabilities())
    starts = simulator.start_states(12, 1)
    return softmax, collect(algorithm, simulator, starts, seed)


@pytest.mark.parametrize(
    "algorithm",
    [GRPO(), ResetGRPO(reset=UniformReset()), ResetGRPO(reset=FirstErrorReset())],
    ids=["GRPO", "RRPO", "SRPO"],
)
def test_it_matches_finite_differences_of_the_surrogate(algorithm):
    softmax, collection = collected(algorithm)

    def surrogate(logits):
        return softmax.with_logits(logits).surrogate(collection)

    exact = softmax.gradient(collection)
    assert np.abs(exact).max() > 0.1
    np.testing.assert_allclose(
        exact, numerical_gradient(surrogate, softmax.logits, 1e-5), atol=1e-6
    )
    np.testing.assert_allclose(exact.sum(axis=1), 0, atol=1e-12)


def test_a_kept_prefix_gets_no_gradient():
    softmax, collection = collected(ResetGRPO(reset=FirstErrorReset()))
    suffixes = [g for g in collection if g.step is not None and g.step > 0 and g.informative]
    assert suffixes
    for group in suffixes:
        kept = {softmax.mdp.observations[state] for state in group.parent.states[: group.step]}
        later = {softmax.mdp.observations[s] for r in group.rollouts for s in r.states}
        gradient = softmax.gradient([group])
        assert not gradient[sorted(kept - later)].any()
        assert gradient[sorted(later)].any()


def test_no_groups_and_constant_groups_teach_nothing():
    softmax, collection = collected(GRPO())
    assert not softmax.gradient(Collection((), 0, 0)).any()
    group = collection.groups[0]
    silent = Group.of(group.rollouts, np.zeros(len(group.rollouts)), 0)
    assert not softmax.gradient([silent]).any()
    assert softmax.surrogate([silent]) == 0


def test_one_step_worked_by_hand():
    """Two actions at even odds, advantage 1 for action 0: the gradient is (1/2, -1/2)."""
    mdp = FiniteHorizonMDP(np.ones((1, 2, 1)), [[1.0, 0.0]], [1.0], 1)
    softmax = SoftmaxPolicy.uniform(mdp)
    one = Rollout([(0, 0)], [0], 1.0, False, Ending.HORIZON)
    other = Rollout([(0, 0)], [1], 0.0, True, Ending.HORIZON)
    group = Group.of((one, other), np.array([1.0, -1.0]), 0)
    np.testing.assert_allclose(softmax.gradient([group]), [[1.0, -1.0]])
    assert softmax.surrogate([group]) == pytest.approx(0.0)
    np.testing.assert_allclose(softmax.gradient([Group.of((one,), np.ones(1), 0)]), [[0.5, -0.5]])


@given(seeds)
def test_from_policy_reproduces_the_policy(seed):
    mdp, _, rng = small_world(seed)
    shared = rng.dirichlet(np.ones(mdp.actions), mdp.observation_count)
    shared[0] = np.eye(mdp.actions)[0]
    policy = shared[mdp.observations]
    again = SoftmaxPolicy.from_policy(mdp, policy).probabilities()
    np.testing.assert_allclose(again, policy, atol=1e-11)
    as_policy(mdp, again)


def test_from_policy_refuses_what_the_observations_cannot_tell_apart():
    kernel = np.broadcast_to(np.eye(2)[:, None], (2, 2, 2))
    mdp = FiniteHorizonMDP(kernel, np.zeros((2, 2)), [1, 0], 1, observations=[0, 0])
    with pytest.raises(InvalidInput, match=r"policy\[h=0, s=0\].*observation 0"):
        SoftmaxPolicy.from_policy(mdp, [[1.0, 0.0], [0.0, 1.0]])


def test_big_logits_do_not_overflow():
    mdp, softmax, _ = small_world(0)
    huge = softmax.with_logits(softmax.logits * 1e4)
    np.testing.assert_allclose(huge.probabilities().sum(axis=-1), 1)
    rollouts = [rollout for _, rollout in every_rollout(mdp, softmax.probabilities())][:4]
    assert np.isfinite(huge.surrogate([Group.of(tuple(rollouts), np.arange(4.0), 0)]))


@pytest.mark.parametrize(
    ("logits", "field"),
    [(np.zeros((2, 2)), "logits shape"), (np.full((3, 3), np.nan), r"logits\[o=0, a=0\]")],
)
def test_bad_logits_are_refused(logits, field):
    mdp = small_world(0)[0]
    logits = logits[: mdp.observation_count]
    with pytest.raises(InvalidInput, match=field):
        SoftmaxPolicy(mdp, logits)


def test_optimisers_take_the_steps_worked_by_hand():
    logits, gradient = np.array([[0.0, 1.0]]), np.array([[2.0, -0.5]])
    sgd = Sgd(0.1)
    state = sgd.ascend(sgd.start(logits), gradient)
    np.testing.assert_allclose(state.logits, [[0.2, 0.95]])
    # The bias-corrected first step of Adam has the size `rate` whatever the gradient's.
    adam = Adam(0.1)
    state = adam.ascend(adam.start(logits), gradient)
    np.testing.assert_allclose(state.logits, [[0.1, 0.9]])
    # Second step, gradient -2 at the first entry: mean (.9 * .2 - .2) / .19, square 4.
    state = adam.ascend(state, -gradient)
    np.testing.assert_allclose(state.logits[0, 0], 0.1 + 0.1 * (0.18 - 0.2) / 0.19 / 2)
    assert state.steps == 2
    np.testing.assert_array_equal(logits, [[0.0, 1.0]])


def test_ascent_reaches_the_optimum():
    tree = reasoning_tree(horizon=3, right_probability=0.4)
    softmax = SoftmaxPolicy.from_policy(tree.mdp, tree.policy)
    optimizer = Adam(0.2)
    state = optimizer.start(softmax.logits)
    algorithm = ResetGRPO(reset=FirstErrorReset())
    simulator = TabularSimulator(tree.mdp, softmax.probabilities())
    for iteration in range(60):
        simulator = simulator.with_policy(softmax.probabilities())
        starts = simulator.start_states(8, Key.of(1).child(iteration))
        collection = collect(algorithm, simulator, starts, Key.of(2).child(iteration))
        state = optimizer.ascend(state, softmax.gradient(collection))
        softmax = softmax.with_logits(state.logits)
    assert float(evaluate(tree.mdp, tree.policy).value) < 0.2
    assert float(evaluate(tree.mdp, softmax.probabilities()).value) > 0.9


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Sgd(0), "rate"),
        (lambda: Adam(-1.0), "rate"),
        (lambda: Adam(0.1, beta1=1.0), "beta1"),
        (lambda: Adam(0.1, beta2=-0.1), "beta2"),
        (lambda: Adam(0.1, epsilon=0), "epsilon"),
    ],
)
def test_impossible_optimisers_are_refused(build, field):
    with pytest.raises(InvalidInput, match=field):
        build()
