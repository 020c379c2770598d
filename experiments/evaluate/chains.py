"""Attempts that a model corrects by itself, a row per attempt and round."""

from __future__ import annotations

from collections.abc import Sequence

from cpi_theory.algorithms.correction import locating_key
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Group, Localization
from experiments.evaluate.samples import benchmark_key, draw_problems, text_fields
from experiments.evaluate.spec import CorrectionSpec
from experiments.runs.files import Row
from experiments.worlds.localizing import make_verified
from experiments.worlds.open_world import open_world
from llm.localizers.base import Localizer, Located, asking, by_itself
from llm.opening import OpenModel
from llm.sampling.base import Sampler
from llm.sampling.streaming import Questions
from llm.simulator import LanguageModelSimulator, driver_of
from llm.text.rollouts import TextRollout


class Overheard:
    """A localiser whose answers are kept by the keys under which they were asked for.

    Attributes:
        inner: who is asked.
        answers: so far.
    """

    def __init__(self, inner: Localizer) -> None:
        self.inner = inner
        self.answers: dict[int, Located] = {}

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`~llm.localizers.base.Localizer`."""
        return by_itself(self.asking(rollouts, keys, None))

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """Ask the inner localiser; see :class:`~llm.localizers.base.AskingLocalizer`."""
        located = yield from asking(self.inner, rollouts, keys, sampler)
        self.answers.update(zip(map(int, keys), located, strict=True))
        return located


def chain_rows(spec: CorrectionSpec) -> list[Row]:
    """Have a model correct its attempts at some of the problems of a benchmark.

    Rows, in the order in which they were written: `benchmark`, `method`, `seed`, `localizer`,
    `stop`, `problem`, `chain` (0-based, of its problem), `round` (0: the first attempt), `step`
    (thoughts that were kept of the attempt before it, null where it began afresh), `reward` and
    `right` (of the whole), `answer`, `ending`, `tokens` (sampled in this round, those thrown away
    included), and `said` of it when the next round asked, null where none did: `step` (null: none
    was named), `reason`, `reading`, tokens `generated` (verification included) and `prompt`.

    A chain depends on the model, the problem, its number, the localiser and the stop alone.
    """
    opened = open_world(
        spec.world,
        spec.evaluated.model,
        spec.attempts.temperature,
        engine=spec.sampler,
        top_p=spec.attempts.top_p,
    )
    heard = Overheard(corrector(spec, opened))
    world = opened.with_localizer(heard)
    problems = draw_problems(spec.world, world.task, spec.problems, spec.seed)
    problems = problems[spec.first : spec.first + spec.count]
    key = benchmark_key(spec.world, spec.seed).child("correction", spec.localizer.name, spec.stop)
    chains = [(one, n) for one in problems for n in range(spec.correction.chains)]
    # By the problem and the chain alone, as attempts are.
    ids = [int(key.child("chain", one.id, n).integers(1)[0]) for one, n in chains]
    algorithm = spec.correction.algorithm(spec.stop)
    starts = world.start_states([one for one, _ in chains])
    by_id: dict[int, list[Group]] = {id: [] for id in ids}
    for group in driver_of(world)(algorithm, world, starts, key, ids):
        by_id[group.prompt].append(group)
    spec.localizer.check_scored([r for groups in by_id.values() for g in groups for r in _texts(g)])
    labels: Row = {
        "benchmark": spec.world.name,
        "method": spec.evaluated.method,
        "seed": spec.evaluated.seed,
        "localizer": spec.localizer.name,
        "stop": spec.stop,
    }
    return [
        labels | {"problem": one.id, "chain": n} | row
        for (one, n), id in zip(chains, ids, strict=True)
        for row in _rounds(by_id[id], key.child(id), heard, world, spec.texts)
    ]


def corrector(spec: CorrectionSpec, opened: OpenModel) -> Localizer:
    """Who is asked about attempts: the localiser, behind a verdict of the model where wanted."""
    ours = opened.simulator
    named = spec.localizer.make(spec.world, ours.task, ours.sampler, ours.vocabulary)
    if spec.stop == "oracle" or not spec.correction.verify:
        return named  # the oracle's verdict comes first, and nobody else's is needed
    return make_verified(spec.world, named, ours.sampler, ours.vocabulary)


def _texts(group: Group) -> list[TextRollout]:
    return [r for r in group.rollouts if isinstance(r, TextRollout)]


def _rounds(
    groups: Sequence[Group],
    key: Key,
    heard: Overheard,
    world: LanguageModelSimulator,
    texts: bool,
) -> list[Row]:
    """The rows of one chain."""
    rows = []
    for number, group in enumerate(groups):
        (rollout,) = _texts(group)
        said = heard.answers.get(int(locating_key(key, number + 1)[0]))
        row: Row = {
            "round": number,
            "step": group.step,
            "reward": rollout.reward,
            "right": not rollout.failed,
            "answer": rollout.answer,
            "ending": rollout.text_ending.value,
            "tokens": len(rollout.tokens) + rollout.discarded,
            "said": None if said is None else said_of(said),
        }
        rows.append(row | (text_fields(rollout, world.vocabulary) if texts else {}))
        if said is not None and texts:
            rows[-1]["said"]["text"] = said.text
    return rows


def said_of(located: Located) -> Row:
    """What was said of an attempt, and what that cost."""
    named = located.answer
    return {
        "step": named.step if isinstance(named, Localization) else None,
        "reason": named.reason.value if isinstance(named, FailedLocalization) else None,
        "reading": located.reading,
        "generated": located.generated,
        "prompt": located.prompt,
    }
