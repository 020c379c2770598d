"""What ``cpi-resets league`` found: its section of the report, and sentences from the records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from cpi_theory.statistics.bootstrap import LEAST_RUNS
from experiments.documents.document import (
    Answer,
    Block,
    DataTable,
    Heading,
    Paragraph,
    Question,
    Verdicts,
)
from experiments.documents.numbers import interval_text, number
from experiments.documents.words import counted, listed
from experiments.league.prediction import PREDICTORS
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.train.report import model_name
from experiments.worlds import tabular


def league_answers(run: Run) -> tuple[Answer, ...]:
    """Who has the best mean rank; or, in a single world, the best mean."""
    over_all, standing = run.read("overall"), run.read("places")
    if over_all and over_all[0]["worlds"] > 1:
        best, sentence = _first(over_all), over_all_sentence(over_all)
        number = f"{_names(best)}, mean rank {interval_text(best[0], 'rank', '.1f')}"
    elif standing:
        best, sentence = _first(standing), world_sentences(standing)[0]
        number = f"{_names(best)}, {interval_text(best[0], 'mean', '.3f')}"
    else:
        return ()
    about = f"a league, {model_name(run) if _of_models(run) else 'tabular'}"
    return (Answer(Question.LEARNING, about, number, sentence, run.directory.name),)


def _of_models(run: Run) -> bool:
    """Whether language models play, in worlds that are known or the user's own."""
    own = {world["name"]: world["type"] for world in run.config["more"]}
    tables = {one.__name__ for one in get_args(tabular.World)}
    name = run.config["worlds"][0]  # worlds of a league are all of one kind
    return name not in tabular.WORLDS and own.get(name) not in tables


def _first(rows: Sequence[Row]) -> list[Row]:
    """The row of the best rank; several, if that is shared."""
    best = min(float(row["rank"]) for row in rows)
    return [row for row in rows if row["rank"] == best]


def _names(rows: Sequence[Row]) -> str:
    return listed([row["method"] for row in rows])


def league_section(run: Run) -> list[Block]:
    """Methods of credit at equal budgets."""
    standing, compared, open_ends = (run.read(n) for n in ("places", "pairs", "unfinished"))
    place = ("world", "method", "mean", "lower", "upper", "rank", "rank_lower", "rank_upper")
    shown = ("behind", "ahead", "informative", "updates", "rollouts", "localizations", "rate")
    baseline = str(run.config["baseline"])
    against = [row for row in compared if baseline in (row["first"], row["second"])]
    pair = ("world", "first", "second", "difference", "lower", "upper", "p", "holm", "shown")
    return [
        Heading("A league of methods"),
        Paragraph(
            "Every method generates as many steps (tokens, of a language model), whatever it does "
            "with them: fresh rollouts, resets, trees or values of states. A score is the mean of "
            "J over that budget. Ranks have bootstrap intervals over seeds; a difference is shown "
            "if its p-value, adjusted by Holm over all pairs in all worlds, is below .05."
        ),
        Verdicts(tuple(verdicts(run.read("overall"), standing, run.read("agreement"), open_ends))),
        DataTable.of(
            standing,
            (*place, *shown),
            "Every method in every world: `behind` and `ahead` count those that are shown to be.",
        ),
        Heading(f"Against {baseline}", 3),
        DataTable.of(against, pair, "Intervals hold for one comparison, `holm` for all of them."),
        Heading("What one update takes", 3),
        DataTable.of(
            run.read("costs"),
            ("world", "method", "generated", "rollouts", "localizations", "status"),
            "Steps or tokens, rollouts and questions to the localiser of the first update.",
        ),
    ]


def verdicts(
    over_all: Sequence[Row],
    standing: Sequence[Row],
    agreed: Sequence[Row],
    open_ends: Sequence[Row],
) -> list[str]:
    """What the records say, a sentence each: over all worlds, by world, the audit, who is missing.

    Args:
        over_all: the table ``overall``.
        standing: ``places``.
        agreed: ``agreement``.
        open_ends: ``unfinished``.
    """
    return [
        *([over_all_sentence(over_all)] if over_all and over_all[0]["worlds"] > 1 else []),
        *world_sentences(standing),
        *(agreement_sentence(row) for row in agreed if row["world"] is None),
        *missing_sentences(open_ends),
    ]


def over_all_sentence(rows: Sequence[Row]) -> str:
    """Who has the lowest mean rank over worlds, and whether anyone else may have it."""
    first = _first(rows)
    best, verb = first[0], "has" if len(first) == 1 else "share"
    text = f"Over {counted(best['worlds'], 'world')} {_names(first)} {verb} the best mean rank, "
    if best["lower"] is None:
        text += f"{best['rank']:.1f} of {len(rows)}"
        return f"{text}; ranks have no interval over fewer than {LEAST_RUNS} seeds."
    rivals = [row for row in rows if row not in first and row["lower"] <= best["upper"]]
    text += interval_text(best, "rank", ".1f")
    shares = " and ".join(f"{row['first']:.0%}" for row in first)
    text += (
        f" of {len(rows)}, and {'is' if len(first) == 1 else 'are'} first in {shares} of resamples"
    )
    if rivals:
        return f"{text}; the intervals of {_names(rivals)} reach it."
    return f"{text}; no other interval reaches it."


def world_sentences(rows: Sequence[Row]) -> list[str]:
    """World by world: who is shown ahead of most others, and who cannot be told from the first."""
    sentences = []
    for world in dict.fromkeys(row["world"] for row in rows):
        here = [row for row in rows if row["world"] == world]
        first = _first(here)
        level = [row for row in here if row not in first and row["behind"] == 0]
        text = f"{world}: {_names(first)} {'is' if len(first) == 1 else 'are'} first with "
        text += f"{interval_text(first[0], 'mean', '.3f')}, shown ahead of "
        text += " and ".join(f"{row['ahead']}" for row in first) + f" of {len(here) - 1}"
        text += f"; not shown behind anyone: {_names(level)}, too." if level else "."
        sentences.append(text)
    return sentences


def agreement_sentence(row: Row) -> str:
    """Whether a prediction orders the methods as the league does."""
    what = PREDICTORS[row["predictor"]]
    text = f"Rank correlation of the league with {what}: "
    text += f"{interval_text(row, 'correlation', '.2f')} over "
    text += f"{counted(row['methods'], 'method')} in {counted(row['worlds'], 'world')} "
    text += f"(p = {number(row['p'], '.2g')} against random orders): "
    if row["lower"] > 0 and row["p"] < 0.05:
        return text + "it predicts part of the order."
    if row["upper"] < 0:
        return text + "the order is the other way round."
    return text + "that it predicts the order is not shown."


def missing_sentences(rows: Sequence[Row]) -> list[str]:
    """Who could not play or took too long, a sentence for each method in each world."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["world"], row["method"], row["why"]), []).append(row)
    return [f"{world}, {method}: {_why(why, some)}" for (world, method, why), some in found.items()]


def _why(why: str, rows: Sequence[Row]) -> str:
    if why in ("unable", "below one update"):
        return f"does not play, {rows[0]['problem']}."
    again = "run the same command with a higher --limit."
    if why != "out of time":
        return f"its {why.split()[0]} {rows[0]['problem']}; {again}"
    seeds = listed([str(row["seed"]) for row in rows])
    return f"seed {seeds} {rows[0]['problem']}, so that it is not ranked; {again}"
