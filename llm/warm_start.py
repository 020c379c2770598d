"""Supervised warm start of a tiny model on imperfect demonstrations, resumable to the bit."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput, check_count, check_positive, check_probability
from cpi_theory.randomness import Key
from llm.arithmetic_locate import LOCATE
from llm.demonstrations import IGNORED, Demonstrations, as_tensors
from llm.tiny import TinyModel, tokenizer


@dataclass(frozen=True)
class WarmStart:
    """How a tiny model is trained before reinforcement learning.

    Attributes:
        demonstrations: what it learns from.
        model: its shape.
        steps: optimiser steps.
        tokens: about so many tokens per step.
        rate: highest learning rate of AdamW, reached after `warm_up` steps and lowered to 0 along
            a cosine.
        warm_up: steps.
        clip: largest norm of the gradient.
        curriculum: share of the steps in which chains grow from 2 thoughts to full length.
        shorter: share of the later steps with chains of some shorter length.
        trace_weight: weight of a word of a trace in the loss; of any other word 1.
        seed: of weights and demonstrations.
    """

    demonstrations: Demonstrations = field(default_factory=Demonstrations)
    model: TinyModel = field(default_factory=TinyModel)
    steps: int = 1500
    tokens: int = 4500
    rate: float = 4e-3
    warm_up: int = 50
    clip: float = 1.0
    curriculum: float = 1 / 3
    shorter: float = 0.1
    trace_weight: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "tokens"):
            check_count(name, getattr(self, name))
        for name in ("warm_up", "seed"):
            check_count(name, getattr(self, name), minimum=0)
        for name in ("rate", "clip", "trace_weight"):
            check_positive(name, getattr(self, name))
        for name in ("curriculum", "shorter"):
            check_probability(name, getattr(self, name))

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, 0-based."""
        rise = min(1.0, (step + 1) / (self.warm_up + 1))
        return self.rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def horizon_at(self, step: int) -> int:
        """Thoughts per chain in a step."""
        longest = self.demonstrations.task.horizon
        growing = self.curriculum * self.steps
        if step < growing:
            return min(longest, 2 + int((longest - 1) * step / growing))
        rng = self._key(step).child("length").generator()
        return int(rng.integers(1, longest + 1)) if rng.random() < self.shorter else longest

    def loss(self, logits: Tensor, inputs: Tensor, targets: Tensor, sign: int) -> Tensor:
        """Weighted mean of the cross-entropy over all positions that have a target.

        Args:
            logits: shape (n, T, vocabulary).
            inputs, targets: of a batch, shape (n, T).
            sign: id of the word behind which traces stand.
        """
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
        )
        traces = (inputs == sign).cumsum(dim=1) > 0
        weights = torch.where(traces, self.trace_weight, 1.0) * (targets != IGNORED)
        return (losses * weights).sum() / weights.sum()

    def _key(self, step: int) -> Key:
        return Key.of(self.seed).child("warm start", step)

    def batch(self, step: int, vocabulary: dict[str, int]) -> tuple[Tensor, Tensor]:
        """Input ids and targets of a step; see :func:`llm.demonstrations.as_tensors`."""
        horizon, key = self.horizon_at(step), self._key(step)
        source = self.demonstrations.of_length(horizon)
        count = max(1, self.tokens // (11 * horizon))  # about 11 tokens per step of a chain
        stream = source.task.exercises("train", key.child("exercises"))
        drawn = [next(stream) for _ in range(count)]
        return as_tensors(source.draw(drawn, key.child("slips")), vocabulary)


@dataclass(slots=True)
class Training:
    """A warm start under way.

    Attributes:
        recipe: how.
        tokens: the tokenizer.
        model: the model in training.
        optimizer: AdamW.
        step: steps done.
        seconds: CPU seconds of them.
    """

    recipe: WarmStart
    tokens: Any
    model: Any
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, recipe: WarmStart) -> Training:
        """Before the first step."""
        tokens = tokenizer(recipe.demonstrations.task)
        model = recipe.model.build(tokens, recipe.seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=0.0)
        return cls(recipe, tokens, model, optimizer)

    def run(self) -> Iterator[float]:
        """The remaining steps; gives the loss of each."""
        vocabulary = self.tokens.get_vocab()
        while self.step < self.recipe.steps:
            before = time.process_time()
            loss = self._update(*self.recipe.batch(self.step, vocabulary))
            self.step += 1
            self.seconds += time.process_time() - before
            yield loss

    def _update(self, inputs: Tensor, targets: Tensor) -> float:
        self.model.train()
        logits = self.model(input_ids=inputs).logits
        loss = self.recipe.loss(logits, inputs, targets, self.tokens.get_vocab()[LOCATE])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        self.optimizer.step()
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Store everything that the remaining steps depend on, whole or not at all."""
        state = {
            "recipe": repr(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        temporary = path.with_name(f".{path.name}.tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def resume(self, path: Path) -> None:
        """Go on from a stored state.

        Raises:
            InvalidInput: if it was made with another recipe.
        """
        state = torch.load(path, weights_only=True)
        if state["recipe"] != repr(self.recipe):
            raise InvalidInput(
                "state", path, "of another recipe", "delete it or restore the recipe"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]


def train(
    recipe: WarmStart,
    path: Path | None = None,
    every: int = 100,
    watch: Callable[[Training, float], None] | None = None,
) -> Training:
    """Run a warm start to its end.

    Args:
        recipe: how.
        path: where its state is stored every so many steps, and resumed from if it is there.
        every: steps between two stored states.
        watch: called after every step with the loss.
    """
    training = Training.start(recipe)
    if path is not None and path.exists():
        training.resume(path)
    for loss in training.run():
        if path is not None and (training.step % every == 0 or training.step == recipe.steps):
            training.save(path)
        if watch is not None:
            watch(training, loss)
    return training
