"""What transformers models remember of what they have read."""

from __future__ import annotations

import inspect
from typing import Any


def without_adapters(model: Any) -> Any:
    """Return the model below its adapters, or the model itself if it has none."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def cache_argument(model: Any) -> str:
    """Return the name under which the forward pass takes its cache; empty if it takes none."""
    # The class's: trainers put another forward pass in the place of the object's.
    known = inspect.signature(type(without_adapters(model)).forward).parameters
    return next((name for name in ("past_key_values", "cache_params") if name in known), "")


def takes_dynamic_cache(model: Any) -> bool:
    """Whether the forward pass takes a cache of the library's own making.

    It is what ``generate`` asks before it makes one: RWKV, xLSTM and MiniMax have their own.
    """
    known: bool = without_adapters(model)._supports_default_dynamic_cache()
    return known and bool(cache_argument(model))
