"""Where failed rollouts go wrong first: exact laws by recursions over (layer, return, state).

Whether a rollout fails depends on its return, so the recursions carry the return so far. Its
distinct values are few wherever rewards are outcomes; returns that already decide the outcome are
merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import Exact
from tabular.evaluation import Evaluation, pull, push
from tabular.mdp import FiniteHorizonMDP
from tabular.validation import Array

MAX_RETURNS = 512
"""Most distinct returns per layer for which the recursion is worth its cost."""

_SMALLEST = 1e-9
"""How negative an advantage must be to count as an error."""

_SAFE, _DOOMED = float("inf"), float("-inf")


@dataclass(frozen=True, eq=False)
class Returns:
    """The distinct returns so far of rollouts, layer by layer.

    Attributes:
        levels: per layer h = 0..H the distinct returns, shape (n_h,); +inf and -inf stand for
            those that can only succeed or fail.
        after: per layer h < H the index into levels[h + 1] that follows, shape (n_h, S, A).
        fails: per layer h = 0..H whether a rollout that ends there has failed, shape (n_h,).
    """

    levels: tuple[Array, ...]
    after: tuple[NDArray[np.int64], ...]
    fails: tuple[NDArray[np.bool_], ...]

    @classmethod
    def of(cls, mdp: FiniteHorizonMDP, success: Exact) -> Returns | None:
        """The returns of an MDP, or None if they are too many."""
        least, most = _rest(mdp, np.min), _rest(mdp, np.max)
        levels = [np.array([mdp.start[0] * 0], dtype=mdp.rewards.dtype)]
        after = []
        for h in range(mdp.horizon):
            sums = levels[h][:, None, None] + mdp.reward(h)
            sums = np.where(sums + least[h + 1] >= success, _SAFE, sums)
            sums = np.where(sums + most[h + 1] < success, _DOOMED, sums)
            if not mdp.exact:
                # The same rewards in another order may differ in the last digits.
                sums = np.round(sums / float(mdp.reward_bound), 12) * float(mdp.reward_bound)
            distinct, index = np.unique(sums, return_inverse=True)
            if distinct.size > MAX_RETURNS:
                return None
            levels.append(distinct)
            after.append(index.reshape(sums.shape))
        fails = tuple(np.asarray(level < success, dtype=bool) for level in levels)
        return cls(tuple(levels), tuple(after), fails)


def _rest(mdp: FiniteHorizonMDP, extreme: Any) -> list[Any]:
    """Least or greatest sum of rewards over the layers from h on, for h = 0..H."""
    sums = [mdp.start[0] * 0]
    for h in reversed(range(mdp.horizon)):
        sums.append(sums[-1] + extreme(mdp.reward(h)))
    return sums[::-1]


def first_error_weight(
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    offset: int,
    localizer: Any = None,
    success: Exact | None = None,
) -> Array | None:
    """w(s, h) = P(the rollout fails and its reset step is h | s_h = s), shape (H, S).

    The reset step is the first error, `offset` steps earlier but never before the start.

    Args:
        mdp: the world.
        evaluation: of the policy that rolls out.
        offset: of the `FirstErrorReset`.
        localizer: how the world names errors; None names exactly the first action of negative
            advantage.
        success: a rollout fails if its return is below this; by default R_max less 1e-9.

    Returns: None if rollouts have too many distinct returns.
    """
    bar = mdp.reward_bound - (0 if mdp.exact else 1e-9) if success is None else success
    returns = Returns.of(mdp, bar)
    if returns is None:
        return None
    walk = _Walk(mdp, evaluation.policy, returns)
    errors = evaluation.advantages <= -_threshold(localizer)
    named = _joint(walk, errors, offset)
    return _given_visit(named, evaluation.visits)


def _threshold(localizer: Any) -> Any:
    return _SMALLEST if localizer is None else localizer.threshold


def _given_visit(joint: Array, visits: Array) -> Array:
    reached = np.asarray(visits > 0, dtype=bool)
    result = joint * 0
    result[reached] = joint[reached] / visits[reached]
    return result if result.dtype.hasobject else np.clip(result, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class _Walk:
    """One step of a rollout, forwards as mass and backwards as expectation, with its return."""

    mdp: FiniteHorizonMDP
    policy: Array
    returns: Returns

    @property
    def acting(self) -> NDArray[np.bool_]:
        return ~self.mdp.terminal

    def zeros(self, step: int) -> Array:
        shape = (self.returns.levels[step].size, self.mdp.states)
        return np.zeros(shape, dtype=self.policy.dtype)

    def forward(self, step: int, mass: Array) -> Array:
        """Mass (n, S, A) that takes an action, moved to (n', S) at the next layer."""
        after = self.returns.after[step]
        size = self.returns.levels[step + 1].size
        gathered = np.zeros((size, *mass.shape[1:]), dtype=mass.dtype)
        states, actions = np.ogrid[: mass.shape[1], : mass.shape[2]]
        np.add.at(gathered, (after, states, actions), mass)
        return push(self.mdp, step, gathered) * self.acting

    def backward(self, step: int, values: Array) -> Array:
        """Expected (n, S, A) of what is worth (n', S) at the next layer."""
        after = self.returns.after[step]
        ahead = pull(self.mdp, step, values)
        states, actions = np.ogrid[: ahead.shape[1], : ahead.shape[2]]
        return ahead[after, states, actions]


def _failing(walk: _Walk) -> list[Array]:
    """P(the rollout fails | return so far, state) per layer 0..H, shapes (n_h, S)."""
    chances: list[Array] = []
    for h in reversed(range(walk.mdp.horizon + 1)):
        ended = walk.zeros(h) + walk.returns.fails[h].astype(int).astype(walk.policy.dtype)[:, None]
        if h < walk.mdp.horizon:
            going = (walk.policy[h] * walk.backward(h, chances[-1])).sum(axis=2)
            ended = np.where(walk.acting, going, ended)
        chances.append(ended)
    return chances[::-1]


def _joint(walk: _Walk, errors: NDArray[np.bool_], offset: int) -> Array:
    """P(s_h = s, the rollout fails, its reset step is h), shape (H, S)."""
    horizon = walk.mdp.horizon
    wrong = np.where(errors, walk.policy, 0)
    right = walk.policy - wrong
    failing = _failing(walk)
    ahead = [(wrong[h] * walk.backward(h, failing[h + 1])).sum(axis=2) for h in range(horizon)]
    ahead = [table * walk.acting for table in ahead]
    first = ahead[0]
    for _ in range(offset):
        later = [*ahead[1:], walk.zeros(horizon)]
        ahead = [
            (right[h] * walk.backward(h, later[h])).sum(axis=2) * walk.acting
            for h in range(horizon)
        ]
        first = first + ahead[0]
    faultless = walk.zeros(0) + walk.mdp.start * walk.acting
    result = [(faultless * first).sum(axis=0)]
    for h in range(1, horizon):
        faultless = walk.forward(h - 1, faultless[:, :, None] * right[h - 1])
        result.append((faultless * ahead[h]).sum(axis=0))
    return np.array(result)
