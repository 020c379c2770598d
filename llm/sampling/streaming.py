"""Streams of requests: each is handed over when it is done, whatever else is under way.

An engine with continuous batching has a stream of its own; any other is asked for whole batches.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Protocol, TypeGuard, TypeVar

from llm.sampling.base import Completion, Request, Sampler, Sampling, check_requests

Answer = TypeVar("Answer")
PATIENCE = 0.002
"""Seconds between two looks at what is waited for."""

Questions = Generator[tuple[Sequence[Request] | None, Sampling], Sequence[Completion], Answer]
"""Yields requests and how they are drawn, is sent their completions in order, and so on until it
returns what it made of them. While it waits for something else, it yields None and no requests."""


def ask(questions: Questions[Answer], sampler: Sampler) -> Answer:
    """Have a sampler answer questions, in one call each time that requests are yielded.

    Args:
        questions: not begun yet.
        sampler: the engine.
    """
    try:
        requests, sampling = next(questions)
        while True:
            if requests is None:
                time.sleep(PATIENCE)
                requests, sampling = questions.send([])
                continue
            # Also where nobody has to be asked: several processes have to agree on their calls.
            requests, sampling = questions.send(sampler.generate(requests, sampling))
    except StopIteration as end:
        answer: Answer = end.value
        return answer


class CompletionStream(Protocol):
    """Requests under way; each has the completion that `Sampler.generate` would have given."""

    def submit(self, request: Request, sampling: Sampling) -> int:
        """Take a request; returns its ticket. Nothing is computed yet.

        Raises:
            InvalidInput: the request is empty or does not fit into the context.
        """
        ...

    def finished(self) -> list[tuple[int, Completion]]:
        """Work until a request is done, if any is open; what is done and not handed over yet."""
        ...

    def close(self) -> None:
        """Drop what is not done."""
        ...


class StreamingSampler(Sampler, Protocol):
    """A sampler into whose batch requests may enter while others are under way."""

    def stream(self) -> CompletionStream:
        """Begin an empty stream; the weights must not change until it is closed."""
        ...


def open_stream(sampler: Sampler) -> CompletionStream:
    """Begin a stream with any sampler."""
    return sampler.stream() if batches_continuously(sampler) else WholeBatches(sampler)


def batches_continuously(sampler: Sampler) -> TypeGuard[StreamingSampler]:
    """Tell whether a sampler batches continuously.

    Its class has to: a wrapper that passes other attributes through, a journal for instance, would
    be passed by.
    """
    return hasattr(type(sampler), "stream")


class WholeBatches:
    """A stream whose requests are done batch by batch: all that are open go into one call."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._open: dict[Sampling, list[tuple[int, Request]]] = {}
        self._submitted = 0

    def submit(self, request: Request, sampling: Sampling) -> int:
        """Take a request; see :class:`CompletionStream`."""
        check_requests([request], self._sampler.context)
        self._submitted += 1
        self._open.setdefault(sampling, []).append((self._submitted, request))
        return self._submitted

    def finished(self) -> list[tuple[int, Completion]]:
        """Do all open requests that are drawn in one way."""
        if not self._open:
            return []
        # The oldest first: localisations of some prompts while others still want rollouts.
        sampling = next(iter(self._open))
        tickets, requests = zip(*self._open.pop(sampling), strict=True)
        return list(zip(tickets, self._sampler.generate(requests, sampling), strict=True))

    def close(self) -> None:
        """Drop what is not done."""
        self._open.clear()
