"""What the chooser subtracts from returns, compared: trials until it is right often enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from cpi_theory.algorithms.chooser import Baseline
from cpi_theory.randomness import Key
from experiments.compare.chooser_samples import TrialLaw, samples_to_reach
from experiments.runs.files import Row


@dataclass(frozen=True)
class ChoiceClass:
    """Observations with outcomes 0 and 1, and two or more actions at each.

    Attributes:
        name: human-readable.
        masses: probability of each observation at a reset state.
        means: probability of success of each action, per observation.
    """

    name: str
    masses: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]

    def law(self) -> TrialLaw:
        """The law of a trial under uniform actions."""
        masses, means = np.array(self.masses), np.array(self.means)
        return TrialLaw(
            success=masses[:, None] * means / means.shape[1],
            advantage=masses[:, None] * (means - means.mean(axis=1, keepdims=True)),
            masses=masses,
        )


def _alike(name: str, count: int, *means: float) -> ChoiceClass:
    return ChoiceClass(name, (1 / count,) * count, (means,) * count)


CLASSES = (
    _alike("one observation, .55 / .45", 1, 0.55, 0.45),
    _alike("one observation, sparse .02 / .01", 1, 0.02, 0.01),
    _alike("one observation, rich .99 / .97", 1, 0.99, 0.97),
    _alike("four observations, .6 / .4", 4, 0.6, 0.4),
    ChoiceClass(
        "the same with .8 of the mass where nothing matters",
        (0.05,) * 4 + (0.8,),
        ((0.6, 0.4),) * 4 + ((0.5, 0.5),),
    ),
    ChoiceClass(
        "sparse .06 / .02 beside rich .95 / .95, equal masses",
        (0.5, 0.5),
        ((0.06, 0.02), (0.95, 0.95)),
    ),
    ChoiceClass(
        "sparse .1 / .02 with a tenth of the mass beside rich",
        (0.1, 0.9),
        ((0.1, 0.02), (0.95, 0.95)),
    ),
    _alike("eight observations, sparse .05 / .02", 8, 0.05, 0.02),
)
"""Aliased, statewise, sparse and rich classes, and sparse observations beside rich ones."""


@dataclass(frozen=True)
class BaselineSpec:
    """Measure how many trials the chooser needs in one class with one baseline.

    Attributes:
        of: the class.
        baseline: what is subtracted.
        accuracy: wanted probability of a choice that reaches half of the best reset advantage.
        replications: experiments per n.
        bootstraps: replicates behind the interval.
        seed: of all of them; the same draws serve every baseline.
    """

    of: ChoiceClass
    baseline: Baseline
    accuracy: float
    replications: int
    bootstraps: int
    seed: int


def measure_baseline(spec: BaselineSpec) -> list[Row]:
    """One row: `samples` with its 95 % interval `lower` to `upper`."""
    law = spec.of.law()
    found = samples_to_reach(
        lambda n, reps, key: law.share_right(n, reps, key, baseline=spec.baseline),
        spec.accuracy,
        spec.replications,
        Key.of(spec.seed).child("baselines", spec.of.name),
        spec.bootstraps,
    )
    return [
        {
            "class": spec.of.name,
            "baseline": spec.baseline.value,
            "accuracy": spec.accuracy,
            "replications": spec.replications,
            "samples": found.samples,
            "lower": found.lower,
            "upper": found.upper,
        }
    ]


def baseline_table(rows: Sequence[Row]) -> Table:
    """A row per class, a column per baseline."""
    kinds = [kind.value for kind in Baseline]
    title = f"Trials until {rows[0]['accuracy']:.0%} of choices are right, by baseline"
    table = Table("class", *kinds, title=title, box=None, title_justify="left")
    for name in dict.fromkeys(row["class"] for row in rows):
        own = {row["baseline"]: row for row in rows if row["class"] == name}
        table.add_row(name, *(_cell(own[kind]) for kind in kinds))
    return table


def _cell(row: Row) -> str:
    return f"{row['samples']:,.0f} [{row['lower']:,.0f}, {row['upper']:,.0f}]"
