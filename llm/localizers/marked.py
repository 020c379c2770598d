"""Localisers on solutions that are given as texts, and on ones that did not fail.

In training localisers read failures of the model's own. A measurement of them also needs solutions
in which no step is wrong, and marked ones that somebody else wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Keys
from cpi_theory.seam import Ending
from llm.data.marked_traces import MarkedTrace
from llm.localizers.base import Localizer, Located, asking, by_itself
from llm.models.law import evaluating, plain_logprobs
from llm.sampling.base import Sampler
from llm.sampling.streaming import Questions
from llm.text.boundaries import Delimiter
from llm.text.rollouts import TextRollout, TextState, ThoughtStates, Tokens
from llm.text.thoughts import TextEnding
from llm.text.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class AskedOfAll:
    """Asks a localiser about every rollout, whether it failed or not.

    "No step is wrong" is then said by NO_ERROR, as a box of 0 is read and as a step checker answers
    when it finds none. It is for localisers that are not told that something is wrong; the others
    would be told what is not true.

    Attributes:
        inner: who is asked; it takes every rollout for a failure.
    """

    inner: Localizer

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`~llm.localizers.base.Localizer`; none is refused with NOT_FAILED."""
        return by_itself(self.asking(rollouts, keys, None))

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """Ask the inner localiser; see :class:`~llm.localizers.base.AskingLocalizer`."""
        taken = [replace(rollout, failed=True) for rollout in rollouts]
        return (yield from asking(self.inner, taken, keys, sampler))


def as_rollout(
    trace: MarkedTrace, vocabulary: Vocabulary, prompt: Tokens, delimiter: Delimiter
) -> TextRollout:
    """Return a trace as if it had been sampled, each step behind it ended by the delimiter.

    Args:
        trace: the steps.
        vocabulary: of whoever is to read them.
        prompt: ids of what the solution answers.
        delimiter: what ends a step.

    Returns:
        A rollout with a thought per step. Log-probabilities are NaN: nobody sampled it.

    Raises:
        InvalidInput: the tokenizer cannot write a step, so that another text would be read.
    """
    tokens: list[int] = []
    spans = []
    for number, step in enumerate(trace.steps, 1):
        ids = vocabulary.encode(step, special=False)
        ids += vocabulary.encode(delimiter.text, special=False)
        if delimiter.shown(vocabulary.decode(ids)) != delimiter.shown(step):
            problem = "the model's tokenizer cannot write it"
            remedy = "name a model (model.path) whose tokenizer can"
            raise InvalidInput(f"{trace.id}, step {number}", step, problem, remedy)
        spans.append((len(tokens), len(tokens) + len(ids)))
        tokens += ids
    states = ThoughtStates(TextState(trace.problem, prompt), tuple(tokens), tuple(spans))
    return TextRollout(
        states=states,
        actions=tuple(tuple(tokens[a:b]) for a, b in spans),
        reward=0.0 if trace.failed else 1.0,
        failed=bool(trace.failed),
        ended=Ending.TERMINAL,
        tokens=tuple(tokens),
        logprobs=np.full(len(tokens), np.nan, np.float32),
        spans=tuple(spans),
        text_ending=TextEnding.EOS,
    )


def with_logprobs(
    rollout: TextRollout, model: Any, vocabulary: Vocabulary, delimiter: Delimiter, context: int
) -> TextRollout | None:
    """Return a rollout of :func:`as_rollout` with its log-probabilities under a model.

    The tokens of the delimiter get the mean of their step: where a step ends was not the writer's
    choice, and with the mean neither its least nor its mean token probability is another one.

    Args:
        rollout: the steps, behind the prompt that the model is given.
        model: a causal language model; the law is that at temperature 1.
        vocabulary: its tokenizer.
        delimiter: what ends a step.
        context: most tokens that the model reads.

    Returns:
        The rollout; None if it is longer than the model reads.
    """
    if len(rollout.start.tokens) + len(rollout.tokens) > context:
        return None
    with torch.no_grad(), evaluating(model):
        found = plain_logprobs(model, rollout.start.tokens, rollout.tokens)
    logprobs = found.cpu().numpy().astype(np.float32)
    marks = len(vocabulary.encode(delimiter.text, special=False))
    for begin, end in rollout.spans:
        own = logprobs[begin : end - marks]
        # An empty step has no token in which anybody could have been unsure.
        logprobs[end - marks : end] = own.mean() if len(own) else 0.0
    return replace(rollout, logprobs=logprobs)
