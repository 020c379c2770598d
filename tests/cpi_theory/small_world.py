"""A small layered MDP in plain numpy that implements `ConservativeWorld`, for tests alone.

Independent of the package's own tabular worlds: everything exact comes from three short loops, and
trials are drawn straight from their definition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cpi_theory.algorithms.trials import Trials
from cpi_theory.bounds.finite_horizon import ResetStep
from cpi_theory.resets.oracle import ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import Ending, FailedLocalization, Reason, Rollout


@dataclass(frozen=True, eq=False)
class SmallWorld:
    """Transitions (H, S, A, S), rewards (H, S, A), policy (H, S, A); start in state 0.

    Every (h, s) is its own observation, numbered h * S + s, unless `aliased`.
    """

    transitions: np.ndarray
    rewards: np.ndarray
    policy: np.ndarray
    reward_bound: float = 1.0
    aliased: bool = False

    @classmethod
    def random(cls, seed, horizon=3, states=3, actions=2, aliased=False):
        rng = np.random.default_rng(seed)
        shape = (horizon, states, actions)
        return cls(
            rng.dirichlet(np.full(states, 0.5), shape),
            rng.random(shape) / horizon,
            rng.dirichlet(np.ones(actions), shape[:2]),
            aliased=aliased,
        )

    horizon = property(lambda self: self.policy.shape[0])
    action_count = property(lambda self: self.policy.shape[2])

    @property
    def observation_count(self):
        return 1 if self.aliased else self.policy.shape[0] * self.policy.shape[1]

    def observations(self):
        shape = self.policy.shape[:2]
        return np.zeros(shape, int) if self.aliased else np.arange(np.prod(shape)).reshape(shape)

    def q_values(self):
        q, v = np.zeros(self.policy.shape), np.zeros(self.policy.shape[1])
        for h in reversed(range(self.horizon)):
            q[h] = self.rewards[h] + self.transitions[h] @ v
            v = (self.policy[h] * q[h]).sum(axis=-1)
        return q

    def values(self):
        return (self.policy * self.q_values()).sum(axis=-1)

    def advantages(self):
        return self.q_values() - self.values()[..., None]

    def visits(self):
        d = np.zeros(self.policy.shape[:2])
        d[0, 0] = 1
        for h in range(self.horizon - 1):
            d[h + 1] = np.einsum("s,sa,sat->t", d[h], self.policy[h], self.transitions[h])
        return d

    def value(self):
        return float(self.values()[0, 0])

    def weight(self, reset):
        if isinstance(reset, UniformReset):
            return np.ones(self.policy.shape[:2])
        if isinstance(reset, StartReset):
            return (np.arange(self.horizon) == 0)[:, None] * np.ones(self.policy.shape[:2])
        assert isinstance(reset, ImprovableReset)
        return reset.weights_at(self.advantages().max(axis=-1), 0.0)

    def candidate_policy(self, candidate):
        return np.eye(self.action_count)[candidate[self.observations()]]

    def mix(self, candidate, reset, alpha):
        w = (alpha * self.weight(reset))[..., None]
        mixed = (1 - w) * self.policy + w * self.candidate_policy(candidate)
        return replace(self, policy=mixed)

    def exact_step(self, reset, candidate=None):
        w, a = self.weight(reset), self.advantages()
        mass = self.visits() / self.horizon * w
        if candidate is None:
            scores = np.zeros((self.observation_count, self.action_count))
            np.add.at(scores, self.observations(), mass[..., None] * a)
            candidate = scores.argmax(axis=1)
        abar = (self.candidate_policy(candidate) * a).sum(axis=-1)
        p = mass.sum()
        remaining = (self.horizon - 1 - np.arange(self.horizon))[:, None]
        return candidate, ResetStep(
            horizon=self.horizon,
            coverage=float(min(p, 1)),
            advantage=float((mass * abar).sum() / p) if p > 0 else 0.0,
            spread=float((w * abar).max() - (w * abar).min()),
            remaining=float((mass * remaining).sum() / p) if p > 0 else 0.0,
        )

    def draw_trials(self, reset, count, key):
        rng = key.generator()
        w, visits = self.weight(reset), self.visits()
        if not (w * visits).sum() > 0:
            return _none()
        mass = (visits / self.horizon).ravel()
        flat, draws = np.zeros(0, int), 0
        while len(flat) < count:  # keep an on-policy (h, s) with probability w, up to the last hit
            drawn = rng.choice(mass.size, p=mass / mass.sum(), size=2 * count)
            kept = np.flatnonzero(rng.random(2 * count) < w.ravel()[drawn])[: count - len(flat)]
            flat = np.concatenate([flat, drawn[kept]])
            draws += int(kept[-1]) + 1 if len(flat) == count else 2 * count
        h, s = np.divmod(flat, visits.shape[1])
        a = rng.integers(self.action_count, size=count)
        return Trials(
            states=np.stack([h, s], axis=1),
            observations=self.observations()[h, s],
            actions=a,
            returns=self._returns(h, s, a, rng),
            probabilities=self.policy[h, s, a],
            remaining=self.horizon - 1 - h,
            coverage_hits=count,
            coverage_draws=draws,
            rollouts=draws,
        )

    def _returns(self, layers, states, actions, rng):
        s, a, returns = states.copy(), actions.copy(), np.zeros(len(states))
        for h in range(self.horizon):
            now = layers <= h
            fresh = layers < h
            a[fresh] = _draw(self.policy[h, s[fresh]], rng)
            returns[now] += self.rewards[h, s[now], a[now]]
            s[now] = _draw(self.transitions[h, s[now], a[now]], rng)
        return returns

    def rollout(self, states, keys):
        rollouts = []
        for (start, s), key in zip(states, keys, strict=True):
            rng = np.random.default_rng(int(key))
            visited, taken, total = [], [], 0.0
            for h in range(start, self.horizon):
                a = int(_draw(self.policy[h, [s]], rng)[0])
                visited.append((h, s))
                taken.append(a)
                total += float(self.rewards[h, s, a])
                s = int(_draw(self.transitions[h, [s], [a]], rng)[0])
            rollouts.append(Rollout(visited, taken, total, total < 0.5, Ending.HORIZON))
        return rollouts

    def locate_first_error(self, rollouts, keys):
        reasons = (Reason.NO_ERROR if r.failed else Reason.NOT_FAILED for r in rollouts)
        return [FailedLocalization(reason) for reason in reasons]


def _draw(rows, rng):
    below = rng.random(len(rows))[:, None] >= np.cumsum(rows, axis=1)
    return np.minimum(below.sum(axis=1), rows.shape[1] - 1)


def _none():
    empty = np.zeros(0, int)
    return Trials(np.zeros((0, 2), int), empty, empty, empty * 1.0, empty * 1.0, empty, 0, 100, 100)


def trap(horizon=3, gain=0.2, loss=0.3):
    """The two-state trap, rewards shifted by `loss` so that none is negative."""
    transitions = np.zeros((horizon, 2, 2, 2))
    transitions[:, 0, 0, 0] = transitions[:, 0, 1, 1] = transitions[:, 1, :, 1] = 1
    rewards = np.array([[loss, loss + gain], [loss, 0.0]])
    policy = np.zeros((horizon, 2, 2))
    policy[..., 0] = 1
    return SmallWorld(
        transitions, np.broadcast_to(rewards, (horizon, 2, 2)), policy, horizon * (gain + loss)
    )
