"""Supervised warm start of a tiny model on imperfect demonstrations, resumable to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput, check_count, check_positive, check_probability
from cpi_theory.files import written_whole
from cpi_theory.randomness import Key
from llm.models.tiny import TinyModel, tokenizer
from llm.training.demonstrations import IGNORED, Demonstration, Demonstrations, as_tensors

_TOKENS_PER_THOUGHT = 11
"""Of a training sequence: two of the question, five of the chain, four of the trace or so."""


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
        shorter: share of the chains in every step that are of some shorter length, one per step.
        seed: of weights and demonstrations.
    """

    demonstrations: Demonstrations = field(default_factory=Demonstrations)
    model: TinyModel = field(default_factory=TinyModel)
    steps: int = 1000
    tokens: int = 4500
    rate: float = 4e-3
    warm_up: int = 50
    clip: float = 1.0
    curriculum: float = 1 / 3
    shorter: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "tokens"):
            check_count(name, getattr(self, name))
        for name in ("warm_up", "seed"):
            check_count(name, getattr(self, name), minimum=0)
        for name in ("rate", "clip"):
            check_positive(name, getattr(self, name))
        for name in ("curriculum", "shorter"):
            check_probability(name, getattr(self, name))

    def rate_at(self, step: int) -> float:
        r"""Return the learning rate of a step.

        :math:`\eta_s = \eta \min(1, \frac{s + 1}{w + 1}) \cdot \frac{1}{2} (1 + \cos(\pi s / S))`
        with w = `warm_up` and S = `steps`.

        Args:
            step: number s of the step, 0-based.

        Source: Loshchilov and Hutter (2017), arXiv 1608.03983 (the cosine).
        """
        rise = min(1.0, (step + 1) / (self.warm_up + 1))
        return self.rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def horizon_at(self, step: int) -> int:
        """Return the thoughts of the longest chains in a step, from 2 up to the task's horizon.

        Source: Bengio et al. (2009), doi:10.1145/1553374.1553380 (curriculum learning).
        """
        longest = self.demonstrations.task.horizon
        growing = self.curriculum * self.steps
        if step >= growing:
            return longest
        return min(longest, 2 + int((longest - 1) * step / growing))

    def _key(self, step: int) -> Key:
        # By the number of the step, so that a resumed run draws what the whole one would have.
        return Key.of(self.seed).child("warm start", step)

    def batch(self, step: int, vocabulary: dict[str, int]) -> tuple[Tensor, Tensor]:
        """Return the input ids and targets of a step, int64, shape (n, longest).

        See :func:`llm.training.demonstrations.as_tensors`.
        """
        key, longest = self._key(step), self.horizon_at(step)
        count = max(1, self.tokens // (_TOKENS_PER_THOUGHT * longest))
        few = round(self.shorter * count)
        # One length for all of them: exercises are drawn and demonstrated in equal lengths.
        length = 1 + int(key.child("length").generator().integers(max(1, longest - 1)))
        rows = self._draw(longest, count - few, key.child("longest"))
        rows += self._draw(length, few, key.child("shorter"))
        return as_tensors(rows, vocabulary)

    def _draw(self, horizon: int, count: int, key: Key) -> list[Demonstration]:
        source = self.demonstrations.of_length(horizon)
        stream = source.task.exercises("train", key.child("exercises"))
        return source.draw([next(stream) for _ in range(count)], key.child("slips"))


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
        """Return a run that has taken no step yet."""
        tokens = tokenizer(recipe.demonstrations.task)
        model = recipe.model.build(tokens, recipe.seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=0.0)
        return cls(recipe, tokens, model, optimizer)

    def run(self) -> Iterator[float]:
        """Take the remaining steps; yields the loss of each.

        A loss is the mean cross-entropy, in nats, over the places that are learnt from.
        """
        vocabulary = self.tokens.get_vocab()
        while self.step < self.recipe.steps:
            before = time.process_time()
            loss = self._update(*self.recipe.batch(self.step, vocabulary))
            self.step += 1
            self.seconds += time.process_time() - before
            yield loss

    def _update(self, inputs: Tensor, targets: Tensor) -> float:
        self.model.train()
        # No mask: padding is on the right, where causal attention does not see it.
        logits = self.model(input_ids=inputs).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
        )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        self.optimizer.step()
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Store everything that the remaining steps depend on, whole or not at all."""
        state = {
            # As text: loading with `weights_only` refuses classes of our own.
            "recipe": repr(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        with written_whole(path) as stream:
            torch.save(state, stream)

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
