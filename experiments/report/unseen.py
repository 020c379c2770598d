"""What a report does not show: the limits of its own runs, as their records tell them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.documents.document import Answer, Question
from experiments.documents.words import counted
from experiments.report.families import FAMILIES
from experiments.report.figures import INCOMPLETE
from experiments.report.runs import LeftOut, Shown
from experiments.runs.files import Row

_FEW = 10
"""Seeds below which a comparison is named."""


def unseen(shown: Sequence[Shown], left_out: Sequence[LeftOut]) -> tuple[Answer, ...]:
    """Comparisons without a result, few seeds, the models that ran, and what there is no run of.

    Args:
        shown: all runs.
        left_out: what could not be shown of them.
    """
    pairs = [
        {**row, "run": one.name}
        for one in shown
        for row in _rows(one, "pairs")
        if row.get("axis") == "rollouts"  # those of a league are at equal steps alone
    ]
    found = [*_undecided(pairs), *_few_seeds(pairs), *_models(shown), *_without(shown)]
    if left_out:
        text = "Figures, sections and answers for which records are not there, or not whole."
        details = tuple(f"{one}." for one in left_out)
        found.append(_answer("left out", counted(len(left_out), "part"), text, details))
    return tuple(found)


def _rows(one: Shown, table: str) -> Sequence[Row]:
    """A table as far as there is one; what is damaged is told by what shows it."""
    try:
        return one.run.read(table)
    except INCOMPLETE:
        return ()


def _answer(about: str, number: str, sentence: str, details: tuple[str, ...] = ()) -> Answer:
    return Answer(Question.UNSEEN, about, number, sentence, details=details)


def _undecided(pairs: Sequence[Row]) -> Iterator[Answer]:
    level = [row for row in pairs if row["lower"] <= 0 <= row["upper"]]
    if pairs:
        worlds = dict.fromkeys(f"{row['run']}: {row['world']}" for row in level)
        text = "So many comparisons of two methods per rollout show no difference"
        text += f" ({', '.join(worlds)})." if worlds else "."
        yield _answer("differences", f"{len(level)} of {len(pairs)}", text)


def _few_seeds(pairs: Sequence[Row]) -> Iterator[Answer]:
    few = {(row["run"], row["world"]): row["seeds"] for row in pairs if row["seeds"] < _FEW}
    if few:
        named = ", ".join(f"{run}: {world} ({n})" for (run, world), n in few.items())
        text = f"The fewest that methods are compared on: {named}. What so few show may be luck."
        seeds = min(few.values())
        yield _answer("at the fewest", counted(seeds, "seed"), text)


def _models(shown: Sequence[Shown]) -> Iterator[Answer]:
    models: dict[str, list[str]] = {}
    devices = set()
    for one in shown:
        model = one.run.config.get("model")
        if isinstance(model, str):  # as a diagnosis names it
            model = {"path": model, "device": one.run.config.get("device")}
        if isinstance(model, dict) and _asked(one):
            models.setdefault(Path(str(model.get("path"))).name, []).append(one.name)
            devices.add(str(model.get("device")))
    if models:
        named = "; ".join(f"{name} ({', '.join(runs)})" for name, runs in models.items())
        text = f"Language models: {named}, on {', '.join(sorted(devices))} alone. Of others, larger"
        text += " ones above all, nothing is known from these runs."
        yield _answer("of language", counted(len(models), "model"), text)


def _asked(one: Shown) -> bool:
    """Whether the model of a run's settings, there by default, had anything to do in it."""
    if one.family.kind == "league":
        # Signals are drawn in tabular worlds alone.
        return not _rows(one, "signals")
    if one.family.kind == "localize":
        return bool(one.run.config.get("localizers") or one.run.config.get("worlds"))
    return True


def _without(shown: Sequence[Shown]) -> Iterator[Answer]:
    missing = without_run(shown)
    if missing:
        text = f"There is no run of {', '.join(missing)}."
        there = len(FAMILIES) - len(missing)
        yield _answer("of runs", f"{there} of {len(FAMILIES)} kinds", text)


def without_run(shown: Sequence[Shown]) -> list[str]:
    """What there is no run of."""
    there = {one.family.kind for one in shown}
    return [family.kind for family in FAMILIES if family.kind not in there]
