"""What ``cpi-resets evaluate`` found: its section of the report, and sentences from the records."""

from __future__ import annotations

import math
import re
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
from experiments.documents.numbers import number, with_ends
from experiments.documents.words import counted
from experiments.evaluate.config import START
from experiments.evaluate.summary import MEASURES, uncompared
from experiments.runs.files import Row
from experiments.runs.store import Run


def evaluate_answers(run: Run) -> tuple[Answer, ...]:
    """Which method is ahead on held-out problems, where two differ most."""
    rows = _compared(run.read("comparisons"))
    # That training did something is not what methods are compared for.
    rows = [row for row in rows if START not in (row["first"], row["second"])] or rows
    if not rows:
        return ()
    widest = max(rows, key=lambda row: (bool(row["shown"]), abs(row["difference"])))
    number = with_ends(widest["difference"], widest["lower"], widest["upper"], "+.3f")
    sentence = _sentence(widest)
    if len(rows) > 1:
        sentence += f" Of {len(rows)} comparisons {_shown(rows)}."
    return (Answer(Question.LEARNING, "held out", number, sentence, run.directory.name),)


def _shown(rows: Sequence[Row]) -> str:
    count = sum(bool(row["shown"]) for row in rows)
    return f"{count} show{'s' * (count == 1)} a difference"


def evaluate_section(run: Run) -> list[Block]:
    """Models on held-out problems."""
    models, pairs = run.read("models"), run.read("comparisons")
    known = dict.fromkeys(name for row in models for name in row)
    measures = [n for n in known if n in MEASURES or re.fullmatch(r"pass@\d+", n)]
    columns = ("benchmark", "method", "seed", "problems", *measures, "tokens")
    interval = ("estimate", "lower", "upper", "seeds", "problems")
    blocks: list[Block] = [
        Heading("Evaluation on held-out problems"),
        Paragraph(
            "Every model attempts the same problems under the same keys. Methods are compared in "
            "pairs, by problem and seed; intervals and p-values are for other seeds and other "
            "problems, and a difference is shown if its p-value, adjusted by Holm over the "
            "benchmarks, is below .05. Intervals of single scores, which overlap where a paired "
            "difference may well be shown, are Wilson's, with as many trials as would have the "
            "variance found over problems and seeds."
        ),
        Verdicts(
            (*comparison_verdicts(pairs), *unpaired_verdicts(models), *token_verdicts(models))
        ),
        DataTable.of(run.read("methods"), ("benchmark", "method", "measure", *interval)),
        Heading("Model by model, with intervals for other problems", 3),
        DataTable.of(
            [_with_ends(row, measures) for row in models],
            columns,
            "Every model on every benchmark.",
        ),
        Heading("Interquartile means over benchmarks and seeds", 3),
        DataTable.of(
            run.read("aggregates"),
            ("method", "measure", "value", "lower", "upper", "benchmarks", "seeds"),
        ),
    ]
    return blocks + (correction_blocks(run) if run.has("chains") else [])


COMPARED = ("sampled", "greedy")
"""By which measure a sentence compares two methods: the first that there is."""


def _with_ends(row: Row, measures: Sequence[str]) -> Row:
    """A model's scores as texts with their intervals."""
    texts = {m: _text(row, m) for m in measures if m in row}
    return row | texts


def _text(row: Row, measure: str) -> str:
    return with_ends(row[measure], row[f"{measure}_lower"], row[f"{measure}_upper"], ".3f")


CORRECTED = (
    *("benchmark", "method", "localizer", "stop", "round", "accuracy"),
    *("tokens", "asking", "read", "mended", "spoiled", "accepted", "unnamed"),
)
"""Columns of the table of corrections that are shown."""


def correction_blocks(run: Run) -> list[Block]:
    """Self-correction at inference, and what its tokens buy otherwise."""
    corrections, rivals = run.read("corrections"), run.read("rivals")
    shown = ("round", "rival", "samples", "score", "difference", "lower", "upper", "p", "holm")
    return [
        Heading("Self-correction at inference", 3),
        Paragraph(
            "An attempt is reset to just before its first error and written on, round after round. "
            'With the stop "own" nobody looks at the reference: the model, or whoever is asked, '
            'ends it by finding nothing to mend. With "oracle" the reference ends it at the first '
            "success: that is an upper bound, and no pass@1. Tokens are those generated so far, "
            "verification and localisation (asking) included; those read for them stand beside."
        ),
        Verdicts(correction_verdicts(corrections, rivals)),
        DataTable.of(corrections, CORRECTED),
        Heading("What the same tokens buy otherwise", 3),
        Paragraph(
            "Rivals are independent attempts, as many as the tokens of the chains buy in the mean. "
            "A majority needs no reference; the best of n by the oracle is right if any of them "
            "is, and so it is like chains that the oracle stops, and like nothing that a model can "
            "do alone. The first attempt is that of the chains themselves, at fewer tokens. "
            "Intervals are paired by problem; adjusted p-values are Holm's."
        ),
        DataTable.of(rivals, ("benchmark", "method", "localizer", "stop", *shown)),
    ]


def correction_verdicts(corrections: Sequence[Row], rivals: Sequence[Row]) -> tuple[str, ...]:
    """A sentence about the last round of each model, localiser and stop, and one on its rival."""
    last = max((row["round"] for row in corrections), default=0)
    sentences = []
    for row in corrections:
        if row["round"] == last:
            like = next(r for r in rivals if r["like"] and _same(r, row))
            sentences += [_corrected(row), _beside(like)]
    return tuple(sentences)


def _same(first: Row, second: Row) -> bool:
    names = ("benchmark", "method", "localizer", "stop", "round")
    return all(first[name] == second[name] for name in names)


def _corrected(row: Row) -> str:
    who = f"{row['benchmark']}, {row['method']} corrected by {row['localizer']}"
    text = f"{who}, {row['round']} rounds, "
    text += (
        "stopped by the oracle (an upper bound, no pass@1): " if row["upper_bound"] else "alone: "
    )
    text += f"right {number(row['accuracy'], '.3f')} after {row['tokens']:.0f} tokens"
    return f"{text}, {row['asking']:.0f} of them for asking."


def _beside(row: Row) -> str:
    if row["samples"] is None:
        return f"Beside it: no {row['rival']} at equal tokens, as no attempts were sampled."
    rival = f"{row['rival']}, n = {row['samples']:.2f} at equal tokens"
    if row["difference"] is None:
        more = math.ceil(row["samples"])
        return f"Beside it: no {rival}, as fewer were sampled; set attempts.samples to {more}."
    gap = with_ends(row["difference"], row["lower"], row["upper"], ".3f")
    text = f"Beside it: {rival}: {number(row['score'], '.3f')}; corrected - {row['rival']} {gap}"
    text += f" (p = {row['p']:.2g}, adjusted {row['holm']:.2g}): "
    if row["holm"] >= 0.05:
        return f"{text}not shown; {row['detectable']:.2f} would have been, four times in five."
    return text + ("correction" if row["difference"] > 0 else row["rival"]) + " is ahead."


def token_verdicts(models: Sequence[Row]) -> tuple[str, ...]:
    """A sentence where models count tokens of different kinds; none where they do not."""
    by_kind: dict[str, dict[str, None]] = {}
    for row in models:
        if row.get("tokenizer") is not None:
            by_kind.setdefault(row["tokenizer"], {})[row["method"]] = None
    if len(by_kind) < 2:
        return ()
    kinds = " / ".join(", ".join(methods) for methods in by_kind.values())
    return (
        f"The tokenizers of {kinds} are different ones, so that a token of one is no token of "
        "another: compare how often they are right, and lengths only within one of them.",
    )


def unpaired_verdicts(models: Sequence[Row]) -> tuple[str, ...]:
    """A sentence per pair of methods that were not compared, with the reason and the remedy."""
    return tuple(
        f"{row['benchmark']}: {row['first']} ({_seeds(row['first_seeds'])}) and {row['second']} "
        f"({_seeds(row['second_seeds'])}) were not compared, as they have no seed in common: train "
        "and evaluate both with the same seeds."
        for row in uncompared(models)
    )


def _seeds(seeds: Sequence[int | None]) -> str:
    known = ["none" if seed is None else str(seed) for seed in seeds]
    return f"seed{'s' * (len(known) > 1)} {', '.join(known)}"


def comparison_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per comparison of two methods by the mean of samples, or greedily."""
    return tuple(map(_sentence, _compared(rows)))


def _compared(rows: Sequence[Row]) -> list[Row]:
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    chosen = next((m for m in COMPARED if m in measures), None)
    return [row for row in rows if row["measure"] == chosen]


def _sentence(row: Row) -> str:
    value = with_ends(row["difference"], row["lower"], row["upper"], ".3f")
    scope = f"{counted(row['seeds'], 'seed')} x {counted(row['problems'], 'problem')}"
    text = f"{row['benchmark']}, {MEASURES[row['measure']]}: {row['first']} - {row['second']} "
    text += f"{value} ({scope}, p = {row['p']:.2g}"
    text += f", adjusted {row['holm']:.2g}" if row["holm"] != row["p"] else ""
    if row["shown"]:
        ahead = row["first"] if row["difference"] > 0 else row["second"]
        text += f"): {ahead} is ahead."
    else:
        text += f"): not shown; {row['detectable']:.2f} would have been, four times in five."
    if row["seeds"] == 1:
        text += " One seed: this is about these two models, not about the methods."
    return text
