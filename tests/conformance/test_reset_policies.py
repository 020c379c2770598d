"""The laws of `ResetPolicy` over every policy and every world."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import (
    AdvantageBasedReset,
    AdvantageReset,
    ImperfectReset,
    ImprovableReset,
)
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import Ending, OracleSimulator, Reason, Refusal, Rollout
from tests.conformance.worlds import WORLDS, starts

POLICIES = {
    "start": StartReset(),
    "uniform": UniformReset(),
    "improvable": ImprovableReset(0.05),
    "imperfect": ImperfectReset(0.95, 0.3, 0.05),
    "advantage": AdvantageReset(0.1),
    "first error": FirstErrorReset(),
    "earlier": FirstErrorReset(offset=1),
}
KEYS = Key.of(5).integers(80)

every = pytest.mark.parametrize("reset", POLICIES.values(), ids=POLICIES)
worlds = pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)


def setting(make, reset):
    world = make()
    if isinstance(reset, AdvantageBasedReset) and not isinstance(world, OracleSimulator):
        pytest.skip("this world knows no advantages; the refusal has a test of its own")
    return world, world.rollout(starts(world, 80), KEYS)


def equal(a, b):
    if isinstance(a, Refusal) or isinstance(b, Refusal):
        return a == b
    return np.array_equal(a, b)


@every
@worlds
def test_weights_are_one_per_step_and_within_the_unit_interval(make, reset):
    world, rollouts = setting(make, reset)
    answers = reset.step_weights(rollouts, world, KEYS)
    assert len(answers) == len(rollouts)
    for rollout, weights in zip(rollouts, answers, strict=True):
        if isinstance(weights, Refusal):
            assert isinstance(weights.reason, Reason)
        else:
            assert weights.shape == (len(rollout),)
            assert weights.min() >= 0
            assert weights.max() <= 1


@every
@worlds
def test_probabilities_sum_to_one_and_keep_the_weights_support(make, reset):
    world, rollouts = setting(make, reset)
    weights = reset.step_weights(rollouts, world, KEYS)
    answers = reset.step_probabilities(rollouts, world, KEYS)
    named = 0
    for w, p in zip(weights, answers, strict=True):
        if isinstance(p, Refusal):
            assert isinstance(w, Refusal) or not w.any()
        else:
            named += 1
            assert p.sum() == pytest.approx(1)
            np.testing.assert_allclose(p * w.sum(), w, atol=1e-12)
    assert named > 5


@every
@worlds
def test_answers_depend_on_rollout_key_and_world_alone(make, reset):
    world, rollouts = setting(make, reset)
    order = np.random.default_rng(2).permutation(80)
    for method in (reset.step_weights, reset.step_probabilities):
        whole = method(rollouts, world, KEYS)
        shuffled = method([rollouts[i] for i in order], world, KEYS[order])
        halves = method(rollouts[:30], make(), KEYS[:30]) + method(rollouts[30:], world, KEYS[30:])
        assert all(equal(whole[i], s) for i, s in zip(order, shuffled, strict=True))
        assert all(equal(a, b) for a, b in zip(whole, halves, strict=True))


@every
@worlds
def test_an_empty_rollout_is_refused(make, reset):
    world, rollouts = setting(make, reset)
    empty = Rollout((), (), 0.0, True, Ending.HORIZON)
    answers = reset.step_weights([empty, rollouts[0]], world, KEYS[:2])
    assert answers[0] == Refusal(Reason.EMPTY)
    assert reset.step_weights([], world, KEYS[:0]) == []


@every
def test_policies_are_hashable_values_that_survive_pickling(reset):
    import pickle

    assert pickle.loads(pickle.dumps(reset)) == reset
    assert {reset: 1}[reset] == 1


@pytest.mark.parametrize(
    "name", [n for n, p in POLICIES.items() if isinstance(p, AdvantageBasedReset)]
)
def test_an_oracle_is_refused_where_there_is_none(name):
    world = WORLDS["blind_chain"]()
    with pytest.raises(InvalidInput, match=r"does not know its advantages"):
        POLICIES[name].step_weights(world.rollout([(0, 0)], KEYS[:1]), world, KEYS[:1])
