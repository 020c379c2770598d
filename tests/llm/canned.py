"""A tokenizer whose ids are bytes, a sampler with canned replies, and rollouts made of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cpi_theory.seam import Ending
from llm.sampling.base import Completion, Request, Sampling, Work, check_requests
from llm.task import Problem
from llm.text.rollouts import TextRollout, TextState, ThoughtStates
from llm.text.thoughts import TextEnding
from llm.text.vocabulary import Vocabulary

END = "</thought>"
PROBLEM = Problem("p", "What is 2 + 2 * 3?", "8")


def byte_vocabulary(chat_template: str | None = None) -> Vocabulary:
    """Every text is encoded byte by byte and decoded to itself."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    table = {token: i for i, token in enumerate(["<eos>", *alphabet])}
    inner = Tokenizer(models.BPE(table, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>")
    tokenizer.chat_template = chat_template
    return Vocabulary(tokenizer)


class CannedSampler:
    """Replies to the text of a prompt with a text; the end-of-sequence token follows it.

    Attributes:
        reply: (text of the prompt, key) -> reply.
        batches: number of requests of each call.
        prompts: texts of all prompts.
        obedient: whether stop rules are applied.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        reply: Callable[[str, int], str],
        obedient: bool = True,
        context: int = 1 << 20,
    ) -> None:
        self.vocabulary, self.reply, self.obedient = vocabulary, reply, obedient
        self.eos, self.context, self.work = vocabulary.eos, context, Work()
        self.batches: list[int] = []
        self.prompts: list[str] = []

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        check_requests(requests, self.context)
        self.batches.append(len(requests))
        return [self._complete(request) for request in requests]

    def _complete(self, request: Request) -> Completion:
        prompt = self.vocabulary.decode(request.tokens)
        self.prompts.append(prompt)
        over = request.track(self.vocabulary) if self.obedient else lambda token: False
        reply = (*self.vocabulary.encode(self.reply(prompt, request.key)), min(self.eos))
        tokens: list[int] = []
        for token in reply[: request.max_tokens]:
            tokens.append(token)
            if token in self.eos or over(token):
                ended = "eos" if token in self.eos else "stop"
                return Completion(tuple(tokens), np.zeros(len(tokens), np.float32), ended)
        return Completion(tuple(tokens), np.zeros(len(tokens), np.float32), "length")


def rollout_of(
    vocabulary: Vocabulary,
    own: Sequence[str],
    kept: Sequence[str] = (),
    failed: bool = True,
    problem: Problem = PROBLEM,
) -> TextRollout:
    """A rollout with the given thoughts after kept ones, delimiters added."""

    def joined(thoughts: Sequence[str]) -> tuple[tuple[int, ...], list[int]]:
        pieces = [vocabulary.encode(thought + END) for thought in thoughts]
        return sum(pieces, ()), list(np.cumsum([len(p) for p in pieces], dtype=int))

    kept_tokens, kept_ends = joined(kept)
    tokens, ends = joined(own)
    spans = tuple(zip([0, *ends], ends, strict=False))
    start = TextState(problem, vocabulary.encode("Q"), kept_tokens, tuple(kept_ends))
    return TextRollout(
        states=ThoughtStates(start, tokens, spans),
        actions=tuple(tokens[a:b] for a, b in spans),
        reward=0.0 if failed else 1.0,
        failed=failed,
        ended=Ending.TERMINAL,
        tokens=tokens,
        logprobs=np.zeros(len(tokens), np.float32),
        spans=spans,
        text_ending=TextEnding.EOS,
    )
