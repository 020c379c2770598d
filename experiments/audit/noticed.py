"""A change that an estimator must not notice, as a test file that needs numpy and it alone."""

from __future__ import annotations

import ast
from dataclasses import fields

import numpy as np

from cpi_theory.audit.batch import Batch
from cpi_theory.audit.invariances import ALTERATIONS
from experiments.audit.counterexample import bound, importable
from experiments.documents.words import counted


def as_notice_test(name: str, alteration: str, batch: Batch) -> str:
    """The text of a test that fails as long as the estimator notices an alteration of a batch.

    Args:
        name: of the estimator, a function of a batch.
        alteration: key of :data:`~cpi_theory.audit.invariances.ALTERATIONS`.
        batch: one whose advantages change with it.
    """
    alter = ALTERATIONS[alteration]
    altered, what = alter(batch), (alter.__doc__ or "").rstrip(".")
    text = _TEST.format(
        name=importable(name),
        rollouts=counted(len(batch), "rollout"),
        what=f"{what[0].lower()}{what[1:]}",
        estimator=bound(name),
        batch=_written(batch),
        altered=_written(altered.batch),
        rows=altered.rows.tolist(),
        columns=altered.columns.tolist(),
        alteration=alteration,
    )
    ast.parse(text)  # what is handed out must at least be Python
    return text


def _written(batch: Batch) -> str:
    """The arrays of a batch as arguments."""
    arrays = {f.name: np.asarray(getattr(batch, f.name)) for f in fields(batch)}
    numbers = {
        name: array.astype(float) if array.dtype == object else array
        for name, array in arrays.items()
    }
    return "\n".join(
        f"    {name}=np.array({array.tolist()}, {array.dtype.name!r}),"
        for name, array in numbers.items()
    )


_TEST = '''"""Advantages of {name} that change though the batch says the same.

{rollouts}; what is altered: {what}.
Found by `cpi-resets audit`.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

{estimator}


class Batch(SimpleNamespace):
    """What an estimator is given: arrays of n rollouts, padded to T tokens."""

    def __len__(self):
        return len(self.rewards)

    @property
    def lengths(self):
        return self.mask.sum(axis=1)

    def pick(self, rows):
        return Batch(**{{name: array[rows] for name, array in vars(self).items()}})


BATCH = Batch(
{batch}
)
ALTERED = Batch(
{altered}
)
# Where in the altered batch the rollouts and the tokens of the first one are.
ROWS = np.array({rows})
COLUMNS = np.array({columns})


def _advantages(batch):
    """An advantage for each token, 0 for padding."""
    found = np.asarray(estimator(batch), dtype=float)
    return np.where(batch.mask, found[:, None] if found.ndim == 1 else found, 0.0)


def test_advantages_do_not_change_with_{alteration}():
    after = _advantages(ALTERED)[np.ix_(ROWS, COLUMNS)]
    np.testing.assert_allclose(after, _advantages(BATCH), rtol=0, atol=1e-9)
'''
