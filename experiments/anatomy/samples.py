"""Resets of a language model's own failures, each kind beside controls of the same depth.

What a reset is worth shows in its suffixes alone: no model is trained here. A *prefix* is what a
reset keeps of the failure, its *depth* the number of thoughts kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cpi_theory.algorithms.collecting import Batcher
from cpi_theory.randomness import Key
from cpi_theory.seam import Draw, Localization, Reason, Refusal, Rollout
from experiments.anatomy.spec import AnatomySpec
from experiments.runs.files import Row
from experiments.worlds.counts import asked_by
from experiments.worlds.open_world import open_world
from llm.localizers.oracle import OracleLocalizer
from llm.simulator import LanguageModelSimulator
from llm.text.rollouts import TextRollout, TextState

CONTROL = " control"
"""Ending of the name of a kind whose depth is another's and whose failure is not."""

CONTROLLED = ("self", "random", "oracle")
"""Kinds that have a control."""


@dataclass(frozen=True, eq=False)
class PreparedLanguageWorld:
    """A model with held-out problems, and the step checker if there is one.

    Attributes:
        simulator: the model as a world.
        starts: one state per problem.
        oracle: the task's exact step checker, None where there is none.
    """

    simulator: LanguageModelSimulator
    starts: Sequence[TextState]
    oracle: OracleLocalizer | None

    @classmethod
    def load(cls, spec: AnatomySpec) -> PreparedLanguageWorld:
        """Load the model and draw the problems.

        Raises:
            InvalidInput: whatever model, task or problems refuse.
        """
        opened = open_world(spec.world, spec.model, spec.temperature)
        with asked_by("prompts"):
            problems = opened.problems("test", spec.prompts, spec.key.child("problems"))
        return cls(opened.simulator, opened.simulator.start_states(problems), opened.oracle)

    def first_errors(self, rollouts: Sequence[TextRollout], key: Key) -> list[int | None]:
        """The step at which each first goes wrong; None where that is unknown or none is wrong."""
        if self.oracle is None:
            return [None] * len(rollouts)
        located = self.oracle.locate(rollouts, key.integers(len(rollouts)))
        answers = [one.answer for one in located]
        return [a.step if isinstance(a, Localization) else None for a in answers]

    def first_hard(self, rollout: TextRollout) -> int | None:
        """The first step that the question alone shows to be hard; None where that is unknown."""
        hard_places = getattr(self.simulator.task, "hard_places", None)
        places = hard_places(rollout.start.problem) if hard_places else ()
        return next((p for p in places if p < len(rollout)), None)


@dataclass(frozen=True, eq=False)
class Failure:
    """A failed rollout from the start.

    Attributes:
        prompt, number: which rollout of which problem it is.
        rollout: the text.
        first_error: see :meth:`PreparedLanguageWorld.first_errors`.
    """

    prompt: int
    number: int
    rollout: TextRollout
    first_error: int | None


@dataclass(frozen=True, eq=False)
class Reset:
    """A reset of a parent, or the control of one.

    Attributes:
        parent: the failure that the reset is counted for.
        kind: how the step was chosen.
        source: the failure that is reset: the parent, or for a control another one.
        step: the step that is reset to, a reason if there is none.
    """

    parent: Failure
    kind: str
    source: Failure
    step: int | Refusal

    def key(self, key: Key) -> Key:
        """The random stream of this reset below `key`."""
        return key.child(self.kind, self.parent.prompt, self.parent.number)


@dataclass(eq=False)
class Failures:
    """All failures of a world's prompts.

    Attributes:
        by_prompt: per prompt its failures that hold a thought, in the order drawn.
    """

    by_prompt: dict[int, list[Failure]] = field(default_factory=dict)

    @classmethod
    def draw(cls, prepared: PreparedLanguageWorld, rollouts: int, key: Key) -> Failures:
        """The failures among `rollouts` rollouts from each start, drawn in one batched call."""
        requests = [
            Draw(start, key.child("base", i).integers(rollouts))
            for i, start in enumerate(prepared.starts)
        ]
        drawn = Batcher(prepared.simulator).draw_all(requests)
        failed = [
            (prompt, number, r)
            for prompt, ones in enumerate(drawn)
            for number, r in enumerate(ones)
            if isinstance(r, TextRollout) and r.failed and len(r)
        ]
        errors = prepared.first_errors([r for _, _, r in failed], key.child("oracle"))
        found = cls()
        for (prompt, number, rollout), error in zip(failed, errors, strict=True):
            one = Failure(prompt, number, rollout, error)
            found.by_prompt.setdefault(prompt, []).append(one)
        return found

    def parents(self, most: int, key: Key) -> list[Failure]:
        """Draw at most `most` failures of each prompt, without replacement."""
        chosen = []
        for prompt, ones in self.by_prompt.items():
            order = key.child(prompt).generator().permutation(len(ones))[:most]
            chosen += [ones[i] for i in order]
        return chosen

    def control(self, reset: Reset, key: Key) -> Reset:
        """Another failure, reset at the same depth: of the same prompt, if one reaches it.

        It is drawn uniformly among those of the same prompt that reach the step, and if there are
        none among those of all other prompts.
        """
        kind, step, parent = reset.kind + CONTROL, reset.step, reset.parent
        if isinstance(step, Refusal):
            return Reset(parent, kind, parent, step)
        same = [f for f in self.by_prompt[parent.prompt] if f is not parent]
        others = (f for p, ones in self.by_prompt.items() if p != parent.prompt for f in ones)
        reaching = [f for f in same if len(f.rollout) > step]
        reaching = reaching or [f for f in others if len(f.rollout) > step]
        if not reaching:
            return Reset(parent, kind, parent, Refusal(Reason.NO_ELIGIBLE_STEP))
        return Reset(parent, kind, reaching[int(key.generator().integers(len(reaching)))], step)


def reset_rows(spec: AnatomySpec) -> list[Row]:
    """Resets of the failures of one world; one row per parent and kind.

    Kinds: "self" (the step that the model names), "oracle" (the first error), "random" (a uniform
    step), "first hard" (the first hard step of the question, which takes no localiser), "start"
    (no reset), and the depth-matched "self control", "random control" and "oracle control" (see
    :meth:`Failures.control`).

    Rows: `world`, `prompt`, `parent` (number of the rollout), `kind`, `source` (prompt and number
    of the failure that is reset), its `length` in thoughts and its `first_error` (null where
    it is unknown or there is none), `step` (thoughts kept; null: refused, for the `reason`), and
    the `rewards` of the suffixes, and how many of them `passed`. The prefix is right if `step` <=
    `first_error`.
    """
    prepared, key = PreparedLanguageWorld.load(spec), spec.key
    failures = Failures.draw(prepared, spec.rollouts, key)
    parents = failures.parents(spec.parents, key.child("parents"))
    resets = list(_resets(prepared, parents, key))
    for reset in [r for r in resets if r.kind in CONTROLLED]:
        resets.append(failures.control(reset, reset.key(key.child("control"))))
    return [
        _row(spec.world.name, reset, suffixes)
        for reset, suffixes in zip(resets, _suffixes(prepared, resets, spec), strict=True)
    ]


def _resets(
    prepared: PreparedLanguageWorld, parents: Sequence[Failure], key: Key
) -> Iterator[Reset]:
    asked = key.child("locate").integers(len(parents))
    answers = prepared.simulator.locate_first_error([p.rollout for p in parents], asked)
    for parent, answer in zip(parents, answers, strict=True):
        named = answer.step if isinstance(answer, Localization) else answer
        yield Reset(parent, "self", parent, named)
        draw = key.child("random", parent.prompt, parent.number).generator()
        yield Reset(parent, "random", parent, int(draw.integers(len(parent.rollout))))
        yield Reset(parent, "start", parent, 0)
        if prepared.oracle is not None:
            known = parent.first_error
            yield Reset(parent, "oracle", parent, _or_refusal(known, Reason.NO_ERROR))
        if hasattr(prepared.simulator.task, "hard_places"):
            hard = prepared.first_hard(parent.rollout)
            yield Reset(parent, "first hard", parent, _or_refusal(hard, Reason.NO_ELIGIBLE_STEP))


def _or_refusal(step: int | None, reason: Reason) -> int | Refusal:
    return Refusal(reason) if step is None else step


def _suffixes(
    prepared: PreparedLanguageWorld, resets: Sequence[Reset], spec: AnatomySpec
) -> list[list[Rollout]]:
    """The suffixes of each reset, all drawn in one batched call."""
    key = spec.key.child("suffix")
    requests = [_request(reset, reset.key(key), spec.suffixes) for reset in resets]
    return [list(rollouts) for rollouts in Batcher(prepared.simulator).draw_all(requests)]


def _request(reset: Reset, key: Key, suffixes: int) -> Draw:
    """Ask for `suffixes` rollouts from the reset state; for none if the reset was refused."""
    rollout = reset.source.rollout
    if isinstance(reset.step, Refusal):
        return Draw(rollout.start, key.integers(0))
    return Draw(rollout.states[reset.step], key.integers(suffixes))


def _row(world: str, reset: Reset, suffixes: list[Rollout]) -> Row:
    source, step = reset.source, reset.step
    rewards = [suffix.reward for suffix in suffixes]
    row: Row = {
        "world": world,
        "prompt": reset.parent.prompt,
        "parent": reset.parent.number,
        "kind": reset.kind,
        "source": [source.prompt, source.number],
        "length": len(source.rollout),
        "first_error": source.first_error,
        "step": None if isinstance(step, Refusal) else step,
        "rewards": [int(r) if r == int(r) else r for r in rewards],
        "passed": sum(not suffix.failed for suffix in suffixes),
    }
    return row | {"reason": step.reason.value} if isinstance(step, Refusal) else row
