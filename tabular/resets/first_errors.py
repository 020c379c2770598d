"""Where failed rollouts go wrong first: exact laws by recursions over (layer, return, state).

Whether a rollout fails depends on its return, so the recursions carry the return so far. Its
distinct values are few wherever rewards are outcomes; returns that already decide the outcome are
merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from cpi_theory.checks import Exact
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.operators import pull, push
from tabular.mdp.validation import Array
from tabular.resets.localizer import Localizer

MAX_RETURNS = 512
"""Most distinct returns per layer for which the recursion is worth its cost."""

# In place of returns that can only succeed, or only fail: the more are merged, the fewer there are.
_SAFE, _DOOMED = float("inf"), float("-inf")

Worths = tuple[list[Array], list[Array]]


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
        """Return the returns of an MDP, or None if they are too many."""
        # What is still to come at least and at most, whatever the path.
        least, most = _rest(mdp, np.min), _rest(mdp, np.max)
        # A zero of the MDP's own kind of numbers, floats or fractions.
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


@dataclass(frozen=True)
class Naming:
    """The law of the step that a localizer names in a failure of T steps that holds an error.

    Every step is named with probability `anyhow(T)`, the first error with `right(T)` more; some
    step with probability `recall`. `exact` says that it is always the first error.
    """

    right: Callable[[int], Exact]
    anyhow: Callable[[int], Exact]
    threshold: Exact
    recall: Exact
    exact: bool

    @classmethod
    def of(cls, localizer: Localizer, exact: bool) -> Naming:
        """Return the law that `Localizer` describes, in fractions if `exact`."""
        number: Callable[[float], Exact] = Fraction if exact else float
        threshold, accuracy = number(localizer.threshold), number(localizer.accuracy)
        recall = number(1 if localizer.recall is None else localizer.recall)
        if localizer.precision is None:
            right, lost = recall * accuracy, recall * (1 - accuracy)
            return cls(
                lambda _: right, lambda steps: lost / steps, threshold, recall, localizer.exact
            )
        precision = number(localizer.precision)

        def other(steps: int) -> Exact:
            return recall * (1 - precision) / (steps - 1) if steps > 1 else recall * 0

        def right_beyond(steps: int) -> Exact:
            return recall * precision - other(steps) if steps > 1 else recall

        return cls(right_beyond, other, threshold, recall, localizer.exact)


def first_error_weight(
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    offset: int,
    localizer: Localizer,
    success: Exact | None = None,
) -> Shaped[np.ndarray, "H S"] | None:
    """Compute w(s, h) = P(the rollout fails, its reset step is h | s_h = s), shape (H, S).

    The reset step is the one that the localizer names, `offset` steps earlier but never before
    the start.

    Args:
        mdp: the world.
        evaluation: of the policy that rolls out.
        offset: of the `FirstErrorReset`.
        localizer: how the world names errors, blurred or not.
        success: a rollout fails if its return is below this; by default R_max less 1e-9.

    Returns: None if rollouts have too many distinct returns.
    """
    returns = Returns.of(mdp, success_bar(mdp, success))
    if returns is None:
        return None
    naming = Naming.of(localizer, mdp.exact)
    walk = ErrorWalk.of(mdp, evaluation, returns, naming, mdp.start)
    return _given_visit(walk.named(offset, naming), evaluation.visits)


def success_bar(mdp: FiniteHorizonMDP, success: Exact | None) -> Exact:
    """Return the return below which a rollout fails: `success`, or R_max less a margin."""
    return mdp.reward_bound - (0 if mdp.exact else 1e-9) if success is None else success


def _given_visit(joint: Array, visits: Array) -> Array:
    reached = np.asarray(visits > 0, dtype=bool)
    result = joint * 0
    result[reached] = joint[reached] / visits[reached]
    return result if result.dtype.hasobject else np.clip(result, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class ErrorWalk:
    """Where failures go wrong, by recursions forwards on mass and backwards on expectations.

    Tables of layer h have shape (n_h, S), actions included (n_h, S, A), where n_h counts the
    distinct returns so far.
    """

    mdp: FiniteHorizonMDP
    policy: Array
    returns: Returns
    errors: NDArray[np.bool_]
    start: Array

    @classmethod
    def of(
        cls,
        mdp: FiniteHorizonMDP,
        evaluation: Evaluation,
        returns: Returns,
        naming: Naming,
        start: Array,
    ) -> ErrorWalk:
        """Return the walk of a policy from the mass `start`, shape (S,)."""
        errors = np.asarray(evaluation.advantages <= -naming.threshold, dtype=bool)
        return cls(mdp, evaluation.policy, returns, errors, start)

    def named(self, offset: int, naming: Naming) -> Array:
        """Return P(s_h = s, the rollout fails, its reset step is h), shape (H, S)."""
        joint = self.selected(offset, *self.first_errors(naming.right))
        if naming.exact:
            return joint
        return joint + self.selected(offset, *self.any_steps(naming.anyhow))

    def zeros(self, step: int) -> Array:
        """Return an empty table of layer `step`."""
        shape = (self.returns.levels[step].size, self.mdp.states)
        return np.zeros(shape, dtype=self.policy.dtype)

    def forward(self, step: int, mass: Array) -> Array:
        """Move mass (n, S, A) that takes an action to the next layer."""
        after = self.returns.after[step]
        size = self.returns.levels[step + 1].size
        gathered = np.zeros((size, *mass.shape[1:]), dtype=mass.dtype)
        states, actions = np.ogrid[: mass.shape[1], : mass.shape[2]]
        # Not `+=`: several returns may be followed by the same one.
        np.add.at(gathered, (after, states, actions), mass)
        return push(self.mdp, step, gathered)

    def backward(self, step: int, values: Array) -> Array:
        """Average what is worth `values` (n, S) at the next layer, times the policy: (n, S, A)."""
        ahead = pull(self.mdp, step, values)
        states, actions = np.ogrid[: ahead.shape[1], : ahead.shape[2]]
        going = ahead[self.returns.after[step], states, actions]
        return np.asarray(self.policy[step] * going)

    def failing(self, payout: Callable[[int], Exact]) -> list[Array]:
        """Return E[payout(T) 1{the rollout fails}] with T its length, per layer 0..H."""
        worth: list[Array] = []
        for h in reversed(range(self.mdp.horizon + 1)):
            table = self.zeros(h)
            # A rollout of no steps has none that could be named.
            table[self.returns.fails[h]] += payout(h) if h else 0
            if h < self.mdp.horizon:
                going = self.backward(h, worth[-1]).sum(axis=2)
                table = np.where(self.mdp.terminal, table, going)
            worth.append(table)
        return worth[::-1]

    def split(self, step: int, wrong: Array, right: Array) -> Array:
        """Return the worth of acting here: `wrong` where the action is an error, else `right`."""
        one, other = self.backward(step, wrong), self.backward(step, right)
        worth = np.where(self.errors[step], one, other).sum(axis=2)
        return np.asarray(worth * ~self.mdp.terminal)

    def first_errors(self, payout: Callable[[int], Exact]) -> Worths:
        """Return E[payout(T); failure, the first error is the action here], per layer 0..H-1.

        Two tables per layer: for rollouts without, and with, an error before.
        """
        failing, nothing = self.failing(payout), self.nothing()
        clean = [self.split(h, failing[h + 1], nothing[h + 1]) for h in range(self.mdp.horizon)]
        return clean, nothing[:-1]

    def any_steps(self, payout: Callable[[int], Exact]) -> Worths:
        """Return E[payout(T); failure, an error anywhere], as `first_errors`, where states act."""
        failing = self.failing(payout)
        clean = [self.zeros(self.mdp.horizon)]
        for h in reversed(range(self.mdp.horizon)):
            clean.append(self.split(h, failing[h + 1], clean[-1]))
        # Built from the last layer on: turned round, without the entry of layer H.
        return clean[:0:-1], [table * ~self.mdp.terminal for table in failing[:-1]]

    def nothing(self) -> list[Array]:
        """Return empty tables of the layers 0..H."""
        return [self.zeros(h) for h in range(self.mdp.horizon + 1)]

    def selected(self, offset: int, clean: list[Array], faulty: list[Array]) -> Array:
        """Weigh the mass of (s, h) with what a step `offset` later is worth, shape (H, S).

        At h = 0 all the steps up to `offset` count.
        """
        last = self.zeros(self.mdp.horizon)
        at_start = clean[0]
        for _ in range(offset):
            errors, others = [*faulty[1:], last], [*clean[1:], last]
            clean = [
                self.split(h, e, c) for h, (e, c) in enumerate(zip(errors, others, strict=True))
            ]
            faulty = [self.split(h, e, e) for h, e in enumerate(errors)]
            at_start = at_start + clean[0]
        rows = zip(self.masses(), [at_start, *clean[1:]], faulty, strict=True)
        return np.array([(m * c + n * f).sum(axis=0) for (m, n), c, f in rows])

    def masses(self) -> Iterator[tuple[Array, Array]]:
        """Yield the mass of layers 0..H-1 without and with an error so far; ended mass stays."""
        clean, faulty = self.zeros(0) + self.start, self.zeros(0)
        for h in range(self.mdp.horizon):
            yield clean, faulty
            if h + 1 < self.mdp.horizon:
                acting, spoilt = (m[:, :, None] * self.policy[h] for m in (clean, faulty))
                clean = self.forward(h, np.where(self.errors[h], 0, acting))
                faulty = self.forward(h, spoilt + np.where(self.errors[h], acting, 0))
