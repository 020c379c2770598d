"""Random numbers of torch that hang on a key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from cpi_theory.randomness import Key


@contextlib.contextmanager
def drawing(key: Key, device: torch.device) -> Iterator[None]:
    """Draw from a key's own stream in this block, whatever was drawn before.

    Afterwards torch's own stream goes on where it was.

    Args:
        key: of the stream.
        device: whose generator is meant besides that of the CPU.
    """
    # By default the states of all GPUs would be saved.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(key.integers(1)[0] >> 1))
        yield
