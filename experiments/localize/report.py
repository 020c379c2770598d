"""What ``cpi-resets localize`` found: its section of the report, and sentences from the records."""

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
from experiments.documents.numbers import ends, number, share_text
from experiments.localize.summary import BLIND
from experiments.localize.value_summary import MEASURED
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import one


def localize_answers(run: Run) -> tuple[Answer, ...]:
    """How often the first error is found, beside the best baseline that reads nothing."""
    scores, gains = run.read("scores"), run.read("gains")
    if not gains:
        return ()
    traces = {id(gain): _own(gain, scores)["traces"] for gain in gains}
    # The model's own word comes before those of others, the damaged ones last.
    largest = max(gains, key=lambda gain: (int(traces[id(gain)]), _interest(gain["localizer"])))
    own = _own(largest, scores)
    sentence = gain_verdicts(scores, [largest])[0]
    if len(gains) > 1:
        ahead = sum(gain["lower"] > 0 for gain in gains)
        sentence += (
            f" Of {len(gains)} comparisons of a localiser with the best that reads nothing, by "
            f"task and measure, {ahead} show{'s' * (ahead == 1)} it ahead."
        )
    about = f"{own['dataset']}, {own['localizer']}"
    return (Answer(Question.LOCALIZER, about, share_text(own), sentence, run.directory.name),)


def _interest(localizer: str) -> int:
    return {"self": 1, "blurred": -1}.get(localizer, 0)


def _own(gain: Row, scores: Sequence[Row]) -> Row:
    same = {name: gain[name] for name in (*GROUP, "measure")}
    return one(scores, **same, localizer=gain["localizer"])


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
        DataTable.of(
            wide(scores),
            (*_LABELS, *MEASURES, "erroneous", "traces"),
            "Everybody's shares with 95 % intervals: compare each localiser with the blind ones.",
        ),
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
        *(_values_section(run) if run.has("value_drops") else ()),
    ]


def _values_section(run: Run) -> list[Block]:
    """Whether success falls at the marks."""
    curve, drops = run.read("value_curve"), run.read("value_drops")
    interval = ("estimate", "lower", "upper")
    return [
        Heading("Whether success falls at the marked step", 3),
        Paragraph(
            "Failed traces with a wrong step. The value of a prefix is how often the model's "
            "continuations of it arrive at the right answer; behind the last step it is the "
            "trace's own outcome, 0. A drop is the value before a step less that behind it. An "
            "error in the last step falls to 0 by itself, so marks before it are given alone too. "
            "A chance is that of a uniform step. Intervals are over questions."
        ),
        Verdicts(value_verdicts(drops)),
        DataTable.of(
            drops,
            ("dataset", "task", "marked", "measure", *interval, "chance", "traces", "left_out"),
        ),
        DataTable.of(curve, ("dataset", "task", "offset", *interval, "traces", "questions")),
    ]


def value_verdicts(drops: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per task and place of the marks: whether success falls there."""
    if not drops:
        return ("No failed trace has a wrong step: nothing was continued.",)
    groups = dict.fromkeys((r["dataset"], r["task"], r["marked"]) for r in drops)
    return tuple(_value_verdict(*group, drops) for group in groups)


def _value_verdict(dataset: str, task: str, marked: str, drops: Sequence[Row]) -> str:
    same = {"dataset": dataset, "task": task, "marked": marked}
    start, mark, elsewhere, gap, largest = (one(drops, **same, measure=m) for m in MEASURED)
    text = f"{dataset}, {task}, mark at {marked}: "
    if mark["estimate"] is None:
        return f"{text}no trace of several steps."
    text += f"success from the start {share_text(start)}; drop at the mark of {mark['traces']} "
    text += f"traces {_signed(mark)}, elsewhere {_signed(elsewhere)}, difference {_signed(gap)}"
    known = gap["lower"] is not None and not gap["lower"] <= 0 <= gap["upper"]
    deeper = "deeper" if gap["estimate"] > 0 else "less deep"
    text += f": {f'{deeper} at the mark' if known else 'not shown'}. The largest drop is there in "
    return f"{text}{share_text(largest)}, by chance in {number(largest['chance'], '.1%')}."


def _signed(row: Row) -> str:
    return f"{number(row['estimate'], '+.3f')} {ends(row['lower'], row['upper'], '.3f')}"


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
