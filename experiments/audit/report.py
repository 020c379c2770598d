"""What ``cpi-resets audit`` found: its section of the report, and sentences from the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cpi_theory.audit.worlds import small_worlds
from experiments.audit.subjects import METHODS
from experiments.audit.summary import MEANING, ORDER, worst_on_outcomes
from experiments.audit.trial import REFUSED
from experiments.documents.document import (
    Answer,
    Block,
    DataTable,
    Heading,
    Paragraph,
    Question,
    Verdicts,
)
from experiments.documents.numbers import number
from experiments.documents.words import counted, listed
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import need

_AIMS = {
    "J": "the gradient of J, up to a factor",
    "mixture": "the gradient of J, or of a mixture over start states",
    "weights": "some weighted sum of the values of start states",
}
"""What an estimator may be said to follow."""

_COLUMNS = ("estimator", "version", "follows", "with outcomes 0 and 1 alone", "lowest_cosine")
_MORE = ("scale_low", "scale_high", "reversed", "worlds", "world", "notices")


def audit_answers(run: Run) -> tuple[Answer, ...]:
    """How many estimators follow what they are said to follow."""
    rows = run.read("summary")
    if not rows:  # none could be judged; the section says why
        return ()
    held = sum(row["holds"] for row in rows)
    about = f"{_kind(rows)}s of {_whose(rows)}"
    follows = following_sentence(rows, str(run.config["follows"]))
    sentence = f"{judged_sentence(rows, run.config)} {follows}"
    name = run.directory.name
    return (Answer(Question.CREDIT, about, f"{held} of {len(rows)}", sentence, name),)


def audit_section(run: Run) -> list[Block]:
    """Every estimator on worlds whose gradient is known."""
    rows, trials = run.read("summary"), need(run.read("trials"), "estimator")
    if not rows:
        heading = Heading("What advantage estimators follow")
        return [heading, Verdicts(tuple(_refused_sentences(trials)))]
    claim = str(run.config["follows"])
    failed = [row for row in trials if row["kind"] == "world" and not row["holds"]]
    return [
        Heading(f"What {_kind(rows)}s follow: those of {_whose(rows)}"),
        Paragraph(
            "Every estimator was put into small worlds whose policy gradient is known, and its "
            "expected update compared with that. A verdict is the worst over these worlds. Another "
            "objective than J may be meant; what the table says is which one it is."
        ),
        Paragraph(judged_sentence(rows, run.config)),
        Verdicts(tuple(verdicts(rows, trials, claim))),
        DataTable.of(
            table_rows(rows, trials),
            (*_COLUMNS, *_MORE),
            "`lowest_cosine` is that of expected update and gradient; the step is between "
            "`scale_low` and `scale_high` times that of the gradient; `reversed` counts worlds in "
            "which some action is moved the wrong way; `notices` is what changes advantages though "
            "the batch says the same.",
        ),
        Heading("Where they do not", 3),
        DataTable.of(
            failed,
            ("estimator", "world", "verdict", "cosine", "norm_ratio", "signal_per_step", "how"),
            f"Every world in which an estimator does not follow {_AIMS[claim]}.",
        ),
    ]


def table_rows(rows: Sequence[Row], trials: Sequence[Row]) -> list[Row]:
    """The summary as people read it, with the verdict on worlds that pay outcomes alone."""
    plain = worst_on_outcomes(trials)
    return [
        row
        | {
            "follows": MEANING[row["verdict"]],
            _COLUMNS[3]: MEANING[plain[row["estimator"]]] if row["estimator"] in plain else None,
            "notices": ", ".join(row["notices"]),
        }
        for row in rows
    ]


def verdicts(rows: Sequence[Row], trials: Sequence[Row], claim: str) -> list[str]:
    """What the records say: all estimators together, each that fails, and who was refused.

    Args:
        rows: the table ``summary``.
        trials: ``trials``.
        claim: what the estimators are said to follow.
    """
    return [
        following_sentence(rows, claim),
        *_outcomes_sentence(trials),
        *_method_sentence(rows),
        *(_failing(row) for row in rows if not row["holds"]),
        *_refused_sentences(trials),
    ]


def judged_sentence(rows: Sequence[Row], config: Row) -> str:
    """What was judged, where and how: audits that differ in it may differ in their verdicts.

    Args:
        rows: the table ``summary``.
        config: the settings of the audit, as stored.
    """
    worlds, chosen = [world.name for world in small_worlds()], config["worlds"]
    left = [name for name in worlds if chosen and name not in chosen]
    where = f"{len(worlds) - len(left)} of {len(worlds)} worlds" + (
        f" (without {listed(left)})" if left else ""
    )
    groups = f"in groups of {counted(config['rollouts'], 'rollout')}"
    if _kind(rows) == _METHOD:
        groups = "with the groups that learn gives them, resets included"
    text = f"Judged: {counted(len(rows), _kind(rows))} {groups}, on {where}"
    drawn = [row["estimator"] for row in rows if not row["listed"]]
    if not drawn:
        return f"{text}, every possible update counted."
    of = f" ({listed(drawn)} alone)" if len(drawn) < len(rows) else ""
    return (
        f"{text}; where there is too much to list{of} {config['draws']:,} updates were drawn, and "
        "what four standard errors allow passes."
    )


_METHOD, _ESTIMATOR = "method", "advantage estimator"


def _kind(rows: Sequence[Row]) -> str:
    """What the rows are about, in the singular: whole methods, or estimators of advantages."""
    return _METHOD if all(row["estimator"] in METHODS for row in rows) else _ESTIMATOR


def following_sentence(rows: Sequence[Row], claim: str) -> str:
    """Who follows what it is said to follow, what the others do, and the worst of it."""
    held = [row["estimator"] for row in rows if row["holds"]]
    worlds = max(row["worlds"] for row in rows)
    text = f"In all of {counted(worlds, 'world')} {listed(held) or 'none'} of {len(rows)} follow"
    text += f"{'s' * (len(held) < 2)} {_AIMS[claim]}"
    others = Counter(row["verdict"] for row in rows if not row["holds"])
    if not others:
        return f"{text}."
    parts = [
        f"{others[verdict]} {_plural(MEANING[verdict], others[verdict])}"
        for verdict in ORDER
        if verdict in others
    ]
    return f"{text}; of the others, at their worst, {'; '.join(parts)}{_wrong_way(rows)}."


def _wrong_way(rows: Sequence[Row]) -> str:
    wrong = [row for row in rows if row["reversed"]]
    if not wrong:
        return "; none moves an action the wrong way on average"
    lowest = min(wrong, key=lambda row: float(row["lowest_cosine"] or 0))
    return (
        f"; {len(wrong)} move{'s' * (len(wrong) == 1)} some action the wrong way on average in "
        f"some world, with a cosine down to {number(lowest['lowest_cosine'], '.2f')} "
        f"({lowest['estimator']})"
    )


def _outcomes_sentence(trials: Sequence[Row]) -> list[str]:
    worst = worst_on_outcomes(trials)
    if not worst:
        return []
    counts = Counter(worst.values())
    parts = [
        f"{counts[verdict]} {_plural(MEANING[verdict], counts[verdict])}"
        for verdict in ORDER
        if verdict in counts
    ]
    return [f"Where 0 or 1 is paid at the end and nothing else: {'; '.join(parts)}."]


def _method_sentence(rows: Sequence[Row]) -> list[str]:
    drawn = [row["estimator"] for row in rows if not row["listed"]]
    if not drawn:
        return ["Expectations are over everything that can happen; nothing was drawn."]
    which = listed(drawn) if len(drawn) < len(rows) else "all estimators"
    return [
        f"For {which}, some or all worlds have too much to list: there updates were drawn, and a "
        "verdict allows for four standard errors."
    ]


def _failing(row: Row) -> str:
    text = f"{row['estimator']}: {MEANING[row['verdict']]}. In {row['world']}: {row['says']}."
    if row["must_not_notice"]:
        text += f" Its advantages change with: {', '.join(row['must_not_notice'])}."
    return text


def _refused_sentences(trials: Sequence[Row]) -> list[str]:
    first = {row["estimator"]: row for row in reversed(trials) if row["kind"] == REFUSED}
    return [f"{name} was not judged: {row['problem']}." for name, row in first.items()]


def _whose(rows: Sequence[Row]) -> str:
    return listed(list(dict.fromkeys(map(_maker, rows))))


def _maker(row: Row) -> str:
    if row["version"]:
        return str(row["version"])
    return "a user" if ":" in row["estimator"] else "this package"


def _plural(meaning: str, count: int) -> str:
    """A meaning, which begins with a verb of one, as that of so many."""
    verb, _, rest = meaning.partition(" ")
    return meaning if count == 1 else f"{verb.removesuffix('s')} {rest}"
