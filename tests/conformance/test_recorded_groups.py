"""Equal keys give the groups that were recorded when algorithms still kept books over a batch.

A record is a digest of every group (states, actions, rewards, advantages to the bit, parents and
reset steps), with the number of groups, rollouts, steps, localisations and refusals beside it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.randomness import Key
from tests.conformance.test_algorithms import ALGORITHMS
from tests.conformance.test_reset_policies import POLICIES
from tests.conformance.worlds import WORLDS, fingerprint, starts

RECORDED = json.loads(Path(__file__).with_name("recorded_groups.json").read_text())


def whole(rollout):
    states, actions, reward, failed, ended = fingerprint(rollout)
    return [states, actions, reward, failed, ended.value]


def described(group):
    advantages = [
        sample.advantages[0].hex() if len(sample.rollout) else None for sample in group.samples
    ]
    parent = None if group.parent is None else whole(group.parent)
    return [group.prompt, [whole(r) for r in group.rollouts], advantages, parent, group.step]


def record(collection):
    text = json.dumps([described(group) for group in collection])
    refusals = {reason.value: count for reason, count in collection.refusals.items()}
    return [
        hashlib.sha256(text.encode()).hexdigest()[:20],
        len(collection),
        collection.generated_rollouts,
        collection.generated_steps,
        collection.localizations,
        refusals,
    ]


@pytest.mark.parametrize("name", RECORDED)
def test_equal_keys_give_the_recorded_groups(name):
    world_name, algorithm, reset = name.rsplit("-", 1)[0].split("-", 1) + name.rsplit("-", 1)[1:]
    world = WORLDS[world_name]()
    build = ALGORITHMS[algorithm]
    key, ids = Key.of(7).child("recorded"), list(range(3, 15))
    collection = collect(build(POLICIES[reset]), world, starts(world, 12), key, ids)
    assert record(collection) == RECORDED[name]
