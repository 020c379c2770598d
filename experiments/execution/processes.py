"""Worker processes on this machine, which end with the process that started them.

A sweep starts workers of its own. Workers that were kept for the next sweep would hold on to what
the last one loaded, and joblib, which keeps them, takes a later sweep's libraries for a leak.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from experiments.errors import WorkerLost
from experiments.execution.threads import inherited

Result = TypeVar("Result")


def run_in_processes(
    task: Callable[[int, Any], Result], jobs: Sequence[tuple[int, Any]], workers: int, threads: int
) -> Generator[Result]:
    """Results of ``task(index, spec)`` in the order of finishing, from other processes.

    The processes end when the last result is taken, when the generator is closed, or with this
    process, however that ends.

    Args:
        task: picklable, of a module that workers can import.
        jobs: (index, spec) pairs.
        workers: most processes.
        threads: that PyTorch uses in each of them; all else uses one.

    Raises:
        WorkerLost: a worker was killed.
    """
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), context, initializer=_end_with_parent, initargs=(os.getpid(),)
    )
    try:
        with inherited(threads), _interrupts_ignored_in_children():
            finished = as_completed([pool.submit(task, index, spec) for index, spec in jobs])
            # The workers start here; nothing holds on to results once they are taken.
        for future in finished:
            yield future.result()
    except BrokenProcessPool as error:
        raise WorkerLost(
            "workers",
            workers,
            "a worker process was killed, perhaps for want of memory",
            "run the command again with fewer --workers; finished results are kept",
        ) from error
    finally:
        # Results of work that is still under way are not wanted any more.
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


_PR_SET_PDEATHSIG = 1


def _end_with_parent(parent: int) -> None:
    """Make this process end as soon as `parent` does, killed or not.

    Linux does it by itself, whatever this process is at. Elsewhere a thread waits for the parent,
    and ends this process as soon as it gets the interpreter's lock.
    """
    threading.Thread(target=_watch, name="parent", daemon=True).start()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it was asked for
            os._exit(1)


def _watch() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _interrupts_ignored_in_children() -> Iterator[None]:
    """Processes started in this block ignore Ctrl-C, which a terminal sends to all of them.

    They end with this process; without this each of them would print a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # another thread can neither set handlers nor be interrupted
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
