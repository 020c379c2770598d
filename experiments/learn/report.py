"""What ``cpi-resets learn`` found: its section of the report."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.curve_statistics import difference_verdicts, idle_verdicts, speedup_verdicts
from experiments.documents.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.runs.files import Row
from experiments.runs.store import Run


def learning_summary(pairs: Sequence[Row]) -> tuple[str, ...]:
    """Say per comparison and axis in how many worlds which method is ahead."""
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


ENDS = ("lower", "upper")


def speedup_blocks(run: Run) -> list[Block]:
    """How many times as soon methods get half-way; nothing where older records do not say.

    What is shown is said; all comparisons are in the table.
    """
    if not run.has("speedups"):
        return []
    names = ("world", "first", "second", "axis", "speedup", *ENDS, "seeds")
    rows = run.read("speedups")
    said = speedup_verdicts([row for row in rows if row["shown"]])
    return [*([Verdicts(said)] if said else []), DataTable.of(rows, names)]


def learn_section(run: Run) -> list[Block]:
    """What resets do to learning."""
    pairs, collections = run.read("pairs"), run.read("collections")
    reach = ("world", "method", "axis", "level", "median", *ENDS, "reached", "seeds")
    made = ("world", "method", "rollouts", "steps", "localizations", "informative")
    return [
        Heading("Learning with resets"),
        Paragraph(
            "The same algorithm objects, optimiser and budget in every world. Differences are in "
            "the mean of J over the curve, paired by seed; a rollout counts as one wherever it "
            "starts, a step is one generated action, and kept prefixes cost nothing."
        ),
        Verdicts(
            (
                *idle_verdicts(collections),
                *learning_summary(pairs),
                *difference_verdicts(pairs),
            )
        ),
        Heading("Until half of what can be gained is gained", 3),
        DataTable.of(run.read("reach"), reach),
        *speedup_blocks(run),
        Heading("What was generated", 3),
        DataTable.of(collections, (*made, "lower", "upper")),
    ]
