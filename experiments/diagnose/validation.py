"""Do the intervals of `diagnose` cover what is true, at their level?

Reasoning trees of which every number is known are diagnosed again and again with fresh prompts and
rollouts; each interval either covers its exact value or does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binom

from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose
from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import Interval, wilson_interval
from cpi_theory.statistics.paired import holm
from experiments.diagnose.truth import Truth
from experiments.runs.files import Row
from experiments.worlds.with_localizer import WorldWithLocalizer, prepare

# An interval whose end misses the truth by rounding alone covers it.
_ROUNDING = 1e-9
# With what probability an interval is to cover, and the share that is still near enough to it.
_NOMINAL, _LEAST = 0.95, 0.9

CHANCE = 0.01
"""Probability that any number at all is said to fall short though all cover at their level."""


@dataclass(frozen=True)
class ValidationSpec:
    """Some repetitions of one setting.

    Attributes:
        label: of the setting.
        setting: a reasoning tree.
        settings: of the diagnosis.
        prompts: per diagnosis.
        first, count: repetitions `first` to `first + count - 1`.
        seed: of the tree and of every draw.
    """

    label: str
    setting: WorldWithLocalizer
    settings: DiagnosisSettings
    prompts: int
    first: int
    count: int
    seed: int


def validation_rows(spec: ValidationSpec) -> list[Row]:
    """One row per repetition and number: estimate, interval, exact value and whether it covers.

    The level tau may differ between repetitions, as it is chosen from the data; the exact values
    are those at the level that was chosen.
    """
    rows = []
    key = Key.of(spec.seed).child("validate", spec.label)
    exact = spec.setting.simulator(key.child("instance"))
    for number in range(spec.first, spec.first + spec.count):
        draw = key.child("repetition", number)
        prepared = prepare(spec.setting, spec.prompts, key)
        starts = exact.start_states(spec.prompts, draw.child("starts"))
        found = diagnose(prepared.simulator, starts, draw, spec.settings)
        truth = dict(Truth(exact, found.tau, spec.settings.bins).estimates())
        rows += [
            _row(spec.label, number, section, name, interval, truth[section, name])
            for section, name, interval in found.estimates()
            if (section, name) in truth
        ]
    return rows


def _row(case: str, number: int, section: str, name: str, interval: Interval, truth: float) -> Row:
    low, high = interval.lower - _ROUNDING, interval.upper + _ROUNDING
    return {
        "case": case,
        "repetition": number,
        "section": section,
        "name": name,
        "truth": truth,
        "estimate": None if math.isnan(interval.estimate) else interval.estimate,
        "lower": interval.lower,
        "upper": interval.upper,
        "covered": bool(low <= truth <= high),
    }


def coverage_rows(rows: Sequence[Row]) -> list[Row]:
    """Per case and number how often the interval covered, with a Wilson interval of that share.

    Rows: `case`, `section`, `name`, `repetitions` (numbers that a repetition did not see, such as
    a depth without a named step, are not counted), `covered`, `lower`, `upper`, `truth` (mean),
    `bias` (mean error of the estimates) and `width` (mean; null where an end is infinite).
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["case"], row["section"], row["name"]), []).append(row)
    return [_covered(*labels, members) for labels, members in groups.items()]


def _covered(case: str, section: str, name: str, rows: Sequence[Row]) -> Row:
    hits, n = sum(row["covered"] for row in rows), len(rows)
    share = wilson_interval(hits, n)
    errors = [row["estimate"] - row["truth"] for row in rows if row["estimate"] is not None]
    width = sum(row["upper"] - row["lower"] for row in rows) / n
    return {
        "case": case,
        "section": section,
        "name": name,
        "repetitions": n,
        "covered": hits / n,
        "lower": share.lower,
        "upper": share.upper,
        "truth": sum(row["truth"] for row in rows) / n,
        "bias": sum(errors) / len(errors) if errors else None,
        "width": width if math.isfinite(width) else None,
    }


def short_of_level(rows: Sequence[Row]) -> list[Row]:
    """Numbers whose intervals cover less often than they should, and not by chance.

    A number falls short if it is covered in fewer than 90 % of its repetitions, and so seldom that
    the exact binomial test of 95 %, adjusted by Holm over all, has p at most :data:`CHANCE`.

    Args:
        rows: those of :func:`coverage_rows`.
    """
    adjusted = holm([_chance(round(r["covered"] * r["repetitions"]), r) for r in rows])
    pairs = zip(rows, adjusted, strict=True)
    return [row for row, p in pairs if row["covered"] < _LEAST and p <= CHANCE]


def fails_at(rows: Sequence[Row]) -> int | None:
    """The most repetitions covered at which the number seen most often would fall short alone.

    Returns: None if so few repetitions show nothing, however few of them are covered.
    """
    most = max(rows, key=lambda row: int(row["repetitions"]))
    failing = (
        hits
        for hits in range(most["repetitions"], -1, -1)
        if hits < _LEAST * most["repetitions"] and len(rows) * _chance(hits, most) <= CHANCE
    )
    return next(failing, None)


def _chance(hits: int, row: Row) -> float:
    """P(so few repetitions are covered) of an interval that covers at its level."""
    return float(binom.cdf(hits, row["repetitions"], _NOMINAL))
