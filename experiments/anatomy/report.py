"""What ``cpi-resets anatomy`` found: its section of the report, and sentences from the records."""

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
from experiments.documents.numbers import interval_text, share_text
from experiments.documents.words import counted
from experiments.runs.files import Row
from experiments.runs.store import Run
from llm.models.settings import TINY_NAME
from paper_figs.published import within
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
        DataTable.of(
            rates,
            ("world", "kind", "rate", "lower", "upper", "resets", "prompts"),
            "Compare each kind with its control, whose resets keep as much of another failure.",
        ),
        Heading("Beside the paper", 3),
        published_deviations(run.read("corrections")),
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
            f"{world}: of {counted(exact['asked'], 'failure')} the model names the first error of "
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


def anatomy_answers(run: Run) -> tuple[Answer, ...]:
    """How often the model finds its own first error, where it does worst and best."""
    rows = [
        row
        for row in run.read("accuracy")
        if (row["kind"], row["measure"]) == ("self", "exact") and row["estimate"] is not None
    ]
    if not rows:
        return ()
    worst, best = (pick(rows, key=lambda row: float(row["estimate"])) for pick in (min, max))
    failures = counted(worst["asked"], "failure")
    text = f"On {worst['world']} it names the first error in so many of {failures}"
    if len(rows) > 1:
        text += f", the least of {len(rows)} worlds; at best {share_text(best)} ({best['world']})"
    random = select(run.read("accuracy"), world=worst["world"], kind="random", measure="exact")
    if random:
        text += f"; a random step is right in {share_text(random[0])}"
    about = "tiny model's own failures" if _tiny(run) else "a model's own failures"
    return (Answer(Question.LOCALIZER, about, share_text(worst), f"{text}.", run.directory.name),)


def _tiny(run: Run) -> bool:
    return bool((run.config.get("model") or {}).get("path") == TINY_NAME)


def published_deviations(rows: Sequence[Row]) -> DataTable:
    """Where named steps lie from the first error, and what their suffixes come to: paper and here.

    Args:
        rows: of the table ``corrections``.
    """
    own = [r for r in rows if r["kind"] == "self" and r["deviation"] is not None]
    reach = max((abs(r["deviation"]) for r in own), default=1)
    paper: list[Row] = [
        {"where": "paper: OLMo-3-7B", "deviation": d.deviation, "rate": d.corrected}
        | {"resets": d.prompts}
        for d in within(reach)
    ]
    here: list[Row] = [{**r, "where": f"here: {r['world']}"} for r in own]
    return DataTable.of(
        [*paper, *here],
        ("where", "deviation", "rate", "lower", "upper", "resets"),
        "Share of suffixes that succeed, by how many thoughts after the first error the named step "
        "is (before it: negative; the outermost hold all beyond). In the paper a larger model says "
        "where the error is, without a solution; here an exact checker does.",
        published=True,
    )


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
