"""What ``cpi-resets verify`` found: its section of the report."""

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
from experiments.documents.words import counted
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import need


def bound_verdicts(summary: Sequence[Row]) -> tuple[str, ...]:
    """Whether any bound was violated, and which are attained."""
    checks = sum(r["checks"] for r in summary)
    exact = sum(r["exact_checks"] for r in summary)
    broken = [r for r in summary if r["violations"]]
    names = ", ".join(r["theorem"] for r in broken)
    verb = "was" if len(broken) == 1 else "were"
    violated = f"{counted(len(broken), 'theorem')} {verb} violated: {names}."
    held = violated if broken else "No statement failed."
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


def verify_answers(run: Run) -> tuple[Answer, ...]:
    """Whether any inequality failed, and how close the bounds come to what they bound."""
    summary = need(run.read("summary"), "theorem")
    checks, exact, failed = (
        sum(row[name] for row in summary) for name in ("checks", "exact_checks", "violations")
    )
    broken = [row["theorem"] for row in summary if row["violations"]]
    held = f"those of {', '.join(broken)} failed" if broken else "none failed"
    attained = sum(row["attained"] > 0 for row in summary)
    sentence = (
        f"{checks:,} inequalities were checked, {exact:,} of them in exact arithmetic, and {held}; "
        f"{attained} of {len(summary)} statements are attained on some instance"
    )
    loose = [row for row in summary if row["tightness"] is not None and not row["attained"]]
    if loose:
        least = min(loose, key=lambda row: float(row["tightness"]))
        sentence += f", and {least['theorem']} came no closer than {least['tightness']:.1%}"
    number = f"{failed:,} of {checks:,} failed"
    about = counted(max(row["instances"] for row in summary), "instance")
    return (Answer(Question.BOUNDS, about, number, f"{sentence}.", run.directory.name),)


def verify_section(run: Run) -> list[Block]:
    """Whether the bounds held, and how tight they are."""
    summary = run.read("summary")
    columns = ("theorem", "instances", "checks", "exact_checks", "violations", "attained")
    tight = ("tightness", "adversarial_tightness", "penalty_used", "adversarial_penalty_used")
    return [
        Heading("Do the bounds hold?"),
        Paragraph(
            "Every statement is checked on random, extremal and Gymnasium worlds, many of them in "
            "exact fractions where no tolerance is needed, and pressed by adversarial search."
        ),
        Verdicts(bound_verdicts(summary)),
        DataTable.of(
            summary,
            (*columns, *tight),
            "Every statement: 1 is attained in the columns of tightness; the last two are of the "
            "penalty that a bound subtracts.",
        ),
    ]
