"""Samplers behind one signature: token ids in, token ids with log-probabilities out.

A sampler knows nothing of thoughts, problems or rewards. Whichever engine is behind it, a
completion depends on its request and key alone (up to the rounding of the engine's arithmetic), so
a batch may be split, re-ordered or resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import check_count, check_in_range
from llm.models.temperature import check_temperature
from llm.text.rollouts import Tokens
from llm.text.stop_rules import StopRule, StopTracker
from llm.text.vocabulary import Vocabulary

CompletionEnding = Literal["stop", "eos", "length"]
"""How a completion ended: by a stop rule, by the end-of-sequence token (it is included), or at
`max_tokens` or the end of the context."""


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to sample.

    Attributes:
        tokens: ids to continue, at least one.
        max_tokens: most ids to sample.
        key: the whole randomness of this completion, in [0, 2^64).
        stop: ends this completion early; None: no stop rule. An engine that cannot apply it while
            sampling may go on; whoever asked cuts the surplus off.
    """

    tokens: Tokens
    max_tokens: int
    key: int
    stop: StopRule | None = None

    def track(self, vocabulary: Vocabulary) -> StopTracker:
        """Begin to apply the stop rule; without one the tracker never says that it is over.

        Args:
            vocabulary: texts of the ids, and which of them end a sequence.
        """
        if self.stop is None:
            return lambda _token, _logprob=0.0: False
        return self.stop.begin(vocabulary.piece, vocabulary.eos)


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """What was sampled for one request.

    Attributes:
        tokens: ids, length T, an end-of-sequence id included.
        logprobs: of each under softmax(logits / temperature), before top-p, float32 (T,); at
            temperature 0 under softmax(logits).
        ended: what ended it.
    """

    tokens: Tokens
    logprobs: NDArray[np.float32]
    ended: CompletionEnding


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        temperature: 0, which takes the likeliest token, or in [0.01, 100].
        top_p: draw among the likeliest tokens that hold this much probability, in [1e-6, 1].
    """

    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        check_temperature("temperature", self.temperature)
        check_in_range("top_p", self.top_p, 1e-6, 1)


GREEDY = Sampling(temperature=0.0)


@dataclass(slots=True)
class Work:
    """What an engine has computed so far.

    Attributes:
        calls: batched calls.
        prefilled: prompt tokens that went through the model; those found in a cache did not. Where
            a model has no cache that can be used, all that it read again counts as well.
        decoded: tokens sampled.
    """

    calls: int = 0
    prefilled: int = 0
    decoded: int = 0

    @property
    def forward(self) -> int:
        """Tokens that went through the model."""
        return self.prefilled + self.decoded


class Sampler(Protocol):
    """An engine that continues token ids.

    Attributes:
        work: what it has computed so far.
        eos: ids that end a sequence.
        context: longest sequence in tokens, prompt and completion together.
    """

    work: Work
    eos: frozenset[int]
    context: int

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request, in one batched call.

        Raises:
            InvalidInput: a request is empty or does not fit into the context.
        """
        ...

    def sync(self, model: Any) -> None:
        """Sample from the weights that the model has now; engines that share them do nothing.

        Args:
            model: the one that is trained.

        Raises:
            InvalidInput: if its weights cannot be those that the engine samples from.
        """
        ...


def check_requests(requests: Sequence[Request], context: int) -> None:
    """Refuse requests that an engine cannot serve.

    Raises:
        InvalidInput: naming the request, its length and the context.
    """
    for i, request in enumerate(requests):
        check_count(f"requests[{i}].tokens", len(request.tokens))
        check_count(f"requests[{i}].max_tokens", request.max_tokens)
        # One place less than the context, so that at least one token can be sampled.
        check_in_range(f"requests[{i}].tokens", len(request.tokens), 1, context - 1)
