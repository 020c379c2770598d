"""Traps, the aliased class, locks and Garnets: what makes each family what it is."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import DiscountedMDP
from tabular.resets.updates import coverage, improvable, mix
from tabular.worlds.aliased import aliased
from tabular.worlds.garnets import discounted_garnet, garnet
from tabular.worlds.locks import combination_lock
from tabular.worlds.traps import discounted_trap, two_state_trap

F = Fraction
EIGHTHS = st.integers(0, 8).map(lambda k: F(k, 8))


def mixture_gain(trap, alpha):
    """J(pi_alpha) - J(pi) by exact evaluation, reset weight 1."""
    mixed = mix(trap.policy, trap.candidate, np.ones(trap.policy.shape[:-1], dtype=int), alpha)
    return evaluate(trap.mdp, mixed).value - evaluate(trap.mdp, trap.policy).value


class TestTwoStateTrap:
    @given(st.integers(1, 6), EIGHTHS, EIGHTHS, EIGHTHS)
    @settings(max_examples=40)
    def test_gain_of_the_mixture(self, horizon, gain, minus_loss, alpha):
        """alpha sum_h [(1 - alpha)^h M + (1 - (1 - alpha)^h) m]: T1s with equality."""
        trap = two_state_trap(horizon, gain, -minus_loss)
        stays = [(1 - alpha) ** h for h in range(horizon)]
        expected = alpha * sum(s * gain - (1 - s) * minus_loss for s in stays)
        assert mixture_gain(trap, alpha) == expected

    @given(st.integers(1, 6), EIGHTHS.filter(bool), EIGHTHS)
    @settings(max_examples=20)
    def test_without_loss_it_attains_t3(self, horizon, gain, alpha):
        """Every step of a rollout visits the improvable set: tau (1 - (1 - alpha)^H)."""
        trap = two_state_trap(horizon, gain, F(0))
        before = evaluate(trap.mdp, trap.policy)
        mask = improvable(before, gain)
        assert mask.tolist() == [[True, False]] * horizon
        mixed = mix(trap.policy, trap.candidate, mask.astype(int), alpha)
        assert evaluate(trap.mdp, mixed).value - before.value == gain * (1 - (1 - alpha) ** horizon)

    def test_golden_value(self):
        trap = two_state_trap(3, F(1, 5), F(-3, 10))
        assert mixture_gain(trap, F(3, 10)) == F(585, 10000)
        floats = two_state_trap(3, 0.2, -0.3)
        assert not floats.mdp.exact
        assert mixture_gain(floats, 0.3) == pytest.approx(0.0585)

    def test_advantages_are_gain_and_loss(self):
        trap = two_state_trap(4, F(1, 5), F(-3, 10))
        advantages = evaluate(trap.mdp, trap.policy).advantages
        assert (advantages[:, 0, 1] == F(1, 5)).all()
        assert (advantages[:, 1, 1] == F(-3, 10)).all()
        assert (advantages[:, :, 0] == 0).all()

    def test_reward_bound_is_the_largest_return(self):
        trap = two_state_trap(3, F(1, 5), F(-3, 10))
        assert trap.mdp.reward_bound == F(1, 5) + 3 * F(3, 10)

    def test_nothing_to_gain_or_lose(self):
        assert mixture_gain(two_state_trap(2, 0, 0), 0.5) == 0
        assert two_state_trap(2, 0.0, 0.0).mdp.reward_bound == 1

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            ((0, 1, -1), "horizon = 0"),
            ((2, -1, -1), "gain = -1"),
            ((2, 1, 1), "loss = 1"),
            ((2, np.inf, 0), "gain = inf"),
        ],
    )
    def test_refusals(self, args, words):
        with pytest.raises(InvalidInput) as caught:
            two_state_trap(*args)
        assert words in str(caught.value)


class TestDiscountedTrap:
    @given(st.sampled_from([F(0), F(1, 2), F(9, 10)]), EIGHTHS, EIGHTHS, EIGHTHS)
    @settings(max_examples=30)
    def test_gain_of_the_mixture(self, discount, gain, minus_loss, alpha):
        """The same sum over all t with weights gamma^t, in closed form."""
        trap = discounted_trap(discount, gain, -minus_loss)
        stays = 1 / (1 - discount * (1 - alpha))
        always = 1 / (1 - discount)
        expected = alpha * (gain * stays - minus_loss * (always - stays))
        assert mixture_gain(trap, alpha) == pytest.approx(float(expected), abs=1e-9)

    def test_sign_is_checked(self):
        with pytest.raises(InvalidInput, match="loss = 1"):
            discounted_trap(0.5, 1, 1)
        with pytest.raises(InvalidInput, match="discount = 1"):
            discounted_trap(1, 1, -1)


class TestAliased:
    @given(st.integers(1, 10), st.integers(1, 10), st.integers(0, 1), st.booleans())
    @settings(max_examples=40)
    def test_coverage_level_and_outcomes(self, p, tau, better, statewise):
        share, level = F(p, 20), F(tau, 20)
        problem = aliased(share, level, better=better, statewise=statewise)
        evaluation = evaluate(problem.mdp, problem.policy)
        assert coverage(evaluation, level) == share
        assert evaluation.advantages[0, 0, better] == level
        assert evaluation.value == F(1, 2)
        # T7's samples: a random reset, then an action: success chance 1/2 +- p tau.
        chances = (evaluation.visits[..., None] * evaluation.q_values).sum(axis=(0, 1)) / 2
        assert chances[better] == F(1, 2) + share * level
        assert chances[1 - better] == F(1, 2) - share * level

    @pytest.mark.parametrize("tau", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.45, 0.5])
    @pytest.mark.parametrize("bound", [1.0, 3.0])
    def test_floats_keep_clear_of_rounding(self, tau, bound):
        problem = aliased(0.125, tau * bound, reward_bound=bound)
        evaluation = evaluate(problem.mdp, problem.policy)
        np.testing.assert_array_equal(np.argwhere(improvable(evaluation, tau * bound)), [[0, 0]])
        assert not improvable(evaluation, tau * bound * 1.001).any()

    def test_outcomes_are_bernoulli(self):
        mdp = aliased(0.25, 0.5, reward_bound=2.0).mdp
        np.testing.assert_array_equal(np.unique(mdp.rewards), [0, 2])
        assert (mdp.rewards == mdp.rewards[:, :1]).all()
        assert aliased(0.25, 0.5, reward_bound=2.0).mdp.observation_count == 1
        assert aliased(0.25, 0.2, statewise=True).mdp.observation_count == 8

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            ((0.6, 0.1), "coverage = 0.6: not a number in [0, 0.5]"),
            ((0, 0.1), "coverage = 0"),
            ((0.1, 0.6), "tau = 0.6: not a number in [0, 0.5]"),
            ((0.1, 0), "tau = 0"),
        ],
    )
    def test_refusals(self, args, words):
        with pytest.raises(InvalidInput) as caught:
            aliased(*args)
        assert words in str(caught.value)
        with pytest.raises(InvalidInput, match="better = 2"):
            aliased(0.1, 0.1, better=2)


def opening_chance(length, horizon, wrong, chance):
    """Chance that the lock opens, by enumeration of right and wrong actions."""
    total = 0.0
    for rights in itertools.product([True, False], repeat=horizon):
        place, opened, dead = 0, False, False
        for right in rights:
            if opened or dead:
                continue
            if right:
                place += 1
            else:
                place = {"dead": place, "start": 0, "back": max(place - 1, 0)}[wrong]
            dead, opened = wrong == "dead" and not right, place == length
        total += opened * chance ** sum(rights) * (1 - chance) ** (horizon - sum(rights))
    return total


class TestCombinationLock:
    @pytest.mark.parametrize("wrong", ["dead", "start", "back"])
    @pytest.mark.parametrize(("length", "horizon"), [(1, 1), (2, 2), (3, 6), (4, 7), (3, 2)])
    @pytest.mark.parametrize("chance", [None, 0.25])
    def test_value_is_the_opening_chance(self, wrong, length, horizon, chance):
        lock = combination_lock(length, 3, horizon, wrong=wrong, right_probability=chance)
        expected = opening_chance(length, horizon, wrong, 1 / 3 if chance is None else chance)
        assert evaluate(lock.mdp, lock.policy).value == pytest.approx(expected)

    def test_golden_values(self):
        """Three even coins in a row within five tosses; with steps back instead: 9/32."""
        for wrong, expected in (("start", 0.25), ("back", 0.28125), ("dead", 0.125)):
            lock = combination_lock(3, 2, 5, wrong=wrong)
            assert evaluate(lock.mdp, lock.policy).value == expected

    def test_open_and_dead_are_terminal(self):
        lock = combination_lock(4, 3).mdp
        np.testing.assert_array_equal(np.flatnonzero(lock.terminal), [4, 5])
        assert lock.horizon == 4

    def test_code_depends_on_the_seed(self):
        locks = [combination_lock(20, 4, seed=seed).mdp.transitions for seed in (0, 0, 1)]
        np.testing.assert_array_equal(locks[0], locks[1])
        assert (locks[0] != locks[2]).any()

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"length": 0}, "length = 0"),
            ({"actions": 1}, "actions = 1"),
            ({"wrong": "up"}, "wrong = 'up': unknown; choose one of 'dead', 'start', 'back'"),
            ({"right_probability": 2}, "right_probability = 2"),
            ({"horizon": 0}, "horizon = 0"),
        ],
    )
    def test_refusals(self, parameters, words):
        with pytest.raises(InvalidInput) as caught:
            combination_lock(**({"length": 3} | parameters))
        assert words in str(caught.value)


class TestGarnet:
    @pytest.mark.parametrize(("states", "branching"), [(6, 1), (6, 3), (6, 6), (300, 4)])
    @pytest.mark.parametrize("as_sparse", [False, True])
    def test_every_row_has_so_many_distinct_successors(self, states, branching, as_sparse):
        mdp = garnet(states, 2, branching, 3, as_sparse=as_sparse).mdp
        assert mdp.sparse == as_sparse
        kernel = mdp.kernel(0).toarray() if as_sparse else mdp.kernel(0).reshape(-1, states)
        assert ((kernel > 0).sum(axis=1) == branching).all()

    def test_layers(self):
        one, many = garnet(5, 2, 2, 4), garnet(5, 2, 2, 4, layered=True)
        assert one.mdp.stationary
        assert not many.mdp.stationary
        assert (many.mdp.kernel(0) != many.mdp.kernel(1)).any()
        assert many.policy.shape == one.policy.shape == (4, 5, 2)
        assert not garnet(5, 2, 2, 4, layered=True, as_sparse=True).mdp.stationary

    def test_successors_and_shares_are_unbiased(self):
        """Every state is as likely a successor; shares are uniform on the simplex."""
        kernel = garnet(400, 5, 3, 1, as_sparse=True, seed=8).mdp.kernel(0)
        counts = np.bincount(kernel.indices, minlength=400)
        assert abs(counts - 15).max() < 6 * np.sqrt(15)
        shares = kernel.data.reshape(-1, 3)
        error = np.sqrt(1 / 18 / len(shares))
        assert abs(shares.mean(axis=0) - 1 / 3).max() < 4 * error
        assert shares[:, 0].var() == pytest.approx(1 / 18, rel=0.1)

    def test_seed(self):
        first, again, other = (garnet(9, 2, 3, 2, seed=seed) for seed in (4, 4, 5))
        np.testing.assert_array_equal(first.mdp.transitions, again.mdp.transitions)
        np.testing.assert_array_equal(first.policy, again.policy)
        assert (first.mdp.transitions != other.mdp.transitions).any()

    def test_discounted(self):
        problem = discounted_garnet(300, 2, 4, 0.9)
        mdp, policy = problem.mdp, problem.policy
        assert isinstance(mdp, DiscountedMDP)
        assert mdp.sparse
        assert policy.shape == (300, 2)
        assert 0 < evaluate(mdp, policy).value < 1

    @pytest.mark.parametrize("discount", [1.5, None, 1])
    def test_discounts_out_of_range_are_refused(self, discount):
        with pytest.raises(InvalidInput, match="discount"):
            discounted_garnet(3, 2, 2, discount)

    @pytest.mark.parametrize(
        ("sizes", "words"),
        [
            ((0, 2, 1, 1), "states = 0"),
            ((3, 0, 1, 1), "actions = 0"),
            ((3, 2, 4, 1), "branching = 4: not a number in [1, 3]"),
            ((3, 2, 0, 1), "branching = 0"),
            ((3, 2, 2, 0), "horizon = 0"),
        ],
    )
    def test_refusals(self, sizes, words):
        with pytest.raises(InvalidInput) as caught:
            garnet(*sizes)
        assert words in str(caught.value)
