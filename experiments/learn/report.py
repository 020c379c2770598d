"""What ``cpi-resets learn`` found: its section of the report."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.curve_statistics import difference_verdicts, idle_verdicts, speedup_verdicts
from experiments.documents.document import (
    Answer,
    Block,
    DataTable,
    Heading,
    Paragraph,
    Question,
    Verdicts,
)
from experiments.documents.numbers import interval_text
from experiments.documents.words import counted
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import select


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
    caption = "How many times as soon the first method gets half-way; above 1 it is faster."
    return speedup_table(run.read("speedups"), caption)


def speedup_table(rows: Sequence[Row], caption: str) -> list[Block]:
    """Sentences on the speed-ups that are shown, and a table of all of them."""
    names = ("world", "first", "second", "axis", "speedup", *ENDS, "seeds")
    said = speedup_verdicts([row for row in rows if row["shown"]])
    return [*([Verdicts(said)] if said else []), DataTable.of(rows, names, caption)]


def learn_answers(run: Run) -> tuple[Answer, ...]:
    """Who learns faster on tabular worlds, whose J is exact."""
    return learning_answer(run, "tabular", "mean J over the curve")


def learning_answer(run: Run, about: str, measure: str) -> tuple[Answer, ...]:
    """Who is ahead per rollout, where the two methods differ most, and how often.

    The methods are SRPO and GRPO, or, in a run that has not both, the first two that were compared.
    No comparison, as of one seed: no answer.
    """
    rows = [row for row in run.read("pairs") if row["axis"] == "rollouts"]
    if not rows:
        return ()
    contrasts = list(dict.fromkeys((row["first"], row["second"]) for row in rows))
    first, second = ("SRPO", "GRPO") if ("SRPO", "GRPO") in contrasts else contrasts[0]
    here = select(rows, first=first, second=second)
    widest = max(here, key=lambda row: (_decided(row), abs(row["difference"])))
    where = f"on {widest['world']}" + (", where they differ most" if len(here) > 1 else "")
    sentence = (
        f"{first} - {second} per rollout in {measure}, {where} "
        f"({counted(widest['seeds'], 'seed')}): {_outcome(widest)}."
    )
    if len(here) > 1:
        rivals = [second, *(name for one, name in contrasts if one == first and name != second)]
        counts = (_count(select(rows, first=first, second=rival), rival) for rival in rivals[:2])
        sentence += f" Of {len(here)} worlds {first} is {'; '.join(counts)}."
    number = interval_text(widest, "difference", "+.3f")
    return (Answer(Question.LEARNING, about, number, sentence, run.directory.name),)


def _decided(row: Row) -> bool:
    return bool(row["lower"] > 0 or row["upper"] < 0)


def _outcome(row: Row) -> str:
    if not _decided(row):
        return "no difference is shown"
    return f"{row['first'] if row['lower'] > 0 else row['second']} is ahead"


def _count(rows: Sequence[Row], rival: str) -> str:
    ahead, behind = (sum(r["lower"] > 0 for r in rows), sum(r["upper"] < 0 for r in rows))
    return f"ahead of {rival} in {ahead} and behind in {behind}"


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
        DataTable.of(
            run.read("reach"),
            reach,
            "How much each method generates until then, median over seeds: fewer is faster.",
        ),
        *speedup_blocks(run),
        Heading("What was generated", 3),
        DataTable.of(
            collections,
            (*made, "lower", "upper"),
            "What each method generated, and the share of its groups that taught anything.",
        ),
    ]
