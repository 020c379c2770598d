"""Baselines of the chooser: their classes are laws, and the comparison finds the theory."""

import numpy as np
import pytest
from rich.console import Console

from cpi_theory.algorithms.chooser import Baseline
from cpi_theory.bounds.aliased import aliased_samples
from experiments.compare.baselines import (
    CLASSES,
    BaselineSpec,
    ChoiceClass,
    baseline_table,
    measure_baseline,
)


@pytest.mark.parametrize("of", CLASSES, ids=lambda of: of.name)
def test_classes_are_laws_with_something_to_choose(of: ChoiceClass) -> None:
    law = of.law()
    assert law.masses.sum() == pytest.approx(1)
    assert law.success.sum() == pytest.approx(
        sum(m * np.mean(q) for m, q in zip(of.masses, of.means, strict=True))
    )
    assert law.advantage.sum(axis=1) == pytest.approx(0)
    assert law.best_advantage > 0


def measured(of: ChoiceClass, baseline: Baseline) -> dict:
    (row,) = measure_baseline(BaselineSpec(of, baseline, 0.9, 400, 40, 0))
    return row


def test_half_of_the_reward_needs_the_exact_number_in_the_aliased_class() -> None:
    # The sign of each trial is right with probability 1/2 + .05.
    row = measured(CLASSES[0], Baseline.HALF)
    exact = aliased_samples(0.5, 0.1, 0.1)
    assert row["lower"] * 0.9 < exact < row["upper"] * 1.1


def test_no_baseline_beats_half_where_successes_are_rare_and_the_default_is_as_good() -> None:
    rows = [measured(CLASSES[1], kind) for kind in (Baseline.NONE, Baseline.SHRUNK, Baseline.HALF)]
    none, shrunk, half = (row["samples"] for row in rows)
    assert half > 8 * none
    assert shrunk < 1.2 * none


def test_the_table_has_a_row_per_class() -> None:
    rows = [measured(CLASSES[3], kind) for kind in Baseline]
    console = Console(width=160, record=True)
    console.print(baseline_table(rows))
    shown = console.export_text()
    assert "four observations" in shown
    assert all(kind.value in shown for kind in Baseline)
