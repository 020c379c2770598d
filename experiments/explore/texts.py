"""Texts of language models that runs have stored, as series."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cpi_theory.checks import InvalidInput
from experiments.explore.series import Series, Source
from experiments.export.stored import Chain, Problem, Written, read_written
from experiments.rollouts.files import FOLDER, read_visits
from experiments.rollouts.visits import rounded
from experiments.runs.files import Row
from experiments.runs.store import Run
from llm.data.marked_traces import MarkedTrace, read_marked


def of_train(run: Run) -> Source:
    """The rollouts that trainings have kept.

    Raises:
        InvalidInput: there are none.
    """
    stamps = sorted(run.directory.glob("models/*/made-by.json"))
    kept = [path for path in stamps if (path.parent / FOLDER).is_dir()]
    if not kept:
        problem = "none of its trainings has kept rollouts"
        remedy = "train with --rollouts.seeds 1 and --checkpoint-every above 0, under a new --name"
        raise InvalidInput("runs", str(run.directory), problem, remedy)
    return Source("train", "thought", (_training(path) for path in kept), _which(run, kept, stamps))


def _which(run: Run, kept: Sequence[Path], stamps: Sequence[Path]) -> tuple[str, ...]:
    """What else there is, as it is not shown."""
    if len(kept) == len(stamps):
        return ()
    return (f"Rollouts of {len(kept)} of the {len(stamps)} trainings of {run.directory.name}.",)


def _training(stamp: Path) -> Series:
    spec = json.loads(stamp.read_text())["spec"]
    name, method = spec["world"]["name"], spec["method"]["name"]
    return Series(name, method, spec["seed"], read_visits(stamp.parent))


def of_evaluate(run: Run) -> Source:
    """Attempts, and their corrections, of a run of evaluate with texts.

    Raises:
        InvalidInput: it has kept no texts.
    """
    written = read_written(str(run.directory))
    return Source("evaluate", "thought", map(_evaluated, written))


def _evaluated(written: Written) -> Series:
    visits = [(None, _problem(n, one)) for n, one in enumerate(written.problems.values())]
    return Series(written.benchmark, written.method, written.seed, visits)


def _problem(number: int, problem: Problem) -> Row:
    """A record as :func:`experiments.rollouts.visits.visit_row` makes them, without groups."""
    rollouts: list[Row] = []
    for chain in problem.chains:
        for index in range(len(chain.rounds)):
            kept = [len(rollouts) - 1, chain.rounds[index]["step"]] if chain.parent(index) else None
            rollouts.append(_attempt(chain, index) | {"from": kept})
    return {
        "prompt": number,
        "problem": problem.id,
        "question": problem.question,
        "reference": problem.reference,
        "text": problem.prompt,
        "refused": [],
        "rollouts": rollouts,
        "groups": [],
    }


def _attempt(chain: Chain, index: int) -> Row:
    row = chain.rounds[index]
    kind = chain.name if index == 0 else f"{chain.name}, round {index}"
    texts = [thought["text"] for thought in row["thoughts"]]
    tokens = [len(thought["tokens"]) for thought in row["thoughts"]]
    found: Row = {"kind": kind, "texts": texts, "tokens": tokens, "answer": row["answer"]}
    found |= {"ending": row["ending"], "reward": row["reward"], "failed": not row["right"]}
    found |= {"ended": row["ending"] if row["ending"] != "answered" else _judged(row)}
    logprobs = [thought["logprobs"] for thought in row["thoughts"]]
    if all(one is not None for one in logprobs):
        found["logprobs"] = rounded(np.array([sum(one) for one in logprobs]))
        found["least"] = rounded(np.array([min(one, default=0.0) for one in logprobs]))
    said = row.get("said")
    return found | {"named": [] if said is None else [_said(chain.name, said)]}


def _judged(row: Row) -> str:
    return "success" if row["right"] else "wrong outcome"


def _said(by: str, said: Row) -> Row:
    """What a localiser said, as :func:`experiments.rollouts.visits.visit_row` stores it."""
    named: Row = {"by": by, "step": said["step"], "localizes": True}
    return named if said["step"] is not None else named | {"reason": said["reason"]}


def of_localize(run: Run) -> Source:
    """Traces whose first wrong step people have marked, with what localisers said of them.

    Raises:
        InvalidInput: the run is about rollouts of a model alone, whose texts it does not keep, or
            the files of the traces are no longer there.
    """
    from experiments.config import build
    from experiments.localize.config import LocalizeConfig

    settings = {name: run.config[name] for name in ("traces",)}
    config = build(LocalizeConfig, settings)
    if not config.traces:
        problem = "is about rollouts of a model, whose texts it does not keep"
        remedy = "give a run of localize --traces"
        raise InvalidInput("runs", str(run.directory), problem, remedy)
    answers: dict[tuple[str, str], dict[str, Row]] = {}
    for row in run.read("answers"):
        answers.setdefault((row["dataset"], row["task"]), {})[row["trace"]] = row
    series = (_marked(path, answers) for path in config.files())
    return Source("localize", "step", series)


def _marked(path: str, answers: dict[tuple[str, str], dict[str, Row]]) -> Series:
    file = read_marked(path)
    rows = answers.get((file.schema, file.task), {})
    asked = (trace for trace in file.traces if trace.id in rows)
    return Series(file.schema, file.task, None, _traces(asked, rows))


def _traces(
    traces: Iterator[MarkedTrace], rows: dict[str, Row]
) -> Iterator[tuple[int | None, Row]]:
    for number, trace in enumerate(traces):
        row = rows[trace.id]
        known = trace.failed is not None
        ended = ("wrong outcome" if trace.failed else "success") if known else "unknown"
        rollout: Row = {
            "kind": trace.id,
            "texts": list(trace.steps),
            "reward": None,
            "failed": trace.failed,
            "ended": ended,
            "from": None,
            "human": row["first_error"],
            "named": [_said(by, said) for by, said in row["said"].items()],
        }
        yield (
            None,
            {
                "prompt": number,
                "problem": trace.problem.id,
                "question": trace.question,
                "reference": trace.reference,
                "text": trace.question,
                "refused": [],
                "rollouts": [rollout],
                "groups": [],
            },
        )
