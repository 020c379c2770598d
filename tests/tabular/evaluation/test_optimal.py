"""Optimal values: right in absolute terms, and never further off than they say."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from cpi_theory.checks import InvalidInput
from tabular.evaluation import optimal_kernels
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.optimal import solve
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.operators import csr_tables
from tabular.mdp.policies import deterministic_policy

F = Fraction


def fractions(table):
    return np.vectorize(Fraction, otypes=[object])(np.asarray(table).astype(object))


def random_rows(rng, *shape):
    counts = rng.integers(0, 4, shape)
    counts[..., 0] += counts.sum(axis=-1) == 0
    table = fractions(counts)
    return table / table.sum(axis=-1, keepdims=True)


def random_discounted(seed, states=5, actions=3, discount=F(9, 10)):
    rng = np.random.default_rng(seed)
    return DiscountedMDP(
        random_rows(rng, states, actions, states),
        fractions(rng.integers(0, 9, (states, actions))) / 9,
        random_rows(rng, states),
        discount,
    )


def in_floats(mdp, csr):
    transitions = mdp.transitions.astype(float)
    if csr:
        transitions = sparse.csr_array(transitions.reshape(-1, mdp.states))
    return DiscountedMDP(
        transitions, mdp.rewards.astype(float), mdp.start.astype(float), float(mdp.discount)
    )


def sparse_garnet(seed, states, discount, branching=4):
    rng = np.random.default_rng(seed)
    rows, entries = states * 3, states * 3 * branching
    transitions = sparse.csr_array(
        (
            rng.dirichlet(np.ones(branching), rows).reshape(-1),
            rng.integers(0, states, entries),
            np.arange(rows + 1) * branching,
        ),
        (rows, states),
    )
    start = np.full(states, 1 / states)
    return DiscountedMDP(transitions, rng.random((states, 3)), start, discount)


def corridor(length, discount):
    """Walk left or right along a line with slips of 1/4; only the last state pays."""
    here = np.arange(length)
    transitions = np.zeros((length, 2, length))
    for action, move in enumerate((-1, 1)):
        np.add.at(transitions, (here, action, np.clip(here + move, 0, length - 1)), 0.75)
        np.add.at(transitions, (here, action, np.clip(here - move, 0, length - 1)), 0.25)
    rewards = np.zeros((length, 2))
    rewards[-1] = 1.0
    return transitions, rewards, np.eye(length)[0], discount


def test_a_finite_horizon_by_hand():
    # Wait for 1/8 a step, or move with chance 1/2 to a state that pays 1/4 a step.
    transitions = fractions([[[2, 0], [1, 1]], [[0, 2], [0, 2]]]) / 2
    rewards = fractions([[1, 0], [2, 2]]) / 8
    mdp = FiniteHorizonMDP(transitions, rewards, fractions([1, 0]), 3)
    result = solve(mdp)
    assert result.values.tolist() == [[F(3, 8), F(3, 4)], [F(1, 4), F(1, 2)], [F(1, 8), F(1, 4)]]
    assert result.q_values[0, 0].tolist() == [F(3, 8), F(3, 8)]
    assert result.policy[2, 0].tolist() == [1, 0]
    assert result.value == F(3, 8)
    assert result.error_bound == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_deterministic_policy_beats_backward_induction(seed):
    rng = np.random.default_rng(seed)
    rewards = fractions(rng.integers(0, 7, (2, 3, 2))) / 14
    transitions = random_rows(rng, 2, 3, 2, 3)
    mdp = FiniteHorizonMDP(transitions, rewards, random_rows(rng, 3), 2)
    result = solve(mdp)
    choices = itertools.product(range(2), repeat=6)
    policies = (deterministic_policy(mdp, np.reshape(choice, (2, 3))) for choice in choices)
    assert result.value == max(evaluate(mdp, policy).value for policy in policies)
    assert evaluate(mdp, result.policy).value == result.value
    for layers in (transitions.astype(float), [to_csr(layer) for layer in transitions]):
        plain = FiniteHorizonMDP(layers, rewards.astype(float), mdp.start.astype(float), 2)
        np.testing.assert_allclose(solve(plain).values, result.values.astype(float), atol=1e-14)


def to_csr(layer):
    return sparse.csr_array(layer.astype(float).reshape(-1, layer.shape[-1]))


@pytest.mark.parametrize("seed", range(5))
def test_exact_discounted_values_satisfy_the_optimality_equation(seed):
    mdp = random_discounted(seed)
    result = solve(mdp)
    ahead = (mdp.transitions * result.values).sum(axis=2)
    assert (mdp.rewards + mdp.discount * ahead == result.q_values).all()
    assert (result.q_values.max(axis=1) == result.values).all()
    assert evaluate(mdp, result.policy).value == result.value


@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("accuracy", [1e-2, 1e-6, 1e-10])
@pytest.mark.parametrize("seed", range(3))
def test_certified_values_are_as_close_as_they_say(seed, accuracy, csr):
    mdp = random_discounted(seed, discount=F(99, 100))
    truth = solve(mdp).values.astype(float)
    result = solve(in_floats(mdp, csr), accuracy)
    error = np.abs(result.values - truth).max()
    assert error <= result.error_bound <= accuracy
    loss = truth - evaluate(in_floats(mdp, csr), result.policy).values
    assert loss.max() <= 2 * accuracy + 1e-12


@pytest.mark.parametrize("csr", [False, True])
def test_values_are_right_in_absolute_terms(csr):
    """Stopping on the span alone gives values off by a constant near 1 / (1 - gamma)."""
    # Every action pays 1 whatever happens, so V = 1 / (1 - gamma) = 1000 everywhere, while a
    # single sweep already has span zero.
    rng = np.random.default_rng(0)
    transitions = rng.dirichlet(np.ones(6), (6, 2))
    table = sparse.csr_array(transitions.reshape(-1, 6)) if csr else transitions
    mdp = DiscountedMDP(table, np.ones((6, 2)), np.full(6, 1 / 6), 0.999)
    result = solve(mdp, 1e-8)
    np.testing.assert_allclose(result.values, 1000.0, atol=1e-8)
    assert result.value == pytest.approx(1000.0, abs=1e-8)


def test_sparse_worlds_too_big_for_elimination_agree_with_direct_evaluation():
    mdp = sparse_garnet(1, 2000, 0.99)
    result = solve(mdp, 1e-7)
    own = evaluate(mdp, result.policy)
    assert np.abs(own.values - result.values).max() <= 2e-7
    assert own.best_advantages.max() <= 2e-7


@pytest.mark.parametrize("csr", [False, True])
def test_slowly_mixing_worlds_are_solved_and_certified(csr):
    transitions, rewards, start, discount = corridor(120, 0.999)
    table = to_csr(transitions) if csr else transitions
    result = solve(DiscountedMDP(table, rewards, start, discount), 1e-6)
    assert result.error_bound <= 1e-6
    assert (result.policy[:-1, 1] == 1).all()
    chain = transitions[:, 1]
    truth = np.linalg.solve(np.eye(120) - discount * chain, rewards[:, 1])
    np.testing.assert_allclose(result.values, truth, atol=1e-6)
    assert result.greedy_sweeps < 60


def test_a_dense_chain_that_mixes_slowly_is_solved_directly(monkeypatch):
    calls = []
    solver = np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda *args: calls.append(1) or solver(*args))
    solve(DiscountedMDP(*corridor(60, 0.999)), 1e-6)
    assert calls


def test_sweeps_give_up_on_a_chain_that_mixes_slowly():
    # Two absorbing states with other rewards: the difference shrinks by gamma alone.
    rows = np.ones(2), np.array([0, 1], np.uint16), np.array([0, 1, 2], np.uint32)
    for sweeps in (optimal_kernels.sparse_sweeps, optimal_kernels.sparse_sweeps.py_func):
        assert not sweeps(*rows, np.array([0.0, 1.0]), 0.999, np.zeros(2), 1e-6)
        assert sweeps(*rows, np.array([0.0, 1.0]), 0.25, np.zeros(2), 1e-6)


def test_agrees_with_quantecon_where_it_is_right():
    markov = pytest.importorskip("quantecon.markov")
    mdp = sparse_garnet(2, 300, 0.95)
    states, actions = np.divmod(np.arange(900), 3)
    matrix = sparse.csr_matrix(mdp.transitions)
    peer = markov.DiscreteDP(mdp.rewards.reshape(-1), matrix, 0.95, states, actions)
    theirs = peer.solve(method="modified_policy_iteration", epsilon=1e-9).v
    np.testing.assert_allclose(solve(mdp, 1e-9).values, theirs, atol=2e-9)


def test_no_future_needs_one_sweep():
    mdp = in_floats(random_discounted(1, discount=F(0)), csr=False)
    result = solve(mdp)
    assert np.array_equal(result.values, mdp.rewards.max(axis=1))


def test_a_solve_that_does_not_get_there_says_so(monkeypatch):
    monkeypatch.setattr("tabular.evaluation.optimal._MOST_SWEEPS", 2)
    with pytest.raises(ArithmeticError, match="residual span"):
        solve(in_floats(random_discounted(0), csr=False), 1e-9)


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [(0.0, "not a positive"), (1e-15, "rounding alone"), (np.nan, "positive")],
)
def test_an_accuracy_that_cannot_be_had_is_refused(accuracy, words):
    with pytest.raises(InvalidInput, match=words):
        solve(in_floats(random_discounted(0), csr=False), accuracy)


def dyadic_tables(seed, states=6, actions=2):
    """Rows of two to four multiples of 1/4, so that sums of a few sweeps are exact."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, states, (4, states * actions))
    table = sum(np.eye(states)[pick] for pick in picks) / 4
    mdp = DiscountedMDP(
        sparse.csr_array(table),
        rng.integers(0, 8, (states, actions)) / 8,
        np.eye(states)[0],
        0.5,
    )
    return mdp, csr_tables(mdp), rng.integers(0, 16, states) / 8


@pytest.mark.parametrize("seed", range(3))
def test_kernels_and_their_python_source_give_the_same_bits(seed):
    mdp, tables, values = dyadic_tables(seed)
    outcomes = []
    for kernels in (lambda k: k, lambda k: k.py_func):
        improved, choice = np.empty_like(values), np.full(mdp.states, -1)
        greedy = kernels(optimal_kernels.sparse_greedy)
        change = greedy(*tables, mdp.rewards, 0.5, values, improved, choice)
        rows = kernels(optimal_kernels.chosen_rows)(*tables, mdp.actions, choice)
        rewards = mdp.rewards[np.arange(mdp.states), choice]
        swept = improved.copy()
        done = kernels(optimal_kernels.sparse_sweeps)(*rows, rewards, 0.5, swept, 0.25)
        outcomes.append((change, improved, choice, *rows, swept, done))
    for one, other in zip(*outcomes, strict=True):
        assert np.array_equal(one, other)
    q_values = mdp.rewards + 0.5 * (mdp.transitions @ values).reshape(mdp.states, -1)
    change, improved, choice, *_ = outcomes[0]
    assert np.array_equal(improved, q_values.max(axis=1))
    assert np.array_equal(choice, q_values.argmax(axis=1))
    assert change == ((improved - values).min(), (improved - values).max(), mdp.states)
