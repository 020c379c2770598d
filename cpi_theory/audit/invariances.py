"""What should not change the advantages that an estimator gives, tried on some batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.audit.batch import Batch, Estimator, advantages_of
from cpi_theory.audit.forest import Forest
from cpi_theory.audit.judgement import ROUNDING
from cpi_theory.audit.subject import Subject, groups_of
from cpi_theory.checks import check_count
from cpi_theory.randomness import Key

_Advantages = NDArray[np.float64]

_OTHER_IDS = 1000
_STRETCH = 3


@dataclass(frozen=True)
class Invariance:
    """Whether something leaves advantages as they were.

    Attributes:
        name: key of :data:`INVARIANCES`.
        holds: on every batch that was tried.
        change: the largest difference of an advantage.
    """

    name: str
    holds: bool
    change: float


def _order(estimator: Estimator, batch: Batch) -> _Advantages:
    """Rollouts in reverse order."""
    rows = np.arange(len(batch))[::-1]
    return _floats(estimator, batch.pick(rows))[rows]


def _names(estimator: Estimator, batch: Batch) -> _Advantages:
    """Groups by other ids, in another order."""
    return _floats(estimator, batch.regrouped(_OTHER_IDS - 7 * batch.groups))


def _padding(estimator: Estimator, batch: Batch) -> _Advantages:
    """Two more columns of padding."""
    return _floats(estimator, batch.padded(2))[:, : batch.mask.shape[1]]


def _length(estimator: Estimator, batch: Batch) -> _Advantages:
    """Steps of three tokens, of which two are certain and teach nothing."""
    return _floats(estimator, batch.stretched(_STRETCH))[:, ::_STRETCH]


def _split(estimator: Estimator, batch: Batch) -> _Advantages:
    """Each group in a call of its own."""
    out = np.zeros(batch.mask.shape)
    for group in np.unique(batch.groups):
        rows = np.flatnonzero(batch.groups == group)
        out[rows] = _floats(estimator, batch.pick(rows))
    return out


def _copies(estimator: Estimator, batch: Batch) -> _Advantages:
    """Each group twice, the second time as a group of its own."""
    rows = np.concatenate([np.arange(len(batch))] * 2)
    twice = batch.pick(rows)
    second = np.repeat([0, _OTHER_IDS], len(batch))
    return _floats(estimator, twice.regrouped(twice.groups + second))[: len(batch)]


INVARIANCES: dict[str, Callable[[Estimator, Batch], _Advantages]] = {
    "order": _order,
    "names": _names,
    "padding": _padding,
    "length": _length,
    "split": _split,
    "copies": _copies,
}
"""By name: what is done to a batch, and the advantages of its own rollouts after that.

The first three change nothing that could matter, so that an estimator which notices them is wrong.
Who weighs tokens by the length of their rollout notices "length", and who normalises over a whole
batch notices "split" and "copies": that is a choice.
"""

MUST_HOLD = ("order", "names", "padding")
"""Those that every estimator should have."""


def invariances(
    subject: Subject, worlds: Sequence[Forest], batches: int = 4, seed: int = 0
) -> list[Invariance]:
    """Try each invariance on drawn batches of some worlds; none for a subject without `credit`.

    Args:
        subject: under audit.
        worlds: from which `batches` are drawn each.
        batches: per world.
        seed: of the draws.
    """
    check_count("batches", batches)
    if subject.credit is None:
        return []
    drawn = list(_batches(subject, worlds, batches, seed))
    return [_tried(name, subject.credit, drawn) for name in INVARIANCES]


def _batches(
    subject: Subject, worlds: Sequence[Forest], batches: int, seed: int
) -> Iterator[Batch]:
    for world in worlds:
        for i in range(batches):
            key = Key.of(seed).child("invariance", world.name, i)
            yield Batch.of(groups_of(subject, world, key), world)


def _tried(name: str, estimator: Estimator, batches: Sequence[Batch]) -> Invariance:
    changes, holds = [], True
    for batch in batches:
        before = _floats(estimator, batch)
        gap = np.abs(before - INVARIANCES[name](estimator, batch)).max()
        changes.append(float(gap))
        holds = holds and bool(gap <= ROUNDING * max(1.0, float(np.abs(before).max())))
    return Invariance(name, holds, max(changes))


def _floats(estimator: Estimator, batch: Batch) -> _Advantages:
    return advantages_of(estimator, batch, twice=False).astype(np.float64)
