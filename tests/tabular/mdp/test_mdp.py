"""MDP tables: what is accepted, what is refused with which words, and that nothing is shared."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import sparse

from cpi_theory.checks import InvalidInput
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP, RewardScaling
from tabular.mdp.policies import uniform_policy
from tabular.mdp.validation import return_range
from tabular.strategies import finite_horizon_mdps

F = Fraction
H, S, A = 3, 2, 2
START = [1.0, 0.0]


def tables(seed=0):
    """Random layered tables with returns in [0, 1]."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(S), (H, S, A)), rng.random((H, S, A)) / H


def to_csr(layer):
    return sparse.csr_array(layer.reshape(S * A, S))


def refusal(make, *args, **kwargs):
    with pytest.raises(InvalidInput) as caught:
        make(*args, **kwargs)
    return str(caught.value)


class TestAccepted:
    def test_sizes_and_accessors(self):
        transitions, rewards = tables()
        mdp = FiniteHorizonMDP(transitions, rewards, START, H)
        assert (mdp.horizon, mdp.states, mdp.actions) == (H, S, A)
        assert not mdp.stationary
        assert not mdp.sparse
        assert not mdp.exact
        np.testing.assert_array_equal(mdp.kernel(1), transitions[1])
        np.testing.assert_array_equal(mdp.reward(2), rewards[2])

    def test_stationary_tables_serve_every_layer(self):
        transitions, rewards = tables()
        mdp = FiniteHorizonMDP(transitions[0], rewards[0], START, H)
        assert mdp.stationary
        assert mdp.kernel(2) is mdp.kernel(0)
        np.testing.assert_array_equal(mdp.reward(2), rewards[0])

    @pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.coo_array, sparse.csc_array])
    def test_any_sparse_format_becomes_csr(self, kind):
        transitions, rewards = tables()
        mdp = FiniteHorizonMDP([kind(to_csr(layer)) for layer in transitions], rewards, START, H)
        assert mdp.sparse
        assert not mdp.stationary
        for h in range(H):
            assert mdp.kernel(h).format == "csr"
            np.testing.assert_allclose(mdp.kernel(h).toarray().reshape(S, A, S), transitions[h])

    def test_one_fraction_makes_the_whole_mdp_exact(self):
        mdp = FiniteHorizonMDP(
            [[[F(1, 3), F(2, 3)]], [[0, 1]]], [[0.25], [0]], [1, 0], 2, reward_bound=1
        )
        assert mdp.exact
        for number in (*mdp.transitions.flat, *mdp.rewards.flat, *mdp.start, mdp.reward_bound):
            assert type(number) is Fraction
        assert mdp.rewards[0, 0] == F(1, 4)
        assert uniform_policy(mdp)[1, 0, 0] == F(1)

    def test_observations_default_to_one_per_step_and_state(self):
        transitions, rewards = tables()
        mdp = FiniteHorizonMDP(transitions, rewards, START, H)
        np.testing.assert_array_equal(mdp.observations, [[0, 1], [2, 3], [4, 5]])
        assert mdp.observation_count == 6
        shared = FiniteHorizonMDP(transitions, rewards, START, H, observations=[1, 0])
        np.testing.assert_array_equal(shared.observations, [[1, 0]] * H)
        assert shared.observation_count == 2

    def test_discounted_bound_defaults_to_the_largest_value(self):
        mdp = DiscountedMDP([[[1.0]]], [[0.5]], [1.0], 0.75)
        assert mdp.reward_bound == 2.0
        assert DiscountedMDP([[[1.0]]], [[0.0]], [1.0], 0.75).reward_bound == 1.0

    def test_returns_within_the_bound_though_rewards_alone_do_not_tell(self):
        """One unit is paid once and never again: H * max r says 2, the paths say 1."""
        moves = [[[0.0, 1.0]], [[0.0, 1.0]]]
        assert FiniteHorizonMDP(moves, [[1.0], [0.0]], START, 2).reward_bound == 1.0

    def test_negative_rewards_are_fine_where_returns_are_not_negative(self):
        moves = [[[0.0, 1.0]], [[0.0, 1.0]]]
        rewards = np.array([[[0.5], [0.5]], [[-0.25], [0.0]]])
        message = refusal(FiniteHorizonMDP, moves, rewards, START, 2)
        assert "return-to-go[h=1, s=0] = -0.25" in message
        rewards[1, 0] = 0.0
        rewards[1, 1] = -0.25
        assert "return-to-go[h=1, s=1]" in refusal(FiniteHorizonMDP, moves, rewards, START, 2)
        longer = np.concatenate([rewards, [[[0.0], [0.25]]]])
        assert FiniteHorizonMDP(moves, longer, START, 3).horizon == 3


class TestNothingIsShared:
    def test_later_writes_do_not_reach_the_mdp(self):
        transitions, rewards = tables()
        start = np.array(START)
        mdp = FiniteHorizonMDP(transitions, rewards, start, H)
        before = (mdp.transitions.copy(), mdp.rewards.copy(), mdp.start.copy())
        for table in (transitions, rewards, start):
            table[:] = 7
        for kept, now in zip(before, (mdp.transitions, mdp.rewards, mdp.start), strict=True):
            np.testing.assert_array_equal(kept, now)

    def test_tables_cannot_be_written(self):
        transitions, rewards = tables()
        mdp = FiniteHorizonMDP(transitions, rewards, START, H, terminal=[False, False])
        parts = (mdp.transitions, mdp.rewards, mdp.start, mdp.terminal, mdp.observations)
        for table in parts:
            with pytest.raises(ValueError, match="read-only"):
                table[...] = 0
        with pytest.raises(ValueError, match="read-only"):
            FiniteHorizonMDP(to_csr(transitions[0]), rewards, START, H).kernel(0).data[:] = 0

    def test_read_only_tables_are_not_copied(self):
        transitions, rewards = tables()
        transitions.setflags(write=False)
        mdp = FiniteHorizonMDP(transitions, rewards, START, H)
        assert np.shares_memory(mdp.transitions, transitions)
        assert not np.shares_memory(mdp.rewards, rewards)

    def test_unsorted_duplicated_csr_input_stays_as_it_was(self):
        """Summing duplicates in place would rewrite the caller's arrays."""
        data = np.array([0.25, 0.5, 0.25, 1.0, 0.0, 1.0, 1.0])
        indices = np.array([1, 0, 1, 1, 0, 0, 1])
        indptr = np.array([0, 3, 5, 6, 7])
        kept = [part.copy() for part in (data, indices, indptr)]
        given = sparse.csr_array((data, indices, indptr), shape=(S * A, S))
        mdp = FiniteHorizonMDP(given, np.zeros((S, A)), START, H)
        for part, before in zip((data, indices, indptr), kept, strict=True):
            np.testing.assert_array_equal(part, before)
        np.testing.assert_array_equal(mdp.kernel(0).data, [0.5, 0.5, 1, 1, 1])
        np.testing.assert_array_equal(mdp.kernel(0).indices, [0, 1, 1, 0, 1])


class TestRefusals:
    """Each message names the field, the row, the value and what to do."""

    def test_row_that_does_not_sum_to_one(self):
        transitions, rewards = tables()
        transitions[1, 0, 1] = [0.5, 0.625]
        assert refusal(FiniteHorizonMDP, transitions, rewards, START, H) == (
            "transitions[h=1, s=0, a=1] = 1.125: probabilities sum to 1.125, 0.125 too much; "
            "divide the row by its sum"
        )

    def test_stationary_row(self):
        transitions, rewards = tables()
        layer = transitions[0].copy()
        layer[1, 0] = [0.25, 0.5]
        message = refusal(FiniteHorizonMDP, layer, rewards, START, H)
        assert message.startswith("transitions[s=1, a=0] = 0.75")
        assert "0.25 too little" in message

    def test_sparse_row(self):
        transitions, rewards = tables()
        transitions[2, 1, 0] = [0.25, 0.5]
        layers = [to_csr(layer) for layer in transitions]
        message = refusal(FiniteHorizonMDP, layers, rewards, START, H)
        assert message.startswith("transitions[h=2][s=1, a=0] = 0.75: probabilities sum to 0.75")

    def test_empty_sparse_row(self):
        matrix = sparse.csr_array((S * A, S))
        message = refusal(FiniteHorizonMDP, matrix, np.zeros((S, A)), START, H)
        assert "transitions[s=0, a=0] = 0.0: probabilities sum to 0.0, 1.0 too little" in message

    @pytest.mark.parametrize("as_csr", [False, True])
    def test_negative_probability(self, as_csr):
        transitions, rewards = tables()
        transitions[0, 1, 1] = [1.25, -0.25]
        given = to_csr(transitions[0]) if as_csr else transitions[0]
        assert refusal(FiniteHorizonMDP, given, rewards, START, H) == (
            "transitions[s=1, a=1] = -0.25: negative probability; "
            "set it to 0 and renormalise the row"
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("as_csr", [False, True])
    def test_not_finite_probability(self, value, as_csr):
        transitions, rewards = tables()
        transitions[0, 0, 1, 0] = value
        given = to_csr(transitions[0]) if as_csr else transitions[0]
        message = refusal(FiniteHorizonMDP, given, rewards, START, H)
        assert message == f"transitions[s=0, a=1] = {value}: not a finite probability; replace it"

    def test_exact_rows_get_no_tolerance(self):
        tiny = F(1, 10**30)
        rows = [[[F(1, 2), F(1, 2) + tiny]], [[F(0), F(1)]]]
        message = refusal(FiniteHorizonMDP, rows, [[0], [0]], [1, 0], 2)
        assert f"{tiny} too much" in message

    def test_float_rows_get_rounding(self):
        rows = np.array([[[0.1] * 9 + [0.1 + 5e-10]]] * 10)
        assert FiniteHorizonMDP(rows, np.zeros((10, 1)), np.full(10, 0.1), 1).states == 10
        rows[3, 0, 0] += 2e-9
        message = refusal(FiniteHorizonMDP, rows, np.zeros((10, 1)), np.full(10, 0.1), 1)
        assert message.startswith("transitions[s=3, a=0]")

    def test_start(self):
        transitions, rewards = tables()
        message = refusal(FiniteHorizonMDP, transitions, rewards, [0.5, 0.25], H)
        assert message == (
            "start = 0.75: probabilities sum to 0.75, 0.25 too little; divide the row by its sum"
        )
        assert "start shape = (3,)" in refusal(
            FiniteHorizonMDP, transitions, rewards, [0.5, 0.25, 0.25], H
        )

    @pytest.mark.parametrize("horizon", [0, -1, 2.0, True, None])
    def test_horizon(self, horizon):
        transitions, rewards = tables()
        message = refusal(FiniteHorizonMDP, transitions[0], rewards[0], START, horizon)
        assert message == f"horizon = {horizon!r}: not an integer >= 1; choose 1 or more"

    @pytest.mark.parametrize("bound", [0, -1, np.inf, np.nan, None])
    def test_reward_bound(self, bound):
        transitions, rewards = tables()
        message = refusal(FiniteHorizonMDP, transitions, rewards, START, H, bound)
        assert message == f"reward_bound = {bound!r}: not a positive number; choose one above 0"

    def test_transition_shape(self):
        transitions, rewards = tables()
        assert refusal(FiniteHorizonMDP, transitions, rewards[0], START, H + 1) == (
            "transitions shape = (3, 2, 2, 2): does not fit; give (2, 2, 2) or (4, 2, 2, 2)"
        )
        assert "transitions shape = (2, 4)" in refusal(
            FiniteHorizonMDP, to_csr(transitions[0]).T, rewards, START, H
        )
        layers = [to_csr(layer) for layer in transitions[:2]]
        assert refusal(FiniteHorizonMDP, layers, rewards, START, H) == (
            "transitions = 2: not one matrix per layer; give 3"
        )
        layers = [to_csr(transitions[0]), to_csr(transitions[1]).T, to_csr(transitions[2])]
        assert "transitions[h=1] shape" in refusal(FiniteHorizonMDP, layers, rewards, START, H)

    def test_reward_shape(self):
        transitions, rewards = tables()
        assert "rewards shape = (2, 2, 2): does not fit; give (2, 2) or (3, 2, 2)" in refusal(
            FiniteHorizonMDP, transitions, rewards[:2], START, H
        )
        assert "give (S, A) or (H, S, A)" in refusal(
            FiniteHorizonMDP, transitions, rewards[0, 0], START, H
        )

    def test_empty(self):
        message = refusal(FiniteHorizonMDP, np.zeros((0, 2, 0)), np.zeros((0, 2)), [], 1)
        assert "is empty" in message

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_reward_that_is_not_finite(self, value):
        transitions, rewards = tables()
        rewards[2, 1, 0] = value
        assert refusal(FiniteHorizonMDP, transitions, rewards, START, H) == (
            f"rewards[h=2, s=1, a=0] = {value}: not finite; give a real number"
        )

    @pytest.mark.parametrize(
        "rewards", [[["much", 0]] * 2, [[None, 0]] * 2, [[1j, 0]] * 2, [[0], [0, 0]]]
    )
    def test_reward_that_is_no_number(self, rewards):
        message = refusal(FiniteHorizonMDP, tables()[0][0], rewards, START, H)
        assert message.startswith("rewards = ")
        assert "not an array of finite numbers" in message

    def test_exact_table_with_nan(self):
        message = refusal(FiniteHorizonMDP, [[[F(1)]]], [[np.nan]], [1], 1)
        assert "rewards = [[nan]]: not an array of finite numbers" in message

    def test_sparse_tables_cannot_be_exact(self):
        message = refusal(FiniteHorizonMDP, to_csr(tables()[0][0]), [[F(0), 0], [0, 0]], START, H)
        assert message == "transitions = 'sparse': cannot be exact; give a dense array"

    def test_returns_above_the_bound(self):
        moves = [[[0.0, 1.0]], [[0.0, 1.0]]]
        assert refusal(FiniteHorizonMDP, moves, [[0.5], [0.75]], START, 3) == (
            "return-to-go[h=0, s=1] = 2.25: returns-to-go range over [0.5, 2.25], not inside "
            "[0, reward_bound = 1.0]; raise reward_bound, or shift and scale the rewards with "
            "tabular.rescale"
        )
        assert FiniteHorizonMDP(moves, [[0.5], [0.75]], START, 3, 2.25).reward_bound == 2.25

    def test_returns_below_zero(self):
        message = refusal(FiniteHorizonMDP, [[[1.0], [1.0]]], [[0.25, -0.5]], [1.0], 2)
        assert message.startswith("return-to-go[h=0, s=0] = -1.0: returns-to-go range over [-1.0")

    def test_exact_returns_get_no_tolerance(self):
        tiny = F(1, 10**30)
        rewards = [[F(1) + tiny]]
        assert f"{1 + tiny}" in refusal(FiniteHorizonMDP, [[[F(1)]]], rewards, [F(1)], 1)
        assert FiniteHorizonMDP([[[F(1)]]], rewards, [F(1)], 1, 1 + tiny).exact

    def test_terminal_state_that_can_be_left(self):
        transitions, rewards = tables()
        transitions[:, 1], rewards[:, 1] = [0.0, 1.0], 0.0
        transitions[2, 1, 1] = [0.25, 0.75]
        message = refusal(FiniteHorizonMDP, transitions, rewards, START, H, terminal=[False, True])
        assert message == (
            "transitions[h=2, s=1, a=1] = 0.75: terminal state 1 is left with probability 0.25; "
            "make it absorbing or unmark it"
        )

    @pytest.mark.parametrize("as_csr", [False, True])
    def test_terminal_state_that_pays(self, as_csr):
        transitions, rewards = tables()
        transitions[:, 1], rewards[:, 1] = [0.0, 1.0], 0.0
        given = [to_csr(layer) for layer in transitions] if as_csr else transitions
        ends = [False, True]
        assert FiniteHorizonMDP(given, rewards, START, H, terminal=ends).terminal[1]
        rewards[1, 1, 0] = 0.125
        message = refusal(FiniteHorizonMDP, given, rewards, START, H, terminal=ends)
        assert message == (
            "rewards[h=1, s=1, a=0] = 0.125: terminal state 1 pays; "
            "pay on the way into it or unmark it"
        )

    def test_terminal_flags(self):
        transitions, rewards = tables()
        assert "terminal shape = (3,)" in refusal(
            FiniteHorizonMDP, transitions, rewards, START, H, terminal=[True, False, True]
        )
        assert "terminal = 'int64': not boolean" in refusal(
            FiniteHorizonMDP, transitions, rewards, START, H, terminal=[0, 1]
        )

    def test_observations(self):
        transitions, rewards = tables()
        for wrong, words in (
            ([0, 1, 2], "observations shape = (3,): does not fit; give (3, 2) or (2,)"),
            ([0, -1], "not indices >= 0; number them from 0"),
            ([0.0, 1.0], "not indices >= 0"),
        ):
            message = refusal(FiniteHorizonMDP, transitions, rewards, START, H, observations=wrong)
            assert words in message


class TestDiscounted:
    @pytest.mark.parametrize("discount", [-0.1, 1.1, np.nan, None])
    def test_discount_outside_the_unit_interval(self, discount):
        message = refusal(DiscountedMDP, [[[1.0]]], [[0.5]], [1.0], discount)
        assert f"discount = {discount!r}: not a number in [0, 1]" in message

    def test_undiscounted(self):
        message = refusal(DiscountedMDP, [[[1.0]]], [[0.5]], [1.0], 1)
        assert message == "discount = 1: values may diverge; use FiniteHorizonMDP"

    def test_value_bound_is_checked_on_values_not_on_rewards(self):
        """A reward of 1 that is paid once is worth 1 although 1 / (1 - gamma) is 10."""
        once = [[[0.0, 1.0]], [[0.0, 1.0]]]
        mdp = DiscountedMDP(once, [[1.0], [0.0]], [1.0, 0.0], 0.9, reward_bound=1.0)
        assert mdp.reward_bound == 1.0
        forever = [[[1.0, 0.0]], [[0.0, 1.0]]]
        message = refusal(DiscountedMDP, forever, [[1.0], [0.0]], START, 0.9, reward_bound=1.0)
        assert "return-to-go[s=0] = 10.0" in message
        assert "reward_bound = 1.0" in message

    def test_negative_values(self):
        message = refusal(DiscountedMDP, [[[1.0], [1.0]]], [[0.5, -0.5]], [1.0], 0.5)
        assert "returns-to-go range over [-1.0, 1.0]" in message

    def test_rows(self):
        message = refusal(DiscountedMDP, [[[0.5]]], [[0.5]], [1.0], 0.5)
        assert message.startswith("transitions[s=0, a=0] = 0.5")

    def test_layered_tables_do_not_fit(self):
        transitions, rewards = tables()
        assert "give (2, 2, 2)" in refusal(DiscountedMDP, transitions, rewards[0], START, 0.5)
        assert "rewards shape" in refusal(DiscountedMDP, transitions[0], rewards, START, 0.5)


class TestReturnRange:
    @given(finite_horizon_mdps(exact=True, max_states=3, max_actions=2, max_horizon=2))
    @settings(max_examples=40)
    def test_equals_the_extremes_over_all_deterministic_policies(self, mdp):
        """An independent route: enumerate every layered deterministic policy."""
        lowest, highest = return_range(mdp.transitions, mdp.rewards, mdp.horizon)
        cells = mdp.horizon * mdp.states
        values = []
        for code in range(mdp.actions**cells):
            digits = [code // mdp.actions**i % mdp.actions for i in range(cells)]
            chosen = np.array(digits).reshape(mdp.horizon, mdp.states)
            values.append(self.values(mdp, chosen))
        assert (np.min(values, axis=0) == lowest).all()
        assert (np.max(values, axis=0) == highest).all()

    @staticmethod
    def values(mdp, chosen):
        values, ahead = [], [F(0)] * mdp.states
        for h in reversed(range(mdp.horizon)):
            ahead = [
                mdp.reward(h)[s, a]
                + sum(p * v for p, v in zip(mdp.kernel(h)[s, a], ahead, strict=True))
                for s, a in enumerate(chosen[h])
            ]
            values.append(ahead)
        return values[::-1]


def test_scaling_maps_values_there_and_back():
    scaling = RewardScaling(shift=2.0, scale=0.25, horizon=4)
    assert scaling.scaled(3.0) == 0.25 * (3 + 2 * 4)
    assert scaling.original(scaling.scaled(3.0, step=1), step=1) == 3.0
    np.testing.assert_array_equal(RewardScaling().original(np.array([1.0, 2.0])), [1, 2])
