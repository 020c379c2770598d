"""The laws of `Algorithm` over every algorithm, reset policy and world."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.algorithms.advantages import group_advantages
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.parent_choice import FirstErrorModel
from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.randomness import Key
from cpi_theory.resets.oracle import ImprovableReset
from cpi_theory.seam import OracleSimulator, Reason
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.trees import reasoning_tree
from tests.conformance.test_reset_policies import POLICIES
from tests.conformance.worlds import LANGUAGE, WORLDS, fingerprint, plain, starts

ORACLE_POLICIES = {"improvable", "imperfect", "advantage"}
ALGORITHMS = {"grpo": lambda reset: GRPO()} | {
    f"{layout} {options.get('parent', 'uniform')} {options.get('on_refusal', 'drop')}": (
        lambda reset, layout=layout, options=options: ResetGRPO.layout(layout, reset, **options)
    )
    for layout, options in [
        ("1x4", {}),
        ("1x4", {"on_refusal": "fresh", "normalization": "leave-one-out"}),
        ("1x4", {"parent": "published", "on_refusal": "uniform"}),
        ("2x4", {}),
        ("2x4", {"parent": "published"}),
        ("1x8", {"parent": "published", "on_refusal": "fresh", "normalization": "none"}),
    ]
}
ALGORITHMS |= {
    "frontier": lambda reset: FrontierGRPO(reset=reset),
    "frontier rank kept": lambda reset: FrontierGRPO(
        FirstErrorModel(0.7), parent="rank", keep_parent=True, reset=reset
    ),
    "frontier second": lambda reset: FrontierGRPO(
        rollouts=6, base=2, parent=2, reset=reset, normalization="none"
    ),
}

combinations = pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        pytest.param(make, build(POLICIES[reset]), id=f"{world}-{name}-{reset}")
        for world, make in WORLDS.items()
        for name, build in ALGORITHMS.items()
        for reset in (POLICIES if name != "grpo" else ["start"])
        if not (reset in ORACLE_POLICIES and world in ("blind_chain", *LANGUAGE))
    ],
)


def summary(group):
    parent = None if group.parent is None else fingerprint(group.parent)
    return [fingerprint(r) for r in group.rollouts], group.advantages.tolist(), parent, group.step


def by_prompt(collection):
    groups = {}
    for group in collection:
        groups.setdefault(group.prompt, []).append(summary(group))
    return groups


@combinations
def test_collections_keep_the_laws(make, algorithm):
    world = make()
    begin = starts(world, 8)
    ids = [3, 14, 15, 92, 65, 35, 89, 79]
    collection = algorithm.collect(world, begin, Key.of(1).child(5), ids)
    start_of = dict(zip(ids, begin, strict=True))
    kept = 0
    for group in collection:
        # Rollouts of a group share their start: the prompt's, or the reset state of the parent.
        origin = start_of[group.prompt] if group.parent is None else group.parent.states[group.step]
        assert {plain(r.states[0]) for r in group.rollouts} == {plain(origin)}
        assert (group.parent is None) == (group.step is None)
        assert group.parent is None or group.parent.failed
        # Every group is normalised on its own.
        rewards = [r.reward for r in group.rollouts]
        np.testing.assert_array_equal(
            group.advantages, group_advantages(rewards, algorithm.normalization)
        )
        assert len(group.rollouts) >= 2
        kept += len(group.rollouts)
    assert collection.generated_rollouts >= kept
    assert collection.generated_steps >= collection.generated_rollouts
    assert all(isinstance(reason, Reason) for reason in collection.refusals)

    # What is drawn for a prompt depends on its id alone, not on order or company.
    order = [6, 1, 4]
    part = algorithm.collect(
        make(), [begin[i] for i in order], Key.of(1).child(5), [ids[i] for i in order]
    )
    whole = by_prompt(collection)
    assert by_prompt(part) == {ids[i]: whole[ids[i]] for i in order if ids[i] in whole}


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
def test_base_groups_are_rollouts_of_the_policy(make):
    """Success among the base rollouts against fresh rollouts, within 4.5 standard errors."""
    world = make()
    begin = starts(world, 1) * 1500
    collection = ResetGRPO(POLICIES["first error"]).collect(world, begin, 3)
    base = [not r.failed for g in collection if g.parent is None for r in g.rollouts[:4]]
    fresh = [not r.failed for r in world.rollout(begin * 4, Key.of(8).integers(6000))]
    assert len(base) == 6000
    spread = np.sqrt(2 * np.var(fresh) / 6000)
    assert abs(np.mean(base) - np.mean(fresh)) < 4.5 * spread


def test_a_perfect_localiser_is_the_oracle_where_only_one_step_can_fail():
    """One hard step, sure elsewhere, no way back: the first error is the one improvable step."""
    problem = reasoning_tree(8, 4, 1, 0.4, 1.0, problems=5, seed=3)
    world = TabularSimulator(problem.mdp, problem.policy)
    assert isinstance(world, OracleSimulator)
    begin = world.start_states(40, 2)
    named = ResetGRPO(POLICIES["first error"]).collect(world, begin, 7)
    oracle = ResetGRPO(ImprovableReset(0.3)).collect(world, begin, 7)
    assert sum(g.parent is not None for g in named) > 30
    assert by_prompt(named) == by_prompt(oracle)
