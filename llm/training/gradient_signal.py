"""How hard a loss pulls at each sampled token: the norm of its gradient in that token's logits.

The loss is differentiated where it meets the model's output, so neither the model's own Jacobian
nor other tokens are in the numbers: a picture of credit, not of parameter change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm.training.losses import Totals, policy_loss
from llm.training.rows import PaddedRows, TrainingRow, pad_rows
from llm.training.settings import LossSettings


def logit_gradient_norms(
    model: Any, rows: Sequence[TrainingRow], settings: LossSettings, micro_batch: int | None = None
) -> list[NDArray[np.float64]]:
    r"""Return the norm of the loss gradient in the logits behind each completion token.

    For a token y under the unclipped loss at temperature T, with the weight v of
    :func:`llm.training.losses.token_weights`, the gradient is :math:`-v A (e_y - \pi) / T`, and
    its norm is :math:`v |A| / T \cdot \sqrt{1 - 2 \pi_y + \sum_a \pi_a^2}`.

    Args:
        model: under whose weights; it is not changed.
        rows: all of one update.
        settings: of the loss.
        micro_batch: rows that the model reads at once; by default all.

    Returns:
        Per row shape (len(row.completion),). Prompts and kept thoughts have none: no loss falls on
        them.
    """
    totals = Totals(len(rows), sum(len(row.completion) for row in rows))
    size = micro_batch or len(rows) or 1
    parts = (rows[first : first + size] for first in range(0, len(rows), size))
    return [norms for part in parts for norms in _norms(model, part, totals, settings)]


def _norms(
    model: Any, rows: Sequence[TrainingRow], totals: Totals, settings: LossSettings
) -> list[NDArray[np.float64]]:
    batch = pad_rows(rows, device=model.device)
    norms = _gradient(_logits(model, batch), batch, totals, settings).norm(dim=-1).cpu().numpy()
    return [
        # The logits at a place predict the token at the next.
        norms[i, len(row.prompt) - 1 : len(row) - 1].astype(np.float64)
        for i, row in enumerate(rows)
    ]


def _logits(model: Any, batch: PaddedRows) -> Tensor:
    """What each token but the first was drawn from, (n, W - 1, V)."""
    training = model.training
    # Dropout would draw another picture each time.
    model.eval()
    with torch.no_grad():
        ids, real = batch.input_ids, batch.attention_mask
        logits: Tensor = model(input_ids=ids, attention_mask=real, use_cache=False).logits
    model.train(training)
    return logits[:, :-1].float()


def _gradient(logits: Tensor, batch: PaddedRows, totals: Totals, settings: LossSettings) -> Tensor:
    leaf = logits.detach().requires_grad_()
    laws = torch.log_softmax(leaf / settings.temperature, dim=-1)
    logprobs = laws.gather(2, batch.input_ids[:, 1:, None])[:, :, 0]
    loss = policy_loss(
        logprobs,
        batch.old_logprobs[:, 1:],
        batch.advantages[:, 1:],
        batch.completion_mask[:, 1:],
        totals,
        settings,
        shaping=batch.shaping,
    )
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient
