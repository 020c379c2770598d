"""Laws of the simulator: reproducible bits, the right law, typed refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse, special

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import (
    Ending,
    FailedLocalization,
    Localization,
    Numbered,
    OracleSimulator,
    Reason,
)
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.resets.localizer import Localizer
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.garnets import garnet
from tabular.worlds.trees import reasoning_tree

NO_TABLES = 0


def random_mdp(rng, horizon=5, states=6, actions=3, layered=True, terminal=0, form="dense"):
    """A dense random MDP with gaps in its rows; the last `terminal` states end a rollout."""
    lead = (horizon,) if layered else ()
    rows = rng.dirichlet(np.full(states, 0.4), size=(*lead, states, actions))
    rows[rows < 0.02] = 0
    rows /= rows.sum(axis=-1, keepdims=True)
    rewards = rng.random((*lead, states, actions)) / horizon
    ends = np.arange(states) >= states - terminal
    rows[..., ends, :, :] = np.eye(states)[ends][:, None]
    rewards[..., ends, :] = 0
    start = rng.dirichlet(np.ones(states))
    if form == "sparse":
        flat = rows.reshape(*lead, states * actions, states)
        rows = [sparse.csr_array(r) for r in flat] if layered else sparse.csr_array(flat)
    return FiniteHorizonMDP(rows, rewards, start, horizon, terminal=ends)


def random_policy(rng, mdp, layered=True):
    policy = rng.dirichlet(
        np.full(mdp.actions, 0.6), size=(*((mdp.horizon,) if layered else ()), mdp.states)
    )
    policy[..., 0, :] = np.eye(mdp.actions)[0]
    return policy


WORLDS = {
    "dense layered": {},
    "dense stationary": {"layered": False},
    "sparse layered": {"form": "sparse"},
    "sparse stationary": {"layered": False, "form": "sparse"},
    "ends early": {"terminal": 2, "horizon": 8},
    "ends early, stationary": {"terminal": 1, "horizon": 8, "layered": False},
    "one state": {"states": 1, "actions": 2},
    "one layer": {"horizon": 1},
    "many successors": {"states": 60, "actions": 2, "horizon": 3},
}


@pytest.fixture(params=WORLDS, name="world")
def _world(request):
    rng = np.random.default_rng(len(request.param))
    mdp = random_mdp(rng, **WORLDS[request.param])
    return mdp, random_policy(rng, mdp, layered="stationary" not in request.param)


def chi_square_tail(observed, expected):
    """P(a worse fit); cells with few expected counts are merged."""
    order = np.argsort(expected)
    cut = np.searchsorted(np.cumsum(expected[order]), 10) + 1
    group = np.zeros(expected.size, int)
    group[order[cut:]] = np.arange(1, expected.size - cut + 1)
    e, o = np.bincount(group, expected), np.bincount(group, observed)
    return special.gammaincc((e.size - 1) / 2, ((o - e) ** 2 / e).sum() / 2) if e.size > 1 else 1


@pytest.mark.parametrize("memory", [1 << 30, NO_TABLES], ids=["tables", "scan"])
def test_rollouts_have_the_exact_law(world, memory):
    mdp, policy = world
    simulator = TabularSimulator(mdp, policy, table_memory=memory)
    n = 60_000
    starts = simulator.start_states(n, 5)
    drawn = simulator.simulate(0, [s for _, s in starts], Key.of(6).integers(n))
    exact = evaluate(mdp, policy)
    tails = []
    for h in range(mdp.horizon):
        acting = drawn.states[:, h] >= 0
        counts = np.bincount(drawn.states[acting, h], minlength=mdp.states)
        ended = mdp.terminal
        counts[np.flatnonzero(ended)[:1]] += n - acting.sum()
        expected = np.where(ended, 0, exact.visits[h])
        expected[np.flatnonzero(ended)[:1]] = exact.visits[h][ended].sum()
        assert not counts[expected == 0].any()
        tails.append(chi_square_tail(counts[expected > 0], n * expected[expected > 0]))
        layer = np.asarray(exact.policy[h])
        for s in np.flatnonzero(counts * ~ended > 1000):
            taken = drawn.actions[acting & (drawn.states[:, h] == s), h]
            hits = np.bincount(taken, minlength=mdp.actions)
            assert not hits[layer[s] == 0].any()
            live = layer[s] > 0
            tails.append(chi_square_tail(hits[live], taken.size * layer[s][live]))
    assert min(tails) > 1e-3 / len(tails)
    z = (drawn.returns.mean() - exact.value) / (drawn.returns.std() / n**0.5 + 1e-12)
    assert abs(z) < 4


def test_rewards_and_successors_belong_to_the_path(world):
    mdp, policy = world
    simulator = TabularSimulator(mdp, policy)
    for rollout in Numbered(simulator).rollout(simulator.start_states(300, 1)):
        layers = [h for h, _ in rollout.states]
        assert layers == list(range(len(rollout)))
        path = list(zip(layers, [s for _, s in rollout.states], rollout.actions, strict=True))
        assert rollout.reward == pytest.approx(sum(mdp.reward(h)[s, a] for h, s, a in path))
        for (h, s, a), (_, after, _) in itertools.pairwise(path):
            kernel = mdp.kernel(h)
            chance = kernel[[s * mdp.actions + a], [after]] if mdp.sparse else kernel[s, a, after]
            assert chance > 0
            assert not mdp.terminal[after]
        assert (rollout.ended is Ending.HORIZON) or mdp.terminal.any()
        assert len(rollout) == mdp.horizon or rollout.ended is Ending.TERMINAL


@pytest.mark.parametrize("memory", [1 << 30, NO_TABLES], ids=["tables", "scan"])
def test_resets_to_later_states_have_the_exact_values(world, memory):
    mdp, policy = world
    simulator = TabularSimulator(mdp, policy, table_memory=memory)
    values = np.asarray(simulator.evaluation.values)
    each = 2_000
    layers, states = (a.ravel() for a in np.indices(values.shape))
    drawn = simulator.simulate(
        np.repeat(layers, each),
        np.repeat(states, each),
        Key.of(0).integers(each * len(layers)),
        paths=False,
    )
    returns = drawn.returns.reshape(-1, each)
    error = returns.std(axis=1) / each**0.5
    z = (returns.mean(axis=1) - values.ravel()) / (error + 1e-9)
    assert np.abs(z).max() < 5
    ends = mdp.terminal[states]
    assert not drawn.lengths.reshape(-1, each)[ends].any()
    assert not drawn.cut.reshape(-1, each)[ends].any()
    assert (drawn.lengths.reshape(-1, each) <= (mdp.horizon - layers)[:, None]).all()


def assert_same(a, b):
    for name in ("states", "actions", "lengths", "returns", "cut"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("memory", [1 << 30, NO_TABLES], ids=["tables", "scan"])
def test_bits_do_not_depend_on_threads_splits_or_order(world, memory):
    mdp, policy = world
    n = 20_000
    rng = np.random.default_rng(3)
    steps, states = rng.integers(mdp.horizon, size=n), rng.integers(mdp.states, size=n)
    steps[0] = 0
    keys = Key.of(9).integers(n)
    simulator = TabularSimulator(mdp, policy, table_memory=memory)
    whole = simulator.simulate(steps, states, keys)
    threaded = TabularSimulator(mdp, policy, table_memory=memory, threads=3)
    assert_same(whole, threaded.simulate(steps, states, keys))
    order = rng.permutation(n)
    shuffled = simulator.simulate(steps[order], states[order], keys[order])
    np.testing.assert_array_equal(whole.returns[order], shuffled.returns)
    np.testing.assert_array_equal(whole.states[order], shuffled.states)
    for i in (0, 1, 255, 256, 257, n - 1):
        alone = simulator.simulate(steps[i : i + 1], states[i : i + 1], keys[i : i + 1])
        width = alone.states.shape[1]
        np.testing.assert_array_equal(alone.states[0], whole.states[i, :width])
        assert alone.returns[0] == whole.returns[i]
    light = simulator.simulate(steps, states, keys, paths=False)
    np.testing.assert_array_equal(light.returns, whole.returns)
    np.testing.assert_array_equal(light.lengths, whole.lengths)
    np.testing.assert_array_equal(light.cut, whole.cut)


@pytest.mark.parametrize("n", [0, 1, 150_000])
@pytest.mark.parametrize("memory", [1 << 30, NO_TABLES], ids=["tables", "scan"])
def test_one_layer_for_all_is_that_layer_for_each(memory, n):
    rng = np.random.default_rng(4)
    mdp = random_mdp(rng, layered=True, horizon=4)
    policy = random_policy(rng, mdp, layered=True)
    states, keys = rng.integers(mdp.states, size=n), Key.of(2).integers(n)
    for threads, paths in ((1, True), (3, False)):
        simulator = TabularSimulator(mdp, policy, table_memory=memory, threads=threads)
        one = simulator.simulate(2, states, keys, paths=paths)
        each = simulator.simulate(np.full(n, 2), states, keys, paths=paths)
        assert_same(one, each)
        np.testing.assert_array_equal(one.steps, each.steps)
    for bad in (-1, 4, 0.5, [[0]]):
        if n:
            with pytest.raises(InvalidInput, match="states"):
                simulator.simulate(bad, states, keys)


def test_a_stationary_policy_and_its_layers_draw_the_same_bits():
    rng = np.random.default_rng(0)
    mdp = random_mdp(rng, layered=False, horizon=6)
    policy = random_policy(rng, mdp, layered=False)
    layered = np.repeat(policy[None], mdp.horizon, axis=0)
    last = layered.copy()
    last[-1] = 1 / mdp.actions
    rollouts = [
        TabularSimulator(mdp, p).rollout([(0, 2)] * 50, Key.of(1).integers(50))
        for p in (policy, layered, last)
    ]
    assert rollouts[0] == rollouts[1]
    assert rollouts[0] != rollouts[2]
    for one, other in zip(rollouts[0], rollouts[2], strict=True):
        assert one.states == other.states
        assert one.actions[:-1] == other.actions[:-1]


def test_it_is_an_oracle_simulator():
    problem = garnet(5, 2, 2, 3, seed=1)
    assert isinstance(TabularSimulator(problem.mdp, problem.policy), OracleSimulator)


def test_exact_mdps_are_simulated_too():
    tree = reasoning_tree(horizon=4, right_probability=0.5)
    simulator = TabularSimulator(tree.mdp, tree.policy)
    drawn = simulator.simulate(0, np.zeros(20_000, int), Key.of(0).integers(20_000))
    p = float(simulator.evaluation.value)
    assert abs(drawn.returns.mean() - p) < 4 * (p * (1 - p) / 20_000) ** 0.5


def test_first_errors_are_the_first_bad_actions(world):
    mdp, policy = world
    simulator = TabularSimulator(mdp, policy, success=0.3)
    advantages = np.asarray(simulator.evaluation.advantages)
    rollouts = Numbered(simulator).rollout(simulator.start_states(500, 1))
    for rollout, answer in zip(
        rollouts, Numbered(simulator).locate_first_error(rollouts), strict=True
    ):
        bad = [
            i
            for i, ((h, s), a) in enumerate(zip(rollout.states, rollout.actions, strict=True))
            if advantages[h, s, a] <= -1e-9
        ]
        if not rollout.failed:
            assert answer == FailedLocalization(Reason.NOT_FAILED)
        elif not bad:
            assert answer == FailedLocalization(Reason.NO_ERROR)
        else:
            assert answer == Localization(bad[0])
        assert rollout.failed == (rollout.reward < 0.3)


def test_blurred_localizers_keep_their_promise():
    tree = reasoning_tree(horizon=10)
    exact = TabularSimulator(tree.mdp, tree.policy)
    rollouts = [r for r in Numbered(exact).rollout([(0, 0)] * 20_000) if r.failed]
    truth = np.array([a.step for a in Numbered(exact).locate_first_error(rollouts)])
    n = len(rollouts)

    def answers(**blur):
        simulator = TabularSimulator(tree.mdp, tree.policy, localizer=Localizer(**blur))
        given = Numbered(simulator).locate_first_error(rollouts)
        return np.array([a.step if isinstance(a, Localization) else -1 for a in given])

    named = answers(accuracy=0.6)
    assert abs((named == truth).mean() - (0.6 + 0.4 / 10)) < 4 * 0.5 / n**0.5
    astray = named[named != truth]
    assert set(astray) == set(range(10))

    named = answers(precision=0.7, recall=0.8)
    answered = named >= 0
    assert abs(answered.mean() - 0.8) < 4 * 0.4 / n**0.5
    assert abs((named == truth)[answered].mean() - 0.7) < 4 * 0.5 / n**0.5
    assert (answers(precision=0.0) != truth).all()
    assert (answers(recall=0.0) == -1).all()


def test_a_one_step_rollout_cannot_be_blurred():
    tree = reasoning_tree(horizon=1, hard_steps=1)
    simulator = TabularSimulator(tree.mdp, tree.policy, localizer=Localizer(precision=0.0))
    rollouts = [r for r in Numbered(simulator).rollout([(0, 0)] * 50) if r.failed]
    assert set(Numbered(simulator).locate_first_error(rollouts)) == {Localization(0)}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"accuracy": 1.2}, "accuracy"),
        ({"precision": -0.1}, "precision"),
        ({"recall": 2}, "recall"),
        ({"accuracy": 0.5, "precision": 0.5}, "precision"),
    ],
)
def test_impossible_localizers_are_refused(settings, field):
    with pytest.raises(InvalidInput) as caught:
        Localizer(**settings)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ([(0, 9)], r"states\[0\] = \(0, 9\)"),
        ([(0, 0), (5, 0)], r"states\[1\] = \(5, 0\)"),
        ([(-1, 0)], "no state"),
        ([(0, 0.5)], "h not integers"),
        ([(0, 0), (1,)], "give"),
        ([3], "not pairs"),
    ],
)
def test_states_that_do_not_exist_are_refused(states, message):
    problem = garnet(5, 2, 2, 3, seed=1)
    with pytest.raises(InvalidInput, match=message):
        Numbered(TabularSimulator(problem.mdp, problem.policy)).rollout(states)


def test_later_changes_of_the_policy_array_change_nothing():
    problem = garnet(5, 2, 2, 3, seed=1)
    for shape in ((5, 2), (3, 5, 2)):
        policy = np.full(shape, 0.5)
        simulator = TabularSimulator(problem.mdp, policy)
        policy[..., 0], policy[..., 1] = 1.0, 0.0
        assert (simulator.policy == 0.5).all()
        assert simulator.value() == evaluate(problem.mdp, np.full(shape, 0.5)).value


def test_settings_are_checked():
    problem = garnet(5, 2, 2, 3, seed=1)
    mdp, policy = problem.mdp, problem.policy
    for bad in (
        {"threads": 0},
        {"table_memory": -1},
        {"success": float("nan")},
    ):
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            TabularSimulator(mdp, policy, **bad)
    simulator = TabularSimulator(mdp, policy)
    for keys in (np.arange(3, dtype=np.uint64), np.zeros(2)):
        with pytest.raises(InvalidInput, match="keys"):
            simulator.rollout([(0, 0)] * 2, keys)
    with pytest.raises(InvalidInput, match="policy"):
        simulator.with_policy(np.full((5, 2), 0.4))
    with pytest.raises(InvalidInput, match="policy shape"):
        simulator.with_policy(np.full((4, 2), 0.5))
    assert Numbered(simulator).rollout([]) == []
