"""What resets of a model's own failures say: all shares with intervals over prompts as clusters.

Suffixes of one prompt succeed or fail together, so they are never counted as independent trials.
Depth matters by itself (an early reset keeps little that can be wrong and leaves more to do), so
every comparison that could be one of depths comes with a control of the same depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.statistics.attempts import pass_at_k
from cpi_theory.statistics.by_prompt import Counts, Resampling
from cpi_theory.statistics.intervals import Interval, difference
from experiments.anatomy.samples import CONTROL
from experiments.runs.files import Row

REACH = 4
"""Deviations beyond it are counted with it."""

# The same for correction rates, which take more resets than a share of them.
_RATE_REACH = 2

LEVEL = 0.95

# Kinds whose steps are compared with the first error.
_NAMING = ("self", "random", "first hard")

# Kinds whose correction rates are compared.
_CONTRASTS = (
    ("self", "self control"),
    ("random", "random control"),
    ("oracle", "oracle control"),
    ("self", "random"),
    ("self", "first hard"),
    ("self", "start"),
    ("oracle", "start"),
    ("random", "start"),
)

Record = tuple[int, float, float]


def deviation(row: Row, reach: int = REACH) -> int | None:
    """Reset step less first error, cut at `reach`; None where either is not known."""
    if row["step"] is None or row["first_error"] is None:
        return None
    return max(-reach, min(reach, int(row["step"] - row["first_error"])))


def accuracy(rows: Sequence[Row]) -> list[Row]:
    """How often each way to choose a step finds the first error.

    Rows: `world`, `kind`, `measure` ("exact", "within one", "late" or "refused"), `estimate` with
    `lower` and `upper` among the parents whose first error is known, and their number `asked`.
    """
    measures: dict[str, Callable[[int | None], bool]] = {
        "exact": lambda off: off == 0,
        "within one": lambda off: off is not None and abs(off) <= 1,
        "late": lambda off: off is not None and off > 0,
        "refused": lambda off: off is None,
    }
    found = []
    for world, kind, chosen in _by_kind(rows, _NAMING):
        known = [r for r in chosen if r["first_error"] is not None]
        for measure, holds in measures.items():
            records = [(r["prompt"], float(holds(deviation(r))), 1.0) for r in known]
            labels = {"world": world, "kind": kind, "measure": measure, "asked": len(known)}
            found.append(labels | _ends(_share(records)))
    return found


def deviations(rows: Sequence[Row]) -> list[Row]:
    """How far chosen steps are from the first error.

    Rows: `world`, `kind`, `deviation` (cut at :data:`REACH`), `share` of the chosen steps with
    `lower` and `upper`, and their number `resets`.
    """
    found = []
    for world, kind, chosen in _by_kind(rows, _NAMING):
        offs = [(r["prompt"], deviation(r)) for r in chosen]
        known = [(prompt, off) for prompt, off in offs if off is not None]
        for at in range(-REACH, REACH + 1):
            share = _share([(prompt, float(off == at), 1.0) for prompt, off in known])
            labels = {"world": world, "kind": kind, "deviation": at, "resets": len(known)}
            found.append(labels | _ends(share, "share"))
    return found


def corrections(rows: Sequence[Row]) -> list[Row]:
    """How often suffixes succeed, over all resets of a kind and by deviation.

    A control is sorted by the deviation of the reset that it is the control of. Rows: `world`,
    `kind`, `deviation` (cut at 2; null: all), `rate` with `lower` and `upper`, `resets`, `prompts`.
    """
    found = []
    for world, kind, chosen in _by_kind(rows):
        sorted_by = kind.removesuffix(CONTROL)
        offs = {_parent(r): deviation(r, _RATE_REACH) for r in _of(rows, world, sorted_by)}
        for at in (None, *range(-_RATE_REACH, _RATE_REACH + 1)):
            some = [r for r in chosen if r["rewards"] and at in (None, offs[_parent(r)])]
            if some:
                found.append({"world": world, "kind": kind, "deviation": at} | _rate(some))
    return found


def gaps(rows: Sequence[Row], resamples: int, key: Key) -> list[Row]:
    """Differences of correction rates.

    Rows: `world`, `first`, `second`, `difference` with `lower` and `upper`. Beside kinds of resets
    these are "clean prefix" against "erroneous prefix" among self and random resets, as they are
    and, as "clean prefix, equal depth", weighted so that both kinds have the same depths.
    """
    found = []
    for world in dict.fromkeys(r["world"] for r in rows):
        for first, second in _CONTRASTS:
            pair = [_of(rows, world, kind) for kind in (first, second)]
            if all(pair):
                found.append(_gap(world, first, second, _paired(*pair)))
        pool = [r for kind in ("self", "random") for r in _of(rows, world, kind)]
        found += _prefix_gaps(world, pool, resamples, key.child("gaps", world))
    return found


def _paired(first: Sequence[Row], second: Sequence[Row]) -> Interval:
    """The difference over those parents for which both kinds drew suffixes."""
    drawn = [{_parent(r) for r in rows if r["rewards"]} for rows in (first, second)]
    shares = [
        _share(_successes(r for r in rows if _parent(r) in drawn[0] & drawn[1]))
        for rows in (first, second)
    ]
    return difference(*shares)


def _prefix_gaps(world: str, pool: Sequence[Row], resamples: int, key: Key) -> list[Row]:
    known = [r for r in pool if r["rewards"] and r["first_error"] is not None]
    clean, spoilt = ([r for r in known if is_clean(r) == sound] for sound in (True, False))
    if not clean or not spoilt:
        return []
    plain = difference(_share(_successes(clean)), _share(_successes(spoilt)))
    equal = _at_equal_depth(clean, spoilt, resamples, key)
    return [
        _gap(world, "clean prefix", "erroneous prefix", plain),
        _gap(world, "clean prefix, equal depth", "erroneous prefix", equal),
    ]


def _at_equal_depth(
    clean: Sequence[Row], wrong: Sequence[Row], resamples: int, key: Key
) -> Interval:
    """Difference of correction rates within depths, averaged with weights n m / (n + m).

    n and m are the suffixes of the two at a depth. The interval is a bootstrap over prompts.
    """
    prompts = 1 + max(r["prompt"] for r in (*clean, *wrong))
    weights = Resampling.of(prompts, resamples, key).weights
    totals = [np.zeros(len(weights)), np.zeros(len(weights))]
    for depth in sorted({r["step"] for r in clean} & {r["step"] for r in wrong}):
        (h, n), (g, m) = (_totals(part, depth, weights) for part in (clean, wrong))
        both = np.maximum(n + m, 1.0)
        totals[0] += (h * m - g * n) / both
        totals[1] += n * m / both
    with np.errstate(invalid="ignore"):
        values = np.where(totals[1] > 0, totals[0] / np.maximum(totals[1], 1e-300), np.nan)
    return _of_resamples(values)


def _totals(
    rows: Sequence[Row], depth: int, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Successes and suffixes of resets at a depth, in every resample."""
    counts = Counts.of(_successes(r for r in rows if r["step"] == depth), weights.shape[1])
    return weights @ counts.hits, weights @ counts.trials


def passk(rows: Sequence[Row]) -> list[Row]:
    """pass@k of what follows clean and erroneous prefixes, and of their controls.

    Prefixes: "clean" and "erroneous" (self and random resets whose step is at or before, or after,
    the first error), "clean control" and "erroneous control" (another failure of the same depth,
    whatever its own prefix: if depth alone decided, it would do as well), and "start" (the same
    parents' prompts from scratch). Rows: `world`, `prefix`, `k`,
    `value` with `lower` and `upper` over prompts, `resets`.
    """
    found = []
    for world in dict.fromkeys(r["world"] for r in rows):
        for prefix, chosen in _prefixes(rows, world).items():
            most = min((len(r["rewards"]) for r in chosen), default=0)
            for k in range(1, most + 1):
                records = [
                    (r["prompt"], pass_at_k(_won(r), len(r["rewards"]), k), 1.0) for r in chosen
                ]
                labels = {"world": world, "prefix": prefix, "k": k, "resets": len(chosen)}
                found.append(labels | _ends(_share(records), "value"))
    return found


def _prefixes(rows: Sequence[Row], world: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {name + end: [] for name in _PREFIXES for end in ("", CONTROL)}
    for kind in ("self", "random"):
        own = [r for r in _of(rows, world, kind) if deviation(r) is not None]
        control = {_parent(r): r for r in _of(rows, world, kind + CONTROL) if r["rewards"]}
        for row in own:
            name = _PREFIXES[0] if is_clean(row) else _PREFIXES[1]
            found[name].append(row)
            found[name + CONTROL] += [control[_parent(row)]] if _parent(row) in control else []
    found["start"] = [r for r in _of(rows, world, "start") if r["rewards"]]
    return found


_PREFIXES = ("clean", "erroneous")


def signals(tree: Sequence[Row], resamples: int, key: Key) -> list[Row]:
    """Compare the gradient of the loss per token in base groups and in reset groups.

    Rows: `world`, `quantity` ("base", "suffix": norm of the loss gradient in a token's logits, in
    the mean over all tokens of such groups, constant groups included; "suffix / base": their
    ratio), `estimate` with `lower` and `upper` (bootstrap over prompts), and `informative`, the
    share of groups that teach anything.
    """
    rows = [r for r in tree if r["kind"] == "signal"]
    if not rows:
        return []
    prompts = 1 + max(r["prompt"] for r in rows)
    resampling = Resampling.of(prompts, resamples, key.child("signals"))
    found, means = [], {}
    for role in ("base", "suffix"):
        chosen = [r for r in rows if r["role"] == role]
        signal, tokens = (_by_prompt(chosen, name, prompts) for name in ("signal", "tokens"))
        means[role] = resampling.ratio(signal, tokens)
        share = sum(r["informative"] for r in chosen) / len(chosen) if chosen else None
        labels = {"world": rows[0]["world"], "quantity": role, "informative": share}
        found.append(labels | _ends(_of_resamples(means[role])))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = means["suffix"] / means["base"]
    labels = {"world": rows[0]["world"], "quantity": "suffix / base", "informative": None}
    return [*found, labels | _ends(_of_resamples(ratio))]


def _by_prompt(rows: Sequence[Row], name: str, prompts: int) -> NDArray[np.float64]:
    where = np.array([r["prompt"] for r in rows], dtype=np.int64)
    return np.bincount(where, [r[name] for r in rows], prompts).astype(np.float64)


def _of_resamples(values: NDArray[np.float64]) -> Interval:
    """The value of the sample itself with percentiles of those resamples that have one."""
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(drawn):
        return Interval(math.nan, math.nan, math.nan)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(values[0]), float(low), float(high))


def is_clean(row: Row) -> bool:
    """Whether the prefix that a reset keeps is right."""
    return bool(row["step"] <= row["first_error"])


def _of(rows: Iterable[Row], world: str, kind: str) -> list[Row]:
    return [r for r in rows if r["world"] == world and r["kind"] == kind]


def _by_kind(
    rows: Sequence[Row], kinds: Sequence[str] | None = None
) -> list[tuple[str, str, list[Row]]]:
    labels = dict.fromkeys((r["world"], r["kind"]) for r in rows)
    return [(w, k, _of(rows, w, k)) for w, k in labels if kinds is None or k in kinds]


def _parent(row: Row) -> tuple[int, int]:
    return row["prompt"], row["parent"]


def _won(row: Row) -> int:
    if "passed" in row:
        return int(row["passed"])
    return sum(reward >= 1 for reward in row["rewards"])  # records of earlier versions


def _successes(rows: Iterable[Row]) -> list[Record]:
    return [(r["prompt"], float(_won(r)), float(len(r["rewards"]))) for r in rows]


def _share(records: Sequence[Record]) -> Interval:
    prompts = 1 + max((prompt for prompt, _, _ in records), default=0)
    return Counts.of(records, prompts).share(LEVEL)


def _rate(rows: Sequence[Row]) -> Row:
    prompts = len({r["prompt"] for r in rows})
    return _ends(_share(_successes(rows)), "rate") | {"resets": len(rows), "prompts": prompts}


def _gap(world: str, first: str, second: str, interval: Interval) -> Row:
    return {"world": world, "first": first, "second": second} | _ends(interval, "difference")


def _ends(interval: Interval, name: str = "estimate") -> Row:
    """The ends of an interval as JSON can hold them: null where nothing is known."""
    ends = {name: interval.estimate, "lower": interval.lower, "upper": interval.upper}
    return {label: None if math.isnan(end) else float(end) for label, end in ends.items()}
