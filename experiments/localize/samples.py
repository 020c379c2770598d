"""What localisers say of traces whose first errors are known, a row per trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Localization, Reason
from experiments.localize.spec import LocalizeSpec, MarkedTraces, chosen_traces
from experiments.runs.files import Row
from experiments.worlds.counts import asked_by
from experiments.worlds.language import DatasetWorld, LanguageWorld
from experiments.worlds.named_localizers import NamedLocalizer
from experiments.worlds.open_world import open_world
from experiments.worlds.writing import Unsure, Writing
from llm.data.marked_traces import MarkedFile, MarkedTrace, read_marked
from llm.localizers.base import Localizer, Located
from llm.localizers.marked import AskedOfAll, as_rollout, with_logprobs
from llm.models.load import load_model
from llm.opening import OpenModel
from llm.sampling.base import Sampler
from llm.sampling.engine import make_sampler
from llm.task import Problem
from llm.tasks.dataset import DatasetTask
from llm.text.boundaries import Delimiter
from llm.text.chat import Chat
from llm.text.rollouts import TextRollout
from llm.text.vocabulary import Vocabulary

OWN_ROLLOUTS = "own rollouts"
"""The data set that rollouts of a world stand under."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A trace with the truth about it.

    Attributes:
        dataset, task, trace: where it comes from.
        question: what traces of one question have in common.
        steps: how many it has.
        first_error: the first wrong one, 0-based; None: none is.
        failed: whether its answer is wrong; None: unknown.
        rollout: its text, as localisers read it; None where nobody is asked.
    """

    dataset: str
    task: str
    trace: str
    question: str
    steps: int
    first_error: int | None
    failed: bool | None
    rollout: TextRollout | None = None

    def row(self) -> Row:
        """The trace without its text."""
        names = ("dataset", "task", "trace", "question", "steps", "first_error", "failed")
        return {name: getattr(self, name) for name in names}


def trace_rows(spec: LocalizeSpec) -> list[Row]:
    """Ask all localisers about some of the traces of a source.

    Rows: `dataset`, `task`, `trace`, `question`, `steps`, `first_error` (0-based, null: no step is
    wrong), `failed` (whether the answer is wrong, null: unknown), and `said`: by name of the
    localiser its `step` (null: none), the `reason` why it named none, how the reply was read
    (`reading`), the tokens `generated` and `prompt`, and whether it is `told` that the answer is
    wrong, and so asked about failed traces alone.

    An answer depends on the model, the trace and the localiser's name alone.
    """
    if isinstance(spec.source, MarkedTraces):
        return _marked_rows(spec, spec.source)
    return _own_rows(spec, spec.source)


def said(traces: Sequence[Judged], localizer: Localizer, told: bool, keys: Keys) -> list[Located]:
    """Ask a localiser about traces.

    Args:
        traces: with their texts.
        localizer: who is asked.
        told: whether it is told that the answer is wrong, and so asked about failed ones alone.
        keys: of the answers, uint64 (len(traces),).
    """
    rollouts = [trace.rollout for trace in traces if trace.rollout is not None]
    return (localizer if told else AskedOfAll(localizer)).locate(rollouts, keys)


def answer_row(located: Located, told: bool) -> Row:
    """What a localiser said of a trace; `told`: that its answer is wrong."""
    named = located.answer
    return {
        "told": told,
        "step": named.step if isinstance(named, Localization) else None,
        "reason": None if isinstance(named, Localization) else named.reason.value,
        "reading": located.reading,
        "generated": located.generated,
        "prompt": located.prompt,
    }


def _keys(key: Key, name: str, traces: Sequence[Judged]) -> Keys:
    """Keys that hang on the trace and the localiser alone."""
    keys = [int(key.child("locate", name, trace.trace).integers(1)[0]) for trace in traces]
    return np.array(keys, np.uint64)


Ask = Callable[[NamedLocalizer, Keys, bool], list[Located]]
"""Asks a localiser about all traces, given their keys and whether it is told of a failure."""


def _asked(
    localizers: Sequence[NamedLocalizer],
    traces: Sequence[Judged],
    writing: Writing | None,
    ask: Ask,
    key: Key,
) -> list[Row]:
    """Rows of all traces, once every localiser has been asked."""
    rows = [trace.row() | {"said": {}} for trace in traces]
    for one in localizers:
        told = one.presumes_failure(writing)
        answers = ask(one, _keys(key, one.name, traces), told)
        for row, located in zip(rows, answers, strict=True):
            row["said"][one.name] = answer_row(located, told)
    return rows


def own_key(spec: LocalizeSpec, world: LanguageWorld) -> Key:
    """What everything that is drawn for a world hangs on."""
    return Key.of(spec.seed).child("localize", world.name)


def own_traces(spec: LocalizeSpec, world: LanguageWorld) -> tuple[OpenModel, list[Judged]]:
    """Open a world; have its model write rollouts, and the step checker judge them."""
    key = own_key(spec, world)
    opened = open_world(world, spec.model, spec.temperature, engine=spec.sampler)
    ours = opened.simulator
    with asked_by("problems"):
        problems = opened.problems("test", spec.problems, key.child("problems"))
    problems = problems[spec.first : spec.first + spec.count]
    starts = [state for state in ours.start_states(problems) for _ in range(spec.rollouts)]
    keys = np.concatenate([key.child("base", p.id).integers(spec.rollouts) for p in problems])
    # Where nothing was written there is no step to name.
    drawn = [(i, r) for i, r in enumerate(ours.rollout(starts, keys)) if len(r)]
    assert opened.oracle is not None  # checked with the settings
    truths = AskedOfAll(opened.oracle).locate([r for _, r in drawn], keys[[i for i, _ in drawn]])
    return opened, [
        Judged(
            OWN_ROLLOUTS,
            world.name,
            f"{rollout.start.problem.id}/{i % spec.rollouts}",
            rollout.start.problem.id,
            len(rollout),
            truth.answer.step if isinstance(truth.answer, Localization) else None,
            rollout.failed,
            rollout,
        )
        for (i, rollout), truth in zip(drawn, truths, strict=True)
    ]


def _own_rows(spec: LocalizeSpec, world: LanguageWorld) -> list[Row]:
    opened, traces = own_traces(spec, world)
    ours = opened.simulator

    def ask(one: NamedLocalizer, keys: Keys, told: bool) -> list[Located]:
        one.check_scored([trace.rollout for trace in traces if trace.rollout is not None])
        localizer = one.make(world, ours.task, ours.sampler, ours.vocabulary)
        return said(traces, localizer, told, keys)

    return _asked(spec.localizers, traces, world.writing, ask, own_key(spec, world))


def marked_key(spec: LocalizeSpec, file: MarkedFile) -> Key:
    """What everything that is drawn for a file hangs on."""
    return Key.of(spec.seed).child("localize", file.schema, file.task)


def marked_part(spec: LocalizeSpec, file: MarkedFile) -> list[MarkedTrace]:
    """The traces of a file that a specification is about."""
    count = chosen_traces(len(file.traces), spec.most)
    order = marked_key(spec, file).child("traces").generator().permutation(len(file.traces))
    # In the file's order, whatever the order in which they were drawn.
    chosen = sorted(order[:count])
    return [file.traces[i] for i in chosen[spec.first : spec.first + spec.count]]


def marked_trace(file: MarkedFile, trace: MarkedTrace, reader: Reader | None) -> Judged:
    """A marked trace, with its text if there is somebody to read it."""
    return Judged(
        file.schema,
        file.task,
        trace.id,
        trace.problem.id,
        len(trace.steps),
        trace.first_error,
        trace.failed,
        None if reader is None else reader.rollout(trace),
    )


def _marked_rows(spec: LocalizeSpec, source: MarkedTraces) -> list[Row]:
    file = read_marked(source.path)
    marked = marked_part(spec, file)
    reader = Reader.open(source, spec, marked) if spec.localizers else None
    traces = [marked_trace(file, trace, reader) for trace in marked]

    def ask(one: NamedLocalizer, keys: Keys, told: bool) -> list[Located]:
        assert reader is not None  # nobody is asked without one
        return reader.ask(one, traces, keys, told)

    return _asked(spec.localizers, traces, source.writing, ask, marked_key(spec, file))


@dataclass(frozen=True, eq=False)
class Reader:
    """A model that is shown marked traces.

    Attributes:
        source: where they are, and how they are shown.
        task: their questions, in the words that a solution is taken to answer.
        model, vocabulary, sampler: who reads.
    """

    source: MarkedTraces
    task: DatasetTask
    model: Any
    vocabulary: Vocabulary
    sampler: Sampler

    @classmethod
    def open(
        cls, source: MarkedTraces, spec: LocalizeSpec, traces: Sequence[MarkedTrace]
    ) -> Reader:
        """Load the model.

        Raises:
            InvalidInput: whatever the model refuses.
        """
        model, vocabulary = load_model(spec.model)
        sampler = make_sampler(spec.sampler, model, vocabulary, spec.model)
        writing = source.writing
        problems = {trace.problem.id: trace.problem for trace in traces}
        task = DatasetTask(
            tuple(problems.values()), template=writing.template(), delimiter=writing.delimiter
        )
        return cls(source, task, model, vocabulary, sampler)

    @property
    def delimiter(self) -> Delimiter:
        """What steps end with."""
        return Delimiter(self.source.writing.delimiter)

    @property
    def chat(self) -> Chat:
        """What stands around the question that a solution is taken to answer."""
        around = self.source.writing.around(lambda q: self.task.prompt(Problem("-", q, "-")))
        return around.settled(self.vocabulary)

    def rollout(self, trace: MarkedTrace) -> TextRollout:
        """A trace as a rollout; see :func:`llm.localizers.marked.as_rollout`."""
        chat = self.chat
        prompt = chat.ids(self.vocabulary, self.task.prompt(trace.problem))
        return as_rollout(trace, self.vocabulary, prompt, self.delimiter)

    def ask(
        self, one: NamedLocalizer, traces: Sequence[Judged], keys: Keys, told: bool
    ) -> list[Located]:
        """Ask a localiser; one that looks at probabilities is given those of this model."""
        world = DatasetWorld("marked traces", self.source.path, writing=self.source.writing)
        localizer = one.make(world, self.task, self.sampler, self.vocabulary)
        if isinstance(one.localizer, Unsure):
            return self._by_probability(localizer, traces, keys)
        return said(traces, localizer, told, keys)

    def _by_probability(
        self, localizer: Localizer, traces: Sequence[Judged], keys: Keys
    ) -> list[Located]:
        located = []
        for trace, key in zip(traces, keys, strict=True):
            assert trace.rollout is not None
            scored = with_logprobs(
                trace.rollout, self.model, self.vocabulary, self.delimiter, self.sampler.context
            )
            if scored is None:
                located.append(Located(FailedLocalization(Reason.TRUNCATED)))
            else:
                located += AskedOfAll(localizer).locate([scored], np.array([key], np.uint64))
        return located
