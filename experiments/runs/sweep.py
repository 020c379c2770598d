"""The same task over many specifications: in local processes or on a Dask cluster, resumable.

Each finished specification is stored at once as a *shard*, a file named by the specification's
content and the code's, so a killed sweep continues where it was and no result outlives the code
that it came from. Only this process writes: workers need no shared
file system. Tables come out in the order of the specifications, whoever finished first.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cpi_theory.checks import InvalidInput, check_count
from experiments.errors import CorruptFile, WorkerLost
from experiments.runs.cluster import run_on_cluster
from experiments.runs.encoding import canonical, digest, plain
from experiments.runs.files import Row, parse_rows, read_bytes, rows_as_bytes
from experiments.runs.provenance import code_digest
from experiments.runs.store import Run
from experiments.runs.threads import Kind, use

if TYPE_CHECKING:
    from rich.console import Console

Spec = TypeVar("Spec")
Task = Callable[[Spec], Sequence[Mapping[str, Any]]]

CLOCK = "seconds"
"""Field of a task's rows that is kept out of the records."""


@dataclass(frozen=True)
class Execution:
    """Where a command's work runs; it never changes results, but for a model's rounding.

    Attributes:
        workers: local processes; 0 stands for one per core.
        threads: of each process in which a language model runs; 0: for the tiny model one, for
            others the OMP_NUM_THREADS that is set, or else one if there are several processes, and
            one per core if there is one. All else takes one.
        cluster: address of a running Dask scheduler, e.g. tcp://10.0.0.1:8786, to use instead; its
            workers have threads of their own.
    """

    workers: int = 0
    threads: int = 0
    cluster: str | None = None

    def __post_init__(self) -> None:
        check_count("workers", self.workers, minimum=0)
        check_count("threads", self.threads, minimum=0)

    def settled(self, kind: Kind, own: int) -> Execution:
        """With the threads that a command of this kind takes; 0 hangs on the number of processes.

        Args:
            kind: what the command computes.
            own: the OMP_NUM_THREADS that the user has set; 0: none.

        Raises:
            InvalidInput: if several are asked for where one is the rule.
        """
        if kind == "tables" and self.threads > 1:
            remedy = "leave it out, and use as many --workers as there are cores"
            raise InvalidInput("threads", self.threads, "without a model there is one", remedy)
        default = {"tables": 1, "tiny": 1, "model": own}[kind]
        return replace(self, threads=self.threads or default)


@dataclass(frozen=True, slots=True)
class _Timed:
    """The task as workers run it: rows as JSON data, and how long it took in seconds."""

    task: Callable[[Any], Sequence[Mapping[str, Any]]]

    def __call__(self, index: int, spec: Any) -> tuple[int, list[Row], float]:
        start = time.perf_counter()
        rows = [plain(row) for row in self.task(spec)]
        return index, rows, time.perf_counter() - start


def sweep(
    task: Task[Spec],
    specs: Sequence[Spec],
    run: Run,
    table: str,
    execution: Execution | None = None,
    console: Console | None = None,
) -> list[Row]:
    """Rows of ``task(spec)`` for every spec, in order, stored in `run` as `table`.

    Args:
        task: a function of a module (so that workers can import it) of one spec; its rows hold
            what JSON can hold. All its randomness comes from its spec. A field "seconds" of its
            rows goes to the timings, where numbers stand that differ from run to run. What a
            `functools.partial` binds, such as a folder, must not change the rows.
        specs: distinct frozen dataclasses.
        run: where shards and the table are stored.
        table: name of the table.
        execution: where the tasks run, by default on all cores.
        console: where to draw a progress bar; none is drawn without it.

    Returns:
        The rows as ``run.read(table)`` gives them.

    Raises:
        InvalidInput: equal specs, a run that is in use, an unreachable cluster, or whatever a task
            refuses; shards finished until then are kept.
        CorruptFile: a shard is damaged.
        WorkerLost: a worker process was killed.
        CannotWrite: disk full, ...
    """
    shards = _shards(task, specs, run, table)
    with run.lock():
        missing = [i for i, shard in enumerate(shards) if not shard.path.exists()]
        if missing:
            jobs = [(i, specs[i]) for i in missing]
            results = _results(_Timed(task), jobs, len(specs), execution or Execution())
            with contextlib.closing(results), _progress(console, table, len(specs)) as advance:
                advance(len(specs) - len(missing))
                for index, rows, seconds in results:
                    points = [row.pop(CLOCK) for row in rows if CLOCK in row]
                    shards[index].store(run, rows)
                    run.log_time(f"{table}/{shards[index].path.stem}", seconds, points)
                    advance(1)
        return run.write(table, [row for shard in shards for row in shard.read()])


@dataclass(frozen=True, slots=True)
class _Shard:
    """The stored rows of one spec: a header line with the spec and a checksum, then the rows."""

    path: Path
    header: Row

    def store(self, run: Run, rows: list[Row]) -> None:
        body = rows_as_bytes(rows)
        header = self.header | {"sha256": hashlib.sha256(body).hexdigest()}
        data = canonical(header).encode() + b"\n" + body
        run.write_file(str(self.path.relative_to(run.directory)), data)

    def read(self) -> list[Row]:
        first, _, body = read_bytes(self.path).partition(b"\n")
        try:
            checksum = json.loads(first)["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFile(self.path, "has no readable header", 1) from error
        if hashlib.sha256(body).hexdigest() != checksum:
            raise CorruptFile(self.path, "does not match its own checksum")
        return parse_rows(self.path, body, first_line=2)


def _shards(task: Task[Any], specs: Sequence[Any], run: Run, table: str) -> list[_Shard]:
    inner = task.func if isinstance(task, functools.partial) else task
    name = f"{inner.__module__}.{inner.__qualname__}"
    headers = [{"task": name, "spec": plain(spec), "code": code_digest()} for spec in specs]
    folder = run.directory / "shards" / table
    shards = [_Shard(folder / f"{digest(header)[:32]}.jsonl", header) for header in headers]
    seen: dict[Path, int] = {}
    for i, shard in enumerate(shards):
        if shard.path in seen:
            problem = f"the same as specs[{seen[shard.path]}]"
            raise InvalidInput(f"specs[{i}]", specs[i], problem, "list each specification once")
        seen[shard.path] = i
    return shards


def _results(
    task: _Timed, jobs: Sequence[tuple[int, Any]], specs: int, execution: Execution
) -> Generator[tuple[int, list[Row], float]]:
    """Results of what is left to do of so many specifications, in the order of finishing."""
    if execution.cluster is not None:
        yield from run_on_cluster(task, jobs, execution.cluster)
    elif execution.workers == 1 or specs == 1:
        # Not where one job is left of several: this process may have more threads than workers.
        for index, spec in jobs:
            yield task(index, spec)
    else:
        yield from _local_processes(task, jobs, execution.workers or -1, execution.threads or 1)


def _local_processes(
    task: _Timed, jobs: Sequence[tuple[int, Any]], workers: int, threads: int
) -> Generator[tuple[int, list[Row], float]]:
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    one = {"inner_max_num_threads": 1}  # numpy's libraries, whatever PyTorch is given
    with joblib.parallel_config("loky", **one, initializer=use, initargs=(threads,)):
        pool = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
        try:
            with _deaf_children():
                results = pool(joblib.delayed(task)(index, spec) for index, spec in jobs)
            yield from results
        except TerminatedWorkerError as error:
            raise WorkerLost(
                "workers",
                joblib.effective_n_jobs(workers),
                "a worker process was killed, perhaps for want of memory",
                "run the command again with fewer --workers; finished results are kept",
            ) from error


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
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


@contextlib.contextmanager
def _progress(console: Console | None, label: str, total: int) -> Iterator[Callable[[int], None]]:
    if console is None:
        yield lambda steps: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        line = bar.add_task(label, total=total)
        yield lambda steps: bar.advance(line, steps)
