"""Induced reset weights against the enumeration of all rollouts, and sampled ones against both."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageReset, ImperfectReset, ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import Reason, Refusal, ResetPolicy
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.resets import first_errors
from tabular.resets.first_errors import Returns
from tabular.resets.localizer import Localizer
from tabular.resets.sampled import _with_limits, sampled_reset_weight
from tabular.resets.updates import coverage, improvable, mix, reset_step
from tabular.simulation.reset_weight import reset_weight
from tabular.simulation.simulator import TabularSimulator

F = Fraction


def fractions(table):
    return np.vectorize(Fraction, otypes=[object])(np.asarray(table).astype(object))


def random_rows(rng, *shape):
    counts = rng.integers(0, 4, shape)
    counts[..., 0] += counts.sum(axis=-1) == 0
    table = fractions(counts)
    return table / table.sum(axis=-1, keepdims=True)


def random_world(seed, horizon=3, states=3, actions=2, payoffs=(0, 0, 0, 1, 2)):
    """Rational; the last state is terminal in every other world."""
    rng = np.random.default_rng(seed)
    transitions = random_rows(rng, horizon, states, actions, states)
    rewards = fractions(rng.choice(payoffs, (horizon, states, actions))) / (max(payoffs) * horizon)
    terminal = np.zeros(states, dtype=bool)
    if seed % 2:
        terminal[-1] = True
        rewards[:, -1] = F(0)
        transitions[:, -1] = fractions(np.eye(states, dtype=int)[-1])
    start = random_rows(rng, states)
    mdp = FiniteHorizonMDP(transitions, rewards, start, horizon, terminal=terminal)
    return mdp, random_rows(rng, horizon, states, actions)


def rollouts(mdp, policy):
    """Every rollout with its probability: (probability, states, actions, return)."""
    going = [(p, (s,), (), F(0)) for s, p in enumerate(mdp.start) if p]
    done = []
    for h in range(mdp.horizon):
        done += [path for path in going if mdp.terminal[path[1][-1]]]
        going = [
            (p * policy[h, s[-1], a] * q, (*s, t), (*acts, a), g + mdp.reward(h)[s[-1], a])
            for p, s, acts, g in going
            if not mdp.terminal[s[-1]]
            for a in range(mdp.actions)
            for t, q in enumerate(mdp.kernel(h)[s[-1], a])
            if policy[h, s[-1], a] * q
        ]
    return [(p, s[: len(acts)], acts, g) for p, s, acts, g in done + going]


def named_steps(localizer, first, steps):
    """P(step k is named) for a failure of `steps` steps with its first error at `first`."""
    right = [F(k == first) for k in range(steps)]
    recall = F(1 if localizer.recall is None else localizer.recall)
    if localizer.precision is None:
        c = F(localizer.accuracy)
        return [recall * (c * r + (1 - c) / steps) for r in right]
    if steps == 1:
        return [recall]
    q = F(localizer.precision)
    return [recall * (q * r + (1 - q) * (1 - r) / (steps - 1)) for r in right]


def enumerated_first_error_weight(mdp, policy, success, offset, localizer):
    advantages = evaluate(mdp, policy).advantages
    visits, named = (fractions(np.zeros((mdp.horizon, mdp.states), dtype=int)) for _ in range(2))
    for p, states, actions, total in rollouts(mdp, policy):
        for h, s in enumerate(states):
            visits[h, s] += p
        wrong = [
            h
            for h, (s, a) in enumerate(zip(states, actions, strict=True))
            if advantages[h, s, a] <= -F(localizer.threshold)
        ]
        if wrong and total < success:
            for k, share in enumerate(named_steps(localizer, wrong[0], len(states))):
                step = max(k - offset, 0)
                named[step, states[step]] += p * share
    return named / np.where(visits == 0, 1, visits)


LOCALIZERS = [
    Localizer(),
    Localizer(threshold=1 / 16),
    Localizer(accuracy=0.25),
    Localizer(accuracy=0.75, recall=0.5),
    Localizer(recall=0.5),
    Localizer(precision=0.75, recall=0.25),
    Localizer(precision=0.0),
]


@pytest.mark.parametrize("offset", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", range(6))
def test_first_errors_of_failed_rollouts_agree_with_enumeration(seed, offset):
    mdp, policy = random_world(seed)
    success = F(1 + seed % 3, 6)
    for localizer in LOCALIZERS:
        weight = reset_weight(
            mdp, policy, FirstErrorReset(offset), success=success, localizer=localizer
        )
        expected = enumerated_first_error_weight(mdp, policy, success, offset, localizer)
        assert weight.exact
        assert np.asarray(weight).tolist() == expected.tolist(), localizer


def test_some_enumerated_weights_are_neither_zero_nor_one():
    """The comparison above would notice: weights of all kinds occur in it."""
    mdp, policy = random_world(2)
    values = np.asarray(reset_weight(mdp, policy, FirstErrorReset(), success=F(1, 3)))
    assert ((values > 0) & (values < 1)).sum() >= 3


@pytest.mark.parametrize("seed", range(6))
def test_first_errors_in_floats(seed):
    mdp, policy = random_world(seed, payoffs=(0, 1, 2, 3))
    plain = FiniteHorizonMDP(
        mdp.transitions.astype(float),
        mdp.rewards.astype(float),
        mdp.start.astype(float),
        mdp.horizon,
        terminal=mdp.terminal,
    )
    for offset in (0, 1):
        reset = FirstErrorReset(offset)
        exact = reset_weight(mdp, policy, reset, success=F(5, 12))
        floats = reset_weight(plain, policy, reset, success=5 / 12 - 1e-9)
        np.testing.assert_allclose(floats, np.asarray(exact).astype(float), atol=1e-12)


def two_step_lock():
    """Two right actions (0) in a row pay 1; action 1 at any step spoils it. Policy: right 3/4."""
    transitions = fractions([[[1, 0], [0, 1]], [[0, 1], [0, 1]]])
    rewards = fractions(np.zeros((2, 2, 2), dtype=int))
    rewards[1, 0, 0] = F(1)
    mdp = FiniteHorizonMDP(transitions, rewards, fractions([1, 0]), 2)
    policy = fractions(np.tile([3, 1], (2, 2, 1))) / 4
    return mdp, policy


def test_first_errors_by_hand():
    mdp, policy = two_step_lock()
    # At each step on the path the spoiling action is the first error, taken with 1/4; a state
    # off the path is never named.
    assert np.asarray(reset_weight(mdp, policy, FirstErrorReset())).tolist() == [
        [F(1, 4), 0],
        [F(1, 4), 0],
    ]
    # One step earlier: step 0 is named for an error at step 0 (1/4) or at step 1 (3/4 * 1/4).
    earlier = np.asarray(reset_weight(mdp, policy, FirstErrorReset(offset=1)))
    assert earlier.tolist() == [[F(7, 16), 0], [0, 0]]


def test_an_action_at_the_threshold_is_an_error():
    mdp, policy = two_step_lock()
    # Spoiling costs 9/16 at step 0 and 3/4 at step 1.
    both, late = (
        np.asarray(reset_weight(mdp, policy, FirstErrorReset(), localizer=Localizer(bar))).tolist()
        for bar in (9 / 16, 3 / 4)
    )
    assert both == [[F(1, 4), 0], [F(1, 4), 0]]
    assert late == [[0, 0], [F(1, 4), 0]]


def test_a_rollout_that_ends_exactly_at_the_bar_has_not_failed():
    # Cash in 1/2 and end, or go on: pay 1/4 first and get 1 later, which is better.
    cash_or_go = fractions([[[0, 1], [1, 0]], [[0, 1], [0, 1]]])
    stay = fractions([[[1, 0], [1, 0]], [[0, 1], [0, 1]]])
    rewards = fractions(np.zeros((3, 2, 2), dtype=int))
    rewards[0, 0, 0], rewards[1, 0], rewards[2, 0] = F(1, 2), F(-1, 4), F(1)
    mdp = FiniteHorizonMDP(
        np.stack([cash_or_go, stay, stay]),
        rewards,
        fractions([1, 0]),
        3,
        terminal=[False, True],
    )
    policy = fractions(np.full((3, 2, 2), 1)) / 2
    for success, chance in ((F(1, 2), 0), (F(5, 8), F(1, 2))):
        weight = reset_weight(mdp, policy, FirstErrorReset(), success=success)
        assert np.asarray(weight).tolist() == [[chance, 0], [0, 0], [0, 0]]


def test_the_easy_weights():
    mdp, policy = random_world(1)
    acting = np.tile([1, 1, 0], (3, 1)) * np.asarray(evaluate(mdp, policy).visits > 0, dtype=int)
    uniform, start = (reset_weight(mdp, policy, reset) for reset in (UniformReset(), StartReset()))
    assert np.asarray(uniform).tolist() == acting.tolist()
    assert np.asarray(start).tolist() == [acting[0].tolist(), [0] * 3, [0] * 3]
    assert uniform.exact
    assert (uniform.lower == uniform.values).all()


@pytest.mark.parametrize("seed", [0, 1, 4, 5])
def test_oracle_weights_have_the_precision_and_recall_they_promise(seed):
    mdp, policy = random_world(seed)
    evaluation = evaluate(mdp, policy)
    tau = evaluation.best_advantages.max() / 2
    mask = improvable(evaluation, tau)
    oracle = np.asarray(reset_weight(mdp, policy, ImprovableReset(tau)))
    reached = np.asarray(evaluation.visits > 0, dtype=bool)
    assert (oracle == (mask & reached)).all()
    blurred = np.asarray(reset_weight(mdp, policy, ImperfectReset(0.8, 0.5, tau))).astype(float)
    selected = evaluation.occupancy.astype(float) * blurred
    assert selected[mask].sum() / selected.sum() == pytest.approx(0.8)
    assert selected[mask].sum() / float(coverage(evaluation, tau)) == pytest.approx(0.5)
    assert (blurred[:, mdp.terminal] == 0).all()


def test_soft_oracle_weights():
    mdp, policy = random_world(0)
    evaluation = evaluate(mdp, policy)
    weight = np.asarray(reset_weight(mdp, policy, AdvantageReset(0.1))).astype(float)
    best, reached = evaluation.best_advantages.astype(float), evaluation.visits > 0
    peak = best[reached.astype(bool)].max()
    expected = np.where(reached, np.exp((best - peak) / 0.1), 0)
    np.testing.assert_allclose(weight, expected.astype(float), rtol=1e-9)


def test_a_reset_weight_serves_wherever_a_weight_does():
    mdp, policy = two_step_lock()
    weight = reset_weight(mdp, policy, FirstErrorReset())
    step = reset_step(evaluate(mdp, policy), policy, weight)
    # Named visits per rollout: 1/4 at step 0 and 3/4 * 1/4 at step 1, over a horizon of 2.
    assert step.coverage == F(7, 32)
    assert step.remaining == F(4, 7)
    assert mix(policy, policy, weight, F(1, 2)).tolist() == policy.tolist()


def test_rewards_in_another_order_are_one_return():
    rewards = np.array([[0.1, 0.2]])
    mdp = FiniteHorizonMDP(np.ones((1, 2, 1)), rewards, [1.0], 30, reward_bound=6.0)
    returns = Returns.of(mdp, 5.0)
    assert returns is not None
    assert max(level.size for level in returns.levels) <= 31


def test_too_many_returns_leave_it_to_sampling(monkeypatch):
    mdp, policy = random_world(2, payoffs=(0, 1, 2, 3))
    monkeypatch.setattr(first_errors, "MAX_RETURNS", 2)
    assert (
        first_errors.first_error_weight(mdp, evaluate(mdp, policy), 0, Localizer(), F(1, 4)) is None
    )


@dataclass(frozen=True)
class EarlyReset(ResetPolicy):
    """A reset policy that no recursion knows: weight 2^-h on the steps of failures."""

    def step_weights(self, rollouts, simulator, keys):
        return [
            0.5 ** np.arange(len(r)) if r.failed else Refusal(Reason.NOT_FAILED) for r in rollouts
        ]


def test_other_reset_policies_are_sampled():
    mdp, policy = two_step_lock()
    weight = reset_weight(mdp, policy, EarlyReset(), samples=4000, key=3)
    assert not weight.exact
    # P(fail) is 7/16 from the start and 1/4 on the path at step 1; off the path it is 1.
    truth = np.array([[7 / 16, 0.0], [1 / 8, 1 / 2]])
    seen = np.array([[True, False], [True, True]])
    assert (weight.lower[seen] <= truth[seen]).all()
    assert (weight.upper[seen] >= truth[seen]).all()
    assert (weight.upper - weight.lower)[seen].max() < 0.07
    assert (weight.values[0, 1], weight.lower[0, 1], weight.upper[0, 1]) == (0, 0, 1)


@pytest.mark.parametrize("reset", [FirstErrorReset(), FirstErrorReset(1), UniformReset()])
@pytest.mark.parametrize(
    "localizer", [Localizer(), Localizer(accuracy=0.5), Localizer(precision=0.5)]
)
def test_recursions_lie_inside_the_sampled_limits(reset, localizer):
    mdp, policy = random_world(3, horizon=4)
    options = {"success": F(1, 3), "localizer": localizer}
    exact = np.asarray(reset_weight(mdp, policy, reset, **options)).astype(float)
    simulator = TabularSimulator(mdp, policy, localizer=localizer, success=1 / 3)
    starts = simulator.start_states(3000, 7)
    sampled = sampled_reset_weight(simulator, starts, reset, exact.shape, key=5, level=0.9999)
    assert (sampled.lower <= exact + 1e-12).all()
    assert (exact <= sampled.upper + 1e-12).all()


def test_limits_of_a_proportion_by_hand():
    # Wilson's interval for 8 of 10 at 95 %: (0.4902, 0.9433).
    weight = _with_limits(np.array([[8.0]]), np.array([[10.0]]), 0.95)
    assert weight.lower[0, 0] == pytest.approx(0.49016, abs=1e-4)
    assert weight.upper[0, 0] == pytest.approx(0.94332, abs=1e-4)


def test_a_dead_end_falls_back_to_sampling(monkeypatch):
    mdp, policy = two_step_lock()
    monkeypatch.setattr(first_errors, "MAX_RETURNS", 0)
    weight = reset_weight(mdp, policy, FirstErrorReset(), samples=2000)
    assert not weight.exact
    assert weight.lower[1, 0] <= 1 / 4 <= weight.upper[1, 0]
