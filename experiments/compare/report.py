"""What ``cpi-resets compare`` found: its section of the report, and sentences from the records."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.documents.document import (
    Answer,
    Block,
    DataTable,
    Heading,
    Paragraph,
    Question,
    Verdicts,
)
from experiments.documents.numbers import agreement, interval_text
from experiments.documents.words import counted
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import need, one, select


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


_BASE_LINE = {"kind": "exponent", "base": True, "dial": "coverage"}

_SITUATIONS = {
    "with random resets and one parameter for all states": ("aliased", "random"),
    "with random resets and one for each state": ("statewise", "random"),
    "with oracle resets": ("aliased", "oracle"),
}


def compare_answers(run: Run) -> tuple[Answer, ...]:
    """What the samples for a right choice cost in coverage, and what an imperfect oracle saves."""
    samples = run.read("samples")
    fits = {
        where: one(samples, **_BASE_LINE, quantity="samples", learner=learner, resets=resets)
        for where, (learner, resets) in _SITUATIONS.items()
    }
    parts = [
        f"(1/p)^{interval_text(row, 'exponent')} {where} (theory: {row['expected']:g})"
        for where, row in fits.items()
    ]
    first = next(iter(fits.values()))
    sentence = f"Samples for a right choice grow as {', '.join(parts)}."
    return (
        Answer(
            Question.SAVINGS,
            "exponent of 1/p",
            interval_text(first, "exponent"),
            sentence,
            run.directory.name,
        ),
        *_imperfect_answer(run),
    )


def _imperfect_answer(run: Run) -> tuple[Answer, ...]:
    if not run.has("imperfect"):
        return ()
    rows = need(run.read("imperfect"), "imperfect oracle")
    held = sum(
        r["samples_saved_lower"] <= r["samples_saved_theory"] <= r["samples_saved_upper"]
        for r in rows
    )
    worse = sum(r["gain_factor"] < 1 for r in rows)
    sentence = (
        f"So many intervals of what an oracle that errs saves in samples hold what T6 says; in "
        f"{worse} of {len(rows)} settings a step of random resets gains more than one of its own."
    )
    number = f"{held} of {len(rows)}"
    return (Answer(Question.SAVINGS, "imperfect oracles", number, sentence, run.directory.name),)


def _situations(fits: Sequence[Row]) -> list[tuple[str, str]]:
    found = [(r["learner"], r["resets"]) for r in fits if r["resets"] != "imperfect"]
    return list(dict.fromkeys(found))


def _grid_verdict(fits: Sequence[Row], learner: str, resets: str) -> str:
    rows = [
        r
        for r in fits
        if (r["learner"], r["resets"], r["quantity"]) == (learner, resets, "samples")
    ]
    need(rows, f"exponent of samples with {resets} resets")
    off = [abs(r["exponent"] - r["expected"]) for r in rows]
    holds = sum(r["lower"] <= r["expected"] <= r["upper"] for r in rows)
    return (
        f"{resets} resets, {learner} class, over all {len(rows)} cells of the grid: the exponent "
        f"differs from theory by at most {max(off):.3f}; {holds} of {len(rows)} intervals hold it."
    )


def cost_verdict(samples: Sequence[Row]) -> str:
    """What the exponents become when every reset state has to be found by rolling in."""
    line = {"kind": "exponent", "base": True, "dial": "coverage", "quantity": "rollouts"}
    fits = {
        (learner, resets): one(samples, learner=learner, resets=resets, **line)["exponent"]
        for learner in ("aliased", "statewise")
        for resets in ("random", "oracle")
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
    need(rows, "imperfect oracle")
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
    need(rows, "check with real rollouts")
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


def lowest_levels(rows: Sequence[Row]) -> list[Row]:
    """The rows without those of an oracle at another than its lowest level in that world."""
    lowest: dict[tuple[str, str], float] = {}
    for row in rows:
        if "level" in row:
            place = (row["world"], row["policy"])
            lowest[place] = min(row["level"], lowest.get(place, row["level"]))
    return [r for r in rows if r.get("level") in (None, lowest.get((r["world"], r["policy"])))]


def world_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """Oracle (at its lowest level) and first error against random resets on the visited worlds."""
    need(select(rows, resets="oracle"), "oracle reset")
    by_place: dict[str, dict[str, Row]] = {}
    for row in lowest_levels(rows):
        place = f"{row['world']} ({row['policy']})"
        by_place.setdefault(place, {})[row["resets"]] = row
    sentences = []
    for rival in ("oracle", "first error"):
        both = {p: r for p, r in by_place.items() if {rival, "random"} <= r.keys()}
        ahead = [p for p, r in both.items() if r[rival]["gain"] > r["random"]["gain"]]
        behind = [p for p in both if p not in ahead]
        sentences.append(
            f"{rival} resets gain more than random ones in one step in {len(ahead)} of "
            f"{counted(len(both), 'world')}" + (f"; not in {', '.join(behind)}." if behind else ".")
        )
    broken = [
        r for r in rows if r["gain"] < r["sharp"] - 1e-12 or r["sharp"] < r["guaranteed"] - 1e-12
    ]
    sentences.append(
        "Every exact gain is at least T1s, and T1s at least T2."
        if not broken
        else f"{counted(len(broken), 'row')} break{'s' * (len(broken) == 1)} gain >= T1s >= T2."
    )
    return tuple(sentences)


def _baselines(rows: Sequence[Row]) -> list[Block]:
    if not rows:  # a run from before they were measured
        return []
    worst = _worst_factors(rows)
    named = ", ".join(f"{kind} {factor:.3g}" for kind, factor in worst.items())
    return [
        Heading("What the chooser subtracts from returns", 3),
        Verdicts((f"Trials against those of the best baseline, in the worst class: {named}.",)),
        DataTable.of(
            rows,
            ("class", "baseline", "samples", "lower", "upper"),
            "Trials that each baseline takes in each class: fewer is better.",
        ),
    ]


def _worst_factors(rows: Sequence[Row]) -> dict[str, float]:
    best: dict[str, float] = {}
    for row in rows:
        best[row["class"]] = min(row["samples"], best.get(row["class"], row["samples"]))
    worst: dict[str, float] = {}
    for row in rows:
        factor = row["samples"] / best[row["class"]]
        worst[row["baseline"]] = max(factor, worst.get(row["baseline"], 1.0))
    return worst


def compare_section(run: Run) -> list[Block]:
    """What oracle resets are worth against random ones."""
    samples, gains = run.read("samples"), run.read("gains")
    checks = [check_verdict(run.read("checks"))] if run.has("checks") else []
    baselines = run.read("baselines") if run.has("baselines") else []
    worlds = run.read("worlds")
    columns = ("world", "policy", "resets", "tau", "selected", "advantage", "alpha")
    measured = ("guaranteed", "sharp", "gain", "samples")
    return [
        Heading("Oracle resets against random resets"),
        Paragraph(
            "A policy chooser draws trials at reset states, tries a uniform action and rolls out. "
            "Its choice is right if its reset advantage is at least half of the best in its class, "
            "the target of T5. `aliased` learners have one action for all states, `statewise` "
            "ones an action per state. The price 1/p^2 of random resets is real for aliased "
            "learners (T7s); for statewise ones it is 1/p (T4w)."
        ),
        Verdicts((*exponent_verdicts(samples, gains), *checks, cost_verdict(samples))),
        Heading("Imperfect oracles", 3),
        Verdicts(imperfect_verdicts(run.read("imperfect"))),
        Heading("Bounds against facts", 3),
        Verdicts(looseness_verdicts(run.read("looseness"))),
        *_baselines(baselines),
        Heading("On other worlds", 3),
        Verdicts(world_verdicts(worlds)),
        DataTable.of(
            worlds,
            (*columns, *measured),
            "One step on each world: the gain beside what T2 and T1s guarantee of it.",
        ),
    ]
