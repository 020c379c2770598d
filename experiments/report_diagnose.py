"""The report's sections on `diagnose`."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.store import Row, Run

_ENDS = ("estimate", "lower", "upper")


def diagnose_section(run: Run) -> list[Block]:
    """What one diagnosis found."""
    (summary,) = run.read("summary")
    known = "known exactly" if summary["exact"] else "sampled"
    sentences = tuple(row["sentence"] for row in run.read("verdict"))
    return [
        Heading(f"Are resets worth it? A diagnosis of {summary['world']}"),
        Paragraph(
            f"From {summary['rollouts']:,} rollouts of {summary['prompts']} prompts under the base "
            f"policy, before any training; best advantages were {known}. Intervals are over "
            "prompts, which are the independent trials. The control of a correction is the same "
            "step of another failure of the same prompt."
        ),
        Verdicts(sentences),
        DataTable.of(run.read("estimates"), ("section", "name", *_ENDS)),
    ]


def validate_section(run: Run) -> list[Block]:
    """How often the intervals of diagnoses cover what is true."""
    rows = run.read("coverage")
    columns = ("case", "section", "name", "truth", "covered", "lower", "upper", "repetitions")
    worst = sorted(rows, key=lambda row: row["covered"])[:12]
    return [
        Heading("Do the intervals of a diagnosis hold?"),
        Verdicts((coverage_sentence(rows),)),
        Paragraph("The numbers that were covered least often:"),
        DataTable.of(worst, columns),
    ]


def coverage_sentence(rows: Sequence[Row]) -> str:
    """Over all numbers of all worlds, how often 95 % intervals cover."""
    shares = sorted(row["covered"] for row in rows)
    low = sum(share < 0.9 for share in shares)
    return (
        f"{len(rows)} numbers of {len({row['case'] for row in rows})} worlds, "
        f"{max(row['repetitions'] for row in rows)} diagnoses each: their 95 % intervals cover the "
        f"exact value in {shares[0]:.1%} (worst) to {shares[-1]:.1%} of cases, median "
        f"{shares[len(shares) // 2]:.1%}; {low} of them in fewer than 90 %."
    )


def order_section(run: Run) -> list[Block]:
    """Whether predicted orders of methods are the measured ones."""
    rows, (found,) = run.read("settings"), run.read("agreement")
    means = ("measured GRPO", "measured RRPO", "measured SRPO")
    gap = ("difference", "lower", "upper", "srpo_over_grpo", "agree")
    return [
        Heading("Does a diagnosis predict which method learns faster?"),
        Verdicts(order_sentences(rows, found)),
        DataTable.of(rows, ("setting", "success", *means, *gap)),
    ]


def order_sentences(rows: Sequence[Row], found: Row) -> tuple[str, ...]:
    """The rank agreement, what a fixed order does, and the pair whose order changes."""
    shown = [row for row in rows if row["shown"]]
    return (
        f"Mean Kendall correlation of predicted and measured order over {found['settings']} "
        f"settings: {found['kendall']:.2f}; orders drawn at random do as well with p = "
        f"{found['chance']:.4f}.",
        f"One order for all settings reaches at best {found['fixed']:.2f}; predictions dealt to "
        f"other settings do as well with p = {found['between']:.4f}.",
        f"SRPO against GRPO: {sum(row['agree'] for row in rows)} of {len(rows)} settings as "
        f"predicted, {sum(row['agree'] for row in shown)} of the {len(shown)} in which the "
        "measured difference is shown. Spearman correlation over settings of SRPO's predicted and "
        f"measured lead: {found['spearman']:.2f} (p = {found['spearman_p']:.4f}).",
    )
