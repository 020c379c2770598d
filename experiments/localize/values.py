"""What solutions are worth before each of their steps, by continuations of the model.

The value of a prefix is the chance that the model's continuation of it arrives at the right answer.
If the marked step is where a solution goes wrong, the value falls across it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cpi_theory.algorithms.collecting import Batcher
from cpi_theory.randomness import Key
from cpi_theory.seam import Draw
from experiments.localize.samples import (
    Judged,
    Reader,
    marked_key,
    marked_part,
    marked_trace,
    own_key,
    own_traces,
)
from experiments.localize.spec import MarkedTraces, ValueSpec
from experiments.runs.files import Row
from llm.data.marked_traces import read_marked
from llm.sampling.base import Sampling
from llm.simulator import LanguageModelSimulator
from llm.text.rollouts import TextState


def value_rows(spec: ValueSpec) -> list[Row]:
    """Continue the failed traces with a wrong step from before each of their steps.

    One that arrives at the right answer behind a wrong step has nothing to be reset for.

    Rows, one per trace and step: `dataset`, `task`, `trace`, `question`, `steps`, `first_error`,
    `failed` (see :func:`experiments.localize.samples.trace_rows`), `step` (0-based: so many steps
    are kept, none at 0), `continuations`, and how many of them succeeded (`successes`). There are 0
    continuations where the format or the model's context leaves no room behind a prefix.

    What is drawn depends on the model, the trace and the step alone.
    """
    if isinstance(spec.of.source, MarkedTraces):
        return _marked_values(spec, spec.of.source)
    opened, traces = own_traces(spec.of, spec.of.source)
    key = own_key(spec.of, spec.of.source)
    return prefix_values(opened.simulator, traces, spec.continuations, key)


def _marked_values(spec: ValueSpec, source: MarkedTraces) -> list[Row]:
    file = read_marked(source.path)
    part = marked_part(spec.of, file)
    marked = [trace for trace in part if trace.failed and trace.first_error is not None]
    if not marked:
        return []
    reader = Reader.open(source, spec.of, marked)
    simulator = LanguageModelSimulator(
        reader.sampler,
        reader.vocabulary,
        reader.task,
        source.writing.form(),
        Sampling(spec.of.temperature),
        chat=reader.chat,
    )
    traces = [marked_trace(file, trace, reader) for trace in marked]
    return prefix_values(simulator, traces, spec.continuations, marked_key(spec.of, file))


def prefix_values(
    simulator: LanguageModelSimulator, traces: Sequence[Judged], continuations: int, key: Key
) -> list[Row]:
    """Rows of :func:`value_rows` for traces, all drawn in one call.

    Args:
        simulator: who continues and who judges.
        traces: with their texts; those that did not fail, or have no wrong step, are left out.
        continuations: from each prefix.
        key: of what is drawn.
    """
    places = [
        (trace, step, state)
        for trace in traces
        if trace.failed and trace.first_error is not None
        for step, state in enumerate(_prefixes(trace))
    ]
    wishes = [
        Draw(state, key.child("values", trace.trace, step).integers(count))
        for trace, step, state in places
        for count in [continuations if _has_room(simulator, state) else 0]
    ]
    drawn = Batcher(simulator).draw_all(wishes)
    return [
        trace.row()
        | {
            "step": step,
            "continuations": len(rollouts),
            "successes": sum(not rollout.failed for rollout in rollouts),
        }
        for (trace, step, _), rollouts in zip(places, drawn, strict=True)
    ]


def _prefixes(trace: Judged) -> Iterator[TextState]:
    """The states before each step."""
    assert trace.rollout is not None  # nothing can be continued without its text
    for state in trace.rollout.states:
        assert isinstance(state, TextState)
        yield state


def _has_room(simulator: LanguageModelSimulator, state: TextState) -> bool:
    """Whether a token, and another thought, may follow."""
    form = simulator.form
    return (
        len(state.tokens) < simulator.sampler.context
        and len(state.kept) < form.max_tokens
        and len(state.ends) < form.max_thoughts
    )
