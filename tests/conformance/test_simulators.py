"""The laws of `Simulator` and `OracleSimulator` over every world."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.randomness import Key
from cpi_theory.seam import (
    FailedLocalization,
    Localization,
    OracleSimulator,
    Reason,
    Rollout,
    Simulator,
)
from tests.conformance.worlds import ORACLES, WORLDS, fingerprint, plain, starts

KEYS = Key.of(9).integers(60)

worlds = pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
oracles = pytest.mark.parametrize("make", ORACLES.values(), ids=ORACLES)


def roll(world, states, keys):
    return [fingerprint(r) for r in world.rollout(states, keys)]


@worlds
def test_it_is_a_simulator(make):
    assert isinstance(make(), Simulator)


@worlds
def test_rollouts_start_where_asked_and_hold_a_state_per_action(make):
    world = make()
    states = starts(world, 60)
    for state, rollout in zip(states, world.rollout(states, KEYS), strict=True):
        assert isinstance(rollout, Rollout)
        assert len(rollout) > 0
        assert plain(rollout.states[0]) == plain(state)
        assert len(rollout.states) == len(rollout.actions) == len(rollout)


@worlds
def test_a_rollout_depends_on_its_state_and_key_alone(make):
    world = make()
    states = starts(world, 60)
    whole = roll(world, states, KEYS)
    order = np.random.default_rng(0).permutation(60)
    assert roll(world, [states[i] for i in order], KEYS[order]) == [whole[i] for i in order]
    assert roll(make(), states[:7], KEYS[:7]) + roll(world, states[7:], KEYS[7:]) == whole
    assert roll(world, states[:1], KEYS[:1]) == whole[:1]
    assert roll(world, states[:1] * 60, KEYS) != roll(world, states[:1] * 60, KEYS[::-1])


@worlds
def test_keyless_rollouts_are_fresh_and_do_not_depend_on_the_split(make):
    state = starts(make(), 1)
    split, whole = make(), make()
    parts = [*split.rollout(state * 20), *split.rollout(state * 5), *split.rollout(state * 15)]
    assert [fingerprint(r) for r in parts] == [fingerprint(r) for r in whole.rollout(state * 40)]
    assert [fingerprint(r) for r in whole.rollout(state * 40)] != [fingerprint(r) for r in parts]


@worlds
def test_a_reset_continues_from_a_visited_state(make):
    """A reset is a rollout from a later state: nothing before that state is in it."""
    world = make()
    rollouts = world.rollout(starts(world, 60), KEYS)
    picks = [(r, len(r) // 2) for r in rollouts]
    suffixes = world.rollout([r.states[i] for r, i in picks], KEYS)
    for (parent, i), suffix in zip(picks, suffixes, strict=True):
        assert plain(suffix.states[0]) == plain(parent.states[i])
        assert plain(parent.states[0]) not in [plain(s) for s in suffix.states] or i == 0


@worlds
def test_first_errors_are_steps_of_failures_or_typed_refusals(make):
    world = make()
    rollouts = world.rollout(starts(world, 60), KEYS)
    answers = world.locate_first_error(rollouts, KEYS)
    assert len(answers) == 60
    assert {r.failed for r in rollouts} == {True, False}
    for rollout, answer in zip(rollouts, answers, strict=True):
        if isinstance(answer, Localization):
            assert rollout.failed
            assert 0 <= answer.step < len(rollout)
        else:
            assert isinstance(answer, FailedLocalization)
            assert (answer.reason is Reason.NOT_FAILED) == (not rollout.failed)


@worlds
def test_a_localisation_depends_on_its_rollout_and_key_alone(make):
    world = make()
    rollouts = world.rollout(starts(world, 60), KEYS)
    whole = world.locate_first_error(rollouts, KEYS)
    order = np.random.default_rng(1).permutation(60)
    again = world.locate_first_error([rollouts[i] for i in order], KEYS[order])
    assert again == [whole[i] for i in order]


@oracles
def test_best_advantages_are_one_per_step_and_never_negative(make):
    world = make()
    assert isinstance(world, OracleSimulator)
    rollouts = world.rollout(starts(world, 60), KEYS)
    for rollout, best in zip(rollouts, world.best_advantages(rollouts), strict=True):
        assert best.shape == (len(rollout),)
        assert best.min() > -1e-12


@oracles
def test_coverage_is_the_share_of_improvable_steps(make):
    world = make()
    keys = Key.of(4).integers(4000)
    best = world.best_advantages(world.rollout(starts(world, 4000), keys))
    lengths = np.array([len(b) for b in best])
    for tau in (0.01, 0.05, 0.2):
        hits = np.array([(b >= tau).sum() for b in best])
        share = hits.sum() / lengths.sum()
        error = (hits - share * lengths).std() / np.sqrt(4000) / lengths.mean()
        assert world.improvable_coverage(tau) == pytest.approx(share, abs=4.5 * error + 1e-9)
    levels = np.linspace(0, 1, 21)
    coverage = [world.improvable_coverage(t) for t in levels]
    assert coverage == sorted(coverage, reverse=True)
