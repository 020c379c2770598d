"""Counts of localisations against the truth, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.seam import FailedLocalization, Localization, Reason
from experiments.train.localization_meter import LocalizationTally, MeteredLocalizer
from llm.localizers.base import Located
from tests.llm.canned import byte_vocabulary, rollout_of


@pytest.mark.parametrize(
    ("named", "truth", "hard", "expected"),
    [
        (3, 3, (3, 5), LocalizationTally(1, 1, 1, 1, 0, 1, 0.125)),
        (4, 3, (5,), LocalizationTally(1, 1, 0, 1, 1, 0, 0.125)),
        (2, 3, (), LocalizationTally(1, 1, 0, 1, 0, 0, 0.125)),
        (1, 3, (3,), LocalizationTally(1, 1, 0, 0, 0, 1, 0.125)),
        (6, 3, (1, 3), LocalizationTally(1, 1, 0, 0, 1, 0, 0.125)),
        (None, 3, (3,), LocalizationTally(1, 0, 0, 0, 0, 1, 0.125)),
    ],
)
def test_one_localisation(named, truth, hard, expected):
    tally = LocalizationTally()
    tally.add(named, truth, hard, steps=8)
    assert tally == expected


class Says:
    """A localiser with fixed answers."""

    def __init__(self, *answers):
        self.answers = answers

    def locate(self, rollouts, keys):
        return [Located(answer) for answer in self.answers]


def test_every_localisation_counts_and_only_a_known_first_error_decides():
    unknown = FailedLocalization(Reason.NO_ERROR)
    inner = Says(Localization(0), Localization(1), unknown)
    oracle = Says(Localization(0), unknown, Localization(1))
    meter = MeteredLocalizer(inner, oracle, lambda problem: (0,))
    rollouts = [rollout_of(byte_vocabulary(), ["a", "b"]) for _ in range(3)]
    located = meter.locate(rollouts, np.zeros(3, np.uint64))
    assert [one.answer for one in located] == list(inner.answers)
    assert meter.take() == LocalizationTally(3, 2, 1, 1, 0, 1, 1.0, unknown=1)
    assert meter.take() == LocalizationTally()


def test_what_is_asked_is_counted_where_nobody_knows_the_truth():
    meter = MeteredLocalizer(Says(Localization(0), FailedLocalization(Reason.NO_ERROR)), None)
    rollouts = [rollout_of(byte_vocabulary(), ["a", "b"]) for _ in range(2)]
    meter.locate(rollouts, np.zeros(2, np.uint64))
    row = meter.take().row()
    assert (row["asked"], row["named"], row["unknown"]) == (2, 1, 2)
    assert "unknown" not in LocalizationTally(asked=2, exact=1).row()
