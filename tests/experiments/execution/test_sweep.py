"""Sweeps: the same rows wherever they run, and nothing finished is lost or done again."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.errors import CorruptFile, WorkerLost
from experiments.execution.cluster import _result
from experiments.execution.patience import Patience
from experiments.execution.processes import run_in_processes
from experiments.execution.settings import Execution
from experiments.execution.sweep import _Work, sweep
from experiments.execution.threads import Kind
from experiments.runs.provenance import code_digest
from experiments.runs.store import Run

HERE = Path(__file__).parent


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of tasks, importable by worker processes too."""
    monkeypatch.syspath_prepend(str(HERE))
    import sweep_tasks

    return sweep_tasks


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.open(tmp_path / "runs", "one", {}, seed=0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def executions(log: Path) -> Counter[int]:
    """How often each number was worked on."""
    return Counter(int(path.name.rsplit("-", 2)[0]) for path in log.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_come_in_the_order_of_specs_and_as_stored(
    tasks: ModuleType, run: Run, workers: int
) -> None:
    # The first spec takes longest, so that finishing order differs from the specs' order.
    specs = [tasks.Square(i, seconds=0.3 if i == 0 else 0.0, rows=2) for i in (5, 0, 3, 1)]
    rows = sweep(tasks.square, specs, run, "squares", Execution(workers=workers))
    assert [row["number"] for row in rows] == [5, 5, 0, 0, 3, 3, 1, 1]
    assert [row["square"] for row in rows] == [25, 25, 0, 0, 9, 9, 1, 1]
    assert rows[0]["pair"] == [1, 2]
    assert rows == run.read("squares")
    assert len(run.timings()) == 4


def test_results_do_not_depend_on_the_execution(tasks: ModuleType, tmp_path: Path) -> None:
    specs = [tasks.Square(i, seed=4) for i in range(6)]
    stored = []
    for workers in (1, 2, 3):
        run = Run.open(tmp_path, f"with-{workers}", {}, seed=0)
        sweep(tasks.square, specs, run, "squares", Execution(workers=workers))
        stored.append(run.path("squares").read_bytes())
    assert stored[0] == stored[1] == stored[2]


def test_a_finished_sweep_does_nothing_again(tasks: ModuleType, run: Run, log: Path) -> None:
    specs = [tasks.Square(i, log=str(log)) for i in range(4)]
    first = sweep(tasks.square, specs, run, "squares", Execution(workers=1))
    run.path("squares").unlink()
    assert sweep(tasks.square, specs, run, "squares", Execution(workers=1)) == first
    assert executions(log) == dict.fromkeys(range(4), 1)


def test_a_longer_sweep_keeps_the_shorter_one(tasks: ModuleType, run: Run, log: Path) -> None:
    specs = [tasks.Square(i, log=str(log)) for i in range(5)]
    sweep(tasks.square, specs[2:4], run, "squares", Execution(workers=1))
    rows = sweep(tasks.square, specs, run, "squares", Execution(workers=1))
    assert [row["number"] for row in rows] == list(range(5))
    assert set(executions(log).values()) == {1}


def test_tables_and_tasks_have_shards_of_their_own(tasks: ModuleType, run: Run) -> None:
    spec = tasks.Square(3)
    sweep(tasks.square, [spec], run, "first", Execution(workers=1))
    other = sweep(tasks.threads, [spec], run, "first", Execution(workers=1))
    assert "square" not in other[0]


def test_a_refusal_in_a_task_reaches_the_caller_and_keeps_the_rest(
    tasks: ModuleType, run: Run, log: Path
) -> None:
    specs = [tasks.Square(i, log=str(log)) for i in (1, 2, -3)]
    for workers in (1, 2):
        with pytest.raises(InvalidInput, match="number = -3: negative; choose one >= 0"):
            sweep(tasks.square, specs, run, "squares", Execution(workers=workers))
    assert not run.has("squares")
    assert executions(log)[1] == 1


def test_equal_specs_are_refused(tasks: ModuleType, run: Run) -> None:
    specs = [tasks.Square(1), tasks.Square(2), tasks.Square(1)]
    with pytest.raises(InvalidInput, match=r"specs\[2\].*the same as specs\[0\]"):
        sweep(tasks.square, specs, run, "squares", Execution(workers=1))


def test_no_result_outlives_the_code_that_it_came_from(
    tasks: ModuleType, run: Run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [tasks.Square(3, log=str(log))]
    for code, times in (("before", 1), ("before", 1), ("after", 2)):
        monkeypatch.setattr("experiments.execution.sweep.code_digest", lambda code=code: code)
        sweep(tasks.square, specs, run, "squares", Execution(workers=1))
        assert executions(log)[3] == times


def test_workers_with_other_code_are_refused(tasks: ModuleType, tmp_path: Path) -> None:
    """A worker that started after an edit, or one on a cluster with another version."""
    mine = _Work(tasks.square, code_digest())
    assert mine(0, tasks.Square(3)).rows[0]["square"] == 9
    other = _Work(tasks.square, "another")
    with pytest.raises(InvalidInput, match="a worker runs other code than the command"):
        other(0, tasks.Square(3))
    with pytest.raises(InvalidInput, match="a worker runs other code"):
        list(run_in_processes(other, [(0, tasks.Square(3)), (1, tasks.Square(4))], 2, 1))


def test_no_specs_give_an_empty_table(tasks: ModuleType, run: Run) -> None:
    assert sweep(tasks.square, [], run, "squares") == []
    assert run.read("squares") == []


def _shard(run: Run) -> Path:
    return next((run.directory / "shards" / "squares").iterdir())


def _flip_digit(data: bytes) -> bytes:
    assert b'"square": 49' in data
    return data.replace(b'"square": 49', b'"square": 48')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_digit, "does not match its own checksum"),
        (lambda data: data[:-5], "does not match its own checksum"),
        (lambda data: data[20:], "has no readable header"),
        (lambda data: b"", "has no readable header"),
        (lambda data: b"[]\n", "has no readable header"),
    ],
)
def test_a_damaged_shard_is_named_and_redone_once_deleted(
    tasks: ModuleType, run: Run, damage: object, message: str
) -> None:
    specs = [tasks.Square(7)]
    rows = sweep(tasks.square, specs, run, "squares", Execution(workers=1))
    shard = _shard(run)
    shard.write_bytes(damage(shard.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CorruptFile, match=message) as caught:
        sweep(tasks.square, specs, run, "squares", Execution(workers=1))
    assert str(shard) in str(caught.value)
    shard.unlink()
    assert sweep(tasks.square, specs, run, "squares", Execution(workers=1)) == rows


def test_workers_use_one_thread_each(tasks: ModuleType, run: Run) -> None:
    rows = sweep(tasks.threads, [tasks.Square(i) for i in range(2)], run, "t", Execution(workers=2))
    for row in rows:
        assert {v for k, v in row.items() if k not in ("number", "pid")} == {"1"}


def test_workers_that_run_a_model_use_as_many_threads_as_asked(tasks: ModuleType, run: Run) -> None:
    specs = [tasks.Square(i) for i in range(2)]
    for row in sweep(tasks.threads, specs, run, "t", Execution(workers=2, threads=3)):
        assert (row["OMP_NUM_THREADS"], row["MKL_NUM_THREADS"]) == ("3", "3")
        assert (row["OPENBLAS_NUM_THREADS"], row["NUMBA_NUM_THREADS"]) == ("1", "1")


def test_the_last_of_several_jobs_runs_where_the_others_did(tasks: ModuleType, run: Run) -> None:
    """A process that was to work alone may have more threads, and so another rounding."""
    specs = [tasks.Square(i) for i in range(3)]
    sweep(tasks.threads, specs, run, "t", Execution(workers=2))
    next((run.directory / "shards" / "t").iterdir()).unlink()
    rows = sweep(tasks.threads, specs, run, "t", Execution(workers=2))
    assert os.getpid() not in {row["pid"] for row in rows}
    alone = sweep(tasks.threads, specs[:1], run, "alone", Execution(workers=2))
    assert alone[0]["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("asked", "kind", "own", "threads"),
    [
        (0, "tables", 0, 1),
        (1, "tables", 8, 1),
        (0, "tables", 8, 1),
        (0, "tiny", 8, 1),
        (2, "tiny", 8, 2),
        (0, "model", 0, 0),
        (0, "model", 8, 8),
        (2, "model", 8, 2),
    ],
)
def test_threads_are_settled_by_option_environment_and_kind(
    asked: int, kind: Kind, own: int, threads: int
) -> None:
    settled = Execution(workers=3, threads=asked).settled(kind, own)
    assert settled == Execution(workers=3, threads=threads)


def test_threads_that_would_change_a_table_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"threads = 2: without a model.*--workers"):
        Execution(threads=2).settled("tables", 0)
    with pytest.raises(InvalidInput, match="threads = -1"):
        Execution(threads=-1)


def test_a_killed_local_worker_is_explained_and_the_rest_kept(
    tasks: ModuleType, run: Run, tmp_path: Path, log: Path
) -> None:
    specs = [tasks.Square(i, log=str(log)) for i in range(4)]
    specs.append(tasks.Square(9, seconds=1.0, deadly=str(tmp_path / "deadly")))
    with pytest.raises(WorkerLost, match=r"worker process was killed.*fewer --workers"):
        sweep(tasks.square, specs, run, "squares", Execution(workers=2))
    rows = sweep(tasks.square, specs, run, "squares", Execution(workers=2))
    assert [row["number"] for row in rows] == [0, 1, 2, 3, 9]
    assert executions(log) == dict.fromkeys(range(4), 1)


@pytest.mark.parametrize("name", ["workers", "threads"])
def test_workers_and_threads_must_be_a_count(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} = -1"):
        Execution(**{name: -1})
    with pytest.raises(InvalidInput, match=f"{name} = 1000000: more than 8 for each core"):
        Execution(**{name: 1_000_000})


def test_workers_may_grow(tasks: ModuleType, tmp_path: Path) -> None:
    """What a task loads is no leak; loky takes 300 MB more than after the first task for one."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import sweep_tasks as tasks\n"
        "from experiments.execution.settings import Execution\n"
        "from experiments.runs.store import Run\n"
        "from experiments.execution.sweep import sweep\n"
        "if __name__ == '__main__':\n"
        "    specs = [tasks.Square(i, seconds=0.6) for i in range(8)]\n"
        "    run = Run.open(sys.argv[2], 'one', {}, 0)\n"
        "    rows = sweep(tasks.hoard, specs, run, 'hoard', Execution(workers=2))\n"
        "    print(len({row['pid'] for row in rows}))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), str(HERE), str(tmp_path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


# --- a whole process, killed -------------------------------------------------------------------


def start(
    output: Path, *options: str, on_ctrl_c: signal.Handlers = signal.SIG_DFL
) -> subprocess.Popen[str]:
    """The command `squares` in a process group of its own.

    It starts as from a terminal, where Ctrl-C is heard, however these tests were started: a shell
    lets what it starts in the background ignore it, and that is inherited.
    """
    return subprocess.Popen(
        [
            sys.executable,
            str(HERE / "sweep_tasks.py"),
            "squares",
            "--output",
            str(output),
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, on_ctrl_c),
    )


def finish(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=60)
    return text


def wait_for_shards(output: Path, count: int) -> None:
    folder = output / "squares" / "shards" / "squares"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if folder.exists() and len(list(folder.glob("[!.]*"))) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"fewer than {count} shards in {folder}")


def record_files(output: Path) -> dict[str, bytes]:
    """Every file of the run but timings, its lock, and where it ran."""
    skip = {"timings.jsonl", ".lock", "run.json"}
    root = output / "squares"
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.name not in skip
    }


def gone(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    return True


def all_gone(pids: Sequence[int], seconds: float) -> bool:
    """Whether all these processes have ended within a time."""
    deadline = time.monotonic() + seconds
    while not all(map(gone, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return all(map(gone, pids))


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_killed_and_started_again_gives_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ("--workers", "2", "--count", "10", "--seconds", "0.15", "--rows", "3")
    process = start(whole, *options)
    assert finish(process) == ""
    assert process.returncode == 0
    for shards in (2, 5):
        process = start(killed, *options)
        wait_for_shards(killed, shards)
        workers = children(process.pid)
        process.kill()
        process.wait()
        assert not (killed / "squares" / "squares.jsonl").exists()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert process.stdout is not None
        process.stdout.close()
    done = len(list((killed / "squares" / "shards" / "squares").glob("[!.]*")))
    before = executions(killed / "log")
    process = start(killed, *options)
    assert finish(process) == ""
    # Files: the log is named by what ran, so paths inside specs differ between the two outputs.
    assert json.loads((whole / "squares" / "run.json").read_text())["config"]["count"] == 10
    table = "squares.jsonl"
    assert record_files(killed)[table] == record_files(whole)[table]
    again = sum((executions(killed / "log") - before).values())
    assert again == 10 - done
    assert not [name for name in record_files(killed) if name.endswith(".tmp")]


def ignores_interrupts(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(mask, 16) >> (signal.SIGINT - 1) & 1)


def test_workers_never_see_ctrl_c_and_end_with_the_main_process(tmp_path: Path) -> None:
    """A terminal sends it to them too; each would print a traceback."""
    process = start(tmp_path, "--workers", "2", "--count", "6", "--seconds", "0.3")
    wait_for_shards(tmp_path, 1)
    workers = children(process.pid)
    assert len(workers) >= 2
    assert all(map(ignores_interrupts, workers))
    assert not ignores_interrupts(process.pid)
    assert finish(process) == ""
    assert all_gone(workers, seconds=30)


@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_says_how_to_continue(tmp_path: Path, whole_group: bool) -> None:
    """A terminal signals the whole process group; `kill -INT` the main process alone."""
    options = ("--workers", "2", "--count", "8", "--seconds", "0.3")
    process = start(tmp_path, *options)
    wait_for_shards(tmp_path, 2)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    text = finish(process)
    assert process.returncode == 130
    assert "interrupted; run the same command again to continue" in text
    assert "Traceback" not in text
    assert not (tmp_path / "squares" / "squares.jsonl").exists()
    process = start(tmp_path, *options)
    assert finish(process) == ""
    assert process.returncode == 0
    assert len((tmp_path / "squares" / "squares.jsonl").read_text().splitlines()) == 8


def test_a_command_in_the_background_leaves_ctrl_c_to_those_in_the_foreground(
    tmp_path: Path,
) -> None:
    options = ("--workers", "2", "--count", "6", "--seconds", "0.2")
    process = start(tmp_path, *options, on_ctrl_c=signal.SIG_IGN)
    wait_for_shards(tmp_path, 1)
    os.killpg(process.pid, signal.SIGINT)
    assert finish(process) == ""
    assert process.returncode == 0
    assert len((tmp_path / "squares" / "squares.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("whole_group", [True, False])
def test_sigterm_says_how_to_continue_and_ends_the_workers(
    tmp_path: Path, whole_group: bool
) -> None:
    """Batch systems send it before they kill, some to all processes, some to the first alone."""
    options = ("--workers", "2", "--count", "8", "--seconds", "0.3")
    process = start(tmp_path, *options)
    wait_for_shards(tmp_path, 2)
    workers = children(process.pid)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    text = finish(process)
    assert process.returncode == 143
    assert "ended by SIGTERM; run the same command again to continue" in text
    assert "Traceback" not in text
    assert all_gone(workers, seconds=5)
    done = len(list((tmp_path / "squares" / "shards" / "squares").glob("[!.]*")))
    before = executions(tmp_path / "log")
    process = start(tmp_path, *options)
    assert finish(process) == ""
    assert sum((executions(tmp_path / "log") - before).values()) == 8 - done


def test_sigterm_ends_a_command_without_workers_too(tmp_path: Path) -> None:
    process = start(tmp_path, "--workers", "1", "--count", "4", "--seconds", "0.5")
    wait_for_shards(tmp_path, 1)
    process.send_signal(signal.SIGTERM)
    assert "ended by SIGTERM" in finish(process)
    assert process.returncode == 143


def test_workers_end_with_a_main_process_that_is_killed(tmp_path: Path) -> None:
    """Even while they are at something that takes long and never looks up."""
    process = start(tmp_path, "--workers", "2", "--count", "6", "--seconds", "60")
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("log/*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert all_gone(workers, seconds=5)


def test_workers_that_are_left_alone_end_on_every_system(tmp_path: Path) -> None:
    """The thread that watches the main process, where the system does not do it."""
    code = (
        "import multiprocessing, os, sys, time\n"
        "from experiments.execution import processes\n"
        "def work(connection):\n"
        "    processes.sys = type('Elsewhere', (), {'platform': 'elsewhere'})\n"
        "    processes._end_with_parent(os.getppid())\n"
        "    connection.send(os.getpid())\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    ours, theirs = multiprocessing.Pipe()\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    context.Process(target=work, args=(theirs,), daemon=False).start()\n"
        "    print(ours.recv(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert all_gone([int(done.stdout)], seconds=5)


# --- data that specifications name -------------------------------------------------------------


def test_data_behind_a_specification_decide(tasks: ModuleType, run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    for content, square, anew in ((b"3", 9, False), (b"3", 9, False), (b"4", 16, True)):
        data.write_bytes(content)
        specs = [tasks.FromFile(str(data)), tasks.FromFile(str(data), add=1)]
        console = Console(record=True, file=io.StringIO())
        rows = sweep(tasks.square_of_file, specs, run, "squares", Execution(workers=1), console)
        assert [row["square"] for row in rows] == [square, square + 1]
        # That numbers which were looked at before are gone is said.
        assert ("squares: what is stored is of other code or data" in console.export_text()) == anew
    assert len(list((run.directory / "shards" / "squares").iterdir())) == 4


def test_data_that_change_meanwhile_are_refused(
    tasks: ModuleType, run: Run, tmp_path: Path
) -> None:
    data = tmp_path / "data.txt"
    data.write_text("3")
    specs = [tasks.FromFile(str(data)), tasks.FromFile(str(data), add=1, then="4")]
    with pytest.raises(InvalidInput, match=r"data\.txt.*was changed while this ran"):
        sweep(tasks.square_of_file, specs, run, "squares", Execution(workers=1))
    assert not run.has("squares")
    assert len(list((run.directory / "shards" / "squares").iterdir())) == 1


# --- how far it is -------------------------------------------------------------------------------


def test_a_line_now_and_then_where_the_output_is_no_terminal(tmp_path: Path) -> None:
    options = ("--workers", "2", "--count", "8", "--seconds", "0.3", "--every", "0.2")
    text = finish(start(tmp_path, *options))
    lines = re.findall(r"^squares: (\d) of 8, \d+ s so far", text, re.MULTILINE)
    assert len(lines) >= 3
    assert [int(count) for count in lines] == sorted(int(count) for count in lines)
    assert re.search(r", about \d+ s left$", text, re.MULTILINE)


def test_a_bar_on_a_terminal_that_goes_in_the_end(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(HERE / "sweep_tasks.py"), "squares", "--output", str(tmp_path),
         "--workers", "1", "--count", "10", "--seconds", "0.4"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait() == 0
    assert b"squares" in shown
    assert b"8/10" in shown
    assert b"1/10" not in shown  # not before two seconds
    assert shown.rstrip().endswith(b"\x1b[2K")  # the last line is cleared
    assert b"so far" not in shown


# --- Dask: a real scheduler and real workers on loopback ---------------------------------------


Cluster = tuple[str, list[subprocess.Popen[bytes]], subprocess.Popen[bytes]]


def _spawn(*arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def _address(file: Path) -> str:
    """What the scheduler writes to its file, once it has written all of it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads(file.read_text())["address"]
        time.sleep(0.05)
    raise AssertionError("the scheduler did not start")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Address of a scheduler, its two worker processes, and its own."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    scheduler = _spawn(
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    )
    processes = [scheduler]
    try:
        address = _address(file)
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        workers = [_spawn("worker", address, *options) for _ in range(2)]
        processes += workers
        yield address, workers, scheduler
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_killed_dask_worker_loses_nothing(
    tasks: ModuleType,
    cluster: Cluster,
    tmp_path: Path,
    log: Path,
) -> None:
    address, *_ = cluster
    specs = [tasks.Square(i, seconds=0.2, log=str(log)) for i in range(8)]
    specs.insert(4, tasks.Square(99, log=str(log), deadly=str(tmp_path / "deadly")))
    run = Run.open(tmp_path / "runs", "dask", {}, seed=0)
    rows = sweep(tasks.square, specs, run, "squares", Execution(cluster=address))
    local = Run.open(tmp_path / "runs", "local", {}, seed=0)
    assert rows == sweep(tasks.square, specs, local, "squares", Execution(workers=1))
    workers = {path.name.split("-")[1] for path in log.iterdir()} - {str(os.getpid())}
    assert len(workers) == 2
    assert sum(process.poll() == -signal.SIGKILL for process in cluster[1]) == 1
    assert executions(log)[99] == 3  # killed in it, once more on the cluster, once locally


def test_a_refusal_crosses_the_cluster(tasks: ModuleType, cluster: Cluster, run: Run) -> None:
    with pytest.raises(InvalidInput, match="number = -1: negative"):
        sweep(tasks.square, [tasks.Square(-1)], run, "squares", Execution(cluster=cluster[0]))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:1", r"no Dask scheduler answers there \(Connection refused\); start one"),
        ("nonsense", "not the address of a Dask scheduler; give the one that `dask scheduler`"),
        ("nonsense://x", "not the address of a Dask scheduler"),
        ("", "not the address of a Dask scheduler"),
    ],
)
def test_an_unreachable_cluster_is_explained(
    tasks: ModuleType, run: Run, address: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        sweep(tasks.square, [tasks.Square(1)], run, "squares", Execution(cluster=address))
    assert (caught.value.field, caught.value.value) == ("cluster", address)


def test_a_scheduler_that_ends_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    address, _, scheduler = cluster
    process = start(tmp_path, "--cluster", address, "--count", "20", "--seconds", "0.5")
    wait_for_shards(tmp_path, 2)
    scheduler.kill()
    text = finish(process)
    assert process.returncode == 3, text
    assert text.splitlines() == [
        f"error: cluster = '{address}': the Dask scheduler has ended; start it and its workers "
        "again, then the same command; finished results are kept"
    ]


@pytest.mark.parametrize(
    ("status", "expected"), [("lost", WorkerLost), ("cancelled", WorkerLost), ("error", OSError)]
)
def test_an_error_of_a_task_is_told_from_a_lost_connection(
    status: str, expected: type[Exception]
) -> None:
    """By the state of the future: a scheduler that is ending may still be listening."""

    class Future:
        def __init__(self) -> None:
            self.status = status

        def result(self) -> None:
            raise ConnectionResetError

    with pytest.raises(expected) as caught:
        _result(Future(), "tcp://127.0.0.1:1", KeyError)
    assert isinstance(caught.value, WorkerLost) == (expected is WorkerLost)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_takes_too_long_is_named_and_the_others_are_kept(
    tasks: ModuleType, run: Run, log: Path, workers: int
) -> None:
    specs = [tasks.Square(i, seconds=600.0 if i == 2 else 0.0, log=str(log)) for i in range(4)]
    patience = Patience(2.0)
    rows = sweep(tasks.square, specs, run, "squares", Execution(workers=workers), patience=patience)
    assert patience.late == [specs[2]]
    assert [row["number"] for row in rows] == [0, 1, 3]
    assert rows == run.read("squares")
    # Tried again, as nothing was stored of it; the others are not.
    sweep(tasks.square, specs, run, "squares", Execution(workers=workers), patience=Patience(2.0))
    assert executions(log) == {0: 1, 1: 1, 2: 2, 3: 1}


def test_a_limit_of_time_leaves_no_alarm_behind(tasks: ModuleType, run: Run) -> None:
    before = signal.getsignal(signal.SIGALRM)
    sweep(tasks.square, [tasks.Square(1)], run, "squares", Execution(workers=1), None, Patience(60))
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_limit_of_no_time_and_one_on_a_cluster_are_refused(tasks: ModuleType, run: Run) -> None:
    with pytest.raises(InvalidInput, match=r"seconds = 0"):
        Patience(0)
    far = Execution(cluster="tcp://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="workers of a cluster cannot be interrupted"):
        sweep(tasks.square, [tasks.Square(1)], run, "squares", far, patience=Patience(1))
