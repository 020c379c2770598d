"""A sampler whose next-token probabilities are a Python function: a language model by script.

It lets whatever works on language models be tested on ones whose law is known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from llm.sampling.base import Completion, CompletionEnding, Request, Sampling, Work, check_requests
from llm.sampling.noise import uniforms
from llm.text.rollouts import Tokens
from llm.text.vocabulary import Vocabulary

Script = Callable[[Tokens], Mapping[int, float]]
"""The ids read so far -> probability of each next id (those left out have none)."""


class ScriptedSampler:
    """Samples from a script, one id at a time.

    Attributes:
        script: next-token probabilities.
        vocabulary: texts of the ids, and which of them end a sequence.
        eos, context, work: see :class:`llm.sampling.base.Sampler`.
    """

    def __init__(self, script: Script, vocabulary: Vocabulary, context: int = 1 << 20) -> None:
        self.script, self.vocabulary, self.context = script, vocabulary, context
        self.eos, self.work = vocabulary.eos, Work()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request; see :class:`llm.sampling.base.Sampler`.

        Temperature and top-p act on the script's probabilities as on a model's.
        """
        check_requests(requests, self.context)
        self.work.calls += bool(requests)
        return [self._complete(request, sampling) for request in requests]

    def sync(self, model: Any) -> None:
        """Do nothing: a script has no weights."""

    def _complete(self, request: Request, sampling: Sampling) -> Completion:
        tracker = request.track(self.vocabulary)
        key = np.array([request.key], np.uint64)
        sampled: list[int] = []
        logprobs: list[float] = []
        ended: CompletionEnding = "length"
        while len(sampled) < request.max_tokens:
            law = _tempered(self.script(request.tokens + tuple(sampled)), sampling.temperature)
            token = _draw(law, sampling, float(uniforms(key, len(sampled))[0]))
            sampled.append(token)
            # Of the law before top-p, as completions of all engines have them.
            logprobs.append(math.log(law[token]))
            over = tracker(token, logprobs[-1])
            if over or token in self.eos:
                ended = "eos" if token in self.eos else "stop"
                break
        self.work.prefilled += len(request.tokens)
        self.work.decoded += len(sampled)
        return Completion(tuple(sampled), np.array(logprobs, np.float32), ended)


def _tempered(law: Mapping[int, float], temperature: float) -> dict[int, float]:
    """The law at a temperature, ids in ascending order; at 0 as it is."""
    power = 1 / temperature if temperature > 0 else 1.0
    # Of the likeliest: powers of small probabilities would all become 0.
    top = max(law.values()) if power > 1 else 1.0
    # In the order of ids, not of the script: it decides on which id a random number falls.
    weights = {token: (law[token] / top) ** power for token in sorted(law) if law[token] > 0}
    total = sum(weights.values())
    return {token: weight / total for token, weight in weights.items()}


def _draw(law: Mapping[int, float], sampling: Sampling, uniform: float) -> int:
    if sampling.temperature == 0:
        return max(law, key=lambda token: law[token])
    tokens = _nucleus(law, sampling.top_p)
    # Inverts the distribution function, scaled by the nucleus's own total. A product that rounds up
    # to the total would fall behind the last id.
    bounds = np.cumsum([law[token] for token in tokens])
    index = int(np.searchsorted(bounds, uniform * bounds[-1], side="right"))
    return tokens[min(index, len(tokens) - 1)]


def _nucleus(law: Mapping[int, float], top_p: float) -> list[int]:
    """The likeliest ids that hold at least `top_p`, in ascending order."""
    ranked = sorted(law, key=lambda token: -law[token])
    held = np.cumsum([law[token] for token in ranked])
    # The tolerance keeps a sum that falls short of top_p by rounding alone from taking one id more.
    count = int(np.searchsorted(held, top_p * (1 - 1e-12))) + 1
    return sorted(ranked[:count])
