"""Blame without resets: what precedes the first error that the world names is not punished."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_theory import (
    Draw,
    FirstErrorReset,
    Group,
    Key,
    NameSteps,
    Plan,
    Prompt,
    Refusal,
    Sample,
    may_be_parent,
)


@dataclass(frozen=True)
class FirstErrorBlame:
    """A group from the start; a failure's steps before its named first error get `credit`.

    SRPO without resets: it uses the same answers of the world, but no later states.

    Source: after VPPO, arXiv 2601.18984.
    """

    rollouts: int = 8
    credit: float = 0.5

    @property
    def rows_per_prompt(self) -> int:
        """All rollouts."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group whose failures are blamed from their first error on."""
        rollouts = yield Draw(prompt.start, key.child("base").integers(self.rollouts))
        failures = [i for i, r in enumerate(rollouts) if may_be_parent(r)]
        wish = NameSteps(
            FirstErrorReset(),
            [rollouts[i] for i in failures],
            key.child("locate").integers(len(failures)),
        )
        named = dict(zip(failures, (yield wish), strict=True))
        samples = []
        for i, rollout in enumerate(rollouts):
            credit = np.full(len(rollout), 1.0 if not rollout.failed else -1.0)
            answer = named.get(i)
            if answer is not None and not isinstance(answer, Refusal):
                credit[: int(np.argmax(answer))] = self.credit
            samples.append(Sample(rollout, credit))
        return [Group(tuple(samples), prompt.id)]


if __name__ == "__main__":
    from cpi_theory import collect
    from tabular import TabularSimulator, reasoning_tree

    tree = reasoning_tree(horizon=6, hard_steps=2, right_probability=0.4)
    world = TabularSimulator(tree.mdp, tree.policy)
    for group in collect(FirstErrorBlame(), world, world.start_states(2, key=0), key=0):
        for sample in group.samples:
            print(sample.rollout.reward, sample.advantages)
