"""What ``cpi-resets anatomy`` found: its section of the report, and sentences from the records."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.documents.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.documents.numbers import interval_text, share_text
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import one, select


def anatomy_section(run: Run) -> list[Block]:
    """What resets of a model's own failures are worth."""
    gaps, accuracy = run.read("gaps"), run.read("accuracy")
    rates = [r for r in run.read("corrections") if r["deviation"] is None]
    return [
        Heading("Resets of a language model's own failures"),
        Paragraph(
            "Failures on held-out problems, before any training with rewards, are reset to the "
            "step that the model names itself, to a random step, to the first error and to the "
            "first hard step of the question; suffixes are drawn from each. A control keeps as "
            "many thoughts of another failure. Steps are judged by an exact checker. Intervals are "
            "over problems: suffixes of one problem are not independent."
        ),
        Verdicts((*accuracy_verdicts(accuracy), *gap_verdicts(gaps))),
        Verdicts(signal_verdicts(run.read("signals"))),
        Heading("Suffixes that succeed", 3),
        DataTable.of(rates, ("world", "kind", "rate", "lower", "upper", "resets", "prompts")),
    ]


def accuracy_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """How often the model finds its first error, beside what needs no localiser."""
    sentences = []
    for world in dict.fromkeys(r["world"] for r in rows):
        own = {"world": world, "kind": "self"}
        exact, late, refused = (
            one(rows, **own, measure=measure) for measure in ("exact", "late", "refused")
        )
        text = (
            f"{world}: of {exact['asked']} failures the model names the first error of "
            f"{share_text(exact)}, and a step after it, so that the prefix is wrong, in "
            f"{share_text(late)}; it names none in {share_text(refused)}."
        )
        hard = select(rows, world=world, kind="first hard", measure="exact")
        random = select(rows, world=world, kind="random", measure="exact")
        if hard and random:
            text += f" The first hard step of the question is right in {share_text(hard[0])}"
            text += f", a random step in {share_text(random[0])}."
        sentences.append(text)
    return tuple(sentences)


_GAPS = {
    ("self", "self control"): "Suffixes from the named step less those from the same depth of "
    "another failure",
    ("oracle", "oracle control"): "Suffixes from the first error less those from the same depth of "
    "another failure",
    ("self", "random"): "Named step less random step",
    ("self", "first hard"): "Named step less first hard step, which takes no localiser",
    ("self", "start"): "Named step less no reset at all",
    ("clean prefix", "erroneous prefix"): "Clean less erroneous prefixes",
    ("clean prefix, equal depth", "erroneous prefix"): "Clean less erroneous prefixes at equal "
    "depth",
}


def gap_verdicts(gaps: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per comparison over all worlds: what is shown, and what is not."""
    sentences = []
    for (first, second), text in _GAPS.items():
        rows = [r for r in gaps if (r["first"], r["second"]) == (first, second)]
        known = [r for r in rows if r["difference"] is not None]
        if not known:
            continue
        shown = [r["world"] for r in known if r["lower"] > 0 or r["upper"] < 0]
        values = ", ".join(f"{r['world']} {interval_text(r, 'difference', '.3f')}" for r in known)
        verdict = f"shown in {', '.join(shown)}" if shown else "no difference is shown"
        sentences.append(f"{text}, rate of success: {values}; {verdict}.")
    return tuple(sentences)


def signal_verdicts(signals: Sequence[Row]) -> tuple[str, ...]:
    """Compare the gradient of the loss per token in reset groups and in base groups."""
    sentences = []
    for row in signals:
        if row["quantity"] == "suffix / base" and row["estimate"] is not None:
            even = row["lower"] <= 1 <= row["upper"]
            sentences.append(
                f"{row['world']}: per token the loss pulls {interval_text(row, 'estimate')} times "
                "as hard at reset groups as at base groups, constant groups included"
                + ("; no difference is shown." if even else ".")
            )
    return tuple(sentences)
