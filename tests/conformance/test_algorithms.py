"""The laws of `Algorithm` over every algorithm, reset policy and world."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.algorithms.adaptive import AdaptiveFrontier
from cpi_theory.algorithms.advantages import group_advantages
from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.parent_choice import FirstErrorModel
from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.randomness import Key
from cpi_theory.resets.oracle import ImprovableReset
from cpi_theory.seam import OracleSimulator, Reason
from cpi_theory.testing import check_algorithm
from cpi_theory.testing.comparing import same_group
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.trees import reasoning_tree
from tests.conformance.test_reset_policies import POLICIES
from tests.conformance.worlds import LANGUAGE, WORLDS, starts

ORACLE_POLICIES = {"improvable", "imperfect", "advantage"}
ALGORITHMS = {"grpo": lambda reset: GRPO()} | {
    f"{layout} {options.get('parent', 'uniform')} {options.get('on_refusal', 'drop')}"
    f"{' unmasked' * options.get('train_prefix', False)}": (
        lambda reset, layout=layout, options=options: ResetGRPO.layout(layout, reset, **options)
    )
    for layout, options in [
        ("1x4", {}),
        ("1x4", {"on_refusal": "fresh", "normalization": "leave-one-out"}),
        ("1x4", {"parent": "published", "on_refusal": "uniform"}),
        ("1x4", {"train_prefix": True}),
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
    "adaptive": lambda reset: AdaptiveFrontier(
        FrontierGRPO(rollouts=6, base=3, reset=reset, keep_parent=True)
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


@combinations
def test_it_keeps_the_laws(make, algorithm):
    check_algorithm(algorithm, make, starts(make(), 8))


@combinations
def test_every_group_is_normalised_on_its_own(make, algorithm):
    world = make()
    collection = collect(algorithm, world, starts(world, 8), 5)
    for group in collection:
        assert len(group.samples) >= 2
        assert group.parent is None or group.parent.failed
        expected = group_advantages([r.reward for r in group.rollouts], algorithm.normalization)
        for sample, advantage in zip(group.samples, expected, strict=True):
            assert (sample.advantages == advantage).all()
    assert all(isinstance(reason, Reason) for reason in collection.refusals)


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
def test_base_groups_are_rollouts_of_the_policy(make):
    """Success among the base rollouts against fresh rollouts, within 4.5 standard errors."""
    world = make()
    begin = starts(world, 1) * 600
    collection = collect(ResetGRPO(POLICIES["first error"]), world, begin, 3)
    base = [not r.failed for g in collection if g.parent is None for r in g.rollouts[:4]]
    fresh = [not r.failed for r in world.rollout(begin * 4, Key.of(8).integers(2400))]
    assert len(base) == 2400
    spread = np.sqrt(2 * np.var(fresh) / 2400)
    assert abs(np.mean(base) - np.mean(fresh)) < 4.5 * spread


def test_a_perfect_localiser_is_the_oracle_where_only_one_step_can_fail():
    """One hard step, sure elsewhere, no way back: the first error is the one improvable step."""
    problem = reasoning_tree(8, 4, 1, 0.4, 1.0, problems=5, seed=3)
    world = TabularSimulator(problem.mdp, problem.policy)
    assert isinstance(world, OracleSimulator)
    begin = world.start_states(40, 2)
    named = collect(ResetGRPO(POLICIES["first error"]), world, begin, 7)
    oracle = collect(ResetGRPO(ImprovableReset(0.3)), world, begin, 7)
    assert sum(g.parent is not None for g in named) > 30
    assert len(named) == len(oracle)
    assert all(map(same_group, named, oracle))
