"""The laws of simulators over every world of ours, and what is known of each beyond them."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.randomness import Key
from cpi_theory.seam import CuttingSimulator, Numbered, Simulator
from cpi_theory.testing import check_resets, check_simulator
from cpi_theory.testing.comparing import same_rollout
from tests.conformance.worlds import ORACLES, WORLDS, starts

KEYS = Key.of(9).integers(60)
REWARDS_ON_THE_WAY = ("random_garnet",)

worlds = pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
oracles = pytest.mark.parametrize("make", ORACLES.values(), ids=ORACLES)


@worlds
def test_it_keeps_the_laws(make):
    assert isinstance(make(), Simulator)
    check_simulator(make, starts(make(), 12), count=60, seed=9)


@pytest.mark.parametrize("make", [make for name, make in WORLDS.items() if "chain" not in name])
def test_it_can_cut_rollouts(make):
    assert isinstance(make(), CuttingSimulator)


@pytest.mark.parametrize("name", [name for name in WORLDS if name not in REWARDS_ON_THE_WAY])
def test_what_follows_a_state_does_not_depend_on_how_it_was_reached(name):
    check_resets(WORLDS[name], starts(WORLDS[name](), 1)[0], count=1000)


@worlds
def test_numbered_rollouts_are_fresh_and_do_not_depend_on_the_split(make):
    state = starts(make(), 1)
    split, whole = Numbered(make()), Numbered(make())
    parts = [rollout for n in (20, 5, 15) for rollout in split.rollout(state * n)]
    first, second = whole.rollout(state * 40), whole.rollout(state * 40)
    assert all(map(same_rollout, first, parts))
    assert not all(map(same_rollout, second, parts))
    failures = [r for r in first if r.failed]
    alone = Numbered(make())
    answers = [answer for f in failures for answer in alone.locate_first_error([f])]
    assert answers == Numbered(make()).locate_first_error(failures)


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
