"""AdamW from settings."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from llm.training.settings import OptimizerSettings


def adamw(
    settings: OptimizerSettings, parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.AdamW:
    """Return the optimiser at the rate of the first update.

    Args:
        settings: rates, decays and weight decay; clipping and schedule are the engines' work.
        parameters: those that are trained.

    Source: Loshchilov and Hutter (2019), arXiv 1711.05101.
    """
    return torch.optim.AdamW(
        parameters,
        # TRL's schedule multiplies this one; the lean loop sets every update's own.
        lr=settings.rate_at(0),
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )
