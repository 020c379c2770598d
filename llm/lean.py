"""A lean training loop: one optimiser update from rows of tokens with advantages.

It takes the same loss as the TRL engine and does nothing else, for models so small that a general
trainer's bookkeeping would take most of the time.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_positive
from llm.batches import TrainingRow
from llm.losses import LossSettings, Totals, policy_loss


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """AdamW.

    Attributes:
        rate: learning rate.
        warm_up: updates over which the rate rises linearly.
        weight_decay: decoupled, per update and unit of rate.
        beta1, beta2: decay of the averages of the gradient and its square.
        max_norm: gradients of a larger norm are scaled down to it.
        micro_batch: rows per forward pass; it never changes the result.
    """

    rate: float = 3e-4
    warm_up: int = 0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    max_norm: float = 1.0
    micro_batch: int = 64

    def __post_init__(self) -> None:
        check_positive("rate", self.rate)
        check_count("warm_up", self.warm_up, minimum=0)
        check_in_range("weight_decay", self.weight_decay, 0, 1)
        check_in_range("beta1", self.beta1, 0, 0.9999)
        check_in_range("beta2", self.beta2, 0, 0.999999)
        check_positive("max_norm", self.max_norm)
        check_count("micro_batch", self.micro_batch)


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one update did.

    Attributes:
        loss: its value.
        gradient_norm: before it was scaled down.
        rows: rows given.
        trained_rows: rows with an advantage other than 0; the others have no gradient.
        trained_tokens: completion tokens of those.
        forward_tokens: tokens that went through the model, prompts included.
    """

    loss: float
    gradient_norm: float
    rows: int
    trained_rows: int
    trained_tokens: int
    forward_tokens: int


class TrainingDiverged(InvalidInput):
    """A loss or gradient that is not finite; the model keeps the weights of the last update."""


class LeanTrainer:
    """Trains a model in place.

    Attributes:
        model: the model.
        settings: of the optimiser.
        loss: which loss.
        updates: made so far.
    """

    def __init__(self, model: Any, settings: OptimizerSettings, loss: LossSettings) -> None:
        self.model, self.settings, self.loss = model, settings, loss
        self.updates = 0
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=settings.rate,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
        )

    def step(self, rows: Sequence[TrainingRow]) -> StepReport:
        """One update from all rows together.

        An update in which no row has an advantage changes nothing, the optimiser's averages
        included.

        Raises:
            TrainingDiverged: if the loss or the gradient is not finite.
        """
        totals = Totals(len(rows), sum(len(row.completion) for row in rows))
        taught = sorted((row for row in rows if row.advantage != 0), key=_length)
        loss = self._accumulate(taught, totals)
        norm = 0.0
        if taught:
            norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self.settings.max_norm))
            self._check_finite(loss, norm)
            self._apply()
        self.updates += 1
        return StepReport(
            loss,
            norm,
            len(rows),
            len(taught),
            sum(len(row.completion) for row in taught),
            sum(map(_length, taught)),
        )

    def _accumulate(self, rows: Sequence[TrainingRow], totals: Totals) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        value, size = 0.0, self.settings.micro_batch
        for first in range(0, len(rows), size):
            part = loss_of(self.model, rows[first : first + size], totals, self.loss)
            part.backward()
            value += float(part.detach())
        return value

    def _check_finite(self, loss: float, norm: float) -> None:
        for name, value in (("loss", loss), ("gradient_norm", norm)):
            if not math.isfinite(value):
                self._optimizer.zero_grad(set_to_none=True)
                raise TrainingDiverged(
                    name,
                    value,
                    f"not finite in update {self.updates + 1}",
                    "lower the learning rate or clip; the model keeps its last good weights",
                )

    def _apply(self) -> None:
        rate = self.settings.rate
        if self.settings.warm_up:
            rate *= min(1.0, (self.updates + 1) / self.settings.warm_up)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """All that another trainer needs to go on to the digit; a copy."""
        return copy.deepcopy(
            {
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "updates": self.updates,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.updates = state["updates"]


def loss_of(
    model: Any, rows: Sequence[TrainingRow], totals: Totals, settings: LossSettings
) -> Tensor:
    """What these rows contribute to an update's loss, with its graph; see `policy_loss`."""
    logprobs, mask = completion_logprobs(model, rows, settings.temperature)
    old = torch.zeros_like(logprobs)
    for i, row in enumerate(rows):
        old[i, : len(row.logprobs)] = torch.from_numpy(np.asarray(row.logprobs))
    advantages = logprobs.new_tensor([row.advantage for row in rows])
    return policy_loss(logprobs, old, advantages, mask, totals, settings)


def completion_logprobs(
    model: Any, rows: Sequence[TrainingRow], temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the completions under the model, with their graph.

    Returns:
        Shape (n, T) with T the longest completion, 0 beyond a completion's end; and a mask, bool
        (n, T), of the places that hold a token.
    """
    width = max(map(_length, rows))
    longest = max(len(row.completion) for row in rows)
    ids = np.zeros((len(rows), width), np.int64)
    real = np.zeros((len(rows), width), np.int64)
    places = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        # Padding stands on the right, where no real token can see it.
        ids[i, : _length(row)], real[i, : _length(row)] = row.prompt + row.completion, 1
        places[i, : len(row.completion)] = np.arange(len(row.prompt), _length(row))
    first = min(len(row.prompt) for row in rows) - 1
    device = model.device
    tokens, where = torch.from_numpy(ids).to(device), torch.from_numpy(places).to(device)
    logits = model(
        input_ids=tokens,
        attention_mask=torch.from_numpy(real).to(device),
        logits_to_keep=width - first,
        use_cache=False,
    ).logits
    mask = where > 0
    before = (where - 1 - first).clamp(min=0)
    chosen = logits.gather(1, before[:, :, None].expand(-1, -1, logits.shape[-1]))
    laws = torch.log_softmax(chosen.float() / temperature, dim=-1)
    sampled = tokens.gather(1, where)
    logprobs = laws.gather(2, sampled[:, :, None])[:, :, 0]
    return torch.where(mask, logprobs, 0.0), mask


def _length(row: TrainingRow) -> int:
    return len(row.prompt) + len(row.completion)
