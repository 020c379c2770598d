"""Texts of language models that runs have stored, as series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cpi_theory.checks import InvalidInput
from experiments.errors import CorruptFile, only_read
from experiments.explore import absent
from experiments.explore.series import Series, Source
from experiments.export.stored import Chain, Problem, Written, read_written
from experiments.rollouts.files import read_visits, visit_files
from experiments.rollouts.visits import rounded
from experiments.runs.files import Row, read_object
from experiments.runs.store import Run
from llm.data.marked_traces import MarkedTrace, read_marked


def of_train(run: Run) -> Source:
    """The rollouts that trainings have kept.

    Raises:
        InvalidInput: there are none.
    """
    stamps = sorted(run.directory.glob("models/*/made-by.json"))
    kept = [path for path in stamps if visit_files(path.parent)]
    if not kept:
        raise absent.of_train(run, bool(stamps))
    damaged: list[InvalidInput] = []
    told = damaged.append
    series = _readable((partial(_training, path, told) for path in kept), told)
    return Source("train", "thought", series, _which(run, kept, stamps), damaged=damaged)


def _readable(
    series: Iterable[Callable[[], Series]], told: Callable[[InvalidInput], None]
) -> Iterator[Series]:
    """Those of some series whose description can be read; of the others `told` is told why not."""
    for opened in series:
        try:
            yield opened()
        except InvalidInput as error:
            told(error)


def _which(run: Run, kept: Sequence[Path], stamps: Sequence[Path]) -> tuple[str, ...]:
    """What else there is, as it is not shown."""
    if len(kept) == len(stamps):
        return ()
    return (f"Rollouts of {len(kept)} of the {len(stamps)} trainings of {run.directory.name}.",)


def _training(stamp: Path, damaged: Callable[[InvalidInput], None]) -> Series:
    with only_read():
        made = read_object(stamp)
    try:
        spec = made["spec"]
        labels = spec["world"]["name"], spec["method"]["name"], spec["seed"]
    except (KeyError, TypeError) as error:
        raise CorruptFile(
            stamp, f"does not say what was trained ({error})", read_only=True
        ) from error
    return Series(*labels, read_visits(stamp.parent, damaged))


def of_evaluate(run: Run) -> Source:
    """Attempts, and their corrections, of a run of evaluate with texts.

    Raises:
        InvalidInput: it has kept no texts, or they are no longer there.
    """
    if not run.config.get("texts") or not run.has("attempts"):
        raise absent.of_evaluate(run)
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
            its answers or the files of the traces are no longer there.
    """
    from experiments.localize.config import LocalizeConfig

    traces = tuple(run.config.get("traces") or ())
    gone = [path for path in traces if not Path(path).expanduser().exists()]
    if not traces or not run.has("answers") or len(gone) == len(traces):
        raise absent.of_localize(run, gone)
    answers: dict[tuple[str, str], dict[str, Row]] = {}
    for row in run.read("answers"):
        answers.setdefault((row["dataset"], row["task"]), {})[row["trace"]] = row
    damaged = [InvalidInput("traces", path, "is not there", absent.PUT_BACK) for path in gone]
    there = LocalizeConfig(traces=tuple(path for path in traces if path not in gone))
    opened = (lambda path=path: _marked(path, answers) for path in there.files())
    return Source("localize", "step", _readable(opened, damaged.append), damaged=damaged)


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
