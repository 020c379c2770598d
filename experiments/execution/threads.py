"""How many threads a process computes with: read from the environment when libraries load.

A sum that is split over threads is rounded otherwise. So tables, and the tiny model whose records
are compared to the digit, are computed with one thread per process, and only other models with as
many as there is use for. Nothing is imported here that would load numpy: it must come later.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Literal

Kind = Literal["tables", "tiny", "model"]
"""What a command computes: no language model; the tiny one; another one."""

# PyTorch takes the smaller of the two.
_TORCH = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

_OTHERS = (
    *("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)


def start_with_one() -> int:
    """Let every library use one thread for now; returns the user's OMP_NUM_THREADS, or 0."""
    # Further numbers, after commas, are for nested regions.
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    for name in (*_TORCH, *_OTHERS):
        os.environ[name] = "1"
    return int(given) if given.isdecimal() else 0


def use(threads: int) -> None:
    """Let PyTorch use so many threads, in this process and in those that it starts."""
    for name in _TORCH:
        os.environ[name] = str(threads)
    if "torch" in sys.modules:  # by the settings of some commands; it has read them already
        sys.modules["torch"].set_num_threads(threads)


@contextlib.contextmanager
def inherited(threads: int) -> Iterator[None]:
    """Let PyTorch use so many threads, and all else one, in processes started in this block."""
    wanted = dict.fromkeys(_TORCH, str(threads)) | dict.fromkeys(_OTHERS, "1")
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
