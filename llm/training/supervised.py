"""What a model is taught by examples, and how: values that need no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_positive
from cpi_theory.randomness import Key
from llm.text.rollouts import Tokens

Skill = Literal["solve", "locate"]
"""What an example teaches: writing solutions, or naming the first error of one."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and what the model is to reply.

    Attributes:
        prompt: ids that the model is given; nothing is learnt from them.
        completion: ids that it is to write, its end-of-sequence id included.
        skill: what it teaches.
    """

    prompt: Tokens
    completion: Tokens
    skill: Skill = "solve"

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):
            if not getattr(self, name):
                raise InvalidInput(name, (), "empty", "give a text")


@dataclass(frozen=True, slots=True)
class SupervisedSettings:
    """How a model is trained on examples: AdamW on the mean cross-entropy of completion tokens.

    Attributes:
        examples: drawn where a task writes them; of a file all are taken.
        epochs: how often each is learned from, in another order every time.
        batch: examples per update; what does not fill the last one is left out.
        micro_batch: examples per forward pass; it never changes the result.
        rate: highest learning rate.
        warm_up: updates over which the rate rises linearly to it.
        decay: whether it falls to 0 along a cosine afterwards.
        weight_decay: decoupled, per update and unit of rate.
        max_norm: gradients of a larger norm are scaled down to it.
        autocast: compute in bfloat16 on float32 weights, faster where the processor has it.

    Source: Loshchilov and Hutter (2019), arXiv 1711.05101 (AdamW).
    """

    examples: int = 320
    epochs: int = 1
    batch: int = 8
    micro_batch: int = 8
    rate: float = 1e-4
    warm_up: int = 0
    decay: bool = False
    weight_decay: float = 0.0
    max_norm: float = 1.0
    autocast: bool = False

    def __post_init__(self) -> None:
        for name in ("examples", "epochs", "batch", "micro_batch"):
            check_count(name, getattr(self, name))
        check_count("warm_up", self.warm_up, minimum=0)
        for name in ("rate", "max_norm"):
            check_positive(name, getattr(self, name))
        check_in_range("weight_decay", self.weight_decay, 0, 1)

    def updates(self, examples: int) -> int:
        """Return how many updates so many examples make.

        Raises:
            InvalidInput: if they do not fill one batch.
        """
        if examples * self.epochs < self.batch:
            remedy = "give more of them, or lower it"
            raise InvalidInput("batch", self.batch, f"there are {examples} examples", remedy)
        return examples * self.epochs // self.batch

    def order(self, examples: Sequence[Example], key: Key) -> list[Example]:
        """Return the examples of all updates one after the other, shuffled anew in every epoch.

        Args:
            examples: each is taken once per epoch.
            key: of the order.
        """
        orders = (
            key.child("epoch", epoch).generator().permutation(len(examples))
            for epoch in range(self.epochs)
        )
        taken = [examples[i] for order in orders for i in order]
        return taken[: self.updates(len(examples)) * self.batch]
