"""Sampling with transformers from a copy of the model in half its precision."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from cpi_theory.checks import InvalidInput
from llm.sampling.base import Completion, Request, Sampling, Work
from llm.sampling.streaming import CompletionStream
from llm.sampling.transformers.sampler import TransformersSampler
from llm.text.vocabulary import Vocabulary


class RoundedSampler:
    """Samples from a copy of a model with rounded weights, which follow at each :meth:`sync`.

    A decoding step reads every weight once, so half the bytes are up to twice the speed. What it
    samples comes from the copy's law, and log-probabilities are the copy's: losses with ratios
    can correct for the difference.

    Attributes:
        eos, context: see :class:`llm.sampling.base.Sampler`.
    """

    def __init__(
        self, model: Any, vocabulary: Vocabulary, max_batch: int, precision: torch.dtype
    ) -> None:
        """Copy the weights and find out how the copy can be read.

        Args:
            model: the one that is trained.
            vocabulary: its tokenizer.
            max_batch: most completions decoded at a time.
            precision: of the copy.

        Raises:
            InvalidInput: see :class:`~llm.sampling.transformers.sampler.TransformersSampler`.
        """
        self._source, self._copy = model, copy.deepcopy(model).requires_grad_(False)
        for weight in self._copy.parameters():
            # Parameters alone: what positions are worked out from stands in buffers, and in
            # bfloat16 the angles of far ones would be off by whole turns.
            weight.data = weight.data.to(precision)
        self._sampler = TransformersSampler(self._copy, vocabulary, max_batch)
        self.eos, self.context = self._sampler.eos, self._sampler.context

    @property
    def work(self) -> Work:
        """What was computed so far; see :class:`llm.sampling.base.Sampler`."""
        return self._sampler.work

    @work.setter
    def work(self, work: Work) -> None:
        self._sampler.work = work

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request; see :class:`llm.sampling.base.Sampler`."""
        return self._sampler.generate(requests, sampling)

    def stream(self, slots: int | None = None) -> CompletionStream:
        """Begin a stream; see :meth:`TransformersSampler.stream`."""
        return self._sampler.stream(slots)

    def sync(self, model: Any) -> None:
        """Round the weights that the model has now.

        Raises:
            InvalidInput: if it is not the one that was copied.
        """
        if model is not self._source:
            problem = "not the one that was copied"
            raise InvalidInput("model", type(model).__name__, problem, "make a new sampler")
        with torch.no_grad():
            for rounded, weight in zip(self._copy.parameters(), model.parameters(), strict=True):
                rounded.copy_(weight)
