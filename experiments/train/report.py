"""What ``cpi-resets train`` found: its section of the report, and sentences from the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.curve_statistics import (
    difference_verdicts,
    gather,
    idle_verdicts,
    single_verdicts,
    speedups,
)
from experiments.documents.document import (
    Answer,
    Block,
    DataTable,
    Heading,
    Paragraph,
    Question,
    Verdicts,
)
from experiments.documents.numbers import with_ends
from experiments.documents.words import counted
from experiments.execution.sweep import CLOCK, timed_rows
from experiments.learn.report import (
    ENDS,
    learning_answer,
    learning_summary,
    speedup_blocks,
    speedup_table,
)
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.train.summary import contrasts, known, reward_verdicts
from llm.models.settings import TINY_NAME
from paper_figs.published import CURVES, RUNS, last_difference
from paper_figs.rows import select

# Seeds below which a report warns of its own intervals.
_FEW = 10


def train_section(run: Run) -> list[Block]:
    """Whether resets helped a language model to learn."""
    pairs, collections = run.read("pairs"), run.read("collections")
    finals = ["world", "method", "measure", "before", "after", "gain", "lower", "upper", "seeds"]
    if any("reward_before" in row for row in run.read("finals")):
        finals += ["reward_before", "reward_after"]
    reach = ("world", "method", "axis", "level", "median", *ENDS, "reached", "seeds")
    made = ("world", "method", "rollouts", "tokens", "forward_tokens", "localization_tokens")
    return [
        Heading("Training a language model"),
        Paragraph(
            "The same algorithm objects, now on a transformer: equal checkpoint, loss, optimiser "
            "and rollouts per update. Pass rates are on held-out problems; differences are in the "
            "mean pass rate over the run, paired by seed. Tokens are all that was sampled, "
            "localisation included."
        ),
        Verdicts(
            (
                *single_verdicts(run.read("finals")),
                *reward_verdicts(run.read("finals")),
                *unlearned_verdicts(collections),
                *headlines(pairs),
                *learning_summary(pairs),
                *difference_verdicts(pairs),
            )
        ),
        Heading("Localisation while the policy learns", 3),
        Verdicts(
            (
                *localization_verdicts(run.read("localization")),
                *(taught_verdict(row) for row in (run.read("model") if run.has("model") else ())),
            )
        ),
        Heading("Before and after", 3),
        DataTable.of(
            run.read("finals"),
            tuple(finals),
            "Pass rates on held-out problems, sampled and greedy. Each evaluation draws new texts; "
            "the interval is that of the gain, over seeds. Of one seed, or where all seeds gained "
            "the same, it is that of the problems and texts drawn alone.",
        ),
        Heading("Beside the paper", 3),
        published_table(run.read("finals")),
        Heading("Until half of what can be gained is gained", 3),
        DataTable.of(
            run.read("reach"),
            reach,
            "How much each method generates until then, median over seeds: fewer is faster.",
        ),
        *speedup_blocks(run),
        *clock_blocks(run),
        Heading("What was generated", 3),
        DataTable.of(
            collections,
            (*made, "informative", "lower", "upper"),
            "What each method generated, and the share of its groups that taught anything.",
        ),
    ]


def unlearned_verdicts(collections: Sequence[Row]) -> tuple[str, ...]:
    """Which methods learned nothing, and what their pass rates differ by all the same."""
    idle = idle_verdicts(collections)
    if not idle:
        return ()
    return (
        *idle,
        "Where nothing was learned, pass rates before and after differ by the texts that were "
        "drawn, and the best checkpoint is best by chance.",
    )


def clock_blocks(run: Run) -> list[Block]:
    """Speed-ups by the wall clock; nothing where a run came without its timings, or has one seed.

    They are in no table of the run: equal runs have equal records, and no two have equal seconds.
    """
    curves = gather(timed_rows(run, "curves"))
    rows = speedups(curves, (CLOCK,), contrasts(method for _, method in curves))
    caption = (
        "The same by the clock: seconds of collecting and learning on the machine of this run, "
        "beside whatever else it did."
    )
    return speedup_table(rows, caption) if rows else []


def train_answers(run: Run) -> tuple[Answer, ...]:
    """Who learns faster on a language model, and how good its localiser stays meanwhile."""
    about = model_name(run)
    learning = learning_answer(run, about, "mean pass rate over the run")
    localizer = localizer_answer(run.read("localization"), about, run.directory.name)
    return (*learning, localizer) if localizer else learning


def model_name(run: Run) -> str:
    """What was trained, in a few words."""
    path = str((run.config.get("model") or {}).get("path", "a language model"))
    return "tiny model" if path == TINY_NAME else f"real model: {Path(path).name}"


def localizer_answer(rows: Sequence[Row], about: str, run: str) -> Answer | None:
    """How good the localiser of the first world and method is at last; None without failures.

    Args:
        rows: of the table `localization`.
        about: what was trained.
        run: the run's name.
    """
    rows = [r for r in rows if r["method"] != "ORACLE" and known(r)]
    if not rows:
        return None
    here = select(rows, **{key: rows[0][key] for key in ("world", "method")})
    rate = _rate(here[-1]) if _says_something(here[-1]) else "not known yet"
    (sentence,) = localization_verdicts(here)
    return Answer(Question.LOCALIZER, f"{about}, while it learns", rate, sentence, run)


def published_answer() -> Answer:
    """What the paper's curves say of the same, at their last update."""
    gap, p = last_difference("SRPO", "GRPO")
    last = {name: curve.values[-1] for name, curve in CURVES.items()}
    sentence = (
        f"SRPO - GRPO after the last update, read from the paper's figure: {last['SRPO']:.1f} "
        f"against {last['GRPO']:.1f} % over {RUNS} runs each, Welch's p = {p:.2f}."
    )
    number = f"{gap:+.1f} points"
    return Answer(Question.LEARNING, "the paper, 7B", number, sentence, published=True)


def published_table(finals: Sequence[Row]) -> DataTable:
    """Pass rates before and after in the paper and here, in per cent."""
    rows: list[Row] = [
        {"where": "paper: OLMo-3-7B", "method": name}
        | {"before": curve.values[0], "after": curve.values[-1], "runs": RUNS}
        | {"gain": curve.values[-1] - curve.values[0]}
        for name, curve in CURVES.items()
    ]
    rows += [
        {"where": f"here: {row['world']}", "method": row["method"], "runs": row["seeds"]}
        | {name: 100 * row[name] for name in ("before", "after", "gain")}
        for row in finals
        if row["measure"] == "sampled" and row["method"] in CURVES
    ]
    return DataTable.of(
        rows,
        ("where", "method", "before", "after", "gain", "runs"),
        "Success in per cent. The paper's is a share of tests on the problems that it trained on, "
        "with a model many times larger: only the order of the methods compares.",
        published=True,
    )


def headlines(pairs: Sequence[Row]) -> tuple[str, ...]:
    """Whether SRPO learns faster than GRPO, per rollout and per token, and on how many seeds."""
    found = [r for r in pairs if (r["first"], r["second"]) == ("SRPO", "GRPO")]
    sentences = [
        _headline([r for r in found if r["axis"] == axis], axis)
        for axis in dict.fromkeys(r["axis"] for r in found)
    ]
    fewest = min((r["seeds"] for r in pairs), default=_FEW)
    if fewest < _FEW:
        sentences.append(
            f"Some of these differences are over {counted(fewest, 'seed')} only. Where success is "
            "rare the moment at which learning takes off is luck, and so few seeds decide nothing."
        )
    return tuple(sentences)


def _headline(rows: Sequence[Row], axis: str) -> str:
    per = f"per {axis.removesuffix('s')}"
    ahead = [r["world"] for r in rows if r["lower"] > 0]
    behind = [r["world"] for r in rows if r["upper"] < 0]
    where = f"of {counted(len(rows), 'world')} ({', '.join(r['world'] for r in rows)})"
    if not ahead:
        # A difference that is not shown is no proof that there is none.
        beaten = "does not" if len(behind) == len(rows) else "is not shown to"
        text = f"SRPO {beaten} beat GRPO {per}: ahead in none {where}"
    else:
        text = f"SRPO beats GRPO {per} in {len(ahead)} {where}: {', '.join(ahead)}"
    return text + (f"; GRPO is ahead in {', '.join(behind)}." if behind else ".")


def localization_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """How often the policy's own localiser was right, early and late, beside a fixed guess."""
    sentences = []
    for world, method in dict.fromkeys((r["world"], r["method"]) for r in rows):
        if method == "ORACLE":
            continue
        here = [r for r in rows if (r["world"], r["method"]) == (world, method)]
        found = [r for r in here if known(r)]
        sentences.append(f"{world}, {method}: {_right(found) if found else _unknown(here)}.")
    return tuple(sentences)


def taught_verdict(model: Row) -> str:
    """Whether the model was taught to localise before the run, as far as its folder says."""
    taught = model["localization_taught"]
    if taught is None:
        return "Whether the model was taught to name first errors beforehand is not recorded."
    if taught:
        return "The model was taught to name first errors by examples before this run."
    return "The model was not taught to name first errors before this run."


def _right(rows: Sequence[Row]) -> str:
    ends = rows[:1] if len(rows) == 1 else (rows[0], rows[-1])
    rates = [f"{_rate(row)} of {counted(known(row), 'failure')}" for row in ends]
    named = "the first error was named in "
    if len(ends) == 1:
        named += f"{rates[0]}, measured once: how it changed is not known"
    else:
        named += f"{rates[0]} at first and in {rates[1]} at last"
    guesses = []
    if all("by_chance" in row for row in ends):  # records of earlier versions lack it
        guesses.append(f"a step at random would be right in {_shares('by_chance', *ends)}")
    if any(row["first_hard"] for row in rows):  # else a task without hard steps
        shares = _shares("first_hard", *ends)
        guesses.append(f"the first hard step of the question alone is right in {shares}")
    return "; ".join([named, *guesses]) + (" of the same" if guesses else "")


def _shares(count: str, *rows: Row) -> str:
    return " and ".join(f"{row[count] / known(row):.0%}" for row in rows)


def _rate(row: Row) -> str:
    return with_ends(row["exact_rate"], row["lower"], row["upper"], ".0%")


def _says_something(row: Row) -> bool:
    """Whether the interval of a share leaves much out; that of a few failures does not."""
    # Records of earlier versions have no interval where one seed alone was left with failures.
    return row["lower"] is not None and bool(row["upper"] - row["lower"] < _VAGUE)


_VAGUE = 0.3
"""Width of an interval of a share from which on the share is no headline: ten failures that all
speak for the localiser leave as much."""


def _unknown(rows: Sequence[Row]) -> str:
    asked = sum(row["asked"] for row in rows)
    verb = "was" if asked == 1 else "were"
    return f"{counted(asked, 'failure')} {verb} localised; whether rightly nobody knows"
