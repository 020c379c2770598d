"""What ``cpi-resets frontier`` found: its section of the report, and sentences on its goals."""

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
from experiments.documents.numbers import interval_text
from experiments.documents.words import counted
from experiments.frontier.summary import GAIN, LOSS, surely_met
from experiments.runs.files import Row
from experiments.runs.store import Run


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
    asked = [row for row in rows if row["aim"] == aim]
    if not asked:
        return ""
    met, surely = (sum(map(of, asked)) for of in (lambda row: row["met"], surely_met))
    return (
        f"{text} the better baseline by the estimate in {met} of {len(asked)}, "
        f"with the whole interval in {surely}"
    )


def frontier_answers(run: Run) -> tuple[Answer, ...]:
    """How the run's own methods do beside the better of GRPO and SRPO, each at its worst."""
    goals = run.read("goals")
    # Goals of a run that this one stands beside are its own there.
    own = run.config.get("methods") or ("Frontier",)
    methods = [m for m in dict.fromkeys(row["method"] for row in goals) if m in own and m in _SHOWN]
    return tuple(_answer(run, m, [row for row in goals if row["method"] == m]) for m in methods)


def _answer(run: Run, method: str, rows: Sequence[Row]) -> Answer:
    best, worst = (pick(rows, key=lambda r: float(r["difference"])) for pick in (max, min))
    place = f"{worst['world']}, localiser right in {worst['accuracy']:.0%}{_drift(run)}"
    sentence = (
        f"{method} less the better of GRPO and SRPO at its worst of "
        f"{counted(len(rows), 'setting')} ({place}); "
        f"at its best it is {interval_text(best, 'difference', '+.3f')} "
        f"({best['world']})."
    )
    number = interval_text(worst, "difference", "+.3f")
    return Answer(Question.LEARNING, f"tabular, {method}", number, sentence, run.directory.name)


_SHOWN = ("Frontier", "Adaptive Frontier")
"""Rivals such as SRPO have their numbers in the section."""


def _drift(run: Run) -> str:
    """What a localiser drifts to, if it does."""
    last = run.config.get("last_accuracy")
    return "" if last is None else f" at first and in {last:.0%} at last"


def _drifting(run: Run) -> str:
    last = run.config.get("last_accuracy")
    return "" if last is None else f" at first, {last:g} at last and linearly less between,"


_MET, _SURELY = "met by the estimate", "surely"


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
            "with the largest expected signal (Frontier) or always the deepest. The localiser is "
            f"right with the probability given{_drifting(run)} and else names a uniform step. "
            "Differences are in the mean of J over the curve, to the better of GRPO and SRPO, "
            "paired by seed."
        ),
        Verdicts(tuple(verdicts(goals))),
        DataTable.of(
            [row | {_MET: row["met"], _SURELY: surely_met(row)} for row in goals],
            (*compared, _MET, _SURELY),
            "Each method against the better baseline, by world and accuracy: look where the "
            "difference is below 0. An aim is met by the estimate, or surely where the whole "
            "interval lies within it.",
        ),
        Heading("Mean of J over the curve", 3),
        DataTable.of(run.read("cells"), cells, "Every method in every cell of the grid."),
    ]
