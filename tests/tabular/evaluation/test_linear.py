"""Chains of every kind: what the solves give is what a dense solve gives, and is proven to be."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from tabular.evaluation import linear
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.linear import ChainSystem, largest, total
from tabular.mdp.mdp import DiscountedMDP
from tabular.resets.deviations import discounted_deviation

DISCOUNTS = (Fraction(0), Fraction(1, 2), Fraction(99, 100), Fraction(9999, 10000))


@pytest.fixture
def iterations_only(monkeypatch):
    """Small chains take the way of large ones, where an exact solve can judge it."""
    monkeypatch.setattr(linear, "_DIRECT", 0)


def weights(states):
    """Rows of small integers, none empty: sparse, deterministic, reducible and periodic ones."""
    moves = arrays(np.int64, (states, states), elements=st.integers(0, 3), fill=st.just(0))
    loops = np.eye(states, dtype=np.int64)
    permutations = st.permutations(range(states)).map(lambda order: loops[list(order)])
    filled = moves.map(lambda table: np.where(table.sum(axis=1, keepdims=True) == 0, loops, table))
    return st.one_of(permutations, filled, st.builds(np.add, permutations, permutations))


@st.composite
def chains(draw):
    """A chain with rewards and start as integers, and a discount."""
    states = draw(st.integers(1, 7))
    rewards = draw(arrays(np.int64, states, elements=st.integers(0, 9)))
    start = draw(
        st.one_of(
            st.just(np.ones(states, dtype=np.int64)),
            st.integers(0, states - 1).map(lambda s: np.eye(states, dtype=np.int64)[s]),
            arrays(np.int64, states, elements=st.integers(0, 9)).filter(lambda t: t.sum() > 0),
        )
    )
    return draw(weights(states)), rewards, start, draw(st.sampled_from(DISCOUNTS))


def shares(table):
    ones = np.frompyfunc(lambda x, total: Fraction(int(x), int(total)), 2, 1)
    return ones(table, table.sum(axis=-1, keepdims=True)).astype(object)


def exact_and_sparse(moves, rewards, start, discount):
    """The same one-action MDP in fractions and as csr floats."""
    rewards = np.array([[Fraction(int(r))] for r in rewards], dtype=object)
    exact = DiscountedMDP(shares(moves)[:, None], rewards, shares(start), discount)
    floats = DiscountedMDP(
        sparse.csr_array(shares(moves).astype(float)),
        rewards.astype(float),
        shares(start).astype(float),
        float(discount),
    )
    return exact, floats


@given(chains())
@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_errors_of_values_and_visits_are_within_their_bounds(iterations_only, chain):
    exact, floats = exact_and_sparse(*chain)
    policy = np.ones((exact.states, 1))
    truth, found = evaluate(exact, policy), evaluate(floats, policy)
    # Rounding the tables to floats moves the truth, by no more than their own bounds allow for.
    assert largest(found.values - truth.values.astype(float)) <= 2 * found.error_bound
    assert total(found.visits - truth.visits.astype(float)) <= 2 * found.visits_error_bound
    assert found.error_bound <= 1e-14 * max(1, truth.values.max()) * 99 / (1 - floats.discount)
    assert found.visits_error_bound <= 99e-14 / (1 - floats.discount)
    assert (found.visits >= 0).all()
    assert truth.error_bound == truth.visits_error_bound == 0


def random_graph(size, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, size, (size, 4)), rng.dirichlet(np.ones(4), size)
    return sparse.csr_array((rows[1].ravel(), rows[0].ravel(), np.arange(size + 1) * 4))


def moving(size, *steps):
    """Each step forward alike, the last states stay: a long way to the end."""
    places = np.arange(size)
    targets = np.concatenate([np.minimum(places + step, size - 1) for step in steps])
    chances = np.full(targets.size, 1 / len(steps))
    return sparse.coo_array((chances, (np.tile(places, len(steps)), targets))).tocsr()


def ring(size, *steps):
    """The same around a ring: periodic, or nearly."""
    places = np.arange(size)
    targets = np.concatenate([(places + step) % size for step in steps])
    chances = np.full(targets.size, 1 / len(steps))
    return sparse.coo_array((chances, (np.tile(places, len(steps)), targets))).tocsr()


def shuffled(chain):
    order = np.random.default_rng(1).permutation(chain.shape[0])
    return chain[order][:, order]


def star(size):
    """Out to any state and back: one state with many predecessors and successors."""
    table = sparse.lil_array((size, size))
    table[0, :] = 1 / size
    table[1:, 0] = 1.0
    return table.tocsr()


def two_sides(size):
    half = random_graph(size // 2)
    return sparse.bmat([[None, half], [half, None]], format="csr")


FAMILIES = {
    "random graph": random_graph,
    "ring": lambda size: ring(size, 1),
    "shuffled ring": lambda size: shuffled(ring(size, 1)),
    "nearly periodic ring": lambda size: shuffled(ring(size, 1, 2)),
    "random walk": lambda size: ring(size, 1, size - 1),
    "long way": lambda size: shuffled(moving(size, 1, 2, 3)),
    "two sides": two_sides,
    "closed classes": lambda size: sparse.block_diag(
        [random_graph(size // 4, k) for k in range(4)], format="csr"
    ),
    "star": star,
    "everything": lambda size: sparse.block_diag(
        [moving(size // 2, 1, 2), random_graph(size // 2)], format="csr"
    ),
}


@pytest.mark.parametrize("discount", [0.9, 0.9999])
@pytest.mark.parametrize("start", ["uniform", "one state", "random"])
@pytest.mark.parametrize("family", FAMILIES)
def test_large_chains_agree_with_a_dense_solve(family, start, discount):
    size = 1200
    chain = FAMILIES[family](size)
    rng = np.random.default_rng(3)
    first = {
        "uniform": np.full(size, 1 / size),
        "one state": np.eye(1, size)[0],
        "random": rng.dirichlet(np.ones(size)),
    }[start]
    rewards = rng.random((size, 1)) * (1 - discount)
    mdp = DiscountedMDP(chain, rewards, first, discount)
    found = evaluate(mdp, np.ones((size, 1)))
    matrix = np.eye(size) - discount * chain.toarray()
    values = np.linalg.solve(matrix, rewards[:, 0])
    visits = np.linalg.solve(matrix.T, (1 - discount) * first)
    # The dense solve errs too, by about as much as the proof allows for.
    assert largest(found.values - values) <= 2 * found.error_bound
    assert total(found.visits - visits) <= 2 * found.visits_error_bound
    assert max(found.error_bound, found.visits_error_bound) <= 1e-12 / (1 - discount)


def test_a_uniform_start_costs_what_any_start_costs():
    # A sparse LU decomposition of this graph takes minutes.
    size = 20_000
    rewards = np.random.default_rng(0).random((size, 1))
    mdp = DiscountedMDP(random_graph(size), rewards, np.full(size, 1 / size), 0.99)
    began = time.perf_counter()
    found = evaluate(mdp, np.ones((size, 1)))
    assert time.perf_counter() - began < 20
    assert found.error_bound <= 1e-9
    assert found.visits_error_bound <= 1e-11
    assert found.visits.sum() == pytest.approx(1, abs=found.visits_error_bound)


@pytest.mark.parametrize("transposed", [False, True])
def test_sweeps_alone_get_there(monkeypatch, transposed):
    monkeypatch.setattr(linear, "_krylov_solvers", lambda matrix: iter(()))
    chain = 0.95 * two_sides(600)
    system = ChainSystem(chain)
    right = np.random.default_rng(0).random(600)
    found = system.solve_transposed(right) if transposed else system.solve(right)
    matrix = np.eye(600) - chain.toarray()
    assert found == pytest.approx(np.linalg.solve(matrix.T if transposed else matrix, right))


def test_what_sweeps_leave_is_stated(monkeypatch):
    monkeypatch.setattr(linear, "_krylov_solvers", lambda matrix: iter(()))
    monkeypatch.setattr(linear, "_SWEEPS", 200)
    size, discount = 600, 0.999
    chain = shuffled(ring(size, 1))
    rewards = np.zeros((size, 1))
    rewards[0] = 1.0
    mdp = DiscountedMDP(chain, rewards, np.eye(1, size)[0], discount)
    found = evaluate(mdp, np.ones((size, 1)))
    matrix = np.eye(size) - discount * chain.toarray()
    values = np.linalg.solve(matrix, rewards[:, 0])
    visits = np.linalg.solve(matrix.T, (1 - discount) * mdp.start)
    off = largest(found.values - values), total(found.visits - visits)
    assert min(off) > 1e-3
    # A sweep shrinks the first residual, 1 of values and 2 of visits, by gamma.
    assert off[0] <= found.error_bound <= discount**200 / (1 - discount)
    assert off[1] <= found.visits_error_bound <= 2 * discount**200 / (1 - discount)


def test_sweeps_end_where_rounding_stops_them(monkeypatch):
    calls = []
    moved = linear._Attempt.moved
    monkeypatch.setattr(linear, "_krylov_solvers", lambda matrix: iter(()))
    monkeypatch.setattr(linear, "rounding", lambda terms, sequential=True: 0.0)
    monkeypatch.setattr(
        linear._Attempt, "moved", lambda self, step: calls.append(1) or moved(self, step)
    )
    ChainSystem(0.5 * random_graph(600)).solve(np.random.default_rng(0).random(600))
    assert len(calls) < 1000


def test_rows_that_do_not_contract_prove_nothing():
    chain = sparse.csr_array(np.array([[1 + 5e-10]]))
    mdp = DiscountedMDP(chain, [[0.0]], [1.0], 1 - 1e-12)
    found = evaluate(mdp, [[1.0]])
    assert found.error_bound == found.visits_error_bound == np.inf


def test_actions_that_are_never_taken_do_not_fill_the_chain():
    size = 600
    both = sparse.vstack([random_graph(size), ring(size, 1)], format="csr")
    rows = np.arange(2 * size).reshape(2, size).T.ravel()
    mdp = DiscountedMDP(both[rows], np.zeros((size, 2)), np.full(size, 1 / size), 0.9)
    policy = np.zeros((size, 2))
    policy[:, 1] = 1.0
    policy.setflags(write=False)
    visits = evaluate(mdp, policy).visits
    assert visits == pytest.approx(np.full(size, 1 / size))
    assert policy.sum() == size


def test_leaving_a_long_chain_is_certain_in_the_end():
    size = 800
    mdp = DiscountedMDP(
        ring(size, 1), np.zeros((size, 1)), np.full(size, 1 / size), 0.99, reward_bound=1
    )
    away = discounted_deviation(mdp, np.ones((size, 1)), np.ones(size), 0.5)
    # sum_t gamma^t (1 - (1/2)^t)
    assert away == pytest.approx(1 / (1 - 0.99) - 1 / (1 - 0.99 / 2))
