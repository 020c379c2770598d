"""Large discounted MDPs by sweeps, against dense solves and against the solvers they replace."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tabular.evaluation import mixing, optimal_kernels
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.mixing import sweep_policy
from tabular.mdp.mdp import DiscountedMDP

STATES = 600


@pytest.fixture(autouse=True)
def chains_of_more_than_500_states_are_swept(monkeypatch):
    """Where a dense solve can still say what is true."""
    monkeypatch.setattr(mixing, "_MANY", 500)


def random_graph(seed, actions=3, branching=4, discount=0.99, states=STATES):
    """Rows of random next states, some of them twice the same; rewards that differ much."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(states * actions), branching)
    chances = rng.dirichlet(np.ones(branching), states * actions).reshape(-1)
    columns = rng.integers(states, size=rows.size)
    table = sparse.csr_array((chances, (rows, columns)), (states * actions, states))
    table.sum_duplicates()
    rewards = rng.random((states, actions)) ** 4 * (1 - discount)
    mdp = DiscountedMDP(table, rewards, rng.dirichlet(np.full(states, 0.1)), discount)
    policy = rng.dirichlet(np.full(actions, 0.3), states)
    policy[:5] = np.eye(actions)[0]
    return mdp, policy


def cycle(states=STATES, discount=0.99):
    """Every state leads to the next one: it never mixes."""
    table = sparse.csr_array(np.roll(np.eye(states), 1, axis=1))
    rewards = np.eye(states)[:, :1] * (1 - discount)
    return DiscountedMDP(table, rewards, np.eye(states)[0], discount), np.ones((states, 1))


def truth(mdp, policy):
    """V and d by a dense decomposition."""
    chain = np.einsum("sa,sat->st", policy, mdp.transitions.toarray().reshape(*policy.shape, -1))
    matrix = np.eye(mdp.states) - mdp.discount * chain
    rewards = (policy * mdp.rewards).sum(axis=1)
    first = (1 - mdp.discount) * mdp.start
    return np.linalg.solve(matrix, rewards), np.linalg.solve(matrix.T, first)


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 0.9999])
@pytest.mark.parametrize("seed", range(3))
def test_sweeps_are_as_close_as_they_prove(seed, discount):
    mdp, policy = random_graph(seed, discount=discount)
    swept, result = sweep_policy(mdp, policy), evaluate(mdp, policy)
    assert swept is not None
    values, visits = truth(mdp, policy)
    # The dense solve rounds, too.
    slack = 1e-13 / (1 - discount)
    assert np.abs(result.values - values).max() <= result.error_bound + slack
    assert np.abs(result.visits - visits).sum() <= result.visits_error_bound + slack
    assert result.error_bound <= 1e-14 / (1 - discount)
    assert result.visits_error_bound <= 1e-13 / (1 - discount)
    assert result.value == float(mdp.start @ swept.values)
    assert np.array_equal(result.values, swept.values)
    assert np.array_equal(result.visits, swept.visits)
    ahead = (mdp.transitions @ result.values).reshape(mdp.rewards.shape)
    assert np.array_equal(result.q_values, mdp.rewards + discount * ahead)
    assert np.array_equal(result.advantages, result.q_values - result.values[:, None])
    assert (result.visits >= 0).all()


def test_what_is_proven_notices_values_that_are_off(monkeypatch):
    mdp, policy = random_graph(1)
    honest = sweep_policy(mdp, policy)
    sweeps = optimal_kernels.sparse_pushes

    def careless(*arguments):
        """Stops a good deal too early, and says so."""
        *before, enough, slow = arguments
        return sweeps(*before, enough * 1e6, slow)

    monkeypatch.setattr(optimal_kernels, "sparse_pushes", careless)
    assert sweep_policy(mdp, policy) is None
    assert honest.visits_error_bound < 1e-11


@pytest.mark.parametrize("make", [cycle, lambda: random_graph(0, states=500)])
def test_small_and_slow_chains_are_left_to_the_solvers(make):
    mdp, policy = make()
    assert sweep_policy(mdp, policy) is None
    result = evaluate(mdp, policy)
    values, visits = truth(mdp, policy)
    assert np.abs(result.values - values).max() <= result.error_bound + 1e-11
    assert np.abs(result.visits - visits).sum() <= result.visits_error_bound + 1e-11


def test_a_chain_of_many_states_is_swept_by_evaluate(monkeypatch):
    monkeypatch.undo()
    mdp, policy = random_graph(0, states=10_001)
    assert np.array_equal(evaluate(mdp, policy).values, sweep_policy(mdp, policy).values)
    assert sweep_policy(*random_graph(0, states=10_000)) is None


@pytest.mark.parametrize("excess", [1e-10, -1e-10])
def test_rows_and_starts_that_miss_one_by_little_stay_proven(excess):
    mdp, policy = random_graph(2)
    table = mdp.transitions * (1 + excess)
    start = mdp.start * (1 - excess)
    off = DiscountedMDP(table, mdp.rewards, start, 0.99, reward_bound=2.0)
    result = evaluate(off, policy)
    values, visits = truth(off, policy)
    assert np.abs(result.values - values).max() <= result.error_bound + 1e-11
    assert np.abs(result.visits - visits).sum() <= result.visits_error_bound + 1e-11


@pytest.mark.parametrize("rewards", [0.0, 1.0])
def test_rewards_that_are_all_alike_have_the_value_of_one_state(rewards):
    mdp, policy = random_graph(3)
    alike = DiscountedMDP(mdp.transitions, np.full((STATES, 3), rewards), mdp.start, 0.99)
    result = evaluate(alike, policy)
    np.testing.assert_allclose(result.values, 100 * rewards, rtol=1e-12)
    assert sweep_policy(alike, policy) is not None


def dyadic_rows():
    """Multiples of 1/4, so that all sums are exact: csr data, indices, bounds and a policy."""
    rng = np.random.default_rng(0)
    states, actions = 7, 2
    bounds = np.concatenate([[0], np.cumsum(rng.integers(1, 4, states * actions))])
    counts = np.diff(bounds)
    data = np.concatenate([weights(n) for n in counts])
    indices = rng.integers(states, size=data.size).astype(np.uint16)
    policy = np.array([[0.25, 0.75]] * states)
    return data, indices, bounds.astype(np.uint32), policy


def weights(count):
    """Quarters that sum to one."""
    return np.r_[np.full(count - 1, 0.25), 1 - 0.25 * (count - 1)]


def test_the_kernels_and_their_python_source_give_the_same_bits():
    data, indices, bounds, policy = dyadic_rows()
    averaged = optimal_kernels.averaged_rows
    chances, ends, largest = averaged(data, bounds, policy)
    again = averaged.py_func(data, bounds, policy)
    assert np.array_equal(chances, again[0])
    assert np.array_equal(ends, again[1])
    assert largest == again[2] == 1.0
    assert np.array_equal(ends, bounds[::2])
    assert np.array_equal(chances, data * np.repeat(policy.reshape(-1), np.diff(bounds)))
    start = np.full(7, 1 / 8)
    dense = np.zeros((7, 7))
    np.add.at(dense, (np.repeat(np.arange(7), np.diff(ends)), indices), chances)
    for enough, slow in ((0.25, 1.0), (0.0, 1.0), (0.0, 1e-3)):
        outcomes = []
        for run in (optimal_kernels.sparse_pushes, optimal_kernels.sparse_pushes.py_func):
            mass = start.copy()
            left = run(chances, indices, ends, start / 2, 0.5, mass, enough, slow)
            outcomes.append((mass, left))
            residual = np.abs(start / 2 + 0.5 * mass @ dense - mass).sum()
            assert left == pytest.approx(residual, abs=1e-15)
        np.testing.assert_allclose(*(mass for mass, _ in outcomes), rtol=0, atol=1e-15)
