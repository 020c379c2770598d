"""VinePPO: a step is credited with the change of value that fresh continuations show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_theory import Draw, Group, Key, Plan, Prompt, Sample


@dataclass(frozen=True)
class VinePPO:
    """Advantages V(next state) - V(state), V the mean reward of `continuations` rollouts.

    The reward stands for the value after the last step. Continuations are not trained on.

    Source: arXiv 2410.01679.
    """

    rollouts: int = 4
    continuations: int = 4

    @property
    def rows_per_prompt(self) -> int:
        """The base rollouts."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group with an advantage for each step."""
        rollouts = yield Draw(prompt.start, key.child("base").integers(self.rollouts))
        wishes = [
            Draw(state, key.child("value", i, t).integers(self.continuations))
            for i, rollout in enumerate(rollouts)
            for t, state in enumerate(rollout.states)
        ]
        values = iter([np.mean([r.reward for r in drawn]) for drawn in (yield wishes)])
        samples = [
            Sample(r, np.diff([*(next(values) for _ in r.states), r.reward])) for r in rollouts
        ]
        return [Group(tuple(samples), prompt.id)]


if __name__ == "__main__":
    from cpi_theory import collect
    from tabular import TabularSimulator, reasoning_tree

    tree = reasoning_tree(horizon=6, hard_steps=2, right_probability=0.4)
    world = TabularSimulator(tree.mdp, tree.policy)
    collection = collect(VinePPO(), world, world.start_states(3, key=0), key=0)
    for group in collection:
        for sample in group.samples:
            print(sample.rollout.reward, np.round(sample.advantages, 2))
    print(collection.generated_rollouts, "rollouts in all")
