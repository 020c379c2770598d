"""Turning a machine's lack of memory into a message that says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from cpi_theory.checks import InvalidInput


class OutOfMemory(InvalidInput):
    """Something did not fit into the memory of the machine or its GPU."""


@contextlib.contextmanager
def explain_out_of_memory(field: str, value: object) -> Iterator[None]:
    """Name the setting that decides how much memory the block needs, should it run out.

    Raises:
        OutOfMemory: if it does.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _too_little(field, value) from error
    except RuntimeError as error:
        # torch's allocator for the CPU has no exception of its own.
        if "can't allocate memory" not in str(error):
            raise
        raise _too_little(field, value) from error


def _too_little(field: str, value: object) -> OutOfMemory:
    return OutOfMemory(
        field,
        value,
        "out of memory",
        "lower it, turn activation checkpointing on, train adapters (lora), or take a smaller "
        "model; what was saved before is whole and can be resumed",
    )
