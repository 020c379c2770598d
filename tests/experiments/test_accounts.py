"""The account of a learning run."""

from __future__ import annotations

import json

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.reset_grpo import SRPO
from experiments.accounts import Account
from experiments.worlds.tabular import WORLDS, build_world
from tabular.simulation.simulator import TabularSimulator


def collection(seed: int):
    seeded = build_world(WORLDS["tree-natural"], 0)
    simulator = TabularSimulator(seeded.problem.mdp, seeded.problem.policy, success=seeded.success)
    return collect(SRPO(on_refusal="fresh"), simulator, simulator.start_states(3, seed), seed)


def test_totals_grow_and_groups_start_anew_at_every_record() -> None:
    first, second = collection(1), collection(2)
    account = Account(more={"tokens": 0})
    account.add(first)
    account.more["tokens"] += 7
    row = account.take()
    assert row["rollouts"] == first.generated_rollouts == 24
    assert (row["steps"], row["groups"]) == (first.generated_steps, len(first))
    assert row["informative"] == sum(group.informative for group in first)
    assert row["tokens"] == 7
    account.add(second)
    later = account.take()
    assert later["rollouts"] == 48
    assert later["localizations"] == first.localizations + second.localizations
    assert later["groups"] == len(second)
    assert row["rollouts"] == 24  # a record stays what it was


def test_an_account_comes_back_from_its_state() -> None:
    account = Account(more={"tokens": 3})
    account.add(collection(1))
    account.refusals["out of range"] += 2
    again = Account.of(json.loads(json.dumps(account.state())))
    assert again == account
    again.add(collection(2))
    assert again.rollouts == account.rollouts + 24
