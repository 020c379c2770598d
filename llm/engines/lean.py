"""A lean training loop: optimiser updates from rows of tokens with advantages.

It takes the same loss as the TRL engine and does nothing else, for models so small that a general
trainer's bookkeeping would take most of the time.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.models.law import evaluating, token_logprobs
from llm.models.memory import explain_out_of_memory
from llm.models.randomness import drawing
from llm.training.logprob_gap import LogprobGap
from llm.training.losses import Totals, policy_loss
from llm.training.optimizer import adamw
from llm.training.prefix_tree import Prefix
from llm.training.reference import StartWeights
from llm.training.rows import PaddedRows, TrainingRow, pad_rows, split_by_prompt
from llm.training.settings import LossSettings, OptimizerSettings
from llm.training.shared_prefixes import backward, read_along
from llm.training.sharing import PrefixSharing, compared

__all__ = ["LeanTrainer", "OptimizerSettings", "StepReport", "TrainingDiverged"]


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one batch of rows did; sums over its updates, and means where it says so.

    Attributes:
        loss: mean over the updates.
        gradient_norm: before it was scaled down, mean over the updates.
        rows: rows given.
        trained_rows: rows with an advantage other than 0, or all of them with a KL term; the others
            have no gradient and are not computed.
        trained_tokens: completion tokens of those.
        forward_tokens: tokens that went through the model, prompts included, and through the start
            model of a KL term.
        updates: updates made; one in which no row has an advantage counts.
        notes: further numbers for the log of a run, by name; see
            :class:`~llm.training.logprob_gap.LogprobGap` and :func:`autocast_error`.
    """

    loss: float
    gradient_norm: float
    rows: int
    trained_rows: int
    trained_tokens: int
    forward_tokens: int
    updates: int = 1
    notes: Mapping[str, float] = field(default_factory=dict)


class TrainingDiverged(InvalidInput):
    """A loss or gradient that is not finite; the model keeps the weights of the last update."""


class LeanTrainer:
    """Trains a model in place.

    Attributes:
        model: the model.
        settings: of the optimiser.
        loss: which loss.
        key: of dropout, where a model has any.
        updates: made so far.
    """

    def __init__(
        self,
        model: Any,
        settings: OptimizerSettings,
        loss: LossSettings,
        key: Key | int = 0,
        keep_start: bool = False,
    ) -> None:
        """Set up the optimiser over the parameters that require a gradient.

        Args:
            model: the model, which is trained in place.
            settings: of the optimiser.
            loss: which loss.
            key: of dropout; an update's hangs on the key and the number of the update alone.
            keep_start: whether rows may be held near the model as it is now; see
                :func:`cpi_theory.seam.needs_start`. A loss with a KL term keeps it anyway.

        Raises:
            InvalidInput: if there are none, or they are held in float16.
        """
        self.model, self.settings, self.loss = model, settings, loss
        self.key, self.updates = Key.of(key), 0
        self._trained: dict[str, torch.nn.Parameter] = {
            n: p for n, p in model.named_parameters() if p.requires_grad
        }
        check_trainable(self._trained.values())
        self._sharing = PrefixSharing(model, settings.shared_prefixes)
        self._notes: dict[str, float] | None = None
        self._gap = LogprobGap()
        self._parameters = list(self._trained.values())
        self._optimizer = adamw(settings, self._parameters)
        self._start = StartWeights(model) if loss.kl or keep_start else None

    def step(self, rows: Sequence[TrainingRow]) -> StepReport:
        """Learn from one batch of rows.

        An update without a gradient, as where no row has an advantage, changes nothing, the
        optimiser's averages included.

        Raises:
            InvalidInput: if the rows cannot be split as the settings say, or do not fit into
                memory.
            TrainingDiverged: if a loss or gradient is not finite.

        Source: Shao et al. (2024), arXiv 2402.03300 (policy gradients on groups); Pascanu et al.
        (2013), arXiv 1211.5063 (gradients scaled down to a largest norm).
        """
        if not rows:
            raise InvalidInput("rows", 0, "nothing to learn from", "collect some")
        with explain_out_of_memory("optimizer.micro_batch", self._size):
            # Before the first update, while the weights are still those that sampled.
            with computing(self.model, self.settings):
                every = renews_logprobs(self.settings, self.loss)
                temperature = self.loss.temperature
                rows = with_logprobs(self.model, rows, temperature, self._size, every)
                asked = needs_reference(rows, self.loss)
                if asked and self._start is None:
                    remedy = "make the trainer with keep_start=True"
                    raise InvalidInput("rows", "kl", "no start model was kept", remedy)
                if asked and self._start is not None:
                    rows = with_reference(self.model, rows, self._start, temperature, self._size)
            minibatches = split_by_prompt(rows, self.settings.minibatches) * self.settings.epochs
            with _learning(self.model):
                notes = self._notes_on(minibatches[0])
                report = _summary([self._update(part) for part in minibatches])
                report = replace(report, notes={**notes, **self._gap.take()})
        if not asked:
            return report
        return replace(report, forward_tokens=report.forward_tokens + sum(map(len, rows)))

    @property
    def _size(self) -> int:
        return self.settings.micro_batch

    def _update(self, rows: Sequence[TrainingRow]) -> StepReport:
        totals = Totals(len(rows), sum(len(row.completion) for row in rows))
        # Rows of advantage 0 have no gradient, so leaving them out changes the sum by nothing; they
        # still count in the totals. Rows of like length together need little padding.
        informative = sorted(learned_rows(rows, self.loss), key=len)
        loss = norm = 0.0
        read = 0
        if informative:
            # By the number of the update: a resumed run drops what the whole one would have.
            with drawing(self.key.child("dropout", self.updates), self.model.device):
                loss, read = self._accumulate(informative, totals)
            # What comes back is the norm before scaling.
            norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self.settings.max_norm))
            self._check_finite(loss, norm)  # before the step: the weights stay the last good ones
            for group in self._optimizer.param_groups:
                group["lr"] = self.settings.rate_at(self.updates)
            if norm:  # 0 where the KL term is all there is, and the model still the start model
                self._optimizer.step()
        self.updates += 1
        tokens = sum(len(row.completion) for row in informative)
        return StepReport(loss, norm, len(rows), len(informative), tokens, read)

    def _accumulate(self, rows: Sequence[TrainingRow], totals: Totals) -> tuple[float, int]:
        """Gradients of an update; its loss and the tokens that went through the model."""
        self._optimizer.zero_grad(set_to_none=True)
        tree = self._sharing.tree(rows, self.loss.temperature)
        with computing(self.model, self.settings):
            return gradients(
                self.model,
                rows,
                tree,
                self._size,
                totals,
                self.loss,
                first_ratio(self.settings, self.loss),
                self._gap,
            )

    def _notes_on(self, rows: Sequence[TrainingRow]) -> dict[str, float]:
        """How coarse the gradient is in bfloat16, on some rows of the very first batch."""
        informative = [row for row in rows if row.informative][: self._size]
        if self.settings.precision != "autocast" or self._notes is not None or not informative:
            return {}
        self._optimizer.zero_grad(set_to_none=True)
        tree = self._sharing.tree(informative, self.loss.temperature)
        self._notes = autocast_error(self.model, informative, tree, self._size, self.loss)
        return self._notes

    def _check_finite(self, loss: float, norm: float) -> None:
        for name, value in (("loss", loss), ("gradient_norm", norm)):
            if not math.isfinite(value):
                self._optimizer.zero_grad(set_to_none=True)
                raise diverged(name, value, self.updates)

    def state_dict(self) -> dict[str, Any]:
        """Return all that another trainer of the same model needs to go on to the digit; a copy.

        Weights that are not trained, such as those below adapters, are left out.
        """
        return {
            "weights": {name: p.detach().clone() for name, p in self._trained.items()},
            # The optimiser's own state_dict holds the very tensors that its next step changes.
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`.

        Raises:
            InvalidInput: if it is that of another model.
        """
        weights = state["weights"]
        # All is checked before anything is copied, or a refusal would leave a mixture.
        other = weights.keys() ^ self._trained.keys()
        other |= {n for n, w in weights.items() if n not in other and self._differs(n, w)}
        if other:
            remedy = "load the model that it was saved from, with the same adapters"
            raise InvalidInput("state", sorted(other)[:3], "weights of another model", remedy)
        with torch.no_grad():
            for name, parameter in self._trained.items():
                # In place: the optimiser and the sampler hold these very tensors.
                parameter.copy_(weights[name])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.updates = state["updates"]

    def _differs(self, name: str, weight: Tensor) -> bool:
        return weight.shape != self._trained[name].shape


def check_trainable(parameters: Any) -> None:
    """Refuse parameters that cannot be trained.

    Raises:
        InvalidInput: if there are none, or they are held in float16, where Adam divides by 0.
    """
    kinds = {p.dtype for p in parameters}
    if not kinds:
        raise InvalidInput("model", None, "has no weights to train", "unfreeze some")
    # Adam's epsilon of 1e-8 is 0 in float16.
    if torch.float16 in kinds:
        raise InvalidInput("precision", "float16", "cannot be trained", "use float32 or bfloat16")


def diverged(name: str, value: float, updates: int) -> TrainingDiverged:
    """Return the error for a loss or gradient that is not finite after so many updates."""
    return TrainingDiverged(
        name,
        value,
        f"not finite in update {updates + 1}",
        "lower the learning rate or clip; the model keeps its last good weights",
    )


@contextlib.contextmanager
def computing(model: Any, settings: OptimizerSettings) -> Iterator[None]:
    """Work in the precision of the settings; weights are cast once for all that is done in it."""
    device, enabled = model.device.type, settings.precision == "autocast"
    attention = _FloatAttention() if enabled and device == "cpu" else contextlib.nullcontext()
    with torch.autocast(device, torch.bfloat16, enabled=enabled), attention:
        yield


class _FloatAttention(TorchFunctionMode):
    """Keeps attention in float32: on CPUs its backward pass in bfloat16 takes twice as long."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = [_as_float(a) for a in args]
        named = {name: _as_float(a) for name, a in (kwargs or {}).items()}
        with torch.autocast("cpu", enabled=False):
            return func(*given, **named).to(args[0].dtype)


def _as_float(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def first_ratio(settings: OptimizerSettings, loss: LossSettings) -> bool:
    """Whether ratios are 1: those of the only update from a batch, if sampler and learner differ.

    The log-probabilities of rounded products are off those of the sampler by some hundredths of a
    nat: taken for a ratio, that noise would clip rows that nothing has moved.
    The loss "corrected" is for what a sampler's law is off by, and clips nothing.
    """
    alone = settings.minibatches * settings.epochs == 1
    return settings.precision == "autocast" and alone and loss.kind != "corrected"


def renews_logprobs(settings: OptimizerSettings, loss: LossSettings) -> bool:
    """Whether ratios need log-probabilities of the learner's own, from before several updates."""
    several = settings.precision == "autocast" and not first_ratio(settings, loss)
    return several and loss.kind == "clipped"


def gradients(
    model: Any,
    rows: Sequence[TrainingRow],
    tree: Prefix | None,
    micro_batch: int,
    totals: Totals,
    settings: LossSettings,
    first: bool = False,
    gap: LogprobGap | None = None,
) -> tuple[float, int]:
    """Add the gradients of some rows of an update to those of the parameters.

    Args:
        model: a causal language model, in training mode.
        rows: at least one.
        tree: to read them along, or None to read each by itself.
        micro_batch: rows per forward pass.
        totals: of the whole update.
        settings: which loss.
        first: whether its ratios are 1, see :func:`first_ratio`.
        gap: is told how far the log-probabilities are from the sampler's.

    Returns:
        The loss of these rows, and the tokens that went through the model.
    """
    value = 0.0

    def loss(batch: PaddedRows, logprobs: Tensor) -> Tensor:
        nonlocal value
        old = logprobs.detach() if first else batch.old_logprobs
        mask = batch.completion_mask
        if gap is not None:
            gap.add(logprobs, batch.old_logprobs, mask)
        part = policy_loss(
            logprobs,
            old,
            batch.advantages,
            mask,
            totals,
            settings,
            batch.reference,
            batch.shaping,
            batch.kl,
        )
        value += float(part.detach())
        return part

    if tree is not None:
        read = read_along(model, rows, tree, micro_batch, settings.temperature, loss)
        return value, read
    # One backward pass per micro-batch: gradients add up, and only one graph is held at a time.
    for begin in range(0, len(rows), micro_batch):
        batch = pad_rows(rows[begin : begin + micro_batch], device=model.device)
        backward([loss(batch, completion_logprobs(model, batch, settings.temperature))])
    return value, sum(map(len, rows))


def autocast_error(
    model: Any,
    rows: Sequence[TrainingRow],
    tree: Prefix | None,
    micro_batch: int,
    settings: LossSettings,
) -> dict[str, float]:
    """Compare the gradient of some rows in bfloat16 with that in the precision of the weights.

    Args:
        model: in training mode, without gradients; it has none afterwards.
        rows: at least one, with an advantage.
        tree: to read them along, or None.
        micro_batch: rows per forward pass.
        settings: of the loss.

    Returns:
        `autocast_gradient_error`, the norm of the difference relative to that of the gradient, and
        `autocast_gradient_cosine`, of the angle between both.
    """
    totals = Totals(len(rows), sum(len(row.completion) for row in rows))
    trained = [p for p in model.parameters() if p.requires_grad]
    found: list[list[Tensor]] = []
    exact = OptimizerSettings()
    for coarse in (True, False):
        with computing(model, replace(exact, precision="autocast") if coarse else exact):
            gradients(model, rows, tree, micro_batch, totals, settings, first=True)
        found.append([torch.zeros_like(p) if p.grad is None else p.grad for p in trained])
        for parameter in trained:
            parameter.grad = None
    error, cosine = compared(*found)
    return {"autocast_gradient_error": error, "autocast_gradient_cosine": cosine}


def completion_logprobs(model: Any, batch: PaddedRows, temperature: float = 1.0) -> Tensor:
    """Return the log-probabilities of completion tokens under the model, with their graph.

    Only the places that predict a completion token are worked out.

    Args:
        model: a causal language model.
        batch: rows, tensors of shape (n, W).
        temperature: of the law, in [0.01, 100].

    Returns:
        log softmax(logits / temperature), shape (n, W), 0 where there is no completion token.
    """
    return token_logprobs(
        model, batch.input_ids, batch.attention_mask, batch.completion_mask, temperature
    )


def with_logprobs(
    model: Any,
    rows: Sequence[TrainingRow],
    temperature: float,
    micro_batch: int,
    every: bool = False,
) -> list[TrainingRow]:
    """Give off-policy rows log-probabilities after the prompt they have now.

    Args:
        model: under its weights before the update.
        rows: any number.
        temperature: of the sampling.
        micro_batch: rows per forward pass.
        every: give them to all rows.
    """
    updated = list(rows)
    # The others keep what their sampler gave them.
    stale = [i for i, row in enumerate(updated) if row.off_policy or every]
    for first in range(0, len(stale), micro_batch):
        part = stale[first : first + micro_batch]
        batch = pad_rows([updated[i] for i in part], device=model.device)
        with torch.no_grad():
            known = completion_logprobs(model, batch, temperature).cpu().numpy()
        for values, i in zip(known, part, strict=True):
            row = updated[i]
            # Tensors of rows speak of the token at each place: no shift by one.
            logprobs = values[len(row.prompt) : len(row)].astype(np.float32)
            updated[i] = replace(row, logprobs=logprobs)
    return updated


def with_reference(
    model: Any,
    rows: Sequence[TrainingRow],
    start: StartWeights,
    temperature: float,
    micro_batch: int,
) -> list[TrainingRow]:
    """Give rows their log-probabilities under the start model.

    Args:
        model: the one that is trained; it keeps its weights.
        rows: any number.
        start: the weights that it began with.
        temperature: of the sampling.
        micro_batch: rows per forward pass.
    """
    updated = list(rows)
    order = sorted(range(len(updated)), key=lambda i: len(updated[i]))
    with start.restored(), evaluating(model), torch.no_grad():
        for first in range(0, len(order), micro_batch):
            part = order[first : first + micro_batch]
            batch = pad_rows([updated[i] for i in part], device=model.device)
            known = completion_logprobs(model, batch, temperature).float().cpu().numpy()
            for values, i in zip(known, part, strict=True):
                row = updated[i]
                updated[i] = replace(row, reference=values[len(row.prompt) : len(row)])
    return updated


def needs_reference(rows: Sequence[TrainingRow], loss: LossSettings) -> bool:
    """Tell whether the loss of some rows asks for log-probabilities under the start model."""
    return loss.kl > 0 or any(row.kl > 0 for row in rows)


def learned_rows(rows: Sequence[TrainingRow], loss: LossSettings) -> list[TrainingRow]:
    """Return the rows that have a gradient: all with a KL term, else those with an advantage."""
    return [row for row in rows if loss.kl or row.informative]


@contextlib.contextmanager
def _learning(model: Any) -> Iterator[None]:
    """Training mode, without which neither dropout nor activation checkpointing does anything."""
    training = model.training
    model.train()
    try:
        yield
    finally:
        model.train(training)


def _summary(reports: Sequence[StepReport]) -> StepReport:
    """All updates of a batch as one."""
    count = len(reports)
    return StepReport(
        loss=sum(r.loss for r in reports) / count,
        gradient_norm=sum(r.gradient_norm for r in reports) / count,
        rows=sum(r.rows for r in reports),
        trained_rows=sum(r.trained_rows for r in reports),
        trained_tokens=sum(r.trained_tokens for r in reports),
        forward_tokens=sum(r.forward_tokens for r in reports),
        updates=count,
    )
