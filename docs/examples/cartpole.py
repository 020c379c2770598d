"""CartPole on the seam: a reset puts a cloned state back, and the policy is four numbers.

A rollout succeeds if the pole stays up for all of its `horizon` pushes. Neither a table nor torch
is needed to learn: :func:`cpi_theory.policy_gradient` takes the score of any policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import gymnasium
import numpy as np

from cpi_theory import Ending, FailedLocalization, Keys, Localization, Reason, Rollout

State = tuple[int, tuple[float, ...]]
"""How many pushes were made, and position, velocity, angle and angular velocity."""


@dataclass
class CartPole:
    """The cart under a policy that pushes right with probability 1 / (1 + exp(-theta . s))."""

    theta: np.ndarray = field(default_factory=lambda: np.zeros(4))
    horizon: int = 60

    def __post_init__(self) -> None:
        self._env = gymnasium.make("CartPole-v1").unwrapped

    def starts(self, count: int, seed: int = 0) -> list[State]:
        """Nearly upright states, as the environment draws them."""
        rng = np.random.default_rng(seed)
        return [(0, tuple(rng.uniform(-0.05, 0.05, 4).tolist())) for _ in range(count)]

    def rollout(self, states: Sequence[State], keys: Keys) -> list[Rollout]:
        """One continuation of the policy from each state."""
        return [self._one(state, int(key)) for state, key in zip(states, keys, strict=True)]

    def _one(self, state: State, key: int) -> Rollout:
        step, observed = state
        rng = np.random.default_rng([key, step])
        self._env.reset(seed=0)
        self._env.state = np.array(observed)
        states, actions, fallen = [], [], False
        while step < self.horizon and not fallen:
            states.append((step, observed))
            actions.append(int(rng.random() < self.right(observed)))
            _, _, fallen, _, _ = self._env.step(actions[-1])
            observed, step = tuple(map(float, self._env.state)), step + 1
        ended = Ending.TERMINAL if fallen else Ending.HORIZON
        return Rollout(states, actions, float(not fallen), fallen, ended)

    def right(self, observed: tuple[float, ...]) -> float:
        """Probability of a push to the right."""
        return float(1 / (1 + np.exp(-self.theta @ np.array(observed))))

    def score(self, state: State, action: int) -> np.ndarray:
        """Gradient of log pi(action | state) with respect to theta."""
        return (action - self.right(state[1])) * np.array(state[1])

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """The first push in the direction that the pole does not lean to, where it leans at all."""
        del keys  # nothing is drawn
        return [self._locate(rollout) for rollout in rollouts]

    def _locate(self, rollout: Rollout) -> Localization | FailedLocalization:
        if not rollout.failed:
            return FailedLocalization(Reason.NOT_FAILED)
        for i, ((_, observed), action) in enumerate(
            zip(rollout.states, rollout.actions, strict=True)
        ):
            lean = observed[2] + 0.2 * observed[3]
            if abs(lean) > 0.02 and (lean > 0) != bool(action):
                return Localization(i)
        return FailedLocalization(Reason.NO_ERROR)


def train(algorithm: object, updates: int = 30, rate: float = 0.5, seed: int = 0) -> list[float]:
    """Share of successes among 100 fresh rollouts before training and after every ten updates."""
    from cpi_theory import Key, collect, policy_gradient

    world, key = CartPole(), Key.of(seed)
    shares = [_success(world, key)]
    for update in range(updates):
        starts = world.starts(4, seed=1000 * seed + update)
        collection = collect(algorithm, world, starts, key.child(update))
        step = policy_gradient(collection, world.score)
        size = max(float(np.linalg.norm(step)), 1e-9)
        world.theta = world.theta + rate * np.asarray(step) / size
        if (update + 1) % 10 == 0:
            shares.append(_success(world, key))
    return shares


def _success(world: CartPole, key: object) -> float:
    keys = key.child("evaluate").integers(100)
    rollouts = world.rollout(world.starts(100, seed=99), keys)
    return float(np.mean([not r.failed for r in rollouts]))


if __name__ == "__main__":
    from cpi_theory import GRPO, RRPO, SRPO

    for name, algorithm in (("GRPO", GRPO(8)), ("RRPO", RRPO()), ("SRPO", SRPO())):
        print(name, train(algorithm))
