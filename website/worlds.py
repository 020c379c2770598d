"""The worlds that pages show things in."""

from __future__ import annotations

from functools import cache

from cpi_theory.randomness import Key
from experiments.worlds.tabular import WORLDS, build_world
from tabular.simulation.conservative import ConservativeTabular
from tabular.simulation.revising import RevisingTabular
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.second_attempts import in_all_copies, second_attempts
from tabular.worlds.trees import ReasoningTree, reasoning_tree

MEASURED = "tree-natural"
"""The world of `learn` in which a method's cost is counted."""


@cache
def small_tree() -> ReasoningTree:
    """Six steps, two of them hard: small enough to be drawn, and half of its failures differ."""
    return reasoning_tree(horizon=6, branching=3, hard_steps=2, right_probability=0.5, seed=4)


@cache
def small_world(revises: bool = False) -> TabularSimulator:
    """The small tree under its base policy, with second attempts if wanted."""
    tree = small_tree()
    if revises:
        return RevisingTabular(second_attempts(tree.mdp), in_all_copies(tree.policy, 3))
    return ConservativeTabular(tree.mdp, tree.policy)


@cache
def measured_world(revises: bool = False) -> TabularSimulator:
    """The world :data:`MEASURED` of seed 0 under its base policy."""
    seeded = build_world(WORLDS[MEASURED], Key.of(0).child("learn", MEASURED).child("instance"))
    mdp, policy = seeded.problem.mdp, seeded.problem.policy
    if revises:
        return RevisingTabular(second_attempts(mdp), in_all_copies(policy, 3), None, seeded.success)
    return TabularSimulator(mdp, policy, success=seeded.success)
