"""MDPs from Gymnasium: golden optima, an independent recursion, and the environments themselves."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from tabular.worlds.from_gymnasium import from_gymnasium


def optimum(mdp):
    """Optimal value from the start and an optimal policy, by backward induction."""
    values = np.zeros(mdp.states)
    policy = np.zeros((mdp.horizon, mdp.states, mdp.actions))
    for h in reversed(range(mdp.horizon)):
        flat = mdp.kernel(h) if mdp.sparse else mdp.kernel(h).reshape(-1, mdp.states)
        q = mdp.reward(h) + (flat @ values).reshape(mdp.states, mdp.actions)
        policy[h, np.arange(mdp.states), q.argmax(axis=1)] = 1
        values = q.max(axis=1)
    return mdp.start @ values, policy


def value(mdp, policy):
    """Value of a policy from the start, pushing the state distribution forward."""
    mass, total = mdp.start, 0.0
    for h in range(mdp.horizon):
        taken = mass[:, None] * policy[h]
        total += (taken * mdp.reward(h)).sum()
        flat = mdp.kernel(h) if mdp.sparse else mdp.kernel(h).reshape(-1, mdp.states)
        mass = flat.T @ taken.reshape(-1)
    return total


def environment(env_id, horizon, **kwargs):
    newest = {"FrozenLake": "FrozenLake-v1", "Taxi": "Taxi-v4", "CliffWalking": "CliffWalking-v1"}
    if newest[env_id] not in gymnasium.registry:
        pytest.skip(f"this Gymnasium has no {newest[env_id]}")
    return gymnasium.make(newest[env_id], max_episode_steps=horizon, **kwargs)


def played_returns(env, policy, episodes, seed):
    """Returns of episodes stepped through the environment itself."""
    rng = np.random.default_rng(seed)
    cumulated = policy.cumsum(axis=-1)
    returns = np.zeros(episodes)
    for episode in range(episodes):
        state, _ = env.reset(seed=seed + episode)
        over, step = False, 0
        while not over:
            action = int(np.searchsorted(cumulated[step, state], rng.random(), side="right"))
            state, reward, done, stopped, _ = env.step(min(action, policy.shape[-1] - 1))
            returns[episode] += reward
            over, step = done or stopped, step + 1
    return returns


def best_by_recursion(table, start, horizon):
    """Optimal return straight from the environment's table, one dictionary per layer."""
    values = dict.fromkeys(table, 0.0)
    for _ in range(horizon):
        values = {
            s: max(
                sum(p * (r + (0 if done else values[int(n)])) for p, n, r, done in outcomes)
                for outcomes in actions.values()
            )
            for s, actions in table.items()
        }
    return sum(start[s] * values[s] for s in table)


GOLDEN = [
    # The shortest way over the deterministic lakes takes 6 and 14 steps.
    ("FrozenLake", 6, {"is_slippery": False}, 1.0),
    ("FrozenLake", 5, {"is_slippery": False}, 0.0),
    ("FrozenLake", 14, {"is_slippery": False, "map_name": "8x8"}, 1.0),
    ("FrozenLake", 13, {"is_slippery": False, "map_name": "8x8"}, 0.0),
    # Slippery, within 100 steps; given all time the small lake is crossed 14 times in 17.
    ("FrozenLake", 100, {}, 0.7441902878),
    ("FrozenLake", 5000, {}, 14 / 17),
    ("FrozenLake", 100, {"map_name": "8x8"}, 0.6407192703),
    # 13 steps along the cliff; Taxi's mean over its 300 start states.
    ("CliffWalking", 13, {}, -13.0),
    ("CliffWalking", 100, {}, -13.0),
    ("Taxi", 200, {}, 7.93),
]


@pytest.mark.parametrize(("env_id", "horizon", "kwargs", "best"), GOLDEN)
def test_golden_optima(env_id, horizon, kwargs, best):
    mdp = from_gymnasium(env_id, horizon, **kwargs)
    assert mdp.scaling.original(optimum(mdp)[0]) == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize(
    ("env_id", "horizon", "kwargs"),
    [
        ("FrozenLake", 30, {}),
        ("FrozenLake", 40, {"map_name": "8x8"}),
        ("FrozenLake", 20, {"is_slippery": False}),
        ("FrozenLake", 25, {"desc": ["SFH", "FFG"]}),
        ("Taxi", 25, {}),
        ("CliffWalking", 20, {}),
    ],
)
def test_optimum_equals_a_recursion_on_the_table_itself(env_id, horizon, kwargs):
    env = environment(env_id, horizon, **kwargs).unwrapped
    mdp = from_gymnasium(env_id, horizon, **kwargs)
    expected = best_by_recursion(env.P, env.initial_state_distrib, horizon)
    assert mdp.scaling.original(optimum(mdp)[0]) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("env_id", "horizon", "kwargs", "episodes", "noise"),
    [
        ("FrozenLake", 60, {}, 1500, 0.1),
        ("FrozenLake", 60, {"map_name": "8x8"}, 800, 0.0),
        ("Taxi", 30, {}, 600, 0.3),
        ("CliffWalking", 40, {}, 600, 0.3),
        ("CliffWalking", 40, {"is_slippery": True}, 600, 0.1),
    ],
)
def test_stepping_the_environment_gives_the_same_mean_return(
    env_id, horizon, kwargs, episodes, noise
):
    """A stochastic policy: optimal, but uniform with probability `noise`."""
    mdp = from_gymnasium(env_id, horizon, **kwargs)
    policy = (1 - noise) * optimum(mdp)[1] + noise / mdp.actions
    env = environment(env_id, horizon, **kwargs)
    returns = played_returns(env, policy, episodes, seed=11)
    expected = mdp.scaling.original(value(mdp, policy))
    error = returns.std(ddof=1) / np.sqrt(episodes)
    assert error > 0
    assert abs(returns.mean() - expected) < 4 * error


class TestStructure:
    def test_slippery_lake_pays_its_outcome_one_step_later(self):
        mdp = from_gymnasium("FrozenLake", 10)
        end, pay = 16, 17
        assert (mdp.horizon, mdp.states) == (11, 18)
        np.testing.assert_array_equal(mdp.rewards[:pay], 0)
        np.testing.assert_array_equal(mdp.rewards[pay], 1)
        np.testing.assert_array_equal(mdp.kernel(0)[pay, :, end], 1)
        np.testing.assert_allclose(mdp.kernel(0)[14, 1, pay], 1 / 3)
        np.testing.assert_array_equal(np.flatnonzero(mdp.terminal), [end])

    def test_dry_lake_pays_at_once(self):
        mdp = from_gymnasium("FrozenLake", 10, is_slippery=False)
        assert (mdp.horizon, mdp.states) == (10, 17)
        assert mdp.rewards[14, 2] == 1
        assert mdp.kernel(0)[14, 2, 16] == 1
        assert mdp.rewards.sum() == 1

    def test_late_goal_does_not_pay_through_the_extra_layer(self):
        """Reaching the goal with action horizon + 1 must not count."""
        slow = from_gymnasium("FrozenLake", 3, desc=["SFFFG"], success_rate=0.9)
        assert optimum(slow)[0] == 0
        quick = from_gymnasium("FrozenLake", 4, desc=["SFFFG"], success_rate=0.9)
        assert optimum(quick)[0] == pytest.approx(0.9**4)

    def test_running_cost_is_not_charged_in_the_extra_layer(self):
        cost = {"reward_schedule": (1, -1, -0.125)}
        for horizon in (1, 2, 7):
            mdp = from_gymnasium("FrozenLake", horizon, **cost)
            env = environment("FrozenLake", horizon, **cost).unwrapped
            expected = best_by_recursion(env.P, env.initial_state_distrib, horizon)
            assert mdp.scaling.original(optimum(mdp)[0]) == pytest.approx(expected, abs=1e-9)

    def test_shifted_rewards_are_paid_after_the_end_too(self):
        mdp = from_gymnasium("CliffWalking", 30)
        scaling = mdp.scaling
        assert (scaling.shift, scaling.horizon) == (100.0, 30)
        assert not mdp.terminal.any()
        np.testing.assert_allclose(mdp.rewards[48], scaling.scale * 100)
        assert mdp.reward_bound == 1

    def test_reward_bound(self):
        mdp = from_gymnasium("Taxi", 20, reward_bound=4.0)
        one = from_gymnasium("Taxi", 20)
        assert optimum(mdp)[0] == pytest.approx(4 * optimum(one)[0])
        assert mdp.scaling.original(1.0) == pytest.approx(one.scaling.original(0.25))

    def test_size_decides_between_dense_and_sparse(self):
        assert from_gymnasium("Taxi", 5).sparse
        assert not from_gymnasium("FrozenLake", 5, map_name="8x8").sparse

    def test_name_says_what_was_built(self):
        name = from_gymnasium("FrozenLake", 5, map_name="8x8").name
        assert name == "FrozenLake(horizon=5, map_name='8x8')"

    def test_version_may_be_left_out(self):
        ours, versioned = from_gymnasium("FrozenLake", 5), from_gymnasium("FrozenLake-v1", 5)
        np.testing.assert_array_equal(ours.transitions, versioned.transitions)


@pytest.mark.parametrize(
    ("env_id", "kwargs", "words"),
    [
        ("NoSuchLake", {}, "env_id = 'NoSuchLake': Gymnasium refuses it"),
        ("CartPole-v1", {}, "env_id = 'CartPole-v1': publishes no transition table"),
        ("FrozenLake", {"map_name": "9x9"}, "Gymnasium refuses it ('9x9')"),
        ("FrozenLake", {"size": 3}, "unexpected keyword argument 'size'"),
        ("Taxi", {"fickle_passenger": True}, "fickle_passenger = True: is hidden state"),
    ],
)
def test_refusals(env_id, kwargs, words):
    with pytest.raises(InvalidInput) as caught:
        from_gymnasium(env_id, 5, **kwargs)
    assert words in str(caught.value)


def test_horizon_is_checked_first():
    with pytest.raises(InvalidInput, match="horizon = 0: not an integer >= 1"):
        from_gymnasium("FrozenLake", 0)
