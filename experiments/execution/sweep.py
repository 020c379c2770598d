"""Run a task over many specifications: in local processes or on a Dask cluster, resumable.

Each finished specification is stored at once as a *shard*, a file named by the content of the
specification, of the files that it names and of the code, so a killed sweep continues where it was
and no result outlives what it came from. Only this process writes: workers need no shared
file system. Tables come out in the order of the specifications, in whatever order they finish.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import joblib
from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.errors import CorruptFile
from experiments.execution.cluster import run_on_cluster
from experiments.execution.patience import OutOfTime, Patience, at_most, can_interrupt
from experiments.execution.processes import run_in_processes
from experiments.execution.progress import Advance, progress
from experiments.execution.settings import Execution
from experiments.runs.encoding import canonical, digest, plain
from experiments.runs.files import Row, parse_rows, read_bytes, rows_as_bytes
from experiments.runs.fingerprint import fingerprint
from experiments.runs.manifest import checksum
from experiments.runs.provenance import code_digest
from experiments.runs.store import Run

Spec = TypeVar("Spec")
Task = Callable[[Spec], Sequence[Mapping[str, Any]]]

CLOCK = "seconds"
"""Field of a task's rows that is kept out of the records."""


class _Done(NamedTuple):
    """What a worker sends back.

    Attributes:
        number: of the spec.
        rows: as JSON data; None: it was given up.
        seconds: that they took.
        files: fingerprint of the files that the spec names, where the worker looked for them.
    """

    number: int
    rows: list[Row] | None
    seconds: float
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Work:
    """The task as workers run it.

    Attributes:
        task: what is run.
        code: digest of the code that the rows are stored as the results of.
        most: seconds after which it is given up; None: never.
    """

    task: Callable[[Any], Sequence[Mapping[str, Any]]]
    code: str
    most: float | None = None

    def __call__(self, index: int, spec: Any) -> _Done:
        if code_digest() != self.code:
            problem = "a worker runs other code than the command"
            remedy = "install the same everywhere, leave it alone meanwhile, and run again"
            raise InvalidInput("code", code_digest()[:12], problem, remedy)
        start = time.perf_counter()
        rows: list[Row] | None
        try:
            with at_most(self.most):
                rows = [plain(row) for row in self.task(spec)]
        except OutOfTime:
            rows = None
        return _Done(index, rows, time.perf_counter() - start, fingerprint(spec))


def sweep(
    task: Task[Spec],
    specs: Sequence[Spec],
    run: Run,
    table: str,
    execution: Execution | None = None,
    console: Console | None = None,
    patience: Patience | None = None,
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
        patience: how long each task may take, and who took longer: such a spec has no rows.

    Returns:
        The rows as ``run.read(table)`` gives them.

    Raises:
        InvalidInput: equal specs, a run that is in use, an unreachable cluster, or one with a limit
            of time, which its workers cannot keep, workers with other code, files that change
            meanwhile, or whatever a task refuses; shards finished until then are kept.
        CorruptFile: a shard is damaged.
        WorkerLost: a worker process was killed, or the cluster was lost.
        CannotWrite: disk full, ...
    """
    shards = _shards(task, specs, run, table)
    with run.lock():
        missing = [i for i, shard in enumerate(shards) if not shard.path.exists()]
        if missing:
            if console is not None and len(missing) == len(specs) and run.has(table):
                console.print(f"{table}: what is stored is of other code or data; it is made again")
            jobs = [(i, specs[i]) for i in missing]
            work = _Work(task, code_digest(), patience.seconds if patience else None)
            results = _results(work, jobs, len(specs), execution or Execution())
            before = len(specs) - len(missing)
            with progress(console, table, len(specs), before) as advance:
                late = _store_all(results, run, table, shards, advance)
            if patience is not None:
                patience.late += [specs[i] for i in sorted(late)]
        stored = [shard for shard in shards if shard.path.exists()]
        rows = [row for shard in stored for row in shard.read()]
        return run.write(table, rows, inputs=[shard.path.stem for shard in stored])


def stored_shards(run: Run, table: str) -> list[Row]:
    """Rows of the shards that a sweep has finished so far, by this code, in no certain order.

    It may be called while the sweep works: a shard appears whole or not at all.
    """
    found = []
    for path in sorted((run.directory / "shards" / table).glob("*.jsonl")):
        rows = _Shard(path, {}).read()
        header, _, _ = read_bytes(path).partition(b"\n")
        if json.loads(header).get("code") == code_digest():
            found += rows
    return found


def timed_rows(run: Run, table: str) -> list[Row]:
    """Rows of a table with the :data:`CLOCK` of each, the seconds that had passed on the wall.

    A run that came without its shards and timings knows them no more: then there are none, rather
    than those of a part.

    Raises:
        CorruptFile: a shard is damaged.
    """
    points = {row["label"]: row["points"] for row in run.timings() if "points" in row}
    passed: dict[str, float] = {}
    for path in sorted((run.directory / "shards" / table).glob("*.jsonl")):
        seconds = points.get(f"{table}/{path.stem}")
        if seconds is not None:
            rows = _Shard(path, {}).read()
            passed |= zip(map(canonical, rows), seconds, strict=True)
    rows = run.read(table)
    if not all(canonical(row) in passed for row in rows):
        return []
    return [row | {CLOCK: passed[canonical(row)]} for row in rows]


def _store_all(
    results: Generator[_Done], run: Run, table: str, shards: Sequence[_Shard], advance: Advance
) -> list[int]:
    """Store results as they come, and list the specs that have none.

    The workers end with this, whatever ends it.
    """
    late = []
    with contextlib.closing(results):
        for done in results:
            if done.rows is None:
                late.append(done.number)
                advance(1)
                continue
            points = [row.pop(CLOCK) for row in done.rows if CLOCK in row]
            shard = shards[done.number]
            shard.store(run, done)
            run.log_time(f"{table}/{shard.path.stem}", done.seconds, points)
            advance(1)
    return late


@dataclass(frozen=True, slots=True)
class _Shard:
    """The stored rows of one spec: a header line with the spec and a checksum, then the rows."""

    path: Path
    header: Row

    def store(self, run: Run, done: _Done) -> None:
        """Store the rows, if the files that they come from are those of the header.

        Raises:
            InvalidInput: if one of them has changed while the task ran, or is another one on the
                machine that it ran on.
        """
        if done.files != self.header["files"]:
            pairs = done.files.items() ^ self.header["files"].items()
            problem = "was changed while this ran, or is another file on another machine"
            remedy = "have the same file everywhere, leave it alone meanwhile, and run again"
            raise InvalidInput("file", min(pairs)[0], problem, remedy)
        body = rows_as_bytes(done.rows or ())
        data = canonical(self.header | {"sha256": checksum(body)}).encode() + b"\n" + body
        run.write_part(str(self.path.relative_to(run.directory)), data)

    def read(self) -> list[Row]:
        """The rows, checked against the header.

        Raises:
            CorruptFile: no header, or another checksum than it names.
        """
        first, _, body = read_bytes(self.path).partition(b"\n")
        try:
            written = json.loads(first)["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFile(self.path, "has no readable header", 1) from error
        if checksum(body) != written:
            raise CorruptFile(self.path, "does not match its own checksum")
        return parse_rows(self.path, body, first_line=2)


def _shards(task: Task[Any], specs: Sequence[Any], run: Run, table: str) -> list[_Shard]:
    inner = task.func if isinstance(task, functools.partial) else task
    name = f"{inner.__module__}.{inner.__qualname__}"
    code = code_digest()
    headers = [
        {"task": name, "spec": plain(spec), "files": fingerprint(spec), "code": code}
        for spec in specs
    ]
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
    task: _Work, jobs: Sequence[tuple[int, Any]], specs: int, execution: Execution
) -> Generator[_Done]:
    """Results of what is left to do of so many specifications, in the order of finishing."""
    if execution.cluster is not None:
        if task.most is not None:
            problem = "workers of a cluster cannot be interrupted"
            remedy = "leave it out, or run on this machine"
            raise InvalidInput("limit of seconds", task.most, problem, remedy)
        yield from run_on_cluster(task, jobs, execution.cluster)
    elif (execution.workers == 1 or specs == 1) and (task.most is None or can_interrupt()):
        # Not where one job is left of several: this process may have more threads than workers.
        for index, spec in jobs:
            yield task(index, spec)
    else:
        workers = execution.workers or joblib.cpu_count()
        yield from run_in_processes(task, jobs, workers, execution.threads or 1)
