"""Sentences that the records decide: what was measured, how surely, and whether theory agrees."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.store import Row


def interval_text(row: Row, estimate: str, digits: int = 2) -> str:
    """An estimate with its interval, e.g. "1.98 [1.95, 2.01]"."""
    numbers = (row[estimate], row["lower"], row["upper"])
    value, low, high = (f"{round(n, digits) + 0.0:.{digits}f}" for n in numbers)
    return f"{value} [{low}, {high}]"


def agreement(row: Row, estimate: str, expected: float) -> str:
    """Whether the interval holds the expected value; else how far the estimate is from it."""
    if row["lower"] <= expected <= row["upper"]:
        return f"theory says {expected:g}, inside the interval"
    off = row[estimate] - expected
    return f"theory says {expected:g}, outside the interval, {off:+.3f} away"


def exponent_verdicts(samples: Sequence[Row], gains: Sequence[Row]) -> tuple[str, ...]:
    """The exponents in the coverage: samples of each class, gain of each reset policy."""
    fits = [r for r in samples if r["kind"] == "exponent" and r["dial"] == "coverage"]
    sentences = []
    for row in fits:
        if row["base"] and row["quantity"] == "samples" and row["resets"] != "imperfect":
            who = f"{row['resets']} resets, {row['learner']} class"
            fact = f"samples grow as (1/p)^{interval_text(row, 'exponent')}"
            sentences.append(f"{who}: {fact}; {agreement(row, 'exponent', row['expected'])}.")
    sentences += [_grid_verdict(fits, learner, resets) for learner, resets in _situations(fits)]
    steps = [r for r in gains if r["kind"] == "exponent" and r["dial"] == "coverage"]
    for row in steps:
        wanted = row["base"] or row["family"] == "tree"
        if wanted and row["quantity"] == "gain" and row["spread_rule"] == "exact":
            place = "reasoning trees" if row["family"] == "tree" else "one-decision worlds"
            fact = f"the exact gain of a step of size alpha* goes as p^{row['exponent']:.2f}"
            theory = f"theory says {row['expected']:g} while L_w stays the same"
            sentences.append(f"{row['resets']} resets, {place}: {fact}; {theory}.")
    return tuple(sentences)


def _situations(fits: Sequence[Row]) -> list[tuple[str, str]]:
    found = [(r["learner"], r["resets"]) for r in fits if r["resets"] != "imperfect"]
    return list(dict.fromkeys(found))


def _grid_verdict(fits: Sequence[Row], learner: str, resets: str) -> str:
    rows = [
        r
        for r in fits
        if (r["learner"], r["resets"], r["quantity"]) == (learner, resets, "samples")
    ]
    off = [abs(r["exponent"] - r["expected"]) for r in rows]
    holds = sum(r["lower"] <= r["expected"] <= r["upper"] for r in rows)
    return (
        f"{resets} resets, {learner} class, over all {len(rows)} cells of the grid: the exponent "
        f"differs from theory by at most {max(off):.3f}; {holds} of {len(rows)} intervals hold it."
    )


def cost_verdict(samples: Sequence[Row]) -> str:
    """What the exponents become when every reset state has to be found by rolling in."""
    fits = {
        (r["learner"], r["resets"]): r["exponent"]
        for r in samples
        if r["kind"] == "exponent" and r["base"] and r["dial"] == "coverage"
        if r["quantity"] == "rollouts"
    }
    return (
        "These samples are trials at reset states. If each reset state takes a roll-in of its own "
        "and roll-ins that meet none are thrown away, rollouts grow as (1/p)^"
        f"{fits['aliased', 'random']:.2f} with random resets and (1/p)^"
        f"{fits['aliased', 'oracle']:.2f} with the oracle in the aliased class, and as (1/p)^"
        f"{fits['statewise', 'random']:.2f} against (1/p)^{fits['statewise', 'oracle']:.2f} in "
        "the statewise class: there the oracle saves a constant factor of rollouts, no power of p. "
        "An algorithm that resets its own failed rollouts has its roll-ins already."
    )


def imperfect_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """Measured against T6: samples saved (q / p)^2 and gain rho q / p."""
    samples = [r["samples_saved"] / r["samples_saved_theory"] for r in rows]
    gains = [r["gain_factor"] / r["gain_factor_theory"] for r in rows]
    held = sum(
        r["samples_saved_lower"] <= r["samples_saved_theory"] <= r["samples_saved_upper"]
        for r in rows
    )
    worse = sum(r["gain_factor"] < 1 for r in rows)
    return (
        f"Samples saved by an imperfect oracle are {min(samples):.2f} to {max(samples):.2f} times "
        f"T6's (q/p)^2 over {len(rows)} combinations of p, precision q and recall; "
        f"{held} of {len(rows)} intervals hold it.",
        f"The gain of its step is {min(gains):.3f} to {max(gains):.3f} times T6's "
        "(rho q / p)(L_1 / L_w) of random resets' gain.",
        f"In {worse} of {len(rows)} combinations random resets gain more per step: an oracle whose "
        "recall times precision is hardly above the coverage costs gain though it saves samples.",
    )


def check_verdict(rows: Sequence[Row]) -> str:
    """Whether real rollouts reproduce the accuracy at the measured number of samples."""
    held = sum(r["lower"] <= r["accuracy"] <= r["upper"] for r in rows)
    mean = sum(r["right"] for r in rows) / len(rows)
    return (
        f"Checked with real rollouts: at the measured number of samples {mean:.1%} of choices were "
        f"right on average over {len(rows)} settings ({rows[0]['accuracy']:.0%} wanted), and "
        f"{held} of {len(rows)} 95 % intervals hold the wanted share."
    )


def looseness_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """How far the bounds are from the facts."""
    return tuple(
        f"{r['bound']}, {r['facts']}: off by a factor of {_range(r['smallest'], r['largest'])}."
        for r in rows
    )


def _range(low: float, high: float) -> str:
    if high < low * 1.02:
        return f"{low:,.3g}" if low < 1000 else f"{low:,.0f}"
    return f"{low:,.3g} to {high:,.3g}" if high < 1000 else f"{low:,.0f} to {high:,.0f}"


def world_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """Oracle (lowest level) and first error against random resets on the visited worlds."""
    lowest = min(r["level"] for r in rows if r["resets"] == "oracle")
    kept = [r for r in rows if r.get("level", lowest) == lowest]
    by_place: dict[str, dict[str, Row]] = {}
    for row in kept:
        place = f"{row['world']} ({row['policy']})"
        by_place.setdefault(place, {})[row["resets"]] = row
    sentences = []
    for rival in ("oracle", "first error"):
        ahead = [p for p, r in by_place.items() if r[rival]["gain"] > r["random"]["gain"]]
        behind = [p for p in by_place if p not in ahead]
        sentences.append(
            f"{rival} resets gain more than random ones in one step in {len(ahead)} of "
            f"{len(by_place)} worlds" + (f"; not in {', '.join(behind)}." if behind else ".")
        )
    broken = [
        r for r in rows if r["gain"] < r["sharp"] - 1e-12 or r["sharp"] < r["guaranteed"] - 1e-12
    ]
    sentences.append(
        "Every exact gain is at least T1s, and T1s at least T2."
        if not broken
        else f"{len(broken)} rows break gain >= T1s >= T2."
    )
    return tuple(sentences)


def bound_verdicts(summary: Sequence[Row]) -> tuple[str, ...]:
    """Whether any bound was violated, and which are attained."""
    checks = sum(r["checks"] for r in summary)
    exact = sum(r["exact_checks"] for r in summary)
    broken = [r for r in summary if r["violations"]]
    names = ", ".join(r["theorem"] for r in broken)
    held = f"{len(broken)} theorems were violated: {names}." if broken else "No statement failed."
    attained = [r["theorem"] for r in summary if r["attained"]]
    loosest = [r for r in summary if r["tightness"] is not None and not r["attained"]]
    sentences = [
        f"{checks:,} inequalities were checked, {exact:,} of them in exact arithmetic. {held}",
        f"Attained exactly on some instance: {', '.join(attained) or 'none'}.",
    ]
    sentences += [
        f"{r['theorem']} reached {r['tightness']:.1%} of what it bounds at the closest."
        for r in loosest
    ]
    return tuple(sentences)


def difference_verdicts(pairs: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per comparison, axis and world: the difference, and who is ahead if anyone."""
    return tuple(
        f"{r['world']}: {r['first']} - {r['second']} = {interval_text(r, 'difference', 3)} per "
        f"{r['axis'].removesuffix('s')} over {r['seeds']} seeds: "
        + ("not distinguishable." if r["lower"] <= 0 <= r["upper"] else f"{_ahead(r)} is ahead.")
        for r in pairs
    )


def _ahead(row: Row) -> str:
    return str(row["first"] if row["lower"] > 0 else row["second"])


def learning_summary(pairs: Sequence[Row]) -> tuple[str, ...]:
    """Per comparison and axis: in how many worlds which method is ahead."""
    sentences = []
    for first, second, axis in dict.fromkeys((r["first"], r["second"], r["axis"]) for r in pairs):
        rows = [r for r in pairs if (r["first"], r["second"], r["axis"]) == (first, second, axis)]
        ahead, behind = (sum(r["lower"] > 0 for r in rows), sum(r["upper"] < 0 for r in rows))
        sentences.append(
            f"{first} against {second} per {axis.removesuffix('s')}: ahead in {ahead}, behind in "
            f"{behind} and not distinguishable in {len(rows) - ahead - behind} of {len(rows)} "
            "worlds."
        )
    return tuple(sentences)
