"""What the paper shows, as numbers: to stand beside measurements of ours, never among them.

Read out of the vector graphics of its figures; it prints no tables of them. OLMo-3-7B-Instruct on
LiveCodeBench, medium: 11 updates of 32 prompts x 8 rollouts, three runs per method. "Success" there
is a share of tests that stops at the first failure, on the problems that were trained on.

Source: arXiv 2605.25507, validation curves and the panels on localisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RUNS = 3
"""Runs of each method; the plotted errors divide their population deviation by its root."""


@dataclass(frozen=True)
class PublishedCurve:
    """Means over runs after each update, the first before any.

    Attributes:
        values: in per cent; the first is a mean over all methods.
        errors: as plotted, in points: the population deviation over runs / sqrt(runs); of the
            first point, 0.
    """

    values: tuple[float, ...]
    errors: tuple[float, ...]

    def interval(self, level: float = 0.95) -> NDArray[np.float64]:
        """Student's interval for the mean over runs, shape (2, points), in per cent.

        The sample deviation of n runs is the population's times sqrt(n / (n - 1)). The first point
        has none (NaN): what its runs varied by is not shown.
        """
        wide = stats.t.ppf((1 + level) / 2, RUNS - 1) * np.sqrt(RUNS / (RUNS - 1))
        around = np.where(np.array(self.errors) > 0, wide * np.array(self.errors), np.nan)
        found: NDArray[np.float64] = np.array(self.values) + np.array([[-1.0], [1.0]]) * around
        return found


CURVES = {
    "GRPO": PublishedCurve(
        (7.57, 10.39, 11.34, 14.10, 14.78, 16.05, 17.33, 19.18, 20.83, 22.39, 22.10, 23.12),
        (0, 0.57, 0.86, 0.48, 0.85, 0.07, 0.90, 0.42, 0.95, 1.30, 0.80, 0.92),
    ),
    "RRPO": PublishedCurve(
        (7.57, 9.25, 13.06, 15.79, 18.86, 18.56, 20.40, 21.34, 22.16, 26.75, 24.03, 24.52),
        (0, 0.43, 0.67, 1.71, 1.70, 1.98, 2.43, 3.87, 3.92, 3.22, 2.90, 3.85),
    ),
    "SRPO": PublishedCurve(
        (7.57, 12.52, 18.02, 20.20, 22.86, 24.92, 25.83, 26.63, 28.17, 26.85, 28.67, 29.83),
        (0, 2.06, 2.99, 2.72, 3.00, 2.93, 3.34, 2.85, 2.28, 4.03, 2.75, 4.22),
    ),
}
"""Validation curves by method."""


def last_difference(first: str, second: str) -> tuple[float, float]:
    """Difference of two curves after the last update, in points, and Welch's p-value.

    Args:
        first: a name in :data:`CURVES`.
        second: another.
    """
    deviation = np.sqrt(RUNS) * np.sqrt(RUNS / (RUNS - 1))
    ends = [(CURVES[m].values[-1], CURVES[m].errors[-1] * deviation) for m in (first, second)]
    (a, spread_a), (b, spread_b) = ends
    test = stats.ttest_ind_from_stats(a, spread_a, RUNS, b, spread_b, RUNS, equal_var=False)
    return a - b, float(test.pvalue)


@dataclass(frozen=True)
class PublishedDeviation:
    """Resets of one distance from the first error, or what another model takes for it.

    Attributes:
        deviation: thoughts after it; the outermost hold all beyond.
        prompts: how many.
        corrected: share of their suffixes (four each) that succeed.
    """

    deviation: int
    prompts: int
    corrected: float


DEVIATIONS = tuple(
    PublishedDeviation(deviation, prompts, corrected)
    for deviation, prompts, corrected in (
        (-4, 141, 0.152),
        (-3, 46, 0.114),
        (-2, 64, 0.098),
        (-1, 96, 0.073),
        (0, 110, 0.111),
        (1, 118, 0.076),
        (2, 89, 0.084),
        (3, 61, 0.057),
        (4, 201, 0.060),
    )
)
"""Named steps less those that a larger model names, which sees no solution either."""


def within(reach: int) -> tuple[PublishedDeviation, ...]:
    """The same with all that is further off than `reach` in the outermost ones."""
    found = []
    for at in range(-reach, reach + 1):
        some = [d for d in DEVIATIONS if max(-reach, min(reach, d.deviation)) == at]
        count = sum(d.prompts for d in some)
        mean = sum(d.prompts * d.corrected for d in some) / count
        found.append(PublishedDeviation(at, count, mean))
    return tuple(found)
