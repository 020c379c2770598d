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
from cpi_theory.seam import Ending, Reason, Refusal, Rollout, knows_advantages
from cpi_theory.testing import check_reset_policy
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
    if isinstance(reset, AdvantageBasedReset) and not knows_advantages(world):
        pytest.skip("this world knows no advantages; the refusal has a test of its own")
    return world, world.rollout(starts(world, 80), KEYS)


@every
@worlds
def test_it_keeps_the_laws(make, reset):
    world, _ = setting(make, reset)
    check_reset_policy(reset, make, starts(world, 12), count=60)


@every
@worlds
def test_probabilities_are_the_weights_normalised(make, reset):
    world, rollouts = setting(make, reset)
    weights = reset.step_weights(rollouts, world, KEYS)
    answers = reset.step_probabilities(rollouts, world, KEYS)
    named = 0
    for w, p in zip(weights, answers, strict=True):
        if isinstance(p, Refusal):
            assert isinstance(w, Refusal) or not w.any()
        else:
            named += 1
            np.testing.assert_allclose(p * w.sum(), w, atol=1e-12)
    assert named > 5


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
