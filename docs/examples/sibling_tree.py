"""A tree of cut rollouts: siblings share a state, and each is worth what is reached below it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_theory import Draw, Ending, Group, Key, Plan, Prompt


@dataclass(frozen=True)
class SiblingTree:
    """Branches every `steps` steps into `branches` siblings; their values are compared.

    A sibling's value is its reward, or the mean value of its children where it was cut. Siblings
    are one group with advantage value - mean of the siblings' values. A level is one call.

    Source: after TreeRPO, arXiv 2506.05183.
    """

    branches: int = 3
    steps: int = 2
    depth: int = 3

    @property
    def rows_per_prompt(self) -> int:
        """Every edge of the whole tree."""
        return sum(self.branches**level for level in range(1, self.depth + 1))

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """All groups of the tree, level by level; values are then carried up from its leaves."""
        nodes, levels = [(prompt.start, key)], []
        for level in range(self.depth):
            most = self.steps if level + 1 < self.depth else None
            families = yield [Draw(s, k.integers(self.branches), most) for s, k in nodes]
            levels.append(families)
            nodes = [
                (sibling.last, k.child(i))
                for (_, k), family in zip(nodes, families, strict=True)
                for i, sibling in enumerate(family)
                if sibling.ended is Ending.CUT
            ]
        groups, below = [], iter(())
        for families in reversed(levels):
            means = []
            for family in families:
                values = [next(below) if r.ended is Ending.CUT else r.reward for r in family]
                means.append(float(np.mean(values)))
                groups.append(Group.of(family, np.array(values) - means[-1], prompt.id))
            below = iter(means)
        return groups


if __name__ == "__main__":
    from cpi_theory import collect
    from tabular import TabularSimulator, reasoning_tree

    tree = reasoning_tree(horizon=6, hard_steps=2, right_probability=0.4)
    world = TabularSimulator(tree.mdp, tree.policy)
    for group in collect(SiblingTree(), world, world.start_states(1, key=0), key=0):
        print(group.rollouts[0].states[0], np.round(group.advantages, 2))
