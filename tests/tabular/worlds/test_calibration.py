"""Calibrated trees: coverage and threshold come out exactly as asked for."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from tabular.evaluation.evaluate import evaluate
from tabular.resets.updates import coverage
from tabular.worlds.calibration import calibrated_tree

F = Fraction


class TestCalibrated:
    @given(
        st.integers(1, 7),
        st.integers(1, 19).map(lambda k: F(k, 20)),
        st.integers(1, 19).map(lambda k: F(k, 20)),
        st.sampled_from([F(0), F(1, 10), F(1, 2)]),
        st.sampled_from(["first", "last"]),
    )
    @settings(max_examples=60)
    def test_coverage_and_level_are_exactly_as_asked(self, horizon, p, tau, back, place):
        try:
            tree = calibrated_tree(horizon, 3, p, tau, back, place=place)
        except InvalidInput as refusal:
            assert refusal.field == "coverage"  # noqa: PT017
            return
        evaluation = evaluate(tree.mdp, tree.policy)
        best = evaluation.advantages.max(axis=2)
        assert coverage(evaluation, tau) == p == tree.coverage()
        assert (best[:, ::2].T[tree.hard] == tau).all()
        assert (best[:, ::2].T[~tree.hard] == 0).all()
        assert tree.tau == tau

    def test_refusal_is_right(self):
        """With one step the coverage of level tau is at most 1, with two at most as worked."""
        assert calibrated_tree(1, 2, F(1), F(1, 2)).coverage() == 1
        # Both steps hard: rho = 3/4 last and 2/3 first, on the path at the last with 2/3.
        most = (1 + F(2, 3)) / 2
        assert calibrated_tree(2, 2, most, F(1, 4)).base_pass == F(1, 2)
        with pytest.raises(InvalidInput, match=r"at most 0\.833333 at threshold 0\.25; lower"):
            calibrated_tree(2, 2, most + F(1, 10**9), F(1, 4))

    def test_no_more_hard_steps_than_needed(self):
        for steps in range(1, 6):
            tree = calibrated_tree(10, 2, F(steps, 10) - F(1, 20), F(1, 1000))
            assert tree.hard.sum() == steps
            np.testing.assert_array_equal(np.flatnonzero(tree.hard[0]), range(10 - steps, 10))

    def test_observations_are_shared_on_and_off_the_path(self):
        observations = calibrated_tree(3, 2, F(1, 6), F(1, 2)).mdp.observations
        np.testing.assert_array_equal(observations.T, [[0, 1, 2]] * 2 + [[3, 4, 5]] * 2)

    def test_worked_by_hand(self):
        """Half of the problems have one hard last step of four that is right half the time."""
        tree = calibrated_tree(4, 2, F(1, 8), F(1, 2))
        assert [list(row) for row in tree.right] == [[1, 1, 1, F(1, 2)], [1, 1, 1, 1]]
        assert list(tree.mdp.start) == [F(1, 2), 0, F(1, 2), 0]
        early = calibrated_tree(4, 2, F(1, 8), F(1, 2), place="first")
        assert list(early.right[0]) == [F(1, 2), 1, 1, 1]

    @pytest.mark.parametrize("tau", [0.05, 0.1, 0.15, 0.2, 0.3, 0.35, 0.7])
    @pytest.mark.parametrize("p", [0.01, 0.05, 0.125, 0.3])
    def test_floats_keep_clear_of_rounding(self, p, tau):
        """A computed advantage of 0.1999... must not empty the improvable set at 0.2."""
        try:
            tree = calibrated_tree(10, 4, p, tau)
        except InvalidInput:
            assert p > 0.1
            return
        evaluation = evaluate(tree.mdp, tree.policy)
        assert coverage(evaluation, tau) == pytest.approx(p)
        assert coverage(evaluation, tau * 1.001) < p / 2


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"horizon": 0}, "horizon = 0: not an integer >= 1"),
        ({"branching": 1}, "branching = 1: not an integer >= 2"),
        ({"recoverability": -0.5}, "recoverability = -0.5: not a number in [0, 1]"),
        # Two hard steps of three cover more than three do, whose chain is mostly off the path.
        ({"horizon": 3, "tau": 0.3, "coverage": 0.6}, "at most 0.52381 at threshold 0.3"),
        ({"coverage": 0}, "coverage = 0: not a positive number"),
        ({"tau": 0}, "tau = 0: not a positive number"),
        ({"recoverability": 1.5}, "recoverability = 1.5"),
        ({"place": "middle"}, "place = 'middle': unknown; choose one of 'first', 'last'"),
    ],
)
def test_calibration_refusals(parameters, words):
    with pytest.raises(InvalidInput) as caught:
        calibrated_tree(
            **({"horizon": 5, "branching": 2, "coverage": 0.1, "tau": 0.1} | parameters)
        )
    assert words in str(caught.value)
