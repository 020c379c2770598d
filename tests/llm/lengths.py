"""A world in which even an untrained model succeeds about half of the time."""

from __future__ import annotations

import dataclasses

from llm.localizers.oracle import OracleLocalizer
from llm.models.tiny import TinyModel, tokenizer
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator
from llm.task import Verdict
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.text.thoughts import ThoughtFormat
from llm.text.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class AnyLength(ArithmeticTask):
    """Rewards texts of an even length: a random model is then right about half of the time."""

    def verify(self, problem, text):
        return Verdict(float(len(text) % 2 == 0), None)


def simulator(seed=0, prepared=lambda model: model):
    """The world under an untrained model; `prepared` may put adapters on it."""
    task = AnyLength(horizon=3, modulus=5)  # few words that end a text
    words = tokenizer(task)
    vocabulary = Vocabulary(words)
    model = TinyModel(width=16, layers=1, heads=2, feed_forward=16).build(words, seed).eval()
    form = ThoughtFormat(max_thoughts=12, max_tokens=24, thought_tokens=2)
    return LanguageModelSimulator(
        TransformersSampler(prepared(model), vocabulary),
        vocabulary,
        task,
        form,
        localizer=OracleLocalizer(task, vocabulary, form.delimiter),
    )
