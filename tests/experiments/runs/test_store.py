"""Runs on disk: whole or not at all, exact, and refusing what they cannot continue."""

from __future__ import annotations

import contextlib
import enum
import json
import math
import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from experiments.errors import CannotWrite, CorruptFile, StaleTable
from experiments.runs.claims import claim
from experiments.runs.encoding import canonical, digest, plain
from experiments.runs.files import atomic_write
from experiments.runs.fingerprint import points_to
from experiments.runs.store import Run


@dataclass(frozen=True)
class Inner:
    level: float = 0.1


@dataclass(frozen=True)
class Config:
    horizon: int = 4
    inner: Inner = Inner()
    names: tuple[str, ...] = ("a", "b")


@dataclass(frozen=True)
class Left:
    pass


@dataclass(frozen=True)
class Right:
    pass


class Kind(enum.Enum):
    FIRST = "first"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with a record: before the first one nothing is written."""
    run = Run.open(tmp_path, "one", Config(), seed=3)
    run.write("first", [{"a": 1}])
    return run


JSON_ROWS = st.lists(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(allow_nan=False),
            st.text(max_size=12),
            st.lists(st.floats(allow_nan=False), max_size=3),
        ),
        max_size=5,
    ),
    max_size=6,
)


@given(rows=JSON_ROWS)
def test_rows_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, rows: list[dict]) -> None:
    run = Run.open(tmp_path_factory.mktemp("runs"), "one", Config(), seed=0)
    assert run.write("table", rows) == rows
    assert run.read("table") == rows


def test_undefined_numbers_survive(run: Run) -> None:
    (row,) = run.write("table", [{"a": math.nan, "b": math.inf, "c": -0.0}])
    assert math.isnan(row["a"])
    assert row["b"] == math.inf
    assert math.copysign(1, row["c"]) == -1


def test_values_of_the_field_become_plain_json() -> None:
    row = {
        "count": np.int64(3),
        "mean": np.float32(0.5),
        "flag": np.True_,
        "curve": np.arange(4.0).reshape(2, 2),
        "exact": Fraction(1, 3),
        "kind": Kind.FIRST,
        "path": Path("a/b"),
        "inner": Inner(),
    }
    assert plain(row) == {
        "count": 3,
        "mean": 0.5,
        "flag": True,
        "curve": [[0.0, 1.0], [2.0, 3.0]],
        "exact": "1/3",
        "kind": "first",
        "path": "a/b",
        "inner": {"type": "Inner", "level": 0.1},
    }


@pytest.mark.parametrize("value", [object(), {1, 2}, {1: "a"}, len])
def test_what_json_cannot_hold_is_refused(run: Run, value: object) -> None:
    run.write("table", [{"old": 1}])
    with pytest.raises(TypeError, match="stored"):
        run.write("table", [{"fine": 1}, {"value": value}])
    assert run.read("table") == [{"old": 1}]


@dataclass(frozen=True)
class Before:
    rate: float = 0.5


def test_a_field_that_came_later_changes_a_digest_only_where_it_is_set() -> None:
    later = {"later": True}

    @dataclass(frozen=True)
    class After:
        rate: float = 0.5
        weight: float = field(default=0.0, metadata=later)
        names: list[str] = field(default_factory=list, metadata=later)

    After.__name__ = "Before"
    assert digest(After()) == digest(Before())
    assert plain(After(weight=0.1)) == {"type": "Before", "rate": 0.5, "weight": 0.1}
    assert digest(After(names=["a"])) != digest(Before()) != digest(After(0.6))


def test_classes_without_fields_have_different_digests() -> None:
    assert digest(Left()) != digest(Right())
    assert digest(Left()) == digest(Left())
    assert canonical({"b": 1, "a": 2}) == '{"a": 2, "b": 1}'


def test_a_table_is_replaced_as_a_whole_and_listed(run: Run) -> None:
    run.write("table", [{"i": i} for i in range(100)])
    run.write("table", [{"i": 0}])
    run.log_time("table", 1.0)
    assert run.read("table") == [{"i": 0}]
    assert run.tables() == ("first", "table")
    assert not list(run.directory.glob(".*"))


def test_the_description_says_where_the_run_was_made(run: Run) -> None:
    stored = json.loads((run.directory / "run.json").read_text())
    assert stored["seed"] == 3
    assert stored["config"]["inner"] == {"type": "Inner", "level": 0.1}
    (environment,) = stored["environments"]
    assert environment["versions"]["numpy"] == np.__version__
    assert environment["hardware"]["cores"] == os.cpu_count()
    assert set(environment) == {"versions", "commit", "hardware"}


def test_reopening_keeps_the_description_and_the_tables(tmp_path: Path) -> None:
    first = Run.open(tmp_path, "one", Config(), seed=3)
    first.write("table", [{"a": 1}])
    before = (first.directory / "run.json").read_bytes()
    again = Run.open(tmp_path, "one", Config(), seed=3)
    assert again == first == Run.existing(tmp_path, "one")
    assert again.read("table") == [{"a": 1}]
    assert (first.directory / "run.json").read_bytes() == before


def test_another_environment_is_added_not_hidden(run: Run, tmp_path: Path) -> None:
    path = run.directory / "run.json"
    stored = json.loads(path.read_text())
    stored["environments"][0]["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(stored))
    Run.open(tmp_path, "one", Config(), seed=3).write("first", [])
    versions = [e["versions"]["numpy"] for e in json.loads(path.read_text())["environments"]]
    assert versions == ["1.0", np.__version__]


@pytest.mark.parametrize(
    ("config", "seed", "field", "value"),
    [
        (Config(horizon=5), 3, "horizon", 5),
        (Config(inner=Inner(level=0.2)), 3, "inner.level", 0.2),
        (Config(names=("a",)), 3, "names", ["a"]),
        (Inner(), 3, "horizon", None),
        (Config(), 4, "seed", 4),
    ],
)
@pytest.mark.usefixtures("run")
def test_another_configuration_is_refused(
    tmp_path: Path, config: object, seed: int, field: str, value: object
) -> None:
    with pytest.raises(InvalidInput, match="was made with") as caught:
        Run.open(tmp_path, "one", config, seed=seed)
    assert (caught.value.field, caught.value.value) == (field, value)
    assert "choose another --name or --output" in caught.value.remedy


def test_settings_in_a_list_of_tables_are_told_by_its_names(tmp_path: Path) -> None:
    """Not the whole list, in which the setting that differs would be lost."""

    def config(*worlds: dict[str, object]) -> dict[str, object]:
        return {"type": "T", "more": list(worlds)}

    def world(name: str, **settings: object) -> dict[str, object]:
        return {"name": name, "writing": {"max_tokens": 64} | settings}

    Run.open(tmp_path, "one", config(world("a"), world("b")), seed=3).write("t", [{"a": 1}])
    other = config(world("a"), world("b", max_tokens=48, chat=True))
    with pytest.raises(InvalidInput) as caught:
        Run.open(tmp_path, "one", other, seed=3)
    assert str(caught.value).startswith(
        f"more[b].writing.chat = True: the run in {tmp_path / 'one'} was made with None, and "
        "more[b].writing.max_tokens differs; choose another --name"
    )
    with pytest.raises(InvalidInput, match="and 6 more settings differ"):
        Run.open(tmp_path, "one", config(world("a", chat=1), world("c", x=1, y=2)), seed=3)
    for worlds in ((world("a"),), (world("a"), world("a", x=1)), (world("a"), world("b"), {})):
        with pytest.raises(InvalidInput, match=r"^more\["):
            Run.open(tmp_path, "one", config(*worlds), seed=3)
    with pytest.raises(InvalidInput, match=r"^more"):
        Run.open(tmp_path, "one", config(), seed=3)


@pytest.mark.parametrize(
    ("free", "refused"),
    [(("inner", "names"), "horizon"), (("horizon", "names"), "inner.level")],
)
@pytest.mark.usefixtures("run")
def test_free_settings_may_be_others(tmp_path: Path, free: tuple[str, ...], refused: str) -> None:
    other = Config(5, Inner(0.2), ())
    with pytest.raises(InvalidInput, match="was made with") as caught:
        Run.open(tmp_path, "one", other, seed=3, free=free)
    assert caught.value.field == refused


def test_a_run_with_other_free_settings_keeps_its_records_and_where_they_were_made(
    tmp_path: Path, run: Run
) -> None:
    before = json.loads((run.directory / "run.json").read_bytes())
    before["environments"][0]["hostname"] = "elsewhere"
    (run.directory / "run.json").write_text(json.dumps(before))
    more = Run.open(tmp_path, "one", Config(horizon=5), seed=3, free=("horizon",))
    assert more.read("first") == [{"a": 1}]
    more.write("second", [])
    after = Run.existing(tmp_path, "one")
    assert after.config["horizon"] == 5
    assert len(after.environments()) == 2
    with pytest.raises(InvalidInput, match="was made with 5"):
        Run.open(tmp_path, "one", Config(), seed=3)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_names_stay_inside_the_folder(tmp_path: Path, run: Run, name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        Run.open(tmp_path, name, Config(), seed=0)
    with pytest.raises(InvalidInput, match="table"):
        run.write(name, [])


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b'{"a": 1}\n{"a": \n', 2, "not valid JSON"),
        (b'{"a": 1}\n[1]\n', 2, "holds no JSON object"),
        (b'{"a": 1}\n\xff\xfe\n', 2, "not valid JSON"),
        (b'{"a": 1}\n{"a": 2}', 2, "cut off"),
        (b'{"a": 1}\n\n', 2, "not valid JSON"),
    ],
)
def test_a_corrupt_table_is_named_with_its_line(
    run: Run, content: bytes, line: int, problem: str
) -> None:
    run.path("table").write_bytes(content)  # as runs were stored before there were checksums
    with pytest.raises(CorruptFile, match=problem) as caught:
        run.read("table")
    assert caught.value.line == line
    assert str(run.path("table")) in str(caught.value)
    assert "delete it and run the command again" in str(caught.value)


def test_a_run_that_is_only_read_is_not_advised_to_be_deleted(run: Run) -> None:
    run.write("table", [{"a": 1}])
    root, name = run.directory.parent, run.directory.name
    read = Run.existing(root, name)
    run.path("table").write_text("{}\n")
    for look in (lambda: read.read("table"), lambda: Run.existing(root, name)):
        with pytest.raises(CorruptFile, match="leave that run out, put the file back") as caught:
            look()
        copy = pickle.loads(pickle.dumps(caught.value))
        assert str(copy) == str(caught.value)
        (run.directory / "run.json").write_text("{")
    with pytest.raises(CorruptFile, match="delete it and run the command again"):
        Run.open(root, name, run.config, run.seed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("{}", "lacks config"),
        ("[]", "holds no JSON object"),
        ("null", "holds no JSON object"),
    ],
)
def test_a_corrupt_description_is_named(
    run: Run, tmp_path: Path, content: str, message: str
) -> None:
    (run.directory / "run.json").write_text(content)
    with pytest.raises(CorruptFile, match=message):
        Run.open(tmp_path, "one", Config(), seed=3)
    with pytest.raises(CorruptFile, match=message):
        Run.existing(tmp_path, "one")


def test_a_missing_table_or_run_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nothing\.jsonl.*run what makes it first"):
        run.read("nothing")
    with pytest.raises(InvalidInput, match=r"none/run\.json"):
        Run.existing(tmp_path, "none")


def test_once_computes_once(run: Run) -> None:
    calls = []

    def compute() -> list[dict]:
        calls.append(1)
        return [{"a": (1, 2)}]

    assert run.once("table", compute) == run.once("table", compute) == [{"a": [1, 2]}]
    assert len(calls) == 1


class Counting:
    """Rows that say how often they were computed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> list[dict]:
        self.count += 1
        return [{"time": self.count}]


def test_a_table_is_computed_again_when_the_code_has_changed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Counting()
    for code, times in (("before", 1), ("before", 1), ("after", 2), ("after", 2)):
        monkeypatch.setattr("experiments.runs.store.code_digest", lambda code=code: code)
        assert run.once("table", compute) == [{"time": times}]


def test_a_table_is_computed_again_when_a_table_that_it_follows_from_has_changed(run: Run) -> None:
    compute = Counting()
    for source, times in ((1, 1), (1, 1), (2, 2), (1, 3)):
        run.write("source", [{"a": source}])
        assert run.once("table", compute, ("source",)) == [{"time": times}]
    run.write("unrelated", [{"a": 0}])
    assert run.once("table", compute, ("source",)) == [{"time": 3}]


@dataclass(frozen=True)
class Reading:
    """A configuration that names a file."""

    path: str


@points_to.register
def _(reading: Reading) -> dict[str, Path]:
    return {reading.path: Path(reading.path)}


def test_a_table_is_computed_again_when_a_file_that_the_settings_name_has_changed(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data.txt"
    compute = Counting()
    for content, times in (("a", 1), ("a", 1), ("b", 2)):
        data.write_text(content)
        run = Run.open(tmp_path, "reads", Reading(str(data)), seed=0)
        assert run.once("table", compute) == [{"time": times}]


def test_a_table_without_an_origin_is_computed_again(run: Run) -> None:
    run.path("table").write_text('{"time": 0}\n')
    assert run.read("table") == [{"time": 0}]
    assert run.once("table", Counting()) == [{"time": 1}]


def test_a_changed_digit_is_noticed(run: Run) -> None:
    run.write("table", [{"a": 1234}])
    path = run.path("table")
    path.write_bytes(path.read_bytes().replace(b"1234", b"1235"))
    with pytest.raises(CorruptFile, match="does not match its checksum"):
        run.read("table")
    assert run.once("table", lambda: [{"a": 1234}]) == [{"a": 1234}] == run.read("table")


def test_a_table_of_other_tables_than_are_there_is_not_read(run: Run) -> None:
    run.write("source", [{"a": 1}])
    run.write("table", [{"b": 1}], ("source",))
    assert run.read("table") == [{"b": 1}]
    run.write("source", [{"a": 2}])
    with pytest.raises(StaleTable, match=r"was made of another source\.jsonl"):
        run.read("table")


def test_a_damaged_source_is_named_and_not_what_was_made_of_it(run: Run) -> None:
    run.write("source", [{"a": 1}])
    run.write("table", [{"b": 1}], ("source",))
    run.path("source").write_text('{"a": 2}\n')
    with pytest.raises(CorruptFile, match=r"source\.jsonl: does not match its checksum"):
        run.read("table")


def test_a_damaged_manifest_is_named(run: Run) -> None:
    for content in ("null", "{", '{"first.jsonl": 3}'):
        (run.directory / "manifest.json").write_text(content)
        with pytest.raises(CorruptFile, match=r"manifest\.json"):
            run.read("first")


def test_a_run_without_a_manifest_is_read_as_it_is(run: Run) -> None:
    (run.directory / "manifest.json").unlink()
    assert Run.existing(run.directory.parent, "one").read("first") == [{"a": 1}]
    assert not run.made_by_other_code()


def test_tables_of_other_code_are_known_as_such(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run.made_by_other_code()
    monkeypatch.setattr("experiments.runs.store.code_digest", lambda: "another")
    assert run.made_by_other_code()


def test_what_an_earlier_making_left_goes(run: Run) -> None:
    for name in ("a", "b"):
        run.write_file(f"figures/{name}.pdf", name.encode())
    run.keep_only("figures", ["b.pdf"])
    assert [path.name for path in (run.directory / "figures").iterdir()] == ["b.pdf"]
    assert set(run.manifest.entries()) == {"first.jsonl", "figures/b.pdf"}
    run.keep_only("nothing", [])


# --- starts that come to nothing ----------------------------------------------------------------


def test_nothing_is_written_before_there_is_a_record(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "one", Config(), seed=3)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError, match="refused"), run.lock():
        raise RuntimeError("refused")
    Run.open(tmp_path, "one", Config(horizon=5), seed=4).write("table", [{"a": 1}])
    assert Run.existing(tmp_path, "one").config["horizon"] == 5


def test_a_folder_without_records_blocks_nobody(run: Run, tmp_path: Path) -> None:
    run.path("first").unlink()
    run.log_time("started", 1.0)
    with Run.open(tmp_path, "one", Config(horizon=5), seed=3).lock():
        pass
    Run.open(tmp_path, "one", Config(horizon=5), seed=3).write("table", [])
    with pytest.raises(InvalidInput, match="was made with 5"):
        Run.open(tmp_path, "one", Config(), seed=3)


def test_who_waited_for_the_lock_looks_again(tmp_path: Path) -> None:
    mine, theirs = (Run.open(tmp_path, "one", Config(horizon=h), seed=3) for h in (4, 5))
    with theirs.lock():
        theirs.write("table", [{"a": 1}])
    with pytest.raises(InvalidInput, match="was made with 5"), mine.lock():
        pass


def test_a_run_that_is_made_anew_takes_other_values_of_its_own_configuration_only(
    tmp_path: Path,
) -> None:
    Run.open(tmp_path, "report", Config(), seed=0, replace=True).write("t", [])
    again = Run.open(tmp_path, "report", Config(horizon=9), seed=0, replace=True)
    with again.lock():
        again.write("t", [])
    assert Run.existing(tmp_path, "report").config["horizon"] == 9
    with pytest.raises(InvalidInput, match="records of another command"):
        Run.open(tmp_path, "report", Inner(), seed=0, replace=True)


def test_timings_are_kept_apart_and_survive_a_cut(run: Run) -> None:
    with run.timed("block"):
        pass
    run.log_time("other", 2.5)
    with open(run.directory / "timings.jsonl", "ab") as file:
        file.write(b'{"label": "hal')
    labels = [row["label"] for row in run.timings()]
    assert labels == ["block", "other"]


def test_unchanged_content_is_not_written_again(run: Run) -> None:
    path = run.write_file("figure.pdf", b"abc")
    os.utime(path, (1, 1))
    run.write_file("figure.pdf", b"abc")
    assert path.stat().st_mtime == 1
    run.write_file("figure.pdf", b"abd")
    assert path.read_bytes() == b"abd"


def _fill(limit: int, directory: str) -> None:
    """In a process of its own: a file-size limit stands in for a disk with `limit` bytes left."""
    run = Run.open(directory, "one", Config(), seed=3)
    run.write("table", [{"old": 1}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run.write("table", [{"i": i} for i in range(10_000)])
    except CannotWrite as error:
        Path(directory, "message").write_text(str(error))


def test_a_full_disk_leaves_the_old_table(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_fill, args=(4096, str(tmp_path)))
    process.start()
    process.join()
    assert process.exitcode == 0
    run = Run.open(tmp_path, "one", Config(), seed=3)
    assert run.read("table") == [{"old": 1}]
    message = (tmp_path / "message").read_text()
    assert "table.jsonl" in message
    assert "free some space" in message
    assert not list(run.directory.glob(".*"))


def test_a_command_that_fails_before_it_stores_leaves_no_folder(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "one", Config(), seed=0)
    with pytest.raises(ZeroDivisionError), run.lock(), run.lock():
        1 / 0  # noqa: B018 - whatever goes wrong
    assert not list(tmp_path.iterdir())
    # A folder for checkpoints that was taken and never filled is nothing, either.
    claim(run.directory / "models" / "one", {"a": 1})
    assert not run.has_records()
    with pytest.raises(ZeroDivisionError), run.lock():
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())
    with run.lock():
        run.write("table", [{"a": 1}])
    with pytest.raises(ZeroDivisionError), run.lock():
        1 / 0  # noqa: B018
    assert run.read("table") == [{"a": 1}]


def test_an_unwritable_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = Run.open(tmp_path / "file", "one", Config(), seed=0)
    for attempt in (run.lock, lambda: contextlib.nullcontext(run.write("table", []))):
        with (
            pytest.raises(CannotWrite, match=r"Not a directory.*choose another folder"),
            attempt(),
        ):
            pass


def test_a_device_without_space_is_explained_by_its_real_error(tmp_path: Path) -> None:
    device = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as caught:
        os.write(device, b"x")
    os.close(device)
    assert "free some space" in CannotWrite(tmp_path, caught.value).remedy


_WRITER = """
import sys
from pathlib import Path
from experiments.runs.files import atomic_write
path = Path(sys.argv[1])
print("ready", flush=True)
i = 0
while True:
    atomic_write(path, bytes([65 + i % 26]) * 5_000_000)
    i += 1
"""


def test_a_kill_never_leaves_a_half_written_file(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    atomic_write(path, b"old")
    for pause in (0.0, 0.003, 0.011, 0.027, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        content = path.read_bytes()
        assert content == b"old" or (len(content) == 5_000_000 and len(set(content)) == 1)


_REPLACER = """
import sys
from experiments.runs.store import Run
run = Run.open(sys.argv[1], "one", {}, 0)
tables = [[{"i": i, "of": size} for i in range(size)] for size in (3, 20_000)]
run.write("table", tables[0])
print("ready", flush=True)
while True:
    for rows in tables:
        run.write("table", rows)
"""


def test_a_kill_never_leaves_a_table_that_its_manifest_does_not_know(tmp_path: Path) -> None:
    for pause in (0.0, 0.004, 0.013, 0.03, 0.06, 0.1):
        process = subprocess.Popen(
            [sys.executable, "-c", _REPLACER, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(pause)
        process.kill()
        process.wait()
        process.stdout.close()
        rows = Run.existing(tmp_path, "one").read("table")
        assert len(rows) == rows[0]["of"]


def _hold(directory: str, ready: object, release: object) -> None:
    with Run.existing(directory, "one").lock():
        ready.set()  # type: ignore[attr-defined]
        release.wait()  # type: ignore[attr-defined]


def test_two_processes_do_not_share_a_run_and_a_dead_one_keeps_nothing(
    run: Run, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(str(tmp_path), ready, release))
    process.start()
    assert ready.wait(30)
    with pytest.raises(InvalidInput, match="another process is working"), run.lock():
        pass
    process.kill()
    process.join()
    leftover = run.directory / "shards" / ".table.jsonl.abc.tmp"
    leftover.parent.mkdir()
    leftover.write_text("half")
    with run.lock():
        assert not leftover.exists()
        with Run.existing(tmp_path, "one").lock():  # who holds it may take it again
            pass


def test_a_table_may_be_empty(run: Run) -> None:
    assert run.write("table", []) == run.read("table") == []
