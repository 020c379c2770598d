"""What ``cpi-resets diagnose`` found: its sections of the report."""

from __future__ import annotations

from experiments.diagnose.unknown import unknown_sentences
from experiments.diagnose.verdict import coverage_sentence, order_sentences
from experiments.documents.document import Block, DataTable, Heading, Paragraph, Verdicts
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
            f"From {summary['rollouts']:,} rollouts of {summary['prompts']} prompts under the base "
            f"policy, before any training; best advantages were {known}. Intervals are over "
            "prompts, which are the independent trials. The control of a correction is the same "
            "step of another failure of the same prompt."
        ),
        Verdicts(sentences),
        DataTable.of(known_ones, ("section", "name", *_ENDS)),
        *map(Paragraph, unknown_sentences(estimates)),
    ]


def validate_section(run: Run) -> list[Block]:
    """How often the intervals of diagnoses cover what is true."""
    rows = need(run.read("coverage"), "coverage of an interval")
    columns = ("case", "section", "name", "truth", "covered", "lower", "upper", "repetitions")
    worst = sorted(rows, key=lambda row: row["covered"])[:12]
    return [
        Heading("Do the intervals of a diagnosis hold?"),
        Verdicts((coverage_sentence(rows),)),
        Paragraph("The numbers that were covered least often:"),
        DataTable.of(worst, columns),
    ]


def order_section(run: Run) -> list[Block]:
    """Whether predicted orders of methods are the measured ones."""
    rows, found = need(run.read("settings"), "setting"), one(run.read("agreement"))
    means = ("measured GRPO", "measured RRPO", "measured SRPO")
    gap = ("difference", "lower", "upper", "srpo_over_grpo", "agree")
    return [
        Heading("Does a diagnosis predict which method learns faster?"),
        Verdicts(order_sentences(rows, found)),
        DataTable.of(rows, ("setting", "success", *means, *gap)),
    ]
