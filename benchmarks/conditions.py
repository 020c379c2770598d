"""The conditions of a measurement: alike for every contestant, and written beside its numbers.

Settings that force OpenBLAS to an old processor's kernel, or to blocks for another cache, slow
whoever multiplies with it, so no contestant gets them. Which kernel ran is recorded, and whether
anything else kept the machine busy. Run as ``python -m benchmarks.conditions`` for both.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_QUIET = 0.1
"""Cores' worth of other work that a quiet machine may still do."""
_JIFFIES = Path("/proc/stat")

cpu_seconds: Callable[[], float] = time.process_time
"""The clock of contestants with one thread: seconds on a processor, whoever else waits for it."""


def level() -> None:
    """Give this process and those it starts one thread each and no forced kernel.

    Libraries read these settings when they load, so it is called before numpy is imported.

    Raises:
        RuntimeError: if numpy is there already.
    """
    if "numpy" in sys.modules:
        raise RuntimeError("numpy has read its settings already: import conditions before it")
    for name in _FORCED:
        os.environ.pop(name, None)
    os.environ.update(dict.fromkeys(_THREADS, "1"))


def kernels() -> dict[str, str]:
    """Which matrix kernels numpy, scipy and torch run here, as they say themselves."""
    import numpy  # noqa: F401  (loads its library)
    import scipy.linalg  # noqa: F401

    if find_spec("threadpoolctl") is None:
        return {"matrix kernels": "not known: threadpoolctl is not installed"}
    from threadpoolctl import threadpool_info

    found = {}
    for library in threadpool_info():
        if library["user_api"] == "blas":
            owner = Path(library["filepath"]).parent.name.partition(".")[0]
            parts = (library[key] for key in ("internal_api", "version", "architecture"))
            found[owner] = " ".join(map(str, parts))
    return found | _torch_kernels()


def _torch_kernels() -> dict[str, str]:
    """Torch links its library into itself, where threadpoolctl does not see it."""
    if find_spec("torch") is None:
        return {}
    import torch

    library = "MKL" if torch.backends.mkl.is_available() else "no MKL"
    return {"torch": f"{library} {torch.backends.cpu.get_cpu_capability()}"}


def other_work(seconds: float = 2.0) -> float | None:
    """Cores that were busy, or taken by other guests of the host, while this process slept.

    None where the system does not say (it is read from /proc/stat).
    """
    if not _JIFFIES.exists():
        return None
    before, begin = _busy_seconds(), time.perf_counter()
    time.sleep(seconds)
    return (_busy_seconds() - before) / (time.perf_counter() - begin)


def _busy_seconds() -> float:
    """Seconds that all cores together have not been idle since the system started."""
    fields = [int(field) for field in _JIFFIES.read_text().splitlines()[0].split()[1:9]]
    idle, waiting = fields[3:5]
    return (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def is_quiet(busy: float | None) -> bool:
    """Whether so many busy cores of others leave the clock on the wall to be trusted."""
    return busy is not None and busy <= _QUIET


def quiet(busy: float | None) -> str:
    """Say how quiet a machine is whose other work takes so many cores."""
    if busy is None:
        return "not known"
    verdict = "yes" if is_quiet(busy) else "**no**, ratios of CPU seconds only"
    return f"{verdict}: other work takes {busy:.2f} of {os.cpu_count()} cores at the start"


def conditions() -> dict[str, Any]:
    """What the head of a table says of the conditions it was measured under."""
    return {"quiet": quiet(other_work()), "kernels": kernels()}


if __name__ == "__main__":
    level()
    sys.stdout.write(json.dumps(conditions()) + "\n")
