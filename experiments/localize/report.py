"""What ``cpi-resets localize`` found: its section of the report, and sentences from the records."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.documents.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.documents.numbers import ends, number, share_text
from experiments.localize.summary import BLIND
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import one

GROUP = ("dataset", "task", "asked")
_LABELS = (*GROUP, "localizer")
MEASURES = ("exact", "within one", "clean", "f1", "refused")


def localize_section(run: Run) -> list[Block]:
    """How well first errors are found."""
    scores, gains = run.read("scores"), run.read("gains")
    refusals = run.read("refusals")
    blocks: list[Block] = [
        Heading("Who finds first errors"),
        Paragraph(
            "Localisers are asked about traces whose first wrong step is known: people have marked "
            "it, or an exact step checker knows it. Exact and within one are shares of the traces "
            "with a wrong step, clean of those without, f1 is the harmonic mean of exact and "
            "clean. A localiser that is told of a failure is asked about failures alone. The blind "
            f"baselines ({', '.join(BLIND)}) read nothing; the modal index is that of the same "
            "traces' own marks, which flatters it a little. Intervals are over questions."
        ),
        Verdicts(gain_verdicts(scores, gains)),
        DataTable.of(wide(scores), (*_LABELS, *MEASURES, "erroneous", "traces")),
    ]
    if refusals:
        blocks += [
            Heading("Why nothing was said", 3),
            DataTable.of(refusals, (*_LABELS, "reason", "count", "estimate", "lower", "upper")),
        ]
    return [
        *blocks,
        Heading("Exact, by the quarter of the trace that the first error is in", 3),
        DataTable.of(
            run.read("positions"), (*_LABELS, "quarter", "estimate", "lower", "upper", "traces")
        ),
    ]


def wide(scores: Sequence[Row]) -> list[Row]:
    """One row per localiser and group, each measure with its interval as a text."""
    rows: dict[tuple[object, ...], Row] = {}
    for row in scores:
        name = tuple(row[label] for label in _LABELS)
        wide = rows.setdefault(name, {label: row[label] for label in _LABELS})
        if row["measure"] in ("exact", "refused"):  # of those with a wrong step, and of all
            wide["erroneous" if row["measure"] == "exact" else "traces"] = row["traces"]
        if row["estimate"] is not None:
            value = number(row["estimate"], ".2f")
            wide[row["measure"]] = f"{value} {ends(row['lower'], row['upper'], '.2f')}"
    return list(rows.values())


def gain_verdicts(scores: Sequence[Row], gains: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per localiser and task: how it does beside the best blind baseline."""
    sentences = []
    for gain in gains:
        same = {n: gain[n] for n in ("dataset", "task", "asked", "measure")}
        own, rival = (
            one(scores, **same, localizer=name) for name in (gain["localizer"], gain["baseline"])
        )
        of = {"exact": f"exact of {own['traces']} traces", "f1": "F1"}[gain["measure"]]
        text = f"{gain['dataset']}, {gain['task']}: {gain['localizer']}, {of}: {share_text(own)}"
        text += f", {gain['baseline']} {share_text(rival)}; "
        gap = f"{number(gain['difference'], '+.3f')} {ends(gain['lower'], gain['upper'], '.3f')}"
        shown = gain["lower"] > 0 or gain["upper"] < 0
        ahead = gain["localizer"] if gain["difference"] > 0 else gain["baseline"]
        text += f"difference {gap}: {f'{ahead} is ahead' if shown else 'not shown'}."
        sentences.append(text)
    return tuple(sentences)
