"""Small worlds that are evaluated by listing every path in exact arithmetic.

So nothing the bounds speak of (values, advantages, deviations, visits) comes from the library.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from fractions import Fraction as F

from cpi_theory.bounds.finite_horizon import ResetStep

STATES, ACTIONS = range(2), range(2)


@dataclass(frozen=True)
class World:
    """Two states, two actions; tables indexed [h][s][a] and [h][s]."""

    start: list
    kernel: list
    reward: list
    policy: list
    candidate: list
    weight: list

    @property
    def horizon(self):
        return len(self.reward)

    def mixture(self, alpha):
        return [
            [
                [
                    (1 - alpha * self.weight[h][s]) * self.policy[h][s][a]
                    + alpha * self.weight[h][s] * self.candidate[h][s][a]
                    for a in ACTIONS
                ]
                for s in STATES
            ]
            for h in range(self.horizon)
        ]

    def paths(self, policy):
        """(probability, states, actions) of every path."""
        for states in itertools.product(STATES, repeat=self.horizon):
            for actions in itertools.product(ACTIONS, repeat=self.horizon):
                chance = self.start[states[0]]
                for h in range(self.horizon):
                    chance *= policy[h][states[h]][actions[h]]
                    if h + 1 < self.horizon:
                        chance *= self.kernel[h][states[h]][actions[h]][states[h + 1]]
                if chance:
                    yield chance, states, actions

    def value(self, policy):
        return sum(
            chance * sum(self.reward[h][states[h]][actions[h]] for h in range(self.horizon))
            for chance, states, actions in self.paths(policy)
        )

    def advantages(self):
        ahead = [F(0), F(0)]
        table = []
        for h in reversed(range(self.horizon)):
            q = [
                [
                    self.reward[h][s][a] + sum(self.kernel[h][s][a][t] * ahead[t] for t in STATES)
                    for a in ACTIONS
                ]
                for s in STATES
            ]
            ahead = [sum(self.policy[h][s][a] * q[s][a] for a in ACTIONS) for s in STATES]
            table.insert(0, [[q[s][a] - ahead[s] for a in ACTIONS] for s in STATES])
        return table

    def gain(self, alpha):
        return self.value(self.mixture(alpha)) - self.value(self.policy)

    def step(self):
        """The bound's inputs, by their definitions, over all paths."""
        advantage = self.advantages()
        abar = [
            [sum(self.candidate[h][s][a] * advantage[h][s][a] for a in ACTIONS) for s in STATES]
            for h in range(self.horizon)
        ]
        f = [self.weight[h][s] * abar[h][s] for h in range(self.horizon) for s in STATES]
        covered = gained = later = F(0)
        for chance, states, _ in self.paths(self.policy):
            for h, s in enumerate(states):
                selected = chance * self.weight[h][s] / self.horizon
                covered += selected
                gained += selected * abar[h][s]
                later += selected * (self.horizon - 1 - h)
        safe = covered or 1
        return ResetStep(self.horizon, covered, gained / safe, max(f) - min(f), later / safe)

    def deviations(self, alpha):
        result = [F(0)] * self.horizon
        for chance, states, _ in self.paths(self.policy):
            undeviated = F(1)
            for h, s in enumerate(states):
                result[h] += chance * (1 - undeviated)
                undeviated *= 1 - alpha * self.weight[h][s]
        return result

    def weighted_gains(self):
        """f = w * Abar, indexed [h][s]."""
        advantage = self.advantages()
        return [
            [
                self.weight[h][s]
                * sum(self.candidate[h][s][a] * advantage[h][s][a] for a in ACTIONS)
                for s in STATES
            ]
            for h in range(self.horizon)
        ]

    def undeviated(self, alpha):
        """E_pi[f Lambda_h] by layer: paths of pi, weighted by what has not deviated yet."""
        gains, f = [F(0)] * self.horizon, self.weighted_gains()
        for chance, states, _ in self.paths(self.policy):
            for h, s in enumerate(states):
                gains[h] += chance * f[h][s]
                chance *= 1 - alpha * self.weight[h][s]
        return gains

    def reached(self):
        """(R_h, T_h) by layer: states of pi, and those after a candidate's action where w > 0."""
        own, after = ([set() for _ in range(self.horizon)] for _ in range(2))
        todo = [(0, s, False) for s in STATES if self.start[s]]
        while todo:
            h, s, deviated = todo.pop()
            (after if deviated else own)[h].add(s)
            for a, t in itertools.product(ACTIONS, STATES):
                if h + 1 == self.horizon or not self.kernel[h][s][a][t]:
                    continue
                if self.policy[h][s][a]:
                    todo.append((h + 1, t, deviated))
                if self.weight[h][s] and self.candidate[h][s][a]:
                    todo.append((h + 1, t, True))
        return own, after

    def visit_law(self, marked):
        law = [F(0)] * (self.horizon + 1)
        for chance, states, _ in self.paths(self.policy):
            law[sum(marked[h][s] for h, s in enumerate(states))] += chance
        return law


def random_world(seed, horizon):
    """Any world: zero probabilities, zero weights and negative rewards included."""
    draw = random.Random(seed)

    def law():
        share = F(draw.randint(0, 6), 6)
        return [share, 1 - share]

    def table(entry):
        return [[entry() for _ in STATES] for _ in range(horizon)]

    return World(
        start=law(),
        kernel=table(lambda: [law(), law()]),
        reward=table(lambda: [F(draw.randint(-4, 4), 4) for _ in ACTIONS]),
        policy=table(law),
        candidate=table(law),
        weight=table(lambda: F(draw.randint(0, 3), 3)),
    )


def trap(horizon, gain, loss, weight=F(1), start=F(1)):
    """State 0: the second action pays `gain` and leads to 1, for good, where it pays `loss`."""
    stay, leave = [F(1), F(0)], [F(0), F(1)]
    return World(
        start=[start, 1 - start],
        kernel=[[[stay, leave], [leave, leave]]] * horizon,
        reward=[[[F(0), gain], [F(0), loss]]] * horizon,
        policy=[[stay, stay]] * horizon,
        candidate=[[leave, leave]] * horizon,
        weight=[[weight, weight]] * horizon,
    )
