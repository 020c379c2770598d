"""Turning a machine's lack of memory into a message that says what to do."""

from __future__ import annotations

import contextlib
import resource
import sys
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
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise _too_little(field, value) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch or Python says that there is no more memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's allocator for the CPU has no exception of its own.
    return "can't allocate memory" in str(error)


def peak_memory() -> str:
    """Return the most memory that this process has held so far, in words."""
    # In KiB, but on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    said = f"{held / 2**30:.2f} GiB of memory"
    if torch.cuda.is_available():
        # Of all devices together: one process learns on one of them.
        most = sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count())))
        said += f", {most / 2**30:.2f} GiB of the GPU's"
    return said


def _too_little(field: str, value: object) -> OutOfMemory:
    return OutOfMemory(
        field,
        value,
        f"out of memory: this process held {peak_memory()} at its peak, and asked for more",
        "lower it, turn activation checkpointing on, train adapters (lora), or take a smaller "
        "model; what was saved before is whole and can be resumed",
    )
