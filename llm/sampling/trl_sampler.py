"""Sampling with the vLLM engine that TRL holds: on the same GPU, or on a server of its own.

TRL brings the engine's weights up to date, sharded models included. It draws from the engine's own
random stream: unlike with the other samplers, a completion does not depend on its key, so a resumed
run draws other rollouts. :class:`llm.sampling.vllm.sampler.VllmSampler` has no such limit, and an
engine of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cpi_theory.checks import InvalidInput, check_count
from llm.sampling.base import Completion, CompletionEnding, Request, Sampling, Work, check_requests
from llm.text.vocabulary import Vocabulary


class TrlSampler:
    """Samples with the engine of a TRL trainer, which attaches it.

    Attributes:
        vocabulary: the model's tokenizer.
        eos, context, work: see :class:`llm.sampling.base.Sampler`. Prompts count as prefilled
            whole, whatever the engine finds in its cache.
    """

    def __init__(self, vocabulary: Vocabulary, context: int) -> None:
        """Set up the sampler.

        Args:
            vocabulary: the model's tokenizer.
            context: longest sequence in tokens that the engine can hold.
        """
        check_count("context", context, minimum=2)
        self.vocabulary, self.context = vocabulary, context
        self.eos, self.work = vocabulary.eos, Work()
        self._engine: Any = None

    def attach(self, engine: Any) -> None:
        """Sample with this ``trl.generation.vllm_generation.VLLMGeneration`` from now on."""
        self._engine = engine

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request; see :class:`llm.sampling.base.Sampler`.

        The engine knows neither stop rules nor a limit per request: it samples up to the
        longest limit, and what goes too far is cut off here.

        Raises:
            InvalidInput: if no trainer has attached its engine.
        """
        if self._engine is None:
            remedy = "give the sampler to a trainer whose settings name vllm"
            raise InvalidInput("sampler", None, "has no engine yet", remedy)
        check_requests(requests, self.context)
        if not requests:
            return []
        engine = self._engine
        # The engine reads its own attributes when it is called.
        engine.temperature, engine.top_p = sampling.temperature, sampling.top_p
        room = self.context - max(len(request.tokens) for request in requests)
        # One limit for the whole batch: the longest that is asked for and that every prompt leaves.
        engine.max_completion_length = min(room, max(r.max_tokens for r in requests))
        prompts = [list(request.tokens) for request in requests]
        # No images, and one completion per prompt: prompts that repeat stand in the list.
        _, sampled, logprobs, _ = engine.generate(prompts, None, 1)
        self.work.calls += 1
        self.work.prefilled += sum(map(len, prompts))
        self.work.decoded += sum(map(len, sampled))
        rows = zip(requests, sampled, logprobs, strict=True)
        return [self._cut(request, tokens, ranked) for request, tokens, ranked in rows]

    def sync(self, model: Any) -> None:
        """Hand the trainer's weights to its engine."""
        del model  # the engine knows the trainer's model itself
        self._engine.sync_weights()

    def _cut(self, request: Request, tokens: Sequence[int], ranked: Sequence[Any]) -> Completion:
        """A completion up to where it should have ended."""
        tracker = request.track(self.vocabulary)
        kept = 0
        ended: CompletionEnding = "length"
        # The engine has no log-probability where it is not a number, and says None.
        given = [np.nan if ranks[0] is None else ranks[0] for ranks in ranked]
        for token, logprob in zip(tokens[: request.max_tokens], given, strict=False):
            kept += 1
            over = tracker(token, logprob)
            if over or token in self.eos:
                ended = "eos" if token in self.eos else "stop"
                break
        return Completion(tuple(tokens[:kept]), np.array(given[:kept], np.float32), ended)
