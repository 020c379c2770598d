"""What attempts say: scores per model and benchmark, and which method is ahead of which."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.statistics.attempts import majority_accuracy, pass_at_k
from cpi_theory.statistics.bootstrap import LEAST_RUNS, stratified_interquartile_mean
from cpi_theory.statistics.intervals import Interval
from cpi_theory.statistics.paired import compare_paired, holm, mean_score
from experiments.runs.files import Row

MEASURES = {"sampled": "mean of the samples", "greedy": "greedy attempt", "majority": "majority"}
"""What methods are compared by."""

Scores = dict[tuple[str, str, int | None], dict[str, dict[str, float]]]
"""By benchmark, method and seed: measures by problem."""


def scores_by_problem(attempts: Iterable[Row], ks: Sequence[int] = ()) -> Scores:
    """Score each model on each problem: "sampled", "majority", "pass@k" and "greedy"."""
    grouped: dict[Any, list[Row]] = defaultdict(list)
    for row in attempts:
        model = (row["benchmark"], row["method"], row["seed"])
        grouped[model, row["problem"], row["kind"]].append(row)
    scores: Scores = defaultdict(lambda: defaultdict(dict))
    for (model, problem, kind), rows in grouped.items():
        right = [row["right"] for row in rows]
        score = scores[model][problem]
        if kind == "greedy":
            score["greedy"] = float(right[0])
            continue
        score["sampled"] = sum(right) / len(right)
        score["majority"] = majority_accuracy([row["answer"] for row in rows], right)
        score |= {f"pass@{k}": pass_at_k(sum(right), len(right), k) for k in ks}
    return {model: dict(problems) for model, problems in scores.items()}


Tokenizers = Mapping[tuple[str, int | None], str | None]
"""By method and seed, as :func:`llm.models.tokenizers.tokenizer_digest` tells them."""


def models(
    attempts: Sequence[Row], scores: Scores, tokenizers: Tokenizers | None = None
) -> list[Row]:
    """One row per benchmark, method and seed: means of its scores, lengths and endings.

    Rows: `benchmark`, `method`, `seed`, `problems`, the measures by name (`sampled`, `greedy`,
    `majority`, `pass@k`), each with the ends of its 95 % interval for other problems behind
    `_lower` and `_upper` (see :func:`cpi_theory.statistics.paired.mean_score`), `tokens` (mean of a
    sample, or of a greedy attempt where there are none), `tokenizer` (a digest, null: unknown) and
    `endings`, shares by name.
    """
    rows, samples = [], _samples(attempts)
    for (benchmark, method, seed), by_problem in scores.items():
        measures = next(iter(by_problem.values()))
        own = [
            row
            for row in attempts
            if (row["benchmark"], row["method"], row["seed"]) == (benchmark, method, seed)
        ]
        own = [row for row in own if row["kind"] == "sampled"] or own
        endings = Counter(row["ending"] for row in own)
        rows.append(
            {
                "benchmark": benchmark,
                "method": method,
                "seed": seed,
                "problems": len(by_problem),
                **_stated(by_problem, measures, samples),
                "tokens": float(np.mean([row["tokens"] for row in own])),
                "tokenizer": (tokenizers or {}).get((method, seed)),
                "endings": {name: count / len(own) for name, count in sorted(endings.items())},
            }
        )
    return rows


def _samples(attempts: Iterable[Row]) -> int:
    """How many samples each problem has, 1 where there are none."""
    return 1 + max((row["attempt"] for row in attempts if row["kind"] == "sampled"), default=0)


def _mean(scores: Sequence[Sequence[float]], measure: str, samples: int) -> Interval:
    return mean_score(scores, trials=1 if measure == "greedy" else samples)


def _stated(
    by_problem: Mapping[str, Mapping[str, float]], measures: Iterable[str], samples: int
) -> Row:
    """The mean of each measure over problems, with the ends of its interval."""
    found: Row = {}
    for name in measures:
        mean = _mean([[score[name] for score in by_problem.values()]], name, samples)
        found |= {name: mean.estimate, f"{name}_lower": mean.lower, f"{name}_upper": mean.upper}
    return found


def methods(attempts: Sequence[Row], scores: Scores) -> list[Row]:
    """One row per benchmark, method and measure: the mean over its seeds and problems.

    Rows: `benchmark`, `method`, `measure` (`sampled`, `greedy`, `majority`, `pass@k`), `estimate`
    with `lower` and `upper` (95 %, for other problems and, where there are several, other seeds;
    see :func:`cpi_theory.statistics.paired.mean_score`), `seeds` and `problems`.
    """
    rows, samples = [], _samples(attempts)
    for benchmark, method in dict.fromkeys((b, m) for b, m, _ in scores):
        some = [own for (b, m, _), own in scores.items() if (b, m) == (benchmark, method)]
        problems = list(some[0])
        for measure in some[0][problems[0]]:
            mean = _mean([[own[p][measure] for p in problems] for own in some], measure, samples)
            rows.append(
                {
                    "benchmark": benchmark,
                    "method": method,
                    "measure": measure,
                    "estimate": mean.estimate,
                    "lower": mean.lower,
                    "upper": mean.upper,
                    "seeds": len(some),
                    "problems": len(problems),
                }
            )
    return rows


def comparisons(scores: Scores, key: Key | int = 0) -> list[Row]:
    """Compare all methods in pairs on each benchmark, paired by problem and seed.

    Rows: `benchmark`, `measure`, `first`, `second`, `difference` with `lower` and `upper` (for
    other seeds and problems, see :func:`cpi_theory.statistics.paired.compare_paired`), its `p` and
    `holm`, the same adjusted over the benchmarks of this pair and measure; `sign_flips`,
    `detectable`, `seeds`, `problems`, and `shown`: whether `holm` is below .05.
    """
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _, _ in scores))
    methods = list(dict.fromkeys(method for _, method, _ in scores))
    rows: list[Row] = []
    # The later one is usually the one that is to be ahead: the start model and GRPO come first.
    for second, first in itertools.combinations(methods, 2):
        for measure in MEASURES:
            tables = {b: _paired(scores, b, first, second, measure) for b in benchmarks}
            known = {benchmark: pair for benchmark, pair in tables.items() if pair is not None}
            found = {
                benchmark: compare_paired(*pair, key=key, comparisons=len(known))
                for benchmark, pair in known.items()
            }
            adjusted = holm([one.p_value for one in found.values()])
            for (benchmark, one), p in zip(found.items(), adjusted, strict=True):
                rows.append(
                    {
                        "benchmark": benchmark,
                        "measure": measure,
                        "first": first,
                        "second": second,
                        "difference": one.difference.estimate,
                        "lower": one.difference.lower,
                        "upper": one.difference.upper,
                        "p": one.p_value,
                        "holm": p,
                        "sign_flips": one.sign_flips,
                        "detectable": one.detectable,
                        "seeds": one.seeds,
                        "problems": one.problems,
                        "shown": p < 0.05,
                    }
                )
    return rows


def _paired(
    scores: Scores, benchmark: str, first: str, second: str, measure: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Scores of two methods, (seeds, problems) each; None where nothing pairs."""
    seeds = [
        {seed for b, m, seed in scores if (b, m) == (benchmark, method)}
        for method in (first, second)
    ]
    order = sorted(_common(*seeds), key=lambda seed: -1 if seed is None else seed)
    if not order:
        return None
    by_seed = [
        [scores[benchmark, method, None if own == {None} else seed] for seed in order]
        for method, own in zip((first, second), seeds, strict=True)
    ]
    # One list for both: entry [s, p] of the two tables is of one problem.
    problems = list(by_seed[0][0])
    if len(problems) < 2 or any(measure not in s[p] for some in by_seed for s in some for p in s):
        return None
    ours, theirs = (
        np.array([[score[p][measure] for p in problems] for score in some]) for some in by_seed
    )
    return ours, theirs


def uncompared(models: Iterable[Row]) -> list[Row]:
    """Pairs of methods that were evaluated on one benchmark with no seed in common.

    Args:
        models: rows of :func:`models`.

    Rows: `benchmark`, `first`, `second`, and `first_seeds` and `second_seeds`.
    """
    seeds: dict[str, dict[str, list[int | None]]] = defaultdict(lambda: defaultdict(list))
    for row in models:
        seeds[row["benchmark"]][row["method"]].append(row["seed"])
    return [
        {
            "benchmark": benchmark,
            "first": first,
            "second": second,
            "first_seeds": own[first],
            "second_seeds": own[second],
        }
        for benchmark, own in seeds.items()
        for second, first in itertools.combinations(own, 2)
        if not _common(set(own[first]), set(own[second]))
    ]


def _common(first: set[int | None], second: set[int | None]) -> set[int | None]:
    """Seeds by which two methods pair; a model without a seed stands for all of the other's."""
    return first & second or (second if first == {None} else first if second == {None} else set())


def aggregates(scores: Scores, resamples: int, key: Key) -> list[Row]:
    """The interquartile mean of each method's scores over benchmarks and seeds.

    Rows: `method`, `measure`, `value` with `lower` and `upper` (seeds resampled within each
    benchmark; null of fewer than :data:`~cpi_theory.statistics.bootstrap.LEAST_RUNS`),
    `benchmarks` and `seeds`. Methods with fewer than two seeds, or seeds missing in some benchmark,
    have none.

    Source: Agarwal et al. (2021), arXiv 2108.13264.
    """
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _, _ in scores))
    rows = []
    for method in dict.fromkeys(method for _, method, _ in scores):
        seeds = sorted({s for _, m, s in scores if m == method and s is not None})
        cells = [[scores.get((b, method, s)) for b in benchmarks] for s in seeds]
        if len(seeds) < 2 or any(cell is None for row in cells for cell in row):
            continue
        enough = len(seeds) >= LEAST_RUNS
        for measure in MEASURES:
            known = [[cell for cell in row if cell is not None] for row in cells]
            if not all(measure in s for row in known for cell in row for s in cell.values()):
                continue
            values = np.array(
                [[np.mean([s[measure] for s in cell.values()]) for cell in row] for row in known]
            )
            found = stratified_interquartile_mean(
                values, resamples=resamples, key=key.child(method, measure)
            )
            rows.append(
                {
                    "method": method,
                    "measure": measure,
                    "value": found.estimate,
                    "lower": found.lower if enough else None,
                    "upper": found.upper if enough else None,
                    "benchmarks": len(benchmarks),
                    "seeds": len(seeds),
                }
            )
    return rows
