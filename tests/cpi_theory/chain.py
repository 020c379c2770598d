"""A small real world for tests of the seam: a chain that one wrong action derails.

State (h, lane): lane 0 is on the path, lane 1 off it. Action 0 is right. On the path it stays
there, any other action derails; off the path action 0 recovers with probability `recovery`. The
outcome is 1 if the rollout is on the path after its last step. Everything about it is known by the
short backward recursion below, and a rollout is a function of its start and its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cpi_theory.seam import Ending, FailedLocalization, Localization, Reason, Rollout

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def uniform(key: int, counter: int) -> float:
    """Counter-based uniform on [0, 1): splitmix64."""
    z = (key + (counter + 1) * _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53


@dataclass
class Chain:
    """The chain under a policy that is right with probability `right[h]` at step h.

    `blind` is the share of failures whose first error the world cannot name, `abort` ends a
    rollout as soon as it is off the path.
    """

    right: tuple[float, ...] = (0.9, 0.5, 0.9)
    actions: int = 3
    recovery: float = 0.0
    blind: float = 0.0
    abort: bool = False
    calls: list[str] = field(default_factory=list)

    @property
    def horizon(self) -> int:
        return len(self.right)

    def rollout(self, states, keys):
        self.calls.append("rollout")
        return [self._one(s, int(k)) for s, k in zip(states, keys, strict=True)]

    def _one(self, state, key):
        start, lane = state[-2:]
        states, actions, ended = [], [], Ending.HORIZON
        for h in range(start, self.horizon):
            states.append((*state[:-2], h, lane))
            actions.append(self._action(h, uniform(key, 2 * h)))
            lane = self._next(lane, actions[-1], uniform(key, 2 * h + 1))
            if lane and self.abort:
                ended = Ending.TERMINAL
                break
        return Rollout(states, actions, float(1 - lane), bool(lane), ended)

    def _action(self, h, u):
        rest = (1 - self.right[h]) / (self.actions - 1)
        return (
            0 if u < self.right[h] else min(1 + int((u - self.right[h]) / rest), self.actions - 1)
        )

    def _next(self, lane, action, u):
        if lane == 0:
            return int(action != 0)
        return int(not (action == 0 and u < self.recovery))

    def locate_first_error(self, rollouts, keys):
        self.calls.append("locate")
        return [self._locate(r, int(k)) for r, k in zip(rollouts, keys, strict=True)]

    def _locate(self, rollout, key):
        if not rollout.failed:
            return FailedLocalization(Reason.NOT_FAILED)
        wrong = [
            i
            for i, (s, a) in enumerate(zip(rollout.states, rollout.actions, strict=True))
            if s[-1] == 0 and a != 0
        ]
        if not wrong or uniform(key, 99) < self.blind:
            return FailedLocalization(Reason.NO_ERROR if not wrong else Reason.UNPARSABLE)
        return Localization(wrong[0])

    def values(self):
        """V[h, lane] for h = 0..H by backward recursion."""
        v = np.zeros((self.horizon + 1, 2))
        v[-1] = 1.0, 0.0
        for h in reversed(range(self.horizon)):
            q = self.right_values(h, v)
            v[h] = self.right[h] * q + (1 - self.right[h]) * v[h + 1, 1]
        return v

    def right_values(self, h, v):
        """Q of the right action on each lane (every other action leads off the path)."""
        return np.array(
            [v[h + 1, 0], self.recovery * v[h + 1, 0] + (1 - self.recovery) * v[h + 1, 1]]
        )

    def best(self):
        """max_a A at (h, lane): the right action's, since every other is no better."""
        v = self.values()
        return np.array([self.right_values(h, v) - v[h] for h in range(self.horizon)])

    def visits(self):
        """P(lane at h), shape (H, 2)."""
        on = np.empty(self.horizon)
        p = 1.0
        for h in range(self.horizon):
            on[h] = p
            p = p * self.right[h] + (1 - p) * self.right[h] * self.recovery
        return np.stack([on, 1 - on], axis=1)

    def best_advantages(self, rollouts):
        best = self.best()
        return [np.array([best[s[-2:]] for s in r.states]) for r in rollouts]

    def improvable_coverage(self, tau):
        return float((self.visits() * (self.best() >= tau)).sum() / self.horizon)


class Blind:
    """The chain without its oracle: what a language model offers."""

    def __init__(self, chain):
        self.chain = chain

    def rollout(self, states, keys):
        return self.chain.rollout(states, keys)

    def locate_first_error(self, rollouts, keys):
        return self.chain.locate_first_error(rollouts, keys)


@dataclass
class Scripted:
    """One-step world whose i-th rollout of a prompt succeeds as told; for exact enumeration.

    States are ("prompt", name); an outcome None is an empty failed rollout.
    """

    outcomes: dict
    calls: list[int] = field(default_factory=list)
    given: dict = field(default_factory=dict)

    def rollout(self, states, keys):
        self.calls.append(len(states))
        return [self._one(s) for s in states]

    def _one(self, state):
        i = self.given.get(state, 0)
        self.given[state] = i + 1
        outcome = self.outcomes[state][i]
        if outcome is None:
            return Rollout((), (), 0.0, True, Ending.HORIZON)
        return Rollout((state,), (i,), float(outcome), not outcome, Ending.TERMINAL)

    def locate_first_error(self, rollouts, keys):
        return [
            Localization(0) if r.failed else FailedLocalization(Reason.NOT_FAILED) for r in rollouts
        ]
