"""The records that cross the seam."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import (
    Collection,
    Draw,
    Ending,
    FailedLocalization,
    Group,
    Localization,
    NameSteps,
    OracleSimulator,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
    Simulator,
)
from tests.cpi_theory.chain import Blind, Chain

ROLLOUT = Rollout(((0, 0), (1, 0)), (0, 1), 0.0, True, Ending.HORIZON)


def weights(reset, rollouts, world):
    return reset.step_weights(rollouts, world, Key.of(0).integers(len(rollouts)))


def probabilities(reset, rollouts, world):
    return reset.step_probabilities(rollouts, world, Key.of(0).integers(len(rollouts)))


class Fixed(ResetPolicy):
    """A user's reset policy: one method is all it takes."""

    def __init__(self, *weights):
        self.weights = weights

    def step_weights(self, rollouts, simulator, keys):
        return list(self.weights)


def test_probabilities_are_the_weights_normalised_per_rollout():
    reset = Fixed(np.array([0.2, 0.6]), np.array([1.0, 0.0]))
    first, second = probabilities(reset, [ROLLOUT] * 2, Chain())
    assert first.tolist() == pytest.approx([0.25, 0.75])
    assert second.tolist() == [1, 0]


def test_vanishing_weights_become_a_refusal_and_refusals_stay_what_they_are():
    failed = FailedLocalization(Reason.UNPARSABLE)
    answers = probabilities(Fixed(np.zeros(2), failed), [ROLLOUT] * 2, Chain())
    assert answers == [Refusal(Reason.NO_ELIGIBLE_STEP), failed]
    assert isinstance(answers[1], FailedLocalization)


def test_a_users_policy_runs_in_an_algorithm_without_localising():
    from cpi_theory.algorithms.reset_grpo import ResetGRPO

    class Last(ResetPolicy):
        def step_weights(self, rollouts, simulator, keys):
            return [np.eye(len(r))[-1] for r in rollouts]

    collection = collect(ResetGRPO(Last()), Chain(), [(0, 0)] * 10, 0)
    steps = [g.step for g in collection if g.parent is not None]
    assert steps
    assert set(steps) == {2}
    assert collection.localizations == 0


def test_an_abstract_policy_cannot_be_made():
    with pytest.raises(TypeError, match="step_weights"):
        ResetPolicy()


def test_every_action_needs_its_state():
    with pytest.raises(InvalidInput, match="one per action"):
        Rollout(((0, 0),), (0, 1), 0.0, True, Ending.HORIZON)
    assert len(ROLLOUT) == 2


def test_a_refusal_is_not_a_localisation():
    assert isinstance(FailedLocalization(Reason.EMPTY), Refusal)
    assert not isinstance(Localization(0), Refusal)
    assert Localization(0) != FailedLocalization(Reason.NO_ERROR)


def test_groups_know_whether_they_teach_and_collections_hold_groups():
    flat = Group.of((ROLLOUT,) * 2, np.zeros(2), prompt=0)
    sharp = Group.of((ROLLOUT,) * 2, np.array([1.0, -1.0]), prompt=0, parent=ROLLOUT, step=1)
    assert (flat.informative, sharp.informative) == (False, True)
    collection = Collection((flat, sharp), 4, 8)
    assert list(collection) == [flat, sharp]
    assert len(collection) == 2
    assert collection.refusals == Counter()
    assert collection.localizations == 0


def test_protocols_tell_oracles_from_other_worlds():
    assert isinstance(Chain(), OracleSimulator)
    assert isinstance(Blind(Chain()), Simulator)
    assert not isinstance(Blind(Chain()), OracleSimulator)


@pytest.mark.parametrize("count", [1, 3])
def test_a_rollout_without_a_key_is_refused(count):
    class Naming:
        rows_per_prompt = 2

        def plan(self, prompt, key):
            rollouts = yield Draw(prompt.start, key.integers(2))
            yield NameSteps(Fixed(np.ones(1)), rollouts, key.child("name").integers(count))
            return []

    with pytest.raises(InvalidInput, match=f"keys = {count}: 2 rollouts; give one key per"):
        collect(Naming(), Chain(), [(0, 0)], 0)


@pytest.mark.parametrize("wish", [None, "rollouts", [object()], (0, 0)])
def test_a_wish_that_nobody_knows_is_refused(wish):
    class Wishing:
        rows_per_prompt = 1

        def plan(self, prompt, key):
            yield wish
            return []

    with pytest.raises(InvalidInput, match=r"wish = .*not one that a plan may have; yield Draw"):
        collect(Wishing(), Chain(), [(0, 0)], 0)
