"""TRL's estimators as installed: known numbers of its losses, and a known verdict of each kind."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("trl")

from cpi_theory import GRPO, Key
from cpi_theory.audit.batch import Batch
from cpi_theory.audit.judgement import judge
from cpi_theory.audit.law import law
from cpi_theory.audit.subject import Subject, groups_of
from cpi_theory.audit.worlds import small_worlds
from llm.audit import trl

WORLDS = {world.name: world for world in small_worlds()}


@pytest.fixture(scope="module")
def batch():
    world = WORLDS["lock beside choice"]
    return Batch.of(groups_of(Subject("x", GRPO(4)), world, Key.of(1)), world)


def per_rollout(batch, spread):
    """Reward less the group's mean, over the group's sample deviation if wanted; shape (n,)."""
    out = np.zeros(len(batch))
    for group in np.unique(batch.groups):
        rows = batch.groups == group
        centred = batch.rewards[rows] - batch.rewards[rows].mean()
        out[rows] = centred / (centred.std(ddof=1) + 1e-4) if spread else centred
    return out


def test_the_grpo_loss_shares_a_rollouts_weight_among_its_tokens(batch):
    found = trl.estimator("grpo")(batch)
    expected = per_rollout(batch, spread=True) / batch.lengths
    assert found[:, 0] == pytest.approx(expected)
    assert (found[~batch.mask] == 0).all()


def test_the_dr_grpo_loss_divides_by_the_longest_length_allowed(batch):
    found = trl.estimator("dr_grpo")(batch)
    assert found[:, 0] == pytest.approx(per_rollout(batch, spread=False) / 16)


def test_rows_keep_their_order_when_groups_are_mixed(batch):
    rows = np.array([7, 0, 5, 2, 4, 1, 3, 6])
    weights = trl.estimator("dapo")
    assert weights(batch.pick(rows)) == pytest.approx(weights(batch)[rows])


def test_padding_beyond_the_longest_rollout_changes_nothing(batch):
    weights = trl.estimator("grpo")
    wider = weights(batch.padded(2))
    assert wider[:, :2] == pytest.approx(weights(batch))
    assert (wider[:, 2:] == 0).all()


@pytest.mark.parametrize(
    ("name", "world", "verdict"),
    [
        ("rloo", "go on or stop", "unbiased"),
        ("dr_grpo", "go on or stop", "scaled"),
        ("dr_grpo-group", "two difficulties", "reweighted"),
        ("grpo", "go on or stop", "biased"),
    ],
)
def test_verdicts(name, world, verdict):
    found = law(Subject(name, GRPO(4), trl.estimator(name)), WORLDS[world])
    assert judge(found).verdict == verdict
