"""What training runs of language models say, beside the summaries shared with `learn`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from cpi_theory.statistics.intervals import (
    clustered_proportion,
    wilson_interval,
)
from experiments.curve_statistics import Curves, rate_difference
from experiments.runs.files import Row

AXES = ("rollouts", "tokens")
"""What a curve is measured against."""

CONTRASTS: tuple[tuple[str, str], ...] = (
    ("SRPO", "GRPO"),
    ("SRPO", "RRPO"),
    ("RRPO", "GRPO"),
    ("SRPO", "ORACLE"),
    ("Frontier", "GRPO"),
    ("Frontier", "SRPO"),
    ("SRPO", "EntropyReset"),
    ("EntropyReset", "GRPO"),
)
"""Which methods are compared in pairs: (first, second)."""


def contrasts(methods: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """What is compared: known pairs, and each method of a user's own with all before it.

    Args:
        methods: of a run, in order.
    """
    known = {name for pair in CONTRASTS for name in pair}
    names = sorted(dict.fromkeys(methods), key=lambda name: name not in known)
    own = [
        (name, other) for i, name in enumerate(names) if name not in known for other in names[:i]
    ]
    return (*CONTRASTS, *own)


TOTALS = (*AXES, "forward_tokens", "localizations", "localization_tokens")
"""What the records of a run count up."""


def localization(curves: Iterable[Curves]) -> list[Row]:
    """How often localisers were right, over all seeds, between one record and the next.

    Rows: `world`, `method`, `x` (rollouts at the later record), the counts of
    :class:`~experiments.train.localization_meter.LocalizationTally`, and `exact_rate` with `lower`
    and `upper` among those whose first error is known (null where there are none): seeds as
    clusters, and where only one seed has any, each failure by itself. Methods without a localiser
    have none.
    """
    rows = []
    for one in curves:
        for point in range(1, len(one.rows[0])):
            tallies = [seed[point]["localization"] for seed in one.rows]
            if any(tally["asked"] for tally in tallies):
                x = one.rows[0][point]["rollouts"]
                rows.append({"world": one.world, "method": one.method, "x": x} | _rates(tallies))
    return rows


def _rates(tallies: Sequence[Row]) -> Row:
    names = dict.fromkeys(name for tally in tallies for name in tally)
    counts = {name: sum(tally.get(name, 0) for tally in tallies) for name in names}
    asking = [tally for tally in tallies if known(tally)]
    if not asking:  # late in a run no failure may be left to ask about
        return counts | {"exact_rate": None, "lower": None, "upper": None}
    if len(asking) == 1:
        share = wilson_interval(counts["exact"], known(counts))
    else:
        share = clustered_proportion([t["exact"] for t in asking], list(map(known, asking)))
    return counts | {
        "exact_rate": share.estimate,
        "lower": share.lower,
        "upper": share.upper,
    }


def known(tally: Row) -> int:
    """How many of the localisations that a record counts can be right or wrong."""
    return int(tally["asked"] - tally.get("unknown", 0))


def finals(curves: dict[tuple[str, str], Curves], problems: int) -> list[Row]:
    """Pass rates after the last update: mean over seeds, the gain with its interval.

    The interval is that of :func:`~experiments.curve_statistics.rate_difference`.

    Args:
        curves: of the trainings.
        problems: held out, with one text each at every evaluation.

    Rows: `world`, `method`, `measure` ("sampled" or "greedy"), `before`, `after`, `gain` with
    `lower` and `upper`, `seeds`; where any mean reward is no pass rate also `reward_before` and
    `reward_after`, means over seeds (null: records of earlier versions do not say).
    """
    rows = []
    graded = any(_graded(row) for one in curves.values() for seed in one.rows for row in seed)
    for one in curves.values():
        for measure, column, reward in _MEASURES:
            first, last = (
                np.array([seed[point][column] for seed in one.rows], float) for point in (0, -1)
            )
            rewards = {
                f"reward_{name}": _mean([seed[point].get(reward) for seed in one.rows])
                for name, point in (("before", 0), ("after", -1))
            }
            gain = rate_difference(last, first, problems)
            rows.append(
                {
                    "world": one.world,
                    "method": one.method,
                    "measure": measure,
                    "before": float(first.mean()),
                    "after": float(last.mean()),
                    "gain": gain.estimate,
                    "lower": gain.lower,
                    "upper": gain.upper,
                    "seeds": len(one.seeds),
                    **(rewards if graded else {}),
                }
            )
    return rows


_MEASURES = (("sampled", "value", "mean_reward"), ("greedy", "greedy", "greedy_mean_reward"))


def _graded(row: Row) -> bool:
    """Whether rewards of an evaluation were others than 0 and 1: else their mean is the rate."""
    return any(
        row.get(reward) is not None and not math.isclose(row[reward], row[rate], abs_tol=1e-9)
        for _, rate, reward in _MEASURES
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def reward_verdicts(finals: Sequence[Row]) -> tuple[str, ...]:
    """The mean reward before and after, where it is another number than the pass rate."""
    return tuple(
        f"{row['world']}, {row['method']}: the mean reward of sampled texts went from "
        f"{row['reward_before']:.3f} to {row['reward_after']:.3f}; a pass is a reward of the "
        "world's `success` or more."
        for row in finals
        if row["measure"] == "sampled" and row.get("reward_before") is not None
    )
