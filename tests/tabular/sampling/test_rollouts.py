"""Tabular rollouts read like tuples, flatten to arrays, and hold on any MDP there can be."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Ending, Numbered, Rollout
from tabular.sampling.rollouts import Actions, FlatSteps, States, as_rollouts
from tabular.simulation.simulator import TabularSimulator
from tabular.strategies import finite_horizon_mdps, policies
from tabular.worlds.trees import reasoning_tree

rows = st.lists(st.integers(0, 50), max_size=8)


def row(values):
    return np.array(values, dtype=np.int32)


@given(rows, st.integers(0, 9))
def test_states_read_like_a_tuple_of_pairs(values, first):
    states = States(row(values), first)
    plain = tuple((first + i, s) for i, s in enumerate(values))
    assert_like(states, plain)


@given(rows)
def test_actions_read_like_a_tuple(values):
    assert_like(Actions(row(values)), tuple(values))


def assert_like(sequence, plain):
    assert tuple(sequence) == plain
    assert len(sequence) == len(plain)
    assert list(reversed(sequence)) == list(reversed(plain))
    for i in range(-len(plain), len(plain)):
        assert sequence[i] == plain[i]
    assert sequence[1:] == plain[1:]
    assert sequence[::-2] == plain[::-2]
    assert sequence == plain
    assert sequence == list(plain)
    assert sequence != (*plain, plain[0] if plain else 0)
    assert sequence != 3
    assert hash(sequence) == hash(plain)
    assert repr(sequence) == repr(plain)
    assert pickle.loads(pickle.dumps(sequence)) == plain
    for i in (len(plain), -len(plain) - 1):
        with pytest.raises(IndexError):
            sequence[i]
    for item in sequence:
        assert item in sequence
        assert type(item) in (int, tuple)


def tree_simulator():
    tree = reasoning_tree(horizon=6)
    return TabularSimulator(tree.mdp, tree.policy)


def test_items_are_plain_python_numbers():
    rollout = Numbered(tree_simulator()).rollout([(2, 0)])[0]
    assert [type(part) for part in rollout.states[0]] == [int, int]
    assert type(rollout.actions[0]) is int
    assert type(rollout.reward) is float
    assert type(rollout.failed) is bool
    assert rollout.states[0] == (2, 0)


def test_rollouts_survive_pickling():
    rollouts = Numbered(tree_simulator()).rollout([(0, 0), (3, 1)])
    assert pickle.loads(pickle.dumps(rollouts)) == rollouts


def test_flat_steps_of_foreign_rollouts_are_the_same():
    rollouts = Numbered(tree_simulator()).rollout([(0, 0), (3, 1), (5, 0), (2, 1)])
    foreign = [
        Rollout(list(r.states), tuple(r.actions), r.reward, r.failed, r.ended) for r in rollouts
    ]
    empty = Rollout((), (), 0.0, True, Ending.TERMINAL)
    one, other = FlatSteps.of([*rollouts, empty]), FlatSteps.of([*foreign, empty])
    for name in ("layers", "states", "actions", "bounds"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == np.int64
    assert one.bounds.tolist() == [0, 6, 9, 10, 14, 14]
    assert one.layers.tolist() == [0, 1, 2, 3, 4, 5, 3, 4, 5, 5, 2, 3, 4, 5]
    assert one.owners().tolist() == [0] * 6 + [1] * 3 + [2] + [3] * 4
    pieces = one.split(one.actions)
    assert [tuple(piece) for piece in pieces[:-1]] == [tuple(r.actions) for r in rollouts]
    assert pieces[-1].size == 0


def test_flat_steps_of_paths_are_those_of_their_rollouts():
    simulator = tree_simulator()
    paths = simulator.simulate([0, 4, 2], [0, 1, 0], Key.of(0).integers(3))
    one, other = FlatSteps.of_paths(paths), FlatSteps.of(as_rollouts(paths, 1.0))
    for name in ("layers", "states", "actions", "bounds"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@given(st.lists(st.lists(st.booleans(), max_size=5), max_size=6))
def test_the_first_marked_step_of_each_rollout(marks):
    lengths = [len(m) for m in marks]
    bounds = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    flat = np.array([m for one in marks for m in one], dtype=bool)
    steps = FlatSteps(flat, flat, flat, bounds)
    assert steps.first(flat).tolist() == [m.index(True) if any(m) else -1 for m in marks]


def test_no_rollouts_have_no_steps():
    flat = FlatSteps.of([])
    assert flat.layers.size == 0
    assert flat.bounds.tolist() == [0]
    assert flat.split(flat.actions) == []


def test_what_cannot_be_flattened_is_refused():
    jump = Rollout([(0, 1), (2, 1)], [0, 0], 0.0, True, Ending.HORIZON)
    with pytest.raises(InvalidInput, match="layers do not follow"):
        FlatSteps.of([jump])
    light = tree_simulator().simulate(0, [0], Key.of(0).integers(1), paths=False)
    for flatten in (FlatSteps.of_paths, lambda paths: as_rollouts(paths, 1.0)):
        with pytest.raises(InvalidInput, match="paths=True"):
            flatten(light)


def test_taking_some_paths_keeps_them_whole():
    paths = tree_simulator().simulate(0, np.zeros(9, int), Key.of(0).integers(9))
    some = paths.take(np.array([4, 1]))
    assert as_rollouts(some, 0.5) == [as_rollouts(paths, 0.5)[i] for i in (4, 1)]
    light = (
        tree_simulator()
        .simulate(0, np.zeros(9, int), Key.of(0).integers(9), paths=False)
        .take(np.array([2]))
    )
    assert light.states is None
    assert len(light) == 1


@settings(max_examples=80)
@given(st.data(), st.sampled_from([0, 1 << 30]))
def test_rollouts_hold_on_any_mdp(data, memory):
    """Degenerate ones too: every step is possible, every reward is paid, every end is one."""
    mdp = data.draw(finite_horizon_mdps())
    policy = data.draw(policies(mdp))
    simulator = TabularSimulator(mdp, policy, table_memory=memory)
    starts = [(h, s) for h in range(mdp.horizon) for s in range(mdp.states)] * 3
    keys = Key.of(1).integers(len(starts))
    rollouts = simulator.rollout(starts, keys)
    table = np.asarray(simulator.policy, float)
    for (h, s), rollout in zip(starts, rollouts, strict=True):
        if mdp.terminal[s]:
            assert (len(rollout), rollout.reward, rollout.ended) == (0, 0, Ending.TERMINAL)
            continue
        assert rollout.states[0] == (h, s)
        paid = 0.0
        for i, ((k, state), action) in enumerate(zip(rollout.states, rollout.actions, strict=True)):
            assert k == h + i
            assert not mdp.terminal[state]
            assert table[k, state, action] > 0
            paid += float(mdp.reward(k)[state, action])
            after = [s for _, s in rollout.states[i + 1 : i + 2]]
            chances = next_chances(mdp, k, state, action)
            assert all(chances[s] > 0 for s in after)
        assert rollout.reward == pytest.approx(paid, abs=1e-12)
        assert rollout.failed == (rollout.reward < simulator.success)
        if rollout.ended is Ending.HORIZON:
            assert len(rollout) == mdp.horizon - h
        else:
            assert chances[mdp.terminal].sum() > 0
    half = len(starts) // 2
    again = simulator.rollout(starts[:half], keys[:half])
    assert again + simulator.rollout(starts[half:], keys[half:]) == rollouts


def next_chances(mdp, h, s, a):
    kernel = mdp.kernel(h)
    if mdp.sparse:
        return kernel[[s * mdp.actions + a]].toarray()[0]
    return np.asarray(kernel[s, a], float)
