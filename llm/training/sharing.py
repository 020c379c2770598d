"""Whether rows that begin alike are read along their tree or one by one, decided once per model.

Keys and values that a model keeps of its past are cut, repeated and read on from. An architecture
that does not stand that may still give numbers, only wrong ones. So the gradient of a few rows of
the first batch is worked out in both ways, and where they differ each row is read by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from llm.models.caches import cache_argument, takes_dynamic_cache
from llm.models.law import token_logprobs
from llm.models.memory import is_out_of_memory
from llm.training.prefix_tree import Prefix
from llm.training.rows import PaddedRows, TrainingRow, pad_rows
from llm.training.settings import SharedPrefixes
from llm.training.shared_prefixes import backward, read_along, tree_of

_log = logging.getLogger(__name__)

_LARGE = 5_000_000
"""Weights from which on sharing pays on its own. A model of 0.3 million spends more on the calls of
a further pass than on the tokens that it spares."""

_ROUNDING = {torch.float64: 1e-6, torch.float32: 2e-3}
"""Differences of gradients, relative to their norm, that rounding makes: 2e-5 was seen in float32
with 0.1 B parameters. Wrong positions or states were seen to make 0.3 and more."""

_COARSE = 0.2
"""The same for bfloat16, where two right ways differ by up to a tenth."""

_SHOWN = 8
"""Tokens behind what is shared that the comparison reads."""


def obstacle(model: Any) -> str | None:
    """Return why what a model has read cannot be read on from by several rows; None if it can.

    Args:
        model: a causal language model, as it is trained.
    """
    if not takes_dynamic_cache(model) or cache_argument(model) != "past_key_values":
        return "its cache is one of its own"
    for layer in DynamicCache(config=model.config).layers:
        # Exactly: layers derived from these hold more than keys and values.
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            return f"its cache has a {type(layer).__name__}, which is more than keys and values"
    if getattr(model, "is_gradient_checkpointing", False):
        return "activation checkpointing drops what was read; a smaller micro_batch saves as well"
    random = _random_part(model)
    return f"it draws random numbers while it learns ({random})" if random else None


def _random_part(model: Any) -> str | None:
    """Name of what makes two passes over the same tokens differ: each row has to draw its own."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p > 0:
            return f"{name}: {module.p}"
        # Attention has the rate as a number; experts may be chosen with noise.
        for key, value in vars(module).items():
            chance = isinstance(value, float) and value > 0
            if chance and ("drop" in key or "jitter" in key):
                return f"{name}.{key}: {value}"
    return None


class PrefixSharing:
    """Decides how rows are read.

    Attributes:
        refused: why each row is read by itself; None as long as nothing speaks against sharing.
    """

    def __init__(self, model: Any, setting: SharedPrefixes, refused: str | None = None) -> None:
        """Set up; nothing is compared before the first batch.

        Args:
            model: the model that learns.
            setting: "auto", "always" or "off".
            refused: why an engine cannot share, if it cannot.
        """
        self._model, self._probed = model, False
        self._off = setting == "off" or (setting == "auto" and _size(model) < _LARGE)
        self.refused: str | None = None
        if not self._off:
            self._refuse(refused or obstacle(model))

    def tree(self, rows: Sequence[TrainingRow], temperature: float = 1.0) -> Prefix | None:
        """Return the tree to read some rows along, or None if each is to be read by itself.

        The first time that anything is shared, both ways are compared; gradients of the parameters,
        which must have none yet, are then worked out and taken back.

        Args:
            rows: at least one.
            temperature: of the law.
        """
        if self._off or self.refused is not None:
            return None
        tree = tree_of(rows)
        if not tree.children:
            return None
        if not self._probed:
            self._probed = True
            self._refuse(difference(self._model, rows, tree, temperature))
        return None if self.refused is not None else tree

    def _refuse(self, reason: str | None) -> None:
        self.refused = reason
        if reason is not None:
            kind = self._model.config.model_type
            _log.warning("%s: each row is read by itself, shared prefixes too: %s", kind, reason)


def _size(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def difference(
    model: Any, rows: Sequence[TrainingRow], tree: Prefix, temperature: float = 1.0
) -> str | None:
    """Compare both ways on the rows of a tree that share most; None if they agree.

    Args:
        model: in the mode in which it learns, without gradients.
        rows: those of the tree.
        tree: with something shared.
        temperature: of the law.
    """
    few = _few(rows, tree)
    parameters = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad(), torch.autocast(model.device.type, enabled=False):
        try:
            shared = _gradients(parameters, lambda: _along(model, few, temperature))
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            _clear(parameters)
            return f"reading on from a prefix raised {type(error).__name__}: {error}"
        plain = _gradients(parameters, lambda: _by_themselves(model, few, temperature))
    gap, _ = compared(shared, plain)
    limit = max(_ROUNDING.get(p.dtype, _COARSE) for p in [model, *parameters])
    if gap <= limit:
        return None
    return f"gradients differ by {gap:.2g} of their norm from those of rows read by themselves"


def compared(found: Sequence[Tensor], expected: Sequence[Tensor]) -> tuple[float, float]:
    """Return the norm of a difference of gradients relative to the expected one, and their cosine.

    Args:
        found: one tensor per parameter.
        expected: of the same shapes.
    """
    pairs = [(a.double(), b.double()) for a, b in zip(found, expected, strict=True)]
    apart = sum(float((a - b).square().sum()) for a, b in pairs)
    product = sum(float((a * b).sum()) for a, b in pairs)
    first, second = (sum(float(p[i].square().sum()) for p in pairs) for i in (0, 1))
    if not first or not second:
        return (0.0, 1.0) if first == second else (float("inf"), 0.0)
    return (apart / second) ** 0.5, product / (first * second) ** 0.5


def _few(rows: Sequence[TrainingRow], tree: Prefix) -> list[TrainingRow]:
    """Two rows that share the deepest prefix and one that parts with them before, cut short."""
    path = [tree]
    while path[-1].children:
        path.append(max(path[-1].children, key=lambda child: child.end))
    chosen = list(path[-1].members[:2])
    chosen += [i for i in path[1].members if i not in chosen][:1]
    return [_cut(rows[i], path[-1].end + _SHOWN) for i in chosen]


def _cut(row: TrainingRow, length: int) -> TrainingRow:
    kept = max(1, length - len(row.prompt))
    return replace(
        row,
        completion=row.completion[:kept],
        logprobs=row.logprobs[:kept],
        advantages=row.advantages[:kept],
        reference=None,  # of a KL term, which the comparison leaves out
        shaping=0.0,
        kl=0.0,
    )


def _gradients(parameters: Sequence[Tensor], run: Callable[[], None]) -> list[Tensor]:
    """The gradients that `run` makes; afterwards there are none."""
    run()
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    _clear(parameters)
    return found


def _clear(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _weighed(_: PaddedRows, logprobs: Tensor) -> Tensor:
    """A loss in which each token has another weight, of either sign."""
    places = torch.arange(logprobs.shape[1], device=logprobs.device)
    return (logprobs * torch.cos(places * 1.0)).sum()


def _along(model: Any, rows: Sequence[TrainingRow], temperature: float) -> None:
    read_along(model, rows, tree_of(rows, worth=1), 2, temperature, _weighed)


def _by_themselves(model: Any, rows: Sequence[TrainingRow], temperature: float) -> None:
    for row in rows:
        batch = pad_rows([row], device=model.device)
        ids, real, wanted = batch.input_ids, batch.attention_mask, batch.completion_mask
        backward([_weighed(batch, token_logprobs(model, ids, real, wanted, temperature))])
