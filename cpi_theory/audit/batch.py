"""What an advantage estimator is given, and what is asked of what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpi_theory.audit.forest import Forest
from cpi_theory.checks import ANYBODYS, InvalidInput
from cpi_theory.seam import Ending, Group, Rollout


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rollouts as arrays: n of them, padded to T tokens; a token is a decision of the policy.

    Whatever an estimator may want is there, what only a known world can tell included, so that a
    critic or a baseline can be given its ideal input.

    Attributes:
        rewards: sum of rewards of each rollout, shape (n,).
        groups: id of the prompt that each rollout belongs to, int, shape (n,).
        starts: id of the state that it started in, int, shape (n,); in one group they differ
            where some rollouts continue others.
        mask: which tokens there are, bool, shape (n, T); False is padding, at the end.
        steps: number of the step (turn) that each token belongs to, from 0 on; -1 is padding; int,
            shape (n, T).
        states: id of the state before each token, int, shape (n, T); -1 is padding.
        step_rewards: paid after each token, shape (n, T); 0 for padding.
        truncated: whether it ran out of steps, bool, shape (n,).
        log_probs: log pi of each token under the policy, shape (n, T); 0 for padding.
        squared_probs: sum over actions of pi^2 before each token, shape (n, T); 0 for padding.
        values: the true V before each token: an ideal critic; shape (n, T); 0 for padding.
        greedy: expected reward from the rollout's start under the policy's likeliest actions,
            shape (n,).
    """

    rewards: NDArray[Any]
    groups: NDArray[np.int64]
    starts: NDArray[np.int64]
    mask: NDArray[np.bool_]
    steps: NDArray[np.int64]
    states: NDArray[np.int64]
    step_rewards: NDArray[Any]
    truncated: NDArray[np.bool_]
    log_probs: NDArray[np.float64]
    squared_probs: NDArray[np.float64]
    values: NDArray[np.float64]
    greedy: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each rollout, shape (n,)."""
        return np.asarray(self.mask.sum(axis=1))

    @classmethod
    def of(cls, groups: Sequence[Group], forest: Forest, exact: bool = False) -> Batch:
        """The rollouts of all groups in their order; a group's id is that of its prompt.

        Args:
            groups: of algorithms, whose own advantages are left out.
            forest: their world.
            exact: give rewards as fractions, in arrays of objects.
        """
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        ids = [group.prompt for group in groups for _ in group.samples]
        kind, number = (object, Fraction) if exact else (np.float64, float)
        rewards = [[number(paid) for paid in forest.rewards(rollout)] for rollout in rollouts]
        width = max(map(len, rollouts))
        return cls(
            np.array([sum(row) for row in rewards], kind),
            np.array(ids, np.int64),
            np.array([r.states[0] for r in rollouts], np.int64),
            np.array([[t < len(r) for t in range(width)] for r in rollouts]),
            _padded([range(len(r)) for r in rollouts], width, -1, np.int64),
            _padded([r.states for r in rollouts], width, -1, np.int64),
            _padded(rewards, width, number(0), kind),
            np.array([r.ended is Ending.HORIZON for r in rollouts]),
            _padded(_looked_up(forest, rollouts, 0), width, 0, np.float64),
            _padded(_looked_up(forest, rollouts, 1), width, 0, np.float64),
            _padded(_looked_up(forest, rollouts, 2), width, 0, np.float64),
            np.array([forest.greedy_value(r.states[0]) for r in rollouts], np.float64),
        )

    def pick(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        """The rollouts of these indices, in this order."""
        return Batch(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def copy(self) -> Batch:
        """The same in arrays of its own."""
        return Batch(**{f.name: getattr(self, f.name).copy() for f in fields(self)})

    def regrouped(self, groups: NDArray[np.int64]) -> Batch:
        """The same rollouts with other ids of groups, shape (n,)."""
        return replace(self, groups=groups)

    def padded(self, columns: int) -> Batch:
        """The same rollouts with so many more columns of padding."""
        fill = {"mask": False, "steps": -1, "states": -1}
        wider = {
            f.name: np.pad(
                getattr(self, f.name), ((0, 0), (0, columns)), constant_values=fill.get(f.name, 0)
            )
            for f in fields(self)
            if getattr(self, f.name).ndim == 2
        }
        return replace(self, **wider)

    def stretched(self, times: int) -> Batch:
        """The same with every step `times` tokens long; all but the first are certain.

        A certain token (probability one) cannot be learned; rewards follow a step's last token.
        """
        first = np.arange(self.mask.shape[1] * times) % times == 0
        last = np.arange(self.mask.shape[1] * times) % times == times - 1
        wide = {
            f.name: np.repeat(getattr(self, f.name), times, axis=1)
            for f in fields(self)
            if getattr(self, f.name).ndim == 2
        }
        wide["step_rewards"] = wide["step_rewards"] * last
        wide["log_probs"] = wide["log_probs"] * first
        wide["squared_probs"] = np.where(first | ~wide["mask"], wide["squared_probs"], 1.0)
        return replace(self, **wide)


def _padded(rows: Sequence[Any], width: int, fill: Any, kind: Any) -> NDArray[Any]:
    return np.array([[*row, *[fill] * (width - len(row))] for row in rows], kind)


def _looked_up(forest: Forest, rollouts: Sequence[Rollout], which: int) -> list[list[float]]:
    """Log-probability of each step, or the sum of squared probabilities, or the value before it."""
    return [
        [forest.numbers(s, a)[which] for s, a in zip(r.states, r.actions, strict=True)]
        for r in rollouts
    ]


Estimator = Callable[[Batch], ArrayLike]
"""Returns advantages: one per rollout, shape (n,), or one per token, shape (n, T)."""


def advantages_of(estimator: Estimator, batch: Batch, twice: bool = True) -> NDArray[Any]:
    """Call an estimator, and refuse what is no answer.

    Args:
        estimator: a function of the batch alone.
        batch: what it is given.
        twice: call it again, on a copy, to see that it says the same and left its input alone.

    Returns:
        Shape (n, T): an advantage for each token, 0 for padding; of fractions if it returned such.

    Raises:
        InvalidInput: if it raises, the shape is another, something is no finite number, its input
            was changed, or two calls differ.
    """
    if not twice:
        return _checked(estimator, batch, _answer(estimator, batch))
    given = batch.copy()
    found = _checked(estimator, batch, _answer(estimator, given))
    for f in fields(batch):
        if not np.array_equal(getattr(given, f.name), getattr(batch, f.name)):
            problem = f"changes its input {f.name}"
            raise InvalidInput("estimator", _name(estimator), problem, "let it work on a copy")
    if not np.array_equal(found, _checked(estimator, batch, _answer(estimator, batch))):
        remedy = "make it a function of its batch alone, without state or random numbers"
        raise InvalidInput("estimator", _name(estimator), "two calls on one batch differ", remedy)
    return found


def remembers(estimator: Estimator) -> InvalidInput:
    """That an estimator answers a batch in another way once it has seen others."""
    problem = "two calls on one batch differ, with other batches between them"
    remedy = "make it a function of its batch alone, without state or random numbers"
    return InvalidInput("estimator", _name(estimator), problem, remedy)


def _answer(estimator: Estimator, batch: Batch) -> NDArray[Any]:
    try:
        answer = np.asarray(estimator(batch))
    except ANYBODYS as error:
        problem = f"raised {type(error).__name__}: {error}"
        remedy = "call it by hand on a cpi_theory.audit.batch.Batch to see where"
        raise InvalidInput("estimator", _name(estimator), problem, remedy) from error
    # Objects may be fractions.
    if answer.dtype.kind not in "biuf" and not all(isinstance(x, Real) for x in answer.flat):
        problem = f"returns {answer.dtype}, not real numbers"
        raise InvalidInput("estimator", _name(estimator), problem, "return an array of floats")
    return answer


def _checked(estimator: Estimator, batch: Batch, answer: NDArray[Any]) -> NDArray[Any]:
    allowed = (batch.rewards.shape, batch.mask.shape)
    if answer.shape not in allowed:
        problem = f"of the estimator {_name(estimator)}: neither (n,) = {allowed[0]} nor (n, T)"
        remedy = f"return one advantage per rollout, or one per token, shape {allowed[1]}"
        raise InvalidInput("shape of the advantages", answer.shape, problem, remedy)
    tokens = np.where(batch.mask, answer[:, None] if answer.ndim == 1 else answer, 0)
    sizes = np.abs(tokens).astype(np.float64)
    if not (sizes <= _LARGEST).all():  # NaN is in no order
        what = "not finite" if not np.isfinite(sizes).all() else f"beyond {_LARGEST:g}"
        problem = f"of the estimator {_name(estimator)}: {what}"
        remedy = f"guard its divisions; the rewards were {batch.rewards.tolist()}"
        raise InvalidInput("advantages", answer.tolist(), problem, remedy)
    return tokens


# Squares of sums of such are floats still.
_LARGEST = 1e100


def _name(estimator: Estimator) -> str:
    return getattr(estimator, "__name__", type(estimator).__name__)
