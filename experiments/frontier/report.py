"""What ``cpi-resets frontier`` found: goals, theory's rule, its section of the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cpi_theory.algorithms.parent_choice import FirstErrorModel, rank_lessons
from cpi_theory.statistics.bootstrap import paired_difference
from experiments.documents.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.runs.files import Row
from experiments.runs.store import Run

BASELINES = ("GRPO", "SRPO")

LOSS = 0.01
"""Nowhere is Frontier to be further below the better baseline than this, in mean J."""

GAIN = 0.04
"""So far it is to be above both, in mean J, where the accuracy is at least 0.9 and the base pass
rate at most 0.01."""


def goals(means: Sequence[Row]) -> list[Row]:
    """Every other method against the baselines, world by world and accuracy by accuracy.

    Rows: `world`, `accuracy`, `base_pass`, `method`, `better` (the baseline with the larger mean),
    `difference` to it, paired by seed, with `lower` and `upper`, `aim` ("no loss", or "gain" where
    that much is asked) and `met`, which the estimate decides.
    """
    found = {(r["world"], r["method"], r["accuracy"]): r for r in means}
    rows = []
    for (world, method, accuracy), row in found.items():
        if method in BASELINES:
            continue
        baselines = (found[world, "GRPO", None], found[world, "SRPO", accuracy])
        better = max(baselines, key=lambda r: float(np.mean(r["means"])))
        gap = paired_difference(row["means"], better["means"])
        gain = accuracy >= 0.9 and row["base_pass"] <= 0.01
        rows.append(
            {
                "world": world,
                "accuracy": accuracy,
                "base_pass": row["base_pass"],
                "method": method,
                "better": better["method"],
                "difference": gap.estimate,
                "lower": gap.lower,
                "upper": gap.upper,
                "aim": "gain" if gain else "no loss",
                "met": gap.estimate >= (GAIN if gain else -LOSS),
            }
        )
    return rows


def rank_rule(pass_rate: float = 0.01, length: int = 10, failures: int = 4) -> list[Row]:
    """Expected lesson of each depth rank over the accuracy, at a known pass rate.

    Rows: `pass_rate`, `length`, `failures`, `accuracy`, `rank` (0: fresh rollouts), `lesson`, and
    whether it is the `best`.
    """
    rows = []
    for accuracy in np.linspace(0, 1, 41).tolist():
        model = FirstErrorModel(accuracy, pass_rate, pass_rate)
        lessons = rank_lessons(model, length, failures, 8 - failures)
        labels = {"pass_rate": pass_rate, "length": length, "failures": failures}
        rows += [
            labels
            | {
                "accuracy": accuracy,
                "rank": rank,
                "lesson": float(lesson),
                "best": rank == int(np.argmax(lessons)),
            }
            for rank, lesson in enumerate(lessons)
        ]
    return rows


def verdicts(compared: Sequence[Row]) -> list[str]:
    """What the goals came to, a sentence per method."""
    sentences = []
    for method in dict.fromkeys(row["method"] for row in compared):
        rows = [row for row in compared if row["method"] == method]
        worst = min(rows, key=lambda r: float(r["difference"]))
        parts = [
            _count(rows, "no loss", f"within {LOSS} of"),
            _count(rows, "gain", f"{GAIN} above"),
        ]
        place = f"{worst['world']}, accuracy {worst['accuracy']:g}"
        low = f"lowest {worst['difference']:+.3f} ({place})"
        sentences.append(f"{method}: {'; '.join(part for part in parts if part)}; {low}.")
    return sentences


def _count(rows: Sequence[Row], aim: str, text: str) -> str:
    asked = [row["met"] for row in rows if row["aim"] == aim]
    return f"{text} the better baseline in {sum(asked)} of {len(asked)}" if asked else ""


def frontier_section(run: Run) -> list[Block]:
    """Who is ahead at which accuracy of the localiser."""
    cells = ("world", "base_pass", "accuracy", "method", "mean", "lower", "upper", "seeds")
    compared = ("world", "accuracy", "method", "better", "difference", "lower", "upper", "aim")
    goals = run.read("goals")
    return [
        Heading("Frontier resets"),
        Paragraph(
            "If the first half of a prompt's rollouts failed altogether, the world names the first "
            "error of each and the other half restarts from before one of the named steps: that "
            "with the largest expected lesson (Frontier) or always the deepest. The localiser is "
            "right with the probability given and else names a uniform step. Differences are in "
            "the mean of J over the curve, to the better of GRPO and SRPO, paired by seed."
        ),
        Verdicts(tuple(verdicts(goals))),
        DataTable.of(goals, (*compared, "met")),
        Heading("Mean of J over the curve", 3),
        DataTable.of(run.read("cells"), cells),
    ]
