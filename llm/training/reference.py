"""The start model of a run: log-probabilities under the weights that training began with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class StartWeights:
    """The trained weights of a model as they are now, to be looked at again later.

    Weights that are not trained, such as those below adapters, are not copied: with adapters the
    start model costs no more than they do.
    """

    def __init__(self, model: Any) -> None:
        self._start: list[tuple[torch.nn.Parameter, Tensor]] = [
            (p, p.detach().clone()) for p in model.parameters() if p.requires_grad
        ]

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Put the start weights into the model, and back what it has learned since."""
        learned = [p.data for p, _ in self._start]
        for parameter, start in self._start:
            # The tensor is exchanged, not copied into: there is no third copy of the weights.
            parameter.data = start.to(parameter.device)
        try:
            yield
        finally:
            for (parameter, _), now in zip(self._start, learned, strict=True):
                parameter.data = now
