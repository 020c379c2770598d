"""What should not change the advantages that an estimator gives, tried on some batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cpi_theory.audit.batch import Batch, Estimator, advantages_of
from cpi_theory.audit.forest import Forest
from cpi_theory.audit.judgement import ROUNDING
from cpi_theory.audit.subject import Subject, groups_of
from cpi_theory.audit.worlds import by_size
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


@dataclass(frozen=True, eq=False)
class Altered:
    """A batch that says the same in another way.

    Attributes:
        batch: it.
        rows: where in it the rollouts of the original are, shape (n,).
        columns: where their tokens are, shape (T,).
    """

    batch: Batch
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def of(cls, batch: Batch, original: Batch) -> Altered:
        """One whose rollouts and tokens are where they were."""
        rows, columns = original.mask.shape
        return cls(batch, np.arange(rows), np.arange(columns))

    def advantages(self, estimator: Estimator) -> _Advantages:
        """Those of the original's tokens, shape (n, T)."""
        return _floats(estimator, self.batch)[np.ix_(self.rows, self.columns)]


def _order(batch: Batch) -> Altered:
    """Rollouts in reverse order."""
    rows = np.arange(len(batch))[::-1]
    return replace(Altered.of(batch.pick(rows), batch), rows=rows)


def _names(batch: Batch) -> Altered:
    """Groups by other ids, in another order."""
    return Altered.of(batch.regrouped(_OTHER_IDS - 7 * batch.groups), batch)


def _padding(batch: Batch) -> Altered:
    """Two more columns of padding."""
    return Altered.of(batch.padded(2), batch)


def _length(batch: Batch) -> Altered:
    """Steps of three tokens, of which two are certain and teach nothing."""
    altered = Altered.of(batch.stretched(_STRETCH), batch)
    return replace(altered, columns=_STRETCH * altered.columns)


def _copies(batch: Batch) -> Altered:
    """Each group twice, the second time as a group of its own."""
    twice = batch.pick(np.concatenate([np.arange(len(batch))] * 2))
    second = np.repeat([0, _OTHER_IDS], len(batch))
    return Altered.of(twice.regrouped(twice.groups + second), batch)


def _split(estimator: Estimator, batch: Batch) -> _Advantages:
    """Each group in a call of its own."""
    out = np.zeros(batch.mask.shape)
    for group in np.unique(batch.groups):
        rows = np.flatnonzero(batch.groups == group)
        out[rows] = _floats(estimator, batch.pick(rows))
    return out


ALTERATIONS: dict[str, Callable[[Batch], Altered]] = {
    "order": _order,
    "names": _names,
    "padding": _padding,
    "length": _length,
    "copies": _copies,
}
"""By name: how a batch is said in another way."""

INVARIANCES = ("order", "names", "padding", "length", "split", "copies")
"""What is tried: :data:`ALTERATIONS`, and "split", each group in a call of its own.

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


def smallest_change(
    subject_of: Callable[[int], Subject],
    name: str,
    worlds: Sequence[Forest],
    sizes: Sequence[int],
    batches: int = 4,
    seed: int = 0,
) -> Batch | None:
    """Find a small batch whose advantages an alteration changes; None if none of these does.

    Args:
        subject_of: the subject, one with `credit`, with groups of that size.
        name: key of :data:`ALTERATIONS`.
        worlds: from which `batches` are drawn each, from the smallest on.
        sizes: of groups, ascending.
        batches: per world.
        seed: of the draws.
    """
    for world in by_size(worlds):
        for rollouts in sizes:
            subject = subject_of(rollouts)
            assert subject.credit is not None
            for batch in _batches(subject, [world], batches, seed):
                groups = (batch.groups == group for group in np.unique(batch.groups))
                # What a single group shows needs no other.
                for part in (*(batch.pick(np.flatnonzero(own)) for own in groups), batch):
                    if not _kept(*_before_and_after(name, subject.credit, part)):
                        return part
    return None


def _before_and_after(
    name: str, estimator: Estimator, batch: Batch
) -> tuple[_Advantages, _Advantages]:
    before = _floats(estimator, batch)
    if name == "split":
        return before, _split(estimator, batch)
    return before, ALTERATIONS[name](batch).advantages(estimator)


def _kept(before: _Advantages, after: _Advantages) -> bool:
    """Whether two answers are the same but for rounding."""
    largest = max(1.0, float(np.abs(before).max()))
    return bool(np.abs(before - after).max() <= ROUNDING * largest)


def _tried(name: str, estimator: Estimator, batches: Sequence[Batch]) -> Invariance:
    answers = [_before_and_after(name, estimator, batch) for batch in batches]
    change = max(float(np.abs(before - after).max()) for before, after in answers)
    return Invariance(name, all(_kept(*pair) for pair in answers), change)


def _floats(estimator: Estimator, batch: Batch) -> _Advantages:
    return advantages_of(estimator, batch, twice=False).astype(np.float64)
