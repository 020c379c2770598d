"""Rollouts as logs of Inspect: a sample per problem, a span per attempt, a branch per reset.

Times in these logs are not those of the run: they only keep events in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput
from experiments.export.stored import Chain, Problem, Written, text_of
from experiments.runs.files import Row

_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)


def write_logs(written: Sequence[Written], folder: Path) -> list[Path]:
    """Write a log per model and benchmark; what is there under its name is replaced.

    Args:
        written: see :func:`experiments.export.stored.read_written`.
        folder: for the logs, which end in ``.eval``.

    Raises:
        InvalidInput: Inspect is not installed.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ModuleNotFoundError as error:
        remedy = "pip install 'cpi-resets[inspect]'"
        raise InvalidInput("format", "inspect", "Inspect is not installed", remedy) from error
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for one in written:
        path = folder / f"{one.file}.eval"
        write_eval_log(as_log(one), str(path))
        paths.append(path)
    return paths


def as_log(written: Written) -> Any:
    """Return the log of one model on one benchmark, an ``inspect_ai.log.EvalLog``."""
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec, EvalStats

    samples = [_sample(problem, written.method) for problem in written.problems.values()]
    ids: list[str | int] = list(written.problems)
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=_BEGIN.isoformat(),
            task=written.benchmark,
            task_id=written.file,
            run_id=written.file,
            eval_id=written.file,
            dataset=EvalDataset(name=written.benchmark, samples=len(ids), sample_ids=ids),
            model=written.method,
            config=EvalConfig(epochs=1),
            metadata={"seed": written.seed, "written_by": "cpi-resets export"},
        ),
        results=EvalResults(
            total_samples=len(samples), completed_samples=len(samples), scores=_results(samples)
        ),
        stats=EvalStats(started_at=_BEGIN.isoformat(), completed_at=_BEGIN.isoformat()),
        samples=samples,
    )


def _results(samples: Sequence[Any]) -> list[Any]:
    from inspect_ai.log import EvalMetric, EvalScore

    names = dict.fromkeys(name for sample in samples for name in sample.scores)
    scores = []
    for name in names:
        values = [float(s.scores[name].value) for s in samples if name in s.scores]
        mean = EvalMetric(name="mean", value=sum(values) / len(values))
        scores.append(EvalScore(name=name, scorer=name, metrics={"mean": mean}))
    return scores


def _sample(problem: Problem, model: str) -> Any:
    from inspect_ai.event import timeline_build
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelOutput
    from inspect_ai.scorer import Score

    events = list(_Events(problem, model))
    shown = problem.chains[0]
    text = text_of(shown.thoughts(len(shown.rounds) - 1))
    return EvalSample(
        id=problem.id,
        epoch=1,
        input=problem.question,
        target=problem.reference,
        messages=[ChatMessageUser(content=problem.prompt), ChatMessageAssistant(content=text)],
        output=ModelOutput.from_content(model, text),
        scores={
            name: Score(
                value=sum(chain.last["reward"] for chain in chains) / len(chains),
                answer=chains[0].last["answer"],
                metadata={"attempts": len(chains), "upper_bound": chains[0].upper_bound},
            )
            for name, chains in _kinds(problem).items()
        },
        metadata={"generated_tokens": sum(_tokens(chain) for chain in problem.chains)},
        events=events,
        # Viewers hide the events of branches, and without these would see none.
        timelines=[timeline_build(events)],
        model_usage={model: _usage(problem.chains)},
    )


def _kinds(problem: Problem) -> Mapping[str, list[Chain]]:
    """Chains by what they are, without their numbers."""
    kinds: dict[str, list[Chain]] = {}
    for chain in problem.chains:
        kinds.setdefault(chain.name.rpartition(" ")[0], []).append(chain)
    return kinds


def _tokens(chain: Chain) -> int:
    """Tokens generated for it, what was asked included."""
    written = (row["tokens"] + row.get("discarded", 0) for row in chain.rounds)
    asked = (row["said"]["generated"] for row in chain.rounds if row.get("said"))
    return int(sum(written) + sum(asked))


def _usage(chains: Sequence[Chain]) -> Any:
    from inspect_ai.model import ModelUsage

    generated = sum(map(_tokens, chains))
    return ModelUsage(output_tokens=generated, total_tokens=generated)


class _Events:
    """The events of a sample, each later than the one before it.

    A chain is a span of type "agent" that begins with its first attempt. A reset puts an anchor
    there, and a span of type "branch" that begins with a `BranchEvent` to that anchor and holds the
    continuation. Branches stand side by side, also where one goes back into another: Inspect takes
    branches within branches apart again, and so their metadata say which round they continue.
    """

    def __init__(self, problem: Problem, model: str) -> None:
        self.problem, self.model, self.count = problem, model, 0

    def __iter__(self) -> Iterator[Any]:
        for number, chain in enumerate(self.problem.chains):
            yield from self._chain(chain, str(number))

    def _placed(self, span: str | None) -> dict[str, Any]:
        self.count += 1
        return {
            "timestamp": _BEGIN + timedelta(milliseconds=self.count),
            "working_start": self.count / 1000,
            "span_id": span,
        }

    def _chain(self, chain: Chain, span: str) -> Iterator[Any]:
        from inspect_ai.event import SpanBeginEvent, SpanEndEvent

        about = {"upper_bound": True} if chain.upper_bound else None
        yield SpanBeginEvent(
            id=span, type="agent", name=chain.name, metadata=about, **self._placed(span)
        )
        for number in range(len(chain.rounds)):
            if chain.parent(number):
                yield from self._branch(chain, number, span)
            else:
                yield from self._attempt(chain, number, span)
        yield SpanEndEvent(id=span, **self._placed(span))

    def _branch(self, chain: Chain, number: int, trunk: str) -> Iterator[Any]:
        from inspect_ai.event import AnchorEvent, BranchEvent, SpanBeginEvent, SpanEndEvent

        span, kept = f"{trunk}.{number}", chain.rounds[number]["step"]
        anchor = f"{span} keeps {kept}"
        yield AnchorEvent(anchor_id=anchor, **self._placed(trunk))
        yield SpanBeginEvent(
            id=span,
            parent_id=trunk,
            type="branch",
            name=f"round {number}, keeps {kept}",
            metadata={"continues_round": number - 1, "kept_thoughts": kept},
            **self._placed(span),
        )
        yield BranchEvent(from_anchor=anchor, **self._placed(span))
        yield from self._attempt(chain, number, span)
        yield SpanEndEvent(id=span, **self._placed(span))

    def _attempt(self, chain: Chain, number: int, span: str) -> Iterator[Any]:
        from inspect_ai.event import InfoEvent, ModelEvent
        from inspect_ai.model import (
            ChatMessageAssistant,
            ChatMessageUser,
            GenerateConfig,
            ModelOutput,
        )

        row = chain.rounds[number]
        kept = chain.thoughts(number)[: row["step"]] if chain.parent(number) else []
        asked: list[Any] = [ChatMessageUser(content=self.problem.prompt)]
        if kept:
            asked.append(ChatMessageAssistant(content=text_of(kept)))
        output = ModelOutput.from_content(self.model, text_of(row["thoughts"]))
        output.usage = _usage([Chain(chain.name, [row | {"said": None}])])
        yield ModelEvent(
            model=self.model,
            input=asked,
            tools=[],
            tool_choice="none",
            config=GenerateConfig(),
            output=output,
            **self._placed(span),
        )
        # As data: a viewer would read a text as markup.
        yield InfoEvent(source="outcome", data=_outcome(row), **self._placed(span))
        if row.get("said"):
            yield InfoEvent(source="first error", data=row["said"], **self._placed(span))


def _outcome(row: Row) -> Row:
    names = ("reward", "right", "answer", "ending", "tokens", "step", "round")
    return {name: row[name] for name in names if name in row} | {"thoughts": len(row["thoughts"])}
