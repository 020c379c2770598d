"""What ``cpi-resets diagnose`` found: its sections of the report."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.diagnose.labels import number_label
from experiments.diagnose.ranking import ranking_sentences
from experiments.diagnose.unknown import unknown_sentences
from experiments.diagnose.verdict import LIKELY, coverage_sentence, order_sentences
from experiments.documents.document import (
    Answer,
    Block,
    DataTable,
    Heading,
    Paragraph,
    Question,
    Verdicts,
)
from experiments.documents.words import counted
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import need, one

_ENDS = ("estimate", "lower", "upper")


def diagnose_section(run: Run) -> list[Block]:
    """What one diagnosis found."""
    summary = one(run.read("summary"))
    known = "known exactly" if summary["exact"] else "sampled"
    sentences = tuple(row["sentence"] for row in run.read("verdict"))
    estimates = run.read("estimates")
    known_ones = [row for row in estimates if row["estimate"] is not None]
    return [
        Heading(f"Are resets worth it? A diagnosis of {summary['world']}"),
        Paragraph(
            f"From {counted(summary['rollouts'], 'rollout')} of "
            f"{counted(summary['prompts'], 'prompt')} under the base policy, "
            f"before any training; best advantages were {known}. Intervals are over "
            "prompts, which are the independent trials. The control of a correction is the same "
            "step of another failure of the same prompt."
        ),
        Verdicts(sentences),
        DataTable.of(
            [row | {"name": number_label(row["name"])} for row in known_ones],
            ("section", "name", *_ENDS),
            "Every number of the diagnosis that is known.",
        ),
        *map(Paragraph, unknown_sentences(estimates)),
        *(_ranking(run.read("ranking")) if run.has("ranking") else ()),
    ]


def _ranking(rows: Sequence[Row]) -> list[Block]:
    signal = ("signal_per_step", "lower", "upper")
    ranks = ("method", "rank", "rank_lower", "rank_upper", "first")
    return [
        Heading("All methods, by the signal of their updates", 3),
        Verdicts(tuple(ranking_sentences(rows))),
        DataTable.of(
            rows,
            (*ranks, *signal, "cosine", "rollouts", "steps", "problem"),
            "Signal-to-noise ratio of an update over the steps that it takes, at the base policy; "
            "`cosine` is that of the mean update and the gradient of J.",
        ),
    ]


def diagnose_answers(run: Run) -> tuple[Answer, ...]:
    """Whether resets are predicted to be worth it here, and how sure that is."""
    summary, said = one(run.read("summary")), need(run.read("verdict"), "sentence")
    ahead = run.read("order") if run.has("order") else []
    number = "not decided"
    if ahead:
        row = ahead[0]
        # Records from before there was one hold the share of resamples alone, which overrates.
        sure = float(row["confidence"] if "confidence" in row else row["ahead"])
        if sure >= LIKELY:
            number = f"{row['first']} before {row['second']}: {sure:.0%} sure"
    return (
        Answer(
            Question.WORTH, str(summary["world"]), number, said[0]["sentence"], run.directory.name
        ),
    )


def order_answers(run: Run) -> tuple[Answer, ...]:
    """Whether such predictions come true."""
    rows, found = need(run.read("settings"), "setting"), one(run.read("agreement"))
    sentences = order_sentences(rows, found)
    about = f"predictions, {counted(found['settings'], 'setting')}"
    number = f"Kendall {found['kendall']:.2f} (p = {found['chance']:.2g})"
    # With what one order for all reaches: without it the correlation says too much.
    said = " ".join(sentences[:2])
    return (Answer(Question.WORTH, about, number, said, run.directory.name),)


def validate_section(run: Run) -> list[Block]:
    """How often the intervals of diagnoses cover what is true."""
    rows = need(run.read("coverage"), "coverage of an interval")
    columns = ("case", "section", "name", "truth", "covered", "lower", "upper", "repetitions")
    worst = sorted(rows, key=lambda row: row["covered"])[:12]
    return [
        Heading("Do the intervals of a diagnosis hold?"),
        Verdicts((coverage_sentence(rows),)),
        DataTable.of(worst, columns, "The numbers that were covered least often."),
    ]


def order_section(run: Run) -> list[Block]:
    """Whether predicted orders of methods are the measured ones."""
    rows, found = need(run.read("settings"), "setting"), one(run.read("agreement"))
    means = ("measured GRPO", "measured RRPO", "measured SRPO")
    gap = ("difference", "lower", "upper", "srpo_over_grpo", "agree")
    return [
        Heading("Does a diagnosis predict which method learns faster?"),
        Verdicts(order_sentences(rows, found)),
        DataTable.of(
            rows,
            ("setting", "success", *means, *gap),
            "Every setting: agree says whether SRPO and GRPO came out as predicted.",
        ),
    ]
