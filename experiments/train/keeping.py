"""Rollouts of a language model as records that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.seam import Collection, Group, Localization, Prompt, Reason, Rollout
from experiments.rollouts.visits import BEFORE, rounded, visit_row
from experiments.rollouts.witness import Seen
from experiments.runs.files import Row
from llm.localizers.base import Localizer
from llm.simulator import LanguageModelSimulator
from llm.text.rollouts import TextRollout, TextState


@dataclass(frozen=True, eq=False)
class Texts:
    """Describes prompts and rollouts of a language model; see there.

    Attributes:
        simulator: the model as a world.
        oracle: the task's exact step checker, None where there is none.
    """

    simulator: LanguageModelSimulator
    oracle: Localizer | None

    def prompt(self, prompt: Prompt) -> Row:
        """See :class:`experiments.rollouts.visits.Describer`."""
        state = prompt.start
        assert isinstance(state, TextState)
        return {
            "problem": state.problem.id,
            "question": state.problem.question,
            "reference": state.problem.answer,
            "text": self.simulator.vocabulary.decode(state.prompt),
        }

    def start(self, rollout: Rollout) -> str:
        """See :class:`experiments.rollouts.visits.Describer`."""
        assert isinstance(rollout, TextRollout)
        return self.simulator.vocabulary.decode(rollout.start.tokens)

    def rollout(self, rollout: Rollout) -> Row:
        """See :class:`experiments.rollouts.visits.Describer`.

        Also `answer`, as the verifier read it, and `ending` (see
        :class:`llm.text.thoughts.TextEnding`).
        """
        assert isinstance(rollout, TextRollout)
        decode, spans = self.simulator.vocabulary.decode, rollout.spans
        logprobs = [rollout.logprobs[a:b].astype(np.float64) for a, b in spans]
        row: Row = {
            "texts": [decode(rollout.tokens[a:b]) for a, b in spans],
            "tokens": [b - a for a, b in spans],
            "answer": rollout.answer,
            "ending": rollout.text_ending.value,
        }
        # Some engines give none.
        if not np.isnan(rollout.logprobs).any():
            row["logprobs"] = rounded(np.array([one.sum() for one in logprobs]))
            row["least"] = rounded(np.array([one.min(initial=0) for one in logprobs]))
        return row | self._truth(rollout)

    def _truth(self, rollout: TextRollout) -> Row:
        if self.oracle is None or not rollout.failed:
            return {}
        (located,) = self.oracle.locate([rollout], np.zeros(1, np.uint64))
        answer = located.answer
        if isinstance(answer, Localization):
            return {"true": answer.step}
        known = {Reason.NO_ERROR: None, Reason.OUT_OF_RANGE: BEFORE}
        return {"true": known[answer.reason]} if answer.reason in known else {}


def keep_rows(
    seen: Mapping[int, Seen],
    collection: Collection,
    world: Texts,
    signals: Sequence[NDArray[np.float64]] | None = None,
) -> list[Row]:
    """Records of some prompts of a collection; see :func:`experiments.rollouts.visits.visit_row`.

    Args:
        seen: what their plans saw.
        collection: of all prompts.
        world: describes.
        signals: of each sample of the collection, in order, the norm of the loss gradient in the
            logits behind each of its tokens.
    """
    pulls = None if signals is None else iter(signals)
    groups: dict[int, list[Group]] = {}
    pulled: dict[int, list[list[NDArray[np.float64]]]] = {}
    for group in collection:
        groups.setdefault(group.prompt, []).append(group)
        if pulls is not None:
            of_group = [_of_thoughts(rollout, next(pulls)) for rollout in group.rollouts]
            pulled.setdefault(group.prompt, []).append(of_group)
    return [
        visit_row(one, groups.get(prompt, []), world, pulled.get(prompt))
        for prompt, one in seen.items()
    ]


def _of_thoughts(rollout: Rollout, norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The norm over the tokens of each thought."""
    assert isinstance(rollout, TextRollout)
    return np.array([np.linalg.norm(norms[a:b]) for a, b in rollout.spans])
