"""What a user waits for: imports, the first result, and a whole verification.

Each is a command in a fresh process with kernels compiled by an earlier one, its median over
several runs (the interpreter's own start taken off) beside the time we allow it. Times are CPU
seconds, which on a quiet machine are what passes; of two processes half their sum.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks.conditions import level

_FLOOR = """
import numpy as np
from benchmarks.bench_startup import smallest_kernel
smallest_kernel()(np.ones(3))
"""
_FIRST_RESULT = """
from tabular import evaluate, from_gymnasium, uniform_policy
mdp = from_gymnasium("FrozenLake-v1", horizon=50)
evaluate(mdp, uniform_policy(mdp))
"""
_FIRST_ROLLOUTS = """
import numpy as np
from tabular import TabularSimulator, from_gymnasium, uniform_policy
mdp = from_gymnasium("FrozenLake-v1", horizon=50)
TabularSimulator(mdp, uniform_policy(mdp)).rollout([(0, 0)] * 8, np.arange(8, dtype=np.uint64))
"""


def children() -> float:
    """CPU seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(command: list[str], runs: int) -> float:
    """Median CPU seconds of `runs` runs after one that compiles and caches."""
    found = []
    for _ in range(runs + 1):
        start = children()
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        found.append(children() - start)
    return statistics.median(found[1:] or found)


def smallest_kernel() -> Any:
    """One cached line of numba: what any numba program waits for, the limit of first rollouts."""
    from numba import njit

    @njit(cache=True)
    def first(table: Any) -> float:
        return table[0]

    return first


def row(
    name: str, taken: float, allowed: float, against: str = "what we allow", goal: float = 1.0
) -> dict[str, Any]:
    """A line of the table; the ratio is what is allowed, or the limit takes, over what is taken."""
    return {
        "workload": "waiting",
        "size": name,
        "row": f"against {against}",
        "ours": taken,
        "theirs": allowed,
        "unit": "s",
        "ratio": allowed / taken,
        "goal": goal,
        "met": allowed / taken >= goal,
    }


def rows(quick: bool = False) -> Iterator[dict[str, Any]]:
    """The table; `quick` runs a short verification and repeats less."""
    runs = 3 if quick else 9
    bare = seconds(["-c", "pass"], runs)
    yield row("import cpi_theory", seconds(["-c", "import cpi_theory"], runs) - bare, 0.3)
    yield row("cpi-resets --help", seconds(["-m", "experiments.cli", "--help"], runs), 0.5)
    programs = _FIRST_RESULT, _FIRST_ROLLOUTS, _FLOOR
    first, rollouts, floor = (seconds(["-c", code], runs) - bare for code in programs)
    yield row("import to first result, warm", first, 0.6)
    yield row("import to first rollouts, warm", rollouts, floor, "numba alone", 0.5)
    instances = 500 if quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        verify = ["-m", "experiments.cli", "verify", "--instances", str(instances)]
        verify += ["--workers", "2", "--output", folder]
        taken = seconds(verify, runs=0) / 2
    yield row(f"verify --instances {instances}, two processes", taken, 60.0)


def main() -> int:
    """Print one JSON object per row."""
    level()
    for line in rows(quick="--quick" in sys.argv[1:]):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
