"""The tables and kernels beneath the simulator: exact probabilities, good draws, same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types
from scipy import sparse, special

from cpi_theory.randomness import Key
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.sampling import kernels
from tabular.sampling.paths import AliasTables, Arcs, Scan, checked_policy, layered, make_sampler
from tabular.strategies import finite_horizon_mdps, policies
from tabular.worlds.garnets import garnet
from tabular.worlds.trees import reasoning_tree

ROOMY = 1 << 30


def policy_of(mdp, policy):
    return layered(checked_policy(mdp, policy))


def tables_of(mdp, policy, threads=1):
    sampler = make_sampler(Arcs.of(mdp), policy_of(mdp, policy), ROOMY, threads)
    assert isinstance(sampler, AliasTables)
    return sampler


def outcomes(sampler, layer, state):
    """Every (probability, action, next state, reward, code of the next table) of one node."""
    shift = kernels.bits_for(sampler.arcs.mdp.actions)
    first, width = sampler.offsets[layer, state], int(sampler.bits[layer, state])
    for q in range(first, first + (1 << width)):
        share = float(sampler.table[q, 0] >> np.uint64(12)) / 2.0**52
        codes = int(sampler.table[q, 1])
        widths = int(sampler.table[q, 0]) & 0xFFF
        if sampler.labels[q, 0] == sampler.labels[q, 1]:
            share = 1.0
        for side, chance in enumerate((share, 1 - share)):
            after, action = divmod(int(sampler.labels[q, side]), 1 << shift)
            yield (
                chance / (1 << width),
                action,
                after,
                float(sampler.gains[q, 2 + side]),
                codes >> (32 * side) & 0xFFFFFFFF,
                widths >> (6 * side) & 63,
            )


@settings(max_examples=60)
@given(st.data())
def test_tables_hold_exactly_the_input(data):
    mdp = data.draw(finite_horizon_mdps())
    policy = np.asarray(data.draw(policies(mdp)), float)
    sampler = tables_of(mdp, policy)
    layers = sampler.offsets.shape[0]
    for layer in range(layers):
        kernel = mdp.kernel(layer)
        dense = np.asarray(kernel.toarray() if mdp.sparse else kernel, float)
        dense = dense.reshape(mdp.states, mdp.actions, mdp.states)
        for s in np.flatnonzero(~mdp.terminal):
            found = np.zeros((mdp.actions, mdp.states))
            joint = policy[layer, s][:, None] * dense[s]
            ahead = (layer + 1) % layers
            for chance, action, after, reward, code, width in outcomes(sampler, layer, s):
                found[action, after] += chance
                assert joint[action, after] > 0  # not even in a column of probability 0
                assert reward == float(mdp.reward(layer)[s, action])
                assert code == sampler.offsets[ahead, after]
                assert (code == 0) == mdp.terminal[after]
                assert code == 0 or width == sampler.bits[ahead, after]
            np.testing.assert_allclose(found, joint, rtol=0, atol=1e-14)
            assert not found[joint == 0].any()


@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=40), st.integers(0, 3))
def test_extreme_rows_are_tabled_exactly(weights, zeros):
    row = np.array(weights + [0.0] * zeros)
    row /= row.sum()
    mdp = FiniteHorizonMDP(np.array([[[1.0]] * row.size]), np.zeros((1, row.size)), [1.0], 1)
    found = np.zeros(row.size)
    for chance, action, *_ in outcomes(tables_of(mdp, row[None]), 0, 0):
        found[action] += chance
    np.testing.assert_allclose(found, row, rtol=0, atol=2e-15)
    assert not found[row == 0].any()


def hub_mdp(by_layer=False, states=300, hub=200):
    """One state with many successors among states with one: tables of unequal widths."""
    rows = np.roll(np.eye(states), 1, axis=1)
    rows[0] = np.r_[np.full(hub, 1 / hub), np.zeros(states - hub)]
    rewards = np.arange(states)[:, None] / states / 4
    kernel = sparse.csr_array(rows)
    return FiniteHorizonMDP(
        [kernel] * 4 if by_layer else kernel, rewards, np.eye(states)[0], 4, name="hub"
    )


@pytest.mark.parametrize("by_layer", [False, True])
def test_unequal_widths_have_the_right_law(by_layer):
    mdp = hub_mdp(by_layer)
    sampler = tables_of(mdp, np.ones((300, 1)))
    assert sampler.uniform is None
    assert len(sampler.table) < 2 * (256 + 2 * 300) * sampler.offsets.shape[0]
    n = 40_000
    zeros = np.zeros(n, np.int64)
    keys = Key.of(3).integers(n)
    drawn = sampler.run(zeros, zeros, keys, True, 1)
    seen = np.bincount(drawn.states[:, 1], minlength=300)
    assert not seen[200:].any()
    distance = ((seen[:200] - n / 200) ** 2 / (n / 200)).sum()
    assert special.gammaincc(199 / 2, distance / 2) > 1e-3
    assert (drawn.lengths == 4).all()
    # From a state other than the hub the path is forced: s, s + 1, s + 2, ...
    forced = sampler.run(zeros[:9], zeros[:9] + 7, keys[:9], True, 1)
    np.testing.assert_array_equal(forced.states, np.broadcast_to([7, 8, 9, 10], (9, 4)))
    np.testing.assert_allclose(forced.returns, (7 + 8 + 9 + 10) / 300 / 4)


def test_a_stationary_policy_takes_one_layer_of_tables():
    problem = garnet(20, 3, 2, 50, seed=1)
    policy = np.full((20, 3), 1 / 3)
    assert tables_of(problem.mdp, policy).offsets.shape == (1, 20)
    assert tables_of(problem.mdp, np.repeat(policy[None], 50, axis=0)).offsets.shape == (1, 20)
    changing = np.repeat(policy[None], 50, axis=0)
    changing[3, 2] = [1, 0, 0]
    assert tables_of(problem.mdp, changing).offsets.shape == (50, 20)


def test_tables_beyond_the_memory_are_not_made():
    problem = garnet(50, 3, 2, 10, seed=1)
    arcs, policy = Arcs.of(problem.mdp), policy_of(problem.mdp, problem.policy)
    size = len(make_sampler(arcs, policy, ROOMY).table) * 40
    assert isinstance(make_sampler(arcs, policy, size), AliasTables)
    assert isinstance(make_sampler(arcs, policy, size - 1), Scan)


def test_tables_do_not_depend_on_threads():
    problem = garnet(3000, 2, 3, 5, seed=2)
    one, many = (tables_of(problem.mdp, problem.policy, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.table[1:], many.table[1:])
    np.testing.assert_array_equal(one.labels[1:], many.labels[1:])


def test_big_sparse_tables_are_shared_and_left_alone():
    problem = garnet(40, 2, 3, 5, seed=2, as_sparse=True)
    table = problem.mdp.transitions
    before = table.data.copy(), table.indices.copy(), table.indptr.copy()
    arcs = Arcs.of(problem.mdp)
    assert np.shares_memory(arcs.chances, table.data)
    tables_of(problem.mdp, problem.policy)
    for old, new in zip(before, (table.data, table.indices, table.indptr), strict=True):
        np.testing.assert_array_equal(old, new)


def by_python(kernel, *arguments):
    with np.errstate(over="ignore"):
        kernel.py_func(*arguments)


def kernel_arguments(sampler, n, paths, far=None):
    rng = np.random.default_rng(8)
    mdp = sampler.arcs.mdp
    steps, states = rng.integers(mdp.horizon, size=n), rng.integers(mdp.states, size=n)
    starts = sampler.offsets, sampler.bits, mdp.horizon, steps, states
    out = np.empty(n), np.empty(n, np.int32), np.empty(n, bool)
    path = np.full(n * mdp.horizon, -7, np.int32) if paths else None
    model = sampler.table, sampler.gains, sampler.uniform, far, bool(mdp.terminal.any())
    return (*model, *starts, Key.of(1).integers(n), *out, path)


@pytest.mark.parametrize("far", [None, True])
@pytest.mark.parametrize("paths", [False, True])
@pytest.mark.parametrize("name", ["hub", "tree", "ends"])
def test_the_rollout_kernel_in_python_gives_the_same_bits(name, paths, far):
    mdp = {"hub": hub_mdp, "tree": lambda: reasoning_tree(horizon=5).mdp, "ends": ending}[name]()
    sampler = tables_of(mdp, np.full((mdp.states, mdp.actions), 1 / mdp.actions))
    compiled, plain = (kernel_arguments(sampler, 150, paths, far) for _ in range(2))
    kernels.roll(*compiled)
    by_python(kernels.roll, *plain)
    for one, other in zip(compiled[-4:], plain[-4:], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("count", [1, 90, 1500])
def test_far_tables_give_the_same_rollouts(count):
    """Fewer than are looked ahead, than are in flight, and more; of a table on either side."""
    sampler = tables_of(ending(), np.ones((3, 1)))
    near, far = (kernel_arguments(sampler, count, True, far) for far in (None, True))
    kernels.roll(*near)
    kernels.roll(*far)
    for one, other in zip(near[-4:], far[-4:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_table_beyond_the_caches_is_far():
    problem = garnet(20_000, 2, 4, 6, seed=3, as_sparse=True)
    sampler = tables_of(problem.mdp, problem.policy)
    assert sampler.table.nbytes >= 1 << 22
    near = kernel_arguments(sampler, 500, True)
    kernels.roll(*near)
    *_, steps, states, keys, returns, lengths, cut, _ = near
    drawn = sampler.run(steps, states, keys, False, 1)
    np.testing.assert_array_equal(drawn.returns, returns)
    np.testing.assert_array_equal(drawn.lengths, lengths)
    np.testing.assert_array_equal(drawn.cut, cut)
    signatures = [signature[3] for signature in kernels.roll.signatures]
    assert types.boolean in signatures


def ending():
    """Two live states and a terminal one, entered with probability 0.4."""
    rows = np.array([[0.3, 0.3, 0.4], [0.5, 0.1, 0.4], [0, 0, 1]])[:, None]
    return FiniteHorizonMDP(
        rows, np.array([[0.1], [0.05], [0.0]]), [1, 0, 0], 7, terminal=[False, False, True]
    )


@pytest.mark.parametrize("uniform", [0, 4])
def test_the_building_kernels_in_python_give_the_same_bits(uniform):
    mdp = ending()
    arcs, policy = Arcs.of(mdp), policy_of(mdp, np.ones((3, 1)))
    results = []
    for run in (lambda kernel, *a: kernel(*a), by_python):
        bits, offsets = np.empty(3, np.uint8), np.empty(3, np.int64)
        run(kernels.widths, arcs.indptr, mdp.terminal, 1, 1, bits)
        run(kernels.assign_columns, uniform, bits, offsets)
        columns = int(offsets.max()) + (1 << int(bits[offsets.argmax()]))
        table, labels = np.zeros((columns, 4), np.uint64), np.zeros((columns, 2), np.int32)
        model = arcs.indptr, arcs.indices, arcs.chances, policy, arcs.rewards
        into = offsets, bits, table, table.view(float), labels
        run(kernels.build, 0, 3, *model, *into)
        results.append((bits, offsets, table, labels))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_other_kernels_in_python_give_the_same_bits():
    mdp = ending()
    arcs, policy = Arcs.of(mdp), policy_of(mdp, np.ones((3, 1)))
    keys = Key.of(4).integers(40)
    u = Key.of(5).generator().random(40)
    zeros = np.zeros(40, np.int64)
    results = []
    for run in (lambda kernel, *a: kernel(*a), by_python):
        out = [np.empty(40), np.empty(40, np.int32), np.empty(40, bool)]
        paths = [np.empty((40, 7), np.int32), np.empty((40, 7), np.int32)]
        model = arcs.indptr, arcs.indices, arcs.chances, policy, arcs.rewards, mdp.terminal
        run(kernels.scan, *model, 7, zeros, zeros, keys, *out, *paths)
        drawn, numbered, after = np.empty(40), np.empty(40, np.uint64), np.empty(40, np.int64)
        run(kernels.uniforms, keys, np.uint64(9), drawn)
        run(kernels.number_keys, np.uint64(3), np.uint64(17), numbered)
        run(kernels.successors, arcs.indptr, arcs.indices, arcs.chances, zeros, u, after)
        results.append([*out, *paths, drawn, numbered, after])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_scanning_never_picks_what_has_no_chance():
    chances = np.array([0.0, 0.5, 0.5 - 1e-12, 0.0])
    indptr, indices = np.array([0, 4]), np.arange(10, 14, dtype=np.int32)
    u = np.array([0.0, 0.25, 0.5, 0.75, np.nextafter(1, 0)])
    out = np.empty(5, np.int64)
    kernels.successors(indptr, indices, chances, np.zeros(5, np.int64), u, out)
    np.testing.assert_array_equal(out, [11, 11, 12, 12, 12])


@pytest.mark.parametrize("memory", [ROOMY, 0], ids=["tables", "scan"])
def test_ending_at_the_last_step_is_ending(memory):
    """From layer 6 of 7 one step is left: it enters the terminal state or the horizon comes."""
    mdp = ending()
    sampler = make_sampler(Arcs.of(mdp), policy_of(mdp, np.ones((3, 1))), memory)
    n = 20_000
    drawn = sampler.run(np.full(n, 6), np.zeros(n, np.int64), Key.of(0).integers(n), False, 1)
    assert (drawn.lengths == 1).all()
    assert abs(drawn.cut.mean() - 0.6) < 4.5 * (0.24 / n) ** 0.5


def test_numbered_keys_go_on_where_they_stopped():
    whole, head, tail = np.empty(10, np.uint64), np.empty(4, np.uint64), np.empty(6, np.uint64)
    kernels.number_keys(np.uint64(5), np.uint64(0), whole)
    kernels.number_keys(np.uint64(5), np.uint64(0), head)
    kernels.number_keys(np.uint64(5), np.uint64(4), tail)
    np.testing.assert_array_equal(whole, np.concatenate([head, tail]))


def words(keys, draws):
    """The draws 1, 2, ... of each key, shape (len(keys), draws), as `roll` makes them."""
    with np.errstate(over="ignore"):
        state = kernels.mix.py_func(keys + kernels.GOLDEN)[:, None]
        counter = np.arange(1, draws + 1, dtype=np.uint64) * kernels.GOLDEN
        return kernels.mix.py_func(state + counter)


@pytest.mark.parametrize(
    "keys",
    [
        np.arange(4000, dtype=np.uint64),
        np.arange(4000, dtype=np.uint64) * kernels.GOLDEN,
        np.uint64(1) << np.arange(64, dtype=np.uint64),
        Key.of(0).integers(4000),
    ],
    ids=["counting", "golden steps", "single bits", "hashed"],
)
def test_draws_look_random_even_for_bad_keys(keys):
    drawn = words(keys, 64)
    bits = np.unpackbits(drawn.view(np.uint8).reshape(*drawn.shape, 8), axis=2)
    n = drawn.size
    assert np.abs(bits.mean(axis=(0, 1)) - 0.5).max() < 4.5 * 0.5 / n**0.5
    signs = bits.astype(np.int8) * 2 - 1
    for a, b in ((signs[:, :-1], signs[:, 1:]), (signs[:-1], signs[1:])):
        products = np.einsum("ktb,ktb->b", a.astype(float), b.astype(float))
        assert np.abs(products).max() < 4.5 * (a.shape[0] * a.shape[1]) ** 0.5
    top = np.bincount((drawn >> np.uint64(56)).ravel().astype(int), minlength=256)
    distance = ((top - n / 256) ** 2 / (n / 256)).sum()
    assert 1e-4 < special.gammaincc(255 / 2, distance / 2) < 1 - 1e-6
    assert np.unique(drawn).size == n


def test_one_flipped_bit_of_a_key_flips_half_of_a_draw():
    keys = Key.of(2).integers(2000)
    base = words(keys, 1)[:, 0]
    for bit in range(64):
        other = words(keys ^ np.uint64(1 << bit), 1)[:, 0]
        flipped = np.unpackbits((base ^ other).view(np.uint8)).mean()
        assert abs(flipped - 0.5) < 5 * 0.5 / (2000 * 64) ** 0.5


def test_uniforms_of_different_purposes_are_independent():
    keys = Key.of(1).integers(20_000)
    one, other = np.empty(keys.size), np.empty(keys.size)
    kernels.uniforms(keys, np.uint64(1), one)
    kernels.uniforms(keys, np.uint64(2), other)
    for u in (one, other):
        assert 0 <= u.min() < 1e-3
        assert 1 - 1e-3 < u.max() < 1
        counts = np.bincount((u * 50).astype(int), minlength=50)
        assert special.gammaincc(49 / 2, ((counts - 400) ** 2 / 400).sum() / 2) > 1e-4
    assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / keys.size**0.5
