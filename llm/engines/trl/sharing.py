"""Shared prefixes under TRL: the rows of a whole update, read along their tree in one go.

TRL hands out one micro-batch after the other and goes backward itself. Rows of several of them
share a prompt, so the first one learns from all, and the others find nothing left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from llm.engines.lean import autocast_error, first_ratio, gradients, learned_rows
from llm.training.logprob_gap import LogprobGap
from llm.training.losses import Totals
from llm.training.rows import TrainingRow
from llm.training.settings import LossSettings, OptimizerSettings
from llm.training.sharing import PrefixSharing

Outputs = dict[str, Tensor]

_PER_TOKEN = ("completion_ids", "old_per_token_logps", "advantages", "reference")

FLOAT16 = "TRL scales losses in float16, and gradients back, in backward passes of its own"
PROCESSES = "TRL adds up the gradients of several processes in backward passes of its own"


class SharedUpdates:
    """Learns whole updates at once, where that is possible.

    Attributes:
        spared: tokens that did not have to be read again; whoever reads it may set it to 0.
        gap: between learner and sampler, of all that is learned from, here or by TRL itself.
    """

    def __init__(
        self, model: Any, settings: OptimizerSettings, loss: LossSettings, refused: str | None
    ) -> None:
        """Set up.

        Args:
            model: the model that learns, without the wrappers of TRL's accelerator.
            settings: of the optimiser.
            loss: which loss.
            refused: why prefixes cannot be shared, if they cannot.
        """
        self._model, self._settings, self._loss = model, settings, loss
        self._sharing = PrefixSharing(model, settings.shared_prefixes, refused)
        self._learned = self._measured = False
        self.spared, self.gap = 0, LogprobGap()

    def learn(
        self, update: Sequence[Outputs], place: int, totals: Totals, micro_batch: int
    ) -> Tensor | None:
        """Add the gradients of an update to those of the parameters, if it is its first turn.

        Args:
            update: the micro-batches of the update.
            place: of the one whose turn it is, 0-based.
            totals: of the update.
            micro_batch: rows per forward pass.

        Returns:
            The loss of the whole update in its first turn and 0 in the others, with nothing behind
            it to go backward through; None if each micro-batch is to be learned from by itself.
        """
        value = 0.0
        if place == 0:
            rows = learned_rows([row for part in update for row in rows_of(part)], self._loss)
            tree = self._sharing.tree(rows, self._loss.temperature) if rows else None
            self._learned = tree is not None
            if tree is not None:
                value, read = gradients(
                    self._model,
                    rows,
                    tree,
                    micro_batch,
                    totals,
                    self._loss,
                    first_ratio(self._settings, self._loss),
                    self.gap,
                )
                self.spared += sum(map(len, rows)) - read
        if not self._learned:
            return None
        return torch.tensor(value, device=self._model.device, requires_grad=True)

    def notes(self, update: Sequence[Outputs], micro_batch: int) -> dict[str, float]:
        """Return how coarse the gradient of the very first update is; nothing later on.

        Args:
            update: the micro-batches of the update, of which none has been learned from.
            micro_batch: rows per forward pass.
        """
        rows = learned_rows([row for part in update for row in rows_of(part)], self._loss)
        rows = rows[:micro_batch]
        if self._settings.precision != "autocast" or self._measured or not rows:
            return {}
        self._measured = True
        tree = self._sharing.tree(rows, self._loss.temperature)
        return autocast_error(self._model, rows, tree, micro_batch, self._loss)


def rows_of(part: Outputs) -> list[TrainingRow]:
    """Return the rows of a micro-batch without their padding, and without those that fill it up.

    Groups and prompts are not known.
    """
    prompts = part["prompt_mask"].bool()
    completions = part["completion_mask"].bool()
    rows = []
    for i in range(len(prompts)):
        if not part["counted"][i]:
            continue
        found = {n: part[n][i][completions[i]].cpu() for n in _PER_TOKEN if n in part}
        rows.append(
            TrainingRow(
                tuple(part["prompt_ids"][i][prompts[i]].tolist()),
                tuple(found["completion_ids"].tolist()),
                found["old_per_token_logps"].numpy(),
                found["advantages"].double().numpy(),
                0,
                0,
                reference=found["reference"].numpy() if "reference" in found else None,
                shaping=float(part["shaping"][i]) if "shaping" in part else 0.0,
                kl=float(part["kl"][i]) if "kl" in part else 0.0,
            )
        )
    return rows
