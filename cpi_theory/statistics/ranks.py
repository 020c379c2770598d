"""Ranks of methods with their uncertainty, from scores over seeds in one or several settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.statistics.bootstrap import check_resamples
from cpi_theory.statistics.intervals import Array
from cpi_theory.statistics.quantiles import tail_probability


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Ranks of k methods by their mean scores; 1 is the best, and ties share their mean rank.

    Attributes:
        rank: mean over settings, shape (k,).
        lower: of its percentile interval for other seeds in these settings, shape (k,).
        upper: the same.
        first: share of resamples in which no other method has a lower rank, shape (k,); methods
            that tie there share it.
    """

    rank: Array
    lower: Array
    upper: Array
    first: Array


def bootstrap_ranks(
    settings: Sequence[ArrayLike], level: float = 0.95, resamples: int = 2000, key: Key | int = 0
) -> Ranks:
    """Rank methods by their mean scores, with seeds resampled within each setting.

    All methods of a setting are resampled with the same seeds, as they share them. Where methods
    are level the intervals are too narrow or too wide at random; what is *shown* about a rank
    follows from paired tests.

    Args:
        settings: scores, larger is better, of each setting shape (seeds, k), two seeds at least.
        level: probability with which the intervals cover.
        resamples: number of resamples.
        key: of the resampling; the same key gives the same intervals.

    Raises:
        InvalidInput: naming the argument outside its range.

    Source: after Hall and Miller (2009), Annals of Statistics 37, https://doi.org/10.1214/09-AOS699,
    who show what the bootstrap of ranks can and cannot do.
    """
    tables = [np.asarray(table, np.float64) for table in settings]
    check_resamples("resamples", resamples)
    tail = tail_probability(level)
    shapes = [table.shape for table in tables]
    if not tables or any(len(s) != 2 or s[0] < 2 or s[1] != shapes[0][1] for s in shapes):
        problem = "not (seeds >= 2, methods), with the same methods in all"
        raise InvalidInput("settings", shapes, problem, "run more seeds")
    rng = Key.of(key).child("ranks").generator()
    drawn = np.zeros((resamples, shapes[0][1]))
    for table in tables:
        picks = rng.integers(len(table), size=(resamples, len(table)))
        drawn += _ranks(table[picks].mean(axis=1))
    drawn /= len(tables)  # once, so that whole ranks stay whole
    rank = np.mean([_ranks(table.mean(axis=0)) for table in tables], axis=0)
    best = drawn == drawn.min(axis=1, keepdims=True)
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    first = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return Ranks(np.asarray(rank), low, high, np.asarray(first))


def _ranks(scores: Array) -> Array:
    """Ranks along the last axis, 1 for the largest."""
    from scipy.stats import rankdata  # imported late: `import cpi_theory` stays quick

    return np.asarray(rankdata(-scores, axis=-1))
