"""Temperatures at which log-probabilities can be worked out, sampled from and trained on."""

from __future__ import annotations

import math
from numbers import Real

from cpi_theory.checks import InvalidInput

LOWEST, HIGHEST = 0.01, 100.0
"""At the lowest a token whose logit is 1 below another's has 4e-44 of its probability: whoever
wants less wants the likeliest token. Divided by much less, logits leave the range of float32; and
vLLM, as TRL runs it, would sample at this one instead without a word."""


def check_temperature(field: str, value: float, greedy: bool = True) -> None:
    """Refuse a temperature that is neither in [0.01, 100] nor, where that is allowed, 0.

    Args:
        field: its name in the message.
        value: the temperature.
        greedy: whether 0, the likeliest token, is allowed.

    Raises:
        InvalidInput: naming the field.
    """
    real = isinstance(value, Real) and math.isfinite(value)
    if real and (LOWEST <= value <= HIGHEST or (greedy and value == 0)):
        return
    remedy = "give 0 for the likeliest token, or one inside" if greedy else "choose one inside"
    raise InvalidInput(field, value, f"no temperature in [{LOWEST}, {HIGHEST:.0f}]", remedy)
