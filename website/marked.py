"""Tables of docs/measurements/localization.md: who finds the errors that people have marked."""

from __future__ import annotations

from collections.abc import Callable

from paper_figs.rows import distinct, one, select
from website.stored import Row, lines, read

_BLIND = ("modal index", "uniform step", "last step")


def blind_shares() -> str:
    """How often baselines that read nothing name the step that people have marked, or the next."""
    found = read("records/marked-blind/scores.jsonl")
    rows = []
    for task in distinct(found, "task"):
        exact, near = (
            [one(found, task=task, measure=m, localizer=name) for name in _BLIND]
            for m in ("exact", "within one")
        )
        (refused,) = select(found, task=task, measure="refused", localizer=_BLIND[0])
        counts = [str(refused["traces"]), str(exact[0]["traces"])]
        rows.append([task, *counts, *map(_percent, (*exact, *near))])
    first, *others = _BLIND
    head = ("task", "traces", "with a wrong step", *_BLIND, f"within one: {first}", *others)
    return lines(head, rows)


def _percent(row: Row) -> str:
    if row["estimate"] is None:
        return ""
    ends = f"[{100 * row['lower']:.1f}, {100 * row['upper']:.1f}]"
    return f"{100 * row['estimate']:.1f} {ends}"


def blind_quarters() -> str:
    """In which quarter of their trace the marked steps are."""
    found = select(read("records/marked-blind/positions.jsonl"), localizer=_BLIND[0])
    rows = []
    for task in distinct(found, "task"):
        counts = {row["quarter"]: row["traces"] for row in select(found, task=task)}
        rows.append([task, *(str(counts.get(quarter, 0)) for quarter in range(1, 5))])
    return lines(("task", "first quarter", "second", "third", "last"), rows)


def model_shares() -> str:
    """What SmolLM2 names of the same marks, all tasks together, beside what reads nothing."""
    found = select(read("records/smollm2-localize/scores.jsonl"), task="all tasks")
    measures = ("exact", "within one", "clean", "f1", "refused")
    rows = []
    for asked, name in dict.fromkeys((row["asked"], row["localizer"]) for row in found):
        here = {m: select(found, asked=asked, localizer=name, measure=m) for m in measures}
        counts = [str(here["refused"][0]["traces"]), str(here["exact"][0]["traces"])]
        cells = (_percent(one(here[m], measure=m)) if here[m] else "" for m in measures)
        rows.append([name, asked, *counts, *cells])
    head = ("localiser", "asked about", "traces", "with a wrong step", *measures[:3], "F1")
    return lines((*head, "refused"), rows)


def model_tasks() -> str:
    """How often SmolLM2 is exact on each task, beside what reads nothing."""
    found = select(read("records/smollm2-localize/scores.jsonl"), measure="exact")
    named = {row["localizer"]: row["asked"] for row in found if not row["blind"]}
    asked = {row["asked"] for row in found}
    rows = []
    for task in distinct(found, "task"):
        counts = {a: select(found, task=task, asked=a) for a in sorted(asked)}
        ours = [select(found, task=task, asked=a, localizer=n) for n, a in named.items()]
        blind = [select(found, task=task, asked="all", localizer=name) for name in _BLIND]
        cells = (_percent(each[0]) if each else "" for each in (*ours, *blind))
        some = " / ".join(str(each[0]["traces"]) if each else "0" for each in counts.values())
        rows.append([task, some, *cells])
    head = ("task", f"with a wrong step, of {' / '.join(sorted(asked))}", *named, *_BLIND)
    return lines(head, rows)


def model_refusals() -> str:
    """Why SmolLM2 named nothing."""
    found = select(read("records/smollm2-localize/refusals.jsonl"), task="all tasks")
    rows = [[r["localizer"], r["reason"], str(r["count"]), str(r["traces"])] for r in found]
    return lines(("localiser", "reason", "replies", "of"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "blind": blind_shares,
    "quarters": blind_quarters,
    "model": model_shares,
    "model by task": model_tasks,
    "model's refusals": model_refusals,
}
"""By name: what makes the table."""
