"""How many programs a second are judged in the sandbox: trivial ones, and HumanEval's solutions.

A trivial program reads two numbers and prints their sum, with one test. A solution of HumanEval has
two sandboxes, its own and that of the checks. Programs differ in a comment, so that each is run.
Beside the rate of the pool stand the processor time of one program and the load of the machine:
only on an idle machine is the rate that of so many cores.

Run as ``python -m benchmarks.bench_sandbox [--programs N] [--workers N]``.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Sequence

from llm.data.recipes.catalogue import find_recipe
from llm.rewards.sandbox.cases import CodeTests, Stream, read_tests
from llm.rewards.sandbox.pool import JudgePool

TRIVIAL = "print(sum(map(int, input().split())))"
SUM = CodeTests(streams=(Stream("1 2\n", "3\n"),))
Pair = tuple[str, CodeTests]


def trivial(count: int) -> list[Pair]:
    return [(f"{TRIVIAL}  # {i}", SUM) for i in range(count)]


def humaneval() -> list[Pair]:
    recipe = find_recipe("humaneval")
    return [
        (record.values["canonical_solution"], read_tests(recipe.columns(record).answer))
        for record in recipe.source.records()
    ]


def measure(name: str, programs: Sequence[Pair], workers: int) -> None:
    pool = JudgePool(workers=workers)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    passed = [one.result().all_passed for one in [pool.submit(*pair) for pair in programs]]
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    pool.close()
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{name:10} {len(programs):9} {int(sum(passed)):7} {len(programs) / took:9.1f}"
        f" {1000 * spent / len(programs):12.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    print(f"{options.workers} workers, {cores} cores, load before {load:.1f}")
    print("programs       judged  passed  a second  ms reported*")
    measure("trivial", trivial(options.programs), options.workers)
    measure("HumanEval", humaneval(), options.workers)
    print("* processor time that bubblewrap reports; its inner processes are counted in part only")


if __name__ == "__main__":
    main()
