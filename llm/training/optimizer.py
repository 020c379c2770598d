"""AdamW from settings."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from llm.training.settings import OptimizerSettings


def adamw(
    settings: OptimizerSettings, parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.AdamW:
    """The optimiser at the rate of the first update."""
    return torch.optim.AdamW(
        parameters,
        lr=settings.rate_at(0),
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )
