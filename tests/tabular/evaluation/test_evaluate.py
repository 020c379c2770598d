"""Exact evaluation against hand-worked numbers, path enumeration and its own other forms."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from cpi_theory.checks import InvalidInput
from tabular.evaluation import kernels as evaluation_kernels
from tabular.evaluation import small
from tabular.evaluation.evaluate import evaluate, evaluate_many
from tabular.evaluation.finite_horizon import evaluate_layers
from tabular.evaluation.linear import ChainSystem
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.operators import columns_by_layer, csr_tables, packed_tables, pull, push

F = Fraction


def fractions(table):
    return np.vectorize(Fraction, otypes=[object])(np.asarray(table).astype(object))


def random_rows(rng, *shape, zeros=True):
    """Random rational distributions along the last axis, some entries zero."""
    counts = rng.integers(0 if zeros else 1, 5, shape)
    counts[..., 0] += counts.sum(axis=-1) == 0
    table = fractions(counts)
    return table / table.sum(axis=-1, keepdims=True)


def random_world(seed, horizon=4, states=3, actions=2, stationary=False):
    rng = np.random.default_rng(seed)
    layers = () if stationary else (horizon,)
    rewards = fractions(rng.integers(0, 7, (*layers, states, actions))) / (7 * horizon)
    transitions = random_rows(rng, *layers, states, actions, states)
    mdp = FiniteHorizonMDP(transitions, rewards, random_rows(rng, states), horizon)
    return mdp, random_rows(rng, horizon, states, actions)


def as_floats(mdp, make=lambda table: table):
    """The same MDP in floats, its layers passed through `make`."""
    transitions = mdp.transitions.astype(float)
    if transitions.ndim == 4 and make is not np.asarray:
        transitions = [make(layer) for layer in transitions]
    elif transitions.ndim == 3:
        transitions = make(transitions)
    return FiniteHorizonMDP(
        transitions, mdp.rewards.astype(float), mdp.start.astype(float), mdp.horizon
    )


def to_csr(layer):
    return sparse.csr_array(layer.reshape(-1, layer.shape[-1]))


def paths(mdp, policy):
    """Every path of positive probability: (probability, states, actions, rewards)."""
    grown = [(p, (s,), (), ()) for s, p in enumerate(mdp.start) if p]
    for h in range(mdp.horizon):
        grown = [
            (p * policy[h, s[-1], a] * q, (*s, t), (*acts, a), (*r, mdp.reward(h)[s[-1], a]))
            for p, s, acts, r in grown
            for a in range(mdp.actions)
            if policy[h, s[-1], a]
            for t, q in enumerate(mdp.kernel(h)[s[-1], a])
            if q
        ]
    return grown


def same(one, other, tolerance=1e-12):
    for name in ("value", "values", "q_values", "advantages", "visits"):
        left = np.asarray(getattr(one, name)).astype(float)
        right = np.asarray(getattr(other, name)).astype(float)
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance, err_msg=name)


def slippery_pair():
    """State 0: action 0 waits and pays 1/8, action 1 moves to 1 with 1/2; state 1 pays 1/4."""
    transitions = fractions([[[1, 0], [1, 1]], [[0, 1], [0, 1]]])
    transitions[0, 1] /= 2
    rewards = fractions([[0, 0], [0, 0]])
    rewards[0, 0], rewards[1] = F(1, 8), F(1, 4)
    return FiniteHorizonMDP(transitions, rewards, fractions([1, 0]), horizon=2)


@pytest.mark.parametrize("exact", [True, False])
def test_hand_worked_values_advantages_and_visits(exact):
    mdp = slippery_pair() if exact else as_floats(slippery_pair())
    policy = fractions([[1, 3], [2, 2]]) / 4
    result = evaluate(mdp, policy)
    # Layer 1: V(0) = 1/4 * 1/8 = 1/32, V(1) = 1/4.
    # Layer 0, state 0: Q(wait) = 1/8 + 1/32 = 5/32, Q(move) = (1/32 + 1/4) / 2 = 9/64,
    # V = (10 + 27) / 256 = 37/256; state 1: V = 1/2.
    assert result.values.tolist() == [[F(37, 256), F(1, 2)], [F(1, 32), F(1, 4)]]
    assert result.q_values[0].tolist() == [[F(5, 32), F(9, 64)], [F(1, 2), F(1, 2)]]
    assert result.advantages[0].tolist() == [[F(3, 256), F(-1, 256)], [0, 0]]
    assert result.advantages[1, 0].tolist() == [F(3, 32), F(-1, 32)]
    assert result.visits.tolist() == [[1, 0], [F(5, 8), F(3, 8)]]
    assert result.occupancy.tolist() == [[F(1, 2), 0], [F(5, 16), F(3, 16)]]
    assert result.value == F(37, 256)
    assert isinstance(result.value, Fraction if exact else float)
    assert result.horizon == 2


@pytest.mark.parametrize("seed", range(6))
def test_exact_evaluation_agrees_with_the_enumeration_of_all_paths(seed):
    mdp, policy = random_world(seed, horizon=3)
    result = evaluate(mdp, policy)
    everything = paths(mdp, policy)
    assert sum(p for p, *_ in everything) == 1
    assert result.value == sum(p * sum(r) for p, _, _, r in everything)
    for h, s in np.ndindex(3, mdp.states):
        through = [(p, a[h], sum(r[h:])) for p, states, a, r in everything if states[h] == s]
        mass = sum((p for p, *_ in through), F(0))
        assert result.visits[h, s] == mass
        if mass:
            assert result.values[h, s] == sum(p * g for p, _, g in through) / mass
        for action in range(mdp.actions):
            taken = [(p, g) for p, a, g in through if a == action]
            weight = sum((p for p, _ in taken), F(0))
            if weight:
                assert result.q_values[h, s, action] == sum(p * g for p, g in taken) / weight


@pytest.mark.parametrize("states", [1 << 16, (1 << 16) + 1])
def test_narrow_indices_are_used_only_where_they_reach(states):
    # From every state to the last one, which alone pays.
    last = states - 1
    transitions = sparse.csr_array(
        (np.ones(states), np.full(states, last), np.arange(states + 1)), (states, states)
    )
    rewards = (np.arange(states) == last)[:, None] / 2
    mdp = FiniteHorizonMDP(transitions, rewards, np.full(states, 1 / states), 2)
    result = evaluate(mdp, np.ones((states, 1)))
    assert (result.values[0, :last] == 0.5).all()
    assert result.visits[1, last] == pytest.approx(1)


@pytest.mark.parametrize("stationary", [True, False])
@pytest.mark.parametrize("shape", [(1, 3, 2), (5, 1, 3), (4, 5, 1), (6, 7, 3), (3, 17, 9)])
def test_dense_sparse_and_exact_agree(shape, stationary):
    mdp, policy = random_world(sum(shape), *shape, stationary=stationary)
    reference = evaluate(mdp, policy)
    dense, csr = as_floats(mdp, np.asarray), as_floats(mdp, to_csr)
    assert csr.sparse
    assert not dense.sparse
    same(evaluate(dense, policy), reference)
    same(evaluate(csr, policy), reference)


def test_a_stationary_policy_serves_every_layer():
    mdp, policy = random_world(5)
    layers = np.broadcast_to(policy[0], policy.shape)
    same(evaluate(mdp, policy[0]), evaluate(mdp, layers), 0)


def test_visits_sum_to_one_and_advantages_average_to_zero_exactly():
    mdp, policy = random_world(7, horizon=5)
    result = evaluate(mdp, policy)
    assert (result.visits.sum(axis=1) == 1).all()
    assert ((policy * result.advantages).sum(axis=2) == 0).all()
    assert (result.best_advantages >= 0).all()


def test_results_are_read_only():
    result = evaluate(*random_world(1))
    with pytest.raises(ValueError, match="read-only"):
        result.values[0, 0] = 1


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (np.full((4, 3, 2), 0.4), "0.2 too little"),
        (np.full((3, 3, 2), 0.5), "policy shape"),
        (np.full((4, 3, 2), np.nan), "policy"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(policy, words):
    with pytest.raises(InvalidInput, match=words):
        evaluate(as_floats(random_world(1)[0], np.asarray), policy)


def dyadic(seed, horizon=4, states=5, actions=3):
    """Tables of multiples of 1/4: all sums of an evaluation are exact in float64."""
    rng = np.random.default_rng(seed)

    def rows(*shape):
        picks = rng.integers(0, shape[-1], (4, *shape[:-1]))
        return sum(np.eye(shape[-1])[pick] for pick in picks) / 4

    transitions, policy = rows(horizon, states, actions, states), rows(horizon, states, actions)
    rewards = rng.integers(0, 4, (horizon, states, actions)) / 16
    return transitions, rewards, rows(states), policy


def empty_tables(policy, start):
    horizon, states, _ = policy.shape
    values, visits = np.zeros((horizon + 1, states)), np.empty((horizon, states))
    visits[0] = start
    return values, np.empty_like(policy), np.empty_like(policy), visits


@pytest.mark.parametrize("stationary", [True, False])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 1, 9), (4, 2, 1), (2, 9, 17), (5, 18, 4), (3, 31, 5)]
)
def test_small_worlds_have_the_same_bits_with_numba_and_without(shape, stationary):
    horizon, states, actions = shape
    rng = np.random.default_rng(states)
    layers = () if stationary else (horizon,)
    transitions = rng.dirichlet(np.full(states, 0.2), (*layers, states, actions))
    rewards = rng.random((*layers, states, actions)) / horizon
    policy = rng.dirichlet(np.full(actions, 0.3), (horizon, states))
    mdp = FiniteHorizonMDP(transitions, rewards, rng.dirichlet(np.ones(states)), horizon)
    columns = columns_by_layer(mdp)
    rewards, rows = (
        mdp.rewards.reshape(-1, states, actions),
        transitions.reshape(-1, *shape[1:], states),
    )
    outcomes = []
    for backward, forward in (
        (evaluation_kernels.small_backward, evaluation_kernels.small_forward),
        (evaluation_kernels.small_backward.py_func, evaluation_kernels.small_forward.py_func),
        (small.backward, small.forward),
    ):
        values, q_values, advantages, visits = empty_tables(policy, mdp.start)
        assert backward(columns, rewards, policy, values, q_values, advantages) == 0
        forward(rows, policy, visits)
        outcomes.append((values[:-1], q_values, advantages, visits))
    result = evaluate(mdp, policy)
    outcomes.append((result.values, result.q_values, result.advantages, result.visits))
    for other in outcomes[1:]:
        for one, table in zip(outcomes[0], other, strict=True):
            assert np.array_equal(one, table)
    batch = evaluate_layers(mdp, policy[None])
    assert np.abs(batch.q_values[0] - result.q_values).max() <= 1e-15
    assert np.abs(batch.visits[0] - result.visits).max() <= 1e-15


@pytest.mark.parametrize("row", [[0.5, 0.4], [1.5, -0.5], [np.nan, 1.0], [0.5, 0.5 + 1e-8]])
def test_bad_rows_are_counted_with_numba_and_without(row):
    mdp = as_floats(random_world(1)[0], np.asarray)
    policy = np.full((4, 3, 2), 0.5)
    policy[2, 1] = policy[0, 0] = row
    for backward in (evaluation_kernels.small_backward, small.backward):
        tables = empty_tables(policy, mdp.start)[:3]
        assert backward(columns_by_layer(mdp), mdp.rewards, policy, *tables) == 2


def test_a_first_result_loads_neither_numba_nor_scipy_and_many_load_numba():
    script = """
import sys
from tabular import evaluate, from_gymnasium, uniform_policy
mdp = from_gymnasium("FrozenLake-v1", horizon=50)
policy = uniform_policy(mdp)
first = evaluate(mdp, policy)
assert not {"numba", "scipy"} & set(sys.modules)
runs = 1
while "numba" not in sys.modules:
    again, runs = evaluate(mdp, policy), runs + 1
assert 10 < runs < 200, runs
for name in ("values", "q_values", "advantages", "visits"):
    assert (getattr(first, name) == getattr(again, name)).all(), name
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("seed", range(3))
def test_dense_kernels_and_their_python_source_give_the_same_bits(seed):
    transitions, rewards, start, policy = dyadic(seed)
    compiled, interpreted = empty_tables(policy, start), empty_tables(policy, start)
    backward, forward = evaluation_kernels.dense_backward, evaluation_kernels.dense_forward
    backward(transitions, rewards, policy, *compiled[:3])
    backward.py_func(transitions, rewards, policy, *interpreted[:3])
    forward(transitions, policy, compiled[3])
    forward.py_func(transitions, policy, interpreted[3])
    for one, other in zip(compiled, interpreted, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(compiled[3].sum(axis=1), np.ones(len(policy)))


@pytest.mark.parametrize("seed", range(3))
def test_sparse_kernels_and_their_python_source_give_the_same_bits(seed):
    transitions, rewards, start, policy = dyadic(seed)
    mdp = FiniteHorizonMDP([to_csr(layer) for layer in transitions], rewards, start, len(policy))
    tables = csr_tables(mdp)
    compiled, interpreted = empty_tables(policy, start), empty_tables(policy, start)
    backward, forward = evaluation_kernels.sparse_backward, evaluation_kernels.sparse_forward
    backward(*tables, rewards, policy, *compiled[:3])
    backward.py_func(*tables, rewards, policy, *interpreted[:3])
    forward(*tables, policy, compiled[3])
    forward.py_func(*tables, policy, interpreted[3])
    dense = evaluate(FiniteHorizonMDP(transitions, rewards, start, len(policy)), policy)
    for one, other in zip(compiled, interpreted, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(compiled[0][:-1], dense.values)
    assert np.array_equal(compiled[3], dense.visits)


def results_of(backward, forward, tables, rewards, start, policy):
    """V, Q, A and visits by a pair of kernels, none of whose policy rows is bad."""
    values, q_values, advantages, visits = empty_tables(policy, start)
    assert backward(*tables, rewards, policy, values, q_values, advantages) == 0
    forward(*tables, policy, visits)
    return values, q_values, advantages, visits


@pytest.mark.parametrize("actions", [3, 4, 9])
def test_averaging_while_reading_gives_the_same_bits_as_reading_twice(actions):
    transitions, rewards, start, policy = dyadic(1, 4, 11, actions)
    plain = evaluation_kernels.dense_backward, evaluation_kernels.dense_forward
    twice = results_of(*plain, (transitions,), rewards, start, policy)
    averaging, forward = (
        evaluation_kernels.dense_backward_averaging,
        evaluation_kernels.chain_forward,
    )
    for sweep, ahead in ((averaging, forward), (averaging.py_func, forward.py_func)):
        values, q_values, advantages, visits = empty_tables(policy, start)
        chain = np.full((4, 11, 11), np.nan)
        assert sweep(transitions, rewards, policy, values, q_values, advantages, chain) == 0
        ahead(chain, visits)
        for one, other in zip((values, q_values, advantages, visits), twice, strict=True):
            assert np.array_equal(one, other)
        assert np.array_equal(chain, np.einsum("hsa,hsat->hst", policy, transitions))


@pytest.mark.parametrize("stationary", [True, False])
def test_packed_kernels_and_their_python_source_give_the_bits_of_dense_ones(stationary):
    # Rows of four entries and fewer, enough of them to be packed.
    transitions, rewards, start, policy = dyadic(2, 3, 80, 20)
    layers = [to_csr(layer) for layer in transitions]
    assert {2, 3, 4} <= set(np.diff(layers[0].indptr))
    mdp = FiniteHorizonMDP(layers[0] if stationary else layers, rewards, start, 3)
    tables = packed_tables(mdp)
    assert tables is not None
    kernels = evaluation_kernels.packed_backward, evaluation_kernels.packed_forward
    compiled = results_of(*kernels, tables, rewards, start, policy)
    interpreted = results_of(*(k.py_func for k in kernels), tables, rewards, start, policy)
    dense = evaluate(
        FiniteHorizonMDP(transitions[0] if stationary else transitions, rewards, start, 3), policy
    )
    for one, other in zip(compiled, interpreted, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(compiled[0][:-1], dense.values)
    assert np.array_equal(compiled[2], dense.advantages)
    assert np.array_equal(compiled[3], dense.visits)
    same(evaluate(mdp, policy), dense, 0)


def rows_of_lengths(lengths, states):
    """One action; row s has the next states 0..lengths[s] - 1, each alike."""
    table = np.zeros((len(lengths), states))
    for row, length in zip(table, lengths, strict=True):
        row[:length] = 1 / length
    return sparse.csr_array(table)


@pytest.mark.parametrize(
    ("lengths", "packed"),
    [
        ([4] * 1024, True),
        ([4] * 1023 + [1], True),
        ([3] * 1024, False),  # 4 / 3 as many entries
        ([4] * 1023 + [5], False),
        ([4] * 1000, False),  # too few to be worth it
    ],
)
def test_rows_are_packed_where_they_have_about_four_entries(lengths, packed):
    states = len(lengths)
    rewards, start = np.zeros((states, 1)), np.eye(states)[0]
    mdp = FiniteHorizonMDP(rows_of_lengths(lengths, states), rewards, start, 2)
    assert (packed_tables(mdp) is not None) == packed
    visits = evaluate(mdp, np.ones((states, 1))).visits
    assert visits[1, :4].tolist() == [1 / lengths[0]] * lengths[0] + [0] * (4 - lengths[0])


def big_world(seed, make):
    """Large enough for the kernels that average while they read, and for packed rows."""
    rng = np.random.default_rng(seed)
    states, actions = 100, 5
    transitions = np.zeros((3, states, actions, states))
    for row in transitions.reshape(-1, states):
        # Rows of four entries, of one or three with the others.
        row[rng.choice(states, 4, replace=False)] = rng.dirichlet(np.ones(4))
    rewards, start = rng.random((3, states, actions)) / 3, rng.dirichlet(np.ones(states))
    layers = transitions if make is np.asarray else [make(layer) for layer in transitions]
    policy = rng.dirichlet(np.ones(actions), (3, states))
    policy[:, 0] = np.eye(actions)[0]
    return FiniteHorizonMDP(layers, rewards, start, 3), policy


@pytest.mark.parametrize("make", [np.asarray, to_csr])
@pytest.mark.parametrize("seed", range(3))
def test_large_worlds_agree_with_the_plain_recursion(seed, make):
    mdp, policy = big_world(seed, make)
    if make is to_csr:
        assert packed_tables(mdp) is not None
    batch = evaluate_layers(mdp, policy[None])
    for name in ("values", "q_values", "advantages", "visits"):
        difference = getattr(evaluate(mdp, policy), name) - getattr(batch, name)[0]
        assert np.abs(difference).max() <= 1e-15, name
    # Room that is used again leaves nothing behind.
    other = np.roll(policy, 1, axis=1)
    first = evaluate(mdp, other)
    evaluate(mdp, policy)
    same(evaluate(mdp, other), first, 0)


@pytest.mark.parametrize("make", [np.asarray, to_csr])
@pytest.mark.parametrize("entry", [-0.5, np.nan])
def test_large_worlds_notice_rows_that_are_no_distribution(make, entry):
    mdp, policy = big_world(0, make)
    for actions in (4, 5):
        small = FiniteHorizonMDP(
            mdp.transitions[:, :, :actions].copy() if make is np.asarray else mdp.transitions,
            mdp.rewards[:, :, :actions] if make is np.asarray else mdp.rewards,
            mdp.start,
            3,
        )
        bad = np.array(policy[:, :, : small.actions])
        bad[..., 0] += 1 - bad.sum(axis=2)
        bad[2, 41] = 0.0
        bad[2, 41, :2] = entry, 1 - entry
        with pytest.raises(InvalidInput, match=r"h=2, s=41"):
            evaluate(small, bad)


@pytest.mark.parametrize("actions", [4, 6])
def test_every_way_in_which_a_row_is_no_distribution_is_counted(actions):
    states = 2 * actions + 3
    policy = np.full((1, states, actions), 1 / actions)
    for a in range(actions):
        policy[0, a, a], policy[0, a, a - 1] = -0.25, 2 / actions + 0.25
        policy[0, actions + a, a] = np.nan
    policy[0, -3, 1] += 3e-9
    policy[0, -2, 0] = 0.0
    policy[0, -1, 2] += 1e-10  # within the tolerance
    transitions, rewards = np.full((1, states, actions, states), 1 / states), np.zeros_like(policy)
    tables = empty_tables(policy, np.eye(states)[0])[:3]
    kernels = evaluation_kernels.dense_backward, evaluation_kernels.small_backward
    for kernel, table in zip(
        kernels, (transitions, transitions.reshape(1, -1, states)), strict=True
    ):
        columns = table if table.ndim == 4 else np.ascontiguousarray(table.transpose(0, 2, 1))
        assert kernel(columns, rewards, policy, *tables) == states - 1


def test_threads_may_evaluate_on_one_mdp():
    mdp, policy = big_world(5, np.asarray)
    policies = [np.roll(policy, k, axis=1) for k in range(8)]
    alone = [evaluate(mdp, one) for one in policies]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for one, other in zip(
                pool.map(lambda p: evaluate(mdp, p), policies), alone, strict=True
            ):
                same(one, other, 0)


@pytest.mark.parametrize(("count", "states", "actions"), [(1, 5, 3), (4, 6, 3), (6, 3, 1)])
def test_batch_kernels_and_their_python_source_give_the_same_bits(count, states, actions):
    transitions, rewards, start, _ = dyadic(0, 3, states, actions)
    policies = np.stack([dyadic(k, 3, states, actions)[3] for k in range(count)])
    outcomes = []
    for kernel in (evaluation_kernels.dense_many, evaluation_kernels.dense_many.py_func):
        values, visits = np.zeros(policies.shape[:-1]), np.zeros(policies.shape[:-1])
        visits[:, 0] = start
        tables = values, np.zeros_like(policies), np.zeros_like(policies), visits
        assert kernel(transitions, rewards, policies, *tables) == 0
        outcomes.append(tables)
    for one, other in zip(*outcomes, strict=True):
        assert np.array_equal(one, other)
    mdp = FiniteHorizonMDP(transitions, rewards, start, 3)
    for k, policy in enumerate(policies):
        single = evaluate(mdp, policy)
        assert np.array_equal(outcomes[0][1][k], single.q_values)
        assert np.array_equal(outcomes[0][3][k], single.visits)


@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 4, 3, 2)])
def test_kernels_notice_rows_that_are_no_distribution(shape):
    mdp = as_floats(random_world(1)[0], np.asarray)
    policy = np.full(shape, 0.5)
    policy[(*(0,) * (len(shape) - 3), 2, 1)] = [1.5, -0.5]
    run = evaluate if len(shape) == 3 else evaluate_many
    with pytest.raises(InvalidInput, match=r"h=2, s=1\] = -0.5: negative"):
        run(mdp, policy)


@pytest.mark.parametrize("make", [np.asarray, to_csr])
def test_push_and_pull_are_adjoint(make):
    mdp = as_floats(random_world(3)[0], make)
    rng = np.random.default_rng(0)
    mass, values = rng.random((2, 3, 2)), rng.random((2, 3))
    moved, ahead = push(mdp, 1, mass), pull(mdp, 1, values)
    assert moved.shape == (2, 3)
    assert ahead.shape == (2, 3, 2)
    for i in range(2):
        assert moved[i] @ values[i] == pytest.approx((mass[i] * ahead[i]).sum())


@pytest.mark.parametrize("form", ["exact", "dense", "csr"])
@pytest.mark.parametrize("stationary", [True, False])
def test_many_policies_at_once_agree_with_one_by_one(form, stationary):
    mdp, _ = random_world(11, 4, 3, 2, stationary)
    if form != "exact":
        mdp = as_floats(mdp, np.asarray if form == "dense" else to_csr)
    policies = random_rows(np.random.default_rng(4), 5, 4, 3, 2)
    batch = evaluate_many(mdp, policies)
    assert batch.values.shape == (5, 4, 3)
    assert batch.horizon == 4
    for k, policy in enumerate(policies):
        single = evaluate(mdp, policy)
        assert float(batch.value[k]) == pytest.approx(float(single.value), abs=1e-14)
        for name in ("values", "q_values", "advantages", "visits", "occupancy", "best_advantages"):
            difference = np.abs(getattr(batch, name)[k] - getattr(single, name)).max()
            assert difference <= (0 if form == "exact" else 1e-14), name


def test_many_stationary_and_discounted_policies():
    mdp, _ = random_world(12)
    policies = random_rows(np.random.default_rng(4), 3, 3, 2)
    batch = evaluate_many(mdp, policies)
    assert batch.value.tolist() == [evaluate(mdp, policy).value for policy in policies]
    world, _ = random_discounted(1)
    policies = random_rows(np.random.default_rng(4), 3, 4, 2)
    batch = evaluate_many(world, policies)
    assert batch.visits.shape == (3, 4)
    assert batch.value.tolist() == [evaluate(world, policy).value for policy in policies]


def random_discounted(seed, states=4, actions=2, discount=F(9, 10)):
    rng = np.random.default_rng(seed)
    rewards = fractions(rng.integers(0, 7, (states, actions))) / 70
    mdp = DiscountedMDP(
        random_rows(rng, states, actions, states), rewards, random_rows(rng, states), discount
    )
    return mdp, random_rows(rng, states, actions)


def discounted_floats(mdp, make=np.asarray):
    return DiscountedMDP(
        make(mdp.transitions.astype(float)),
        mdp.rewards.astype(float),
        mdp.start.astype(float),
        float(mdp.discount),
    )


def test_hand_worked_discounted_values_and_occupancy():
    # One action; 0 moves to 1 or stays, each with 1/2, and pays 1; 1 is absorbing and pays 0.
    # gamma = 1/2: V(0) = 1 + V(0)/4 = 4/3; d(0) = (1/2)(1 + 1/4 + ...) = 2/3.
    transitions = fractions([[[1, 1]], [[0, 2]]]) / 2
    mdp = DiscountedMDP(transitions, fractions([[1], [0]]), fractions([1, 0]), F(1, 2))
    result = evaluate(mdp, fractions([[1], [1]]))
    assert result.values.tolist() == [F(4, 3), 0]
    assert result.visits.tolist() == [F(2, 3), F(1, 3)]
    assert result.value == F(4, 3)
    assert result.error_bound == 0
    assert result.horizon is None


@pytest.mark.parametrize("seed", range(4))
def test_discounted_dense_sparse_and_exact_agree(seed):
    mdp, policy = random_discounted(seed)
    reference = evaluate(mdp, policy)
    assert reference.visits.sum() == 1
    bellman = (policy * reference.q_values).sum(axis=1)
    assert (bellman == reference.values).all()
    assert reference.value == (
        (reference.visits[:, None] * policy * mdp.rewards).sum() / (1 - mdp.discount)
    )
    for make in (np.asarray, to_csr):
        result = evaluate(discounted_floats(mdp, make), policy)
        same(result, reference, 1e-11)
        error = np.abs(result.values - reference.values.astype(float)).max()
        assert error <= result.error_bound


def test_a_discounted_value_is_the_limit_of_long_horizons():
    mdp, policy = random_discounted(9, discount=F(1, 2))
    horizon = 60
    scale = np.array([F(1, 2) ** h for h in range(horizon)], dtype=object)
    layered = FiniteHorizonMDP(
        mdp.transitions, scale[:, None, None] * mdp.rewards, mdp.start, horizon
    )
    difference = evaluate(mdp, policy).value - evaluate(layered, policy).value
    assert 0 <= difference <= F(1, 2) ** horizon


def test_error_bounds_cover_values_and_visits_that_are_off(monkeypatch):
    class Shifted(ChainSystem):
        def _solve(self, right, transposed, guess):
            return super()._solve(right, transposed, guess) + 0.001

    mdp, policy = random_discounted(2)
    truth = evaluate(mdp, policy).visits.astype(float)
    monkeypatch.setattr("tabular.evaluation.discounted.ChainSystem", Shifted)
    result = evaluate(discounted_floats(mdp, to_csr), policy)
    assert result.error_bound == pytest.approx(0.001)
    off = np.abs(result.visits - truth).sum()
    assert off == pytest.approx(0.004)
    assert off <= result.visits_error_bound <= 0.004 * 1.9 / (1 - 0.9)
