"""Reasoning trees: closed forms against enumeration of thoughts and against exact evaluation."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from tabular.evaluation.evaluate import evaluate
from tabular.resets.updates import coverage, improvable
from tabular.worlds.trees import reasoning_tree

F = Fraction
TENTHS = st.integers(1, 9).map(lambda k: F(k, 10))
EXACT_TREES = st.builds(
    reasoning_tree,
    st.integers(1, 5),
    st.integers(2, 3),
    hard_steps=st.integers(0, 1),
    right_probability=TENTHS,
    easy_probability=TENTHS | st.just(F(1)),
    recoverability=TENTHS | st.sampled_from([F(0), F(1)]),
    problems=st.integers(1, 3),
    seed=st.integers(0, 99),
)


def thoughts(right, recoverability):
    """Every course of one problem as the module's text tells it, without any MDP.

    Yields (probability, which thoughts were right, whether each began on the path, success).
    """
    horizon = len(right)
    for rights in itertools.product([True, False], repeat=horizon):
        for finds in itertools.product([True, False], repeat=horizon):
            probability, on, began = F(1), True, []
            for h in range(horizon):
                began.append(on)
                probability *= right[h] if rights[h] else 1 - right[h]
                can_return = not on and rights[h] and h < horizon - 1
                if can_return:
                    probability *= recoverability if finds[h] else 1 - recoverability
                elif finds[h]:
                    probability = F(0)
                on = rights[h] and (on or (can_return and finds[h]))
            if probability:
                yield probability, rights, began, on


class TestClosedForms:
    @given(EXACT_TREES)
    @settings(max_examples=40)
    def test_against_every_course_of_thoughts(self, tree):
        """Exactly: pass probability, first-error laws, share of visits on the path."""
        horizon, problems = tree.right.shape[1], len(tree.right)
        passes, law = F(0), [F(0)] * (horizon + 1)
        failed_law, on_path = [F(0)] * (horizon + 1), np.zeros_like(tree.right)
        for i, right in enumerate(tree.right):
            for p, rights, began, success in thoughts(right, tree.recoverability):
                p /= problems
                first = rights.index(False) if False in rights else horizon
                law[first] += p
                failed_law[first] += p * (not success)
                passes += p * success
                on_path[i] += np.array(began) * p * problems
        assert tree.base_pass == passes
        assert list(tree.first_error_law()) == law
        assert (tree.on_path[:, :-1] == on_path).all()
        if passes < 1:
            expected = [p / (1 - passes) for p in failed_law]
            assert list(tree.first_error_law(failed=True)) == expected

    @given(EXACT_TREES)
    @settings(max_examples=40)
    def test_against_exact_evaluation(self, tree):
        evaluation = evaluate(tree.mdp, tree.policy)
        assert evaluation.value == tree.base_pass
        assert (evaluation.advantages.max(axis=2) == tree.best_advantages).all()
        assert (evaluation.values[:, 1::2] == tree.off_values.T[:-1]).all()
        gaps = evaluation.values[:, ::2] - evaluation.values[:, 1::2]
        assert (gaps == tree.gaps.T[:-1]).all()
        if tree.hard.any():
            assert tree.tau == evaluation.advantages.max(axis=2)[:, ::2].T[tree.hard].min()
        for level in {F(1, 1000), *tree.best_advantages.flat} - {F(0)}:
            assert tree.coverage(level) == coverage(evaluation, level)

    def test_worked_by_hand(self):
        """Two even coin thoughts, both needed."""
        tree = reasoning_tree(2, 2, hard_steps=2, right_probability=F(1, 2))
        assert tree.base_pass == F(1, 4)
        assert [list(row) for row in tree.best_advantages] == [[F(1, 4), 0], [F(1, 2), 0]]
        assert tree.tau == F(1, 4)
        assert tree.coverage() == F(3, 4)
        assert tree.coverage(F(1, 2)) == F(1, 4)
        assert list(tree.first_error_law()) == [F(1, 2), F(1, 4), F(1, 4)]
        assert list(tree.first_error_law(failed=True)) == [F(2, 3), F(1, 3), 0]

    def test_recovery_worked_by_hand(self):
        """Three even coins; an error in the first is mended in the second with chance 1/4."""
        tree = reasoning_tree(3, 2, 3, right_probability=F(1, 2), recoverability=F(1, 2))
        assert tree.base_pass == F(3, 16)
        assert list(tree.off_values[0]) == [F(5, 32), F(1, 8), 0, 0]
        assert list(tree.gaps[0]) == [F(1, 32), F(1, 8), F(1, 2), 1]
        assert tree.best_advantages[1, 1] == F(1, 8)
        assert tree.best_advantages[2, 1] == 0

    @pytest.mark.parametrize(
        ("horizon", "hard", "right", "base"),
        [(10, 1, 0.3, 0.3), (10, 2, 0.3, 0.09), (10, 4, 0.3, 0.0081), (20, 12, 0.7, 0.013841287)],
    )
    def test_base_pass_is_the_product_over_hard_steps(self, horizon, hard, right, base):
        tree = reasoning_tree(horizon, 4, hard, right, easy_probability=1.0)
        assert tree.base_pass == pytest.approx(base)

    @given(st.integers(1, 8), TENTHS, st.integers(0, 50))
    @settings(max_examples=40)
    def test_float_level_survives_another_way_of_computing(self, horizon, right, seed):
        """Rounding must not drop a hard step out of the improvable set at the tree's level."""
        tree = reasoning_tree(
            horizon, 3, (horizon + 1) // 2, float(right), 1.0, problems=3, seed=seed
        )
        evaluation = evaluate(tree.mdp, tree.policy)
        least = evaluation.advantages.max(axis=2)[:, ::2].T[tree.hard].min()
        assert least * (1 - 1e-11) < tree.tau < least
        assert (improvable(evaluation, tree.tau)[:, ::2] >= tree.hard.T).all()
        assert coverage(evaluation, tree.tau) == pytest.approx(tree.coverage())


class TestFirstError:
    def test_first_wrong_thought(self):
        tree = reasoning_tree(4, 3, seed=5, problems=2)
        right = list(tree.right_actions[1])
        assert tree.first_error(1, right) is None
        for step in range(4):
            wrong = right.copy()
            wrong[step] = (wrong[step] + 1) % 3
            assert tree.first_error(1, wrong) == step
            wrong[3] = (right[3] + 1) % 3
            assert tree.first_error(1, wrong) == step

    @given(EXACT_TREES)
    @settings(max_examples=30)
    def test_it_is_the_first_action_with_a_negative_advantage(self, tree):
        """On the path, wrong actions and no others lose value."""
        advantages = evaluate(tree.mdp, tree.policy).advantages
        for i, actions in enumerate(tree.right_actions):
            for h, right in enumerate(actions):
                row = advantages[h, 2 * i]
                falls = tree.gaps[i, h + 1] > 0 and tree.right[i, h] > 0
                for a, advantage in enumerate(row):
                    assert (advantage < 0) == (falls and a != right)


class TestStructure:
    def test_rows_of_the_policy(self):
        tree = reasoning_tree(3, 4, [1], 0.25, 0.75, problems=2, habit=0.5, seed=3)
        for i in range(2):
            for h in range(3):
                right, chance = tree.right_actions[i, h], 0.25 if h == 1 else 0.75
                row = np.roll(tree.policy[h, 2 * i], -right)
                wrong = 1 - chance
                np.testing.assert_allclose(row, [chance, wrong / 2, wrong / 4, wrong / 4])
                np.testing.assert_array_equal(tree.policy[h, 2 * i], tree.policy[h, 2 * i + 1])

    def test_without_a_habit_wrong_thoughts_are_equally_likely(self):
        tree = reasoning_tree(1, 4, 1, 0.25)
        right = tree.right_actions[0, 0]
        np.testing.assert_allclose(np.delete(tree.policy[0, 0], right), 0.25)
        tree = reasoning_tree(1, 4, 1, 0.4)
        np.testing.assert_allclose(np.delete(tree.policy[0, 0], right), 0.2)

    def test_defaults(self):
        """Ten thoughts with four choices, two of them hard: right 3 times in 10, else 99 in 100."""
        tree = reasoning_tree()
        assert (tree.mdp.horizon, tree.mdp.states, tree.mdp.actions) == (10, 2, 4)
        assert tree.hard.sum() == 2
        assert tree.base_pass == pytest.approx(0.3**2 * 0.99**8)
        np.testing.assert_array_equal(reasoning_tree(seed=0).hard, tree.hard)

    def test_habit_in_an_exact_tree_keeps_it_exact(self):
        tree = reasoning_tree(2, 5, 1, F(1, 3), F(9, 10), habit=0.3)
        assert tree.mdp.exact
        assert (tree.policy.sum(axis=-1) == 1).all()

    def test_only_two_actions_leave_no_room_for_a_habit(self):
        tree = reasoning_tree(2, 2, 1, 0.25, 0.75, habit=0.3)
        np.testing.assert_allclose(tree.policy.max(axis=-1), 0.75)

    def test_hard_steps_are_where_they_were_asked_for(self):
        tree = reasoning_tree(6, 2, [0, 4], problems=3)
        np.testing.assert_array_equal(tree.hard, [[1, 0, 0, 0, 1, 0]] * 3)
        early = reasoning_tree(10, 2, 3, hard_within=5, problems=50)
        assert (early.hard.sum(axis=1) == 3).all()
        assert not early.hard[:, 5:].any()
        assert early.hard[:, :5].any(axis=0).all()

    def test_facts_are_shared_and_their_answers_agree(self):
        tree = reasoning_tree(10, 4, 2, problems=20, facts=30, seed=1)
        observations = tree.mdp.observations
        np.testing.assert_array_equal(observations[:, ::2], observations[:, 1::2])
        assert observations.max() < 30
        asked = observations[:, ::2].T
        for row in asked:
            assert len(set(row)) == 10
        for fact in range(30):
            met = asked == fact
            assert len(set(tree.right_actions[met])) <= 1
            assert len(set(tree.hard[met])) <= 1

    @pytest.mark.parametrize(
        ("facts", "hard_steps", "hard_facts"),
        [(30, 2, 6), (30, 0, 0), (30, 10, 30), (10, 4, 4), (12, 8, 10), (11, 5, 6)],
    )
    def test_pool_has_hard_facts_in_the_problems_proportion(self, facts, hard_steps, hard_facts):
        tree = reasoning_tree(10, 2, hard_steps, problems=60, facts=facts)
        asked = tree.mdp.observations[:, ::2].T
        assert set(asked[tree.hard]) == set(range(hard_facts))
        assert set(asked[~tree.hard]) == set(range(hard_facts, facts))

    def test_facts_that_a_problem_asks_for_come_in_no_order(self):
        tree = reasoning_tree(10, 2, 10, problems=60, facts=10)
        first = tree.mdp.observations[0, ::2]
        assert len(set(first)) == 10

    def test_three_actions_leave_one_besides_the_habit(self):
        tree = reasoning_tree(1, 3, 1, 0.5, habit=0.75)
        row = np.roll(tree.policy[0, 0], -tree.right_actions[0, 0])
        np.testing.assert_allclose(row, [0.5, 0.375, 0.125])

    def test_unshared_steps_have_parameters_of_their_own_off_the_path(self):
        tree = reasoning_tree(3, 2, 1, problems=2, shared=False)
        observations = tree.mdp.observations
        assert tree.mdp.observation_count == 12
        assert len(np.unique(observations)) == 12

    def test_default_facts_are_one_per_step_of_a_problem(self):
        tree = reasoning_tree(3, 2, 1, problems=2)
        assert tree.mdp.observation_count == 6
        np.testing.assert_array_equal(tree.mdp.observations[:, ::2].T, [[0, 1, 2], [3, 4, 5]])

    def test_many_problems_are_kept_sparse_and_mean_the_same(self):
        parameters = {"right_probability": 0.4, "recoverability": 0.25, "problems": 40, "seed": 2}
        big = reasoning_tree(4, 3, 2, **parameters)
        assert big.mdp.sparse
        assert evaluate(big.mdp, big.policy).value == pytest.approx(big.base_pass)
        np.testing.assert_allclose(
            evaluate(big.mdp, big.policy).advantages.max(axis=2), big.best_advantages, atol=1e-12
        )

    def test_seed_alone_decides(self):
        first, again, other = (reasoning_tree(8, 4, 3, seed=s) for s in (1, 1, 2))
        np.testing.assert_array_equal(first.mdp.transitions, again.mdp.transitions)
        np.testing.assert_array_equal(first.right_actions, again.right_actions)
        assert (first.right_actions != other.right_actions).any()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"horizon": 0}, "horizon = 0: not an integer >= 1"),
        ({"branching": 1}, "branching = 1: not an integer >= 2"),
        ({"problems": 0}, "problems = 0"),
        ({"right_probability": 1.5}, "right_probability = 1.5: not a number in [0, 1]"),
        ({"recoverability": -0.1}, "recoverability = -0.1: not a number in [0, 1]"),
        ({"habit": 2}, "habit = 2: not a number in [0, 1]"),
        ({"hard_steps": 11}, "hard_steps = 11: not a number in [0, 10]"),
        ({"hard_steps": [10]}, "hard_steps = 10: not a number in [0, 9]"),
        ({"hard_steps": 1.5}, "hard_steps = 1.5: not an integer"),
        ({"hard_steps": [1.5]}, "hard_steps = 1.5: not an integer"),
        ({"hard_steps": [-1]}, "hard_steps = -1: not an integer >= 0"),
        ({"hard_steps": 3, "hard_within": 2}, "hard_steps = 3: not a number in [0, 2]"),
        ({"hard_within": 11}, "hard_within = 11"),
        ({"hard_within": 2.5}, "hard_within = 2.5: not an integer"),
        ({"facts": 10.5}, "facts = 10.5: not an integer"),
        ({"facts": 9}, "facts = 9: fewer than the 10 steps of a problem; add facts"),
    ],
)
def test_refusals(parameters, words):
    with pytest.raises(InvalidInput) as caught:
        reasoning_tree(**parameters)
    assert words in str(caught.value)


def test_no_hard_step_means_no_level_of_its_own():
    tree = reasoning_tree(3, 2, 0, easy_probability=1.0)
    with pytest.raises(InvalidInput, match="the tree has no hard step"):
        tree.coverage()
    with pytest.raises(InvalidInput, match="the base policy never fails"):
        tree.first_error_law(failed=True)
    assert tree.coverage(0.1) == 0
