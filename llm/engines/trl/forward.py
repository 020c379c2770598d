"""Taking back what TRL does to a model's forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def forward_kept(model: Any) -> Iterator[None]:
    """Take back what TRL puts in the place of a model's forward pass."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = inner.__dict__.get("forward")
    try:
        yield
    finally:
        inner.__dict__.pop("forward", None)
        if before is not None:
            inner.forward = before
