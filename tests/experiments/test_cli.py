"""The command line: quick to answer, and clear about what the user can mend."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import joblib
import pytest

from cpi_theory.checks import InvalidInput
from experiments import cli
from experiments.commands import COMMANDS
from experiments.options import parse_options
from experiments.runs.sweep import Execution

HERE = Path(__file__).parent / "runs"
HEAVY = ("numpy", "scipy", "numba", "torch", "matplotlib", "tabular", "jax", "tyro", "joblib")


@dataclass(frozen=True)
class Nested:
    level: float = 0.5


@dataclass(frozen=True)
class Config:
    """What it does.

    Attributes:
        seeds: how many seeds.
    """

    seeds: int = 20
    worlds: tuple[str, ...] = ("tree", "lock")
    nested: Nested = Nested()


def command(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """``cpi-resets`` with the extra command `squares`, in a process of its own."""

    def restrict() -> None:
        assert limit is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, str(HERE / "sweep_tasks.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=None if limit is None else restrict,
        env=os.environ | {"COLUMNS": "100"},
    )


def test_the_overview_imports_nothing_heavy() -> None:
    code = (
        "import sys; from experiments.cli import main; main(['--help']); "
        f"print('loaded', *[m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    overview, _, loaded = done.stdout.rpartition("loaded")
    assert loaded.split() == []
    for name in COMMANDS:
        assert name in overview


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["-h"], 0)])
def test_without_a_command_the_overview_is_shown(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    assert "cpi-resets COMMAND [options]" in capsys.readouterr().out


def test_the_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cpi-resets 0.")


@pytest.mark.parametrize(
    ("name", "hint"), [("verfy", "did you mean 'verify'"), ("zzz", "choose among verify, compare")]
)
def test_an_unknown_command_names_the_nearest(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name]) == 2
    error = capsys.readouterr().err
    assert f"command = '{name}': no such command" in error
    assert hint in error


def test_options_override_the_file_which_overrides_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('seeds = 5\nworlds = ["lock"]\n[nested]\nlevel = 0.25\n')
    arguments = ["--config", str(file), "--seeds", "7", "--workers", "2", "--output", "out"]
    expected = (
        Config(seeds=7, worlds=("lock",), nested=Nested(0.25)),
        Path("out"),
        Execution(workers=2),
    )
    assert parse_options("cpi-resets learn", Config, arguments) == expected
    arguments[0:2] = [f"--config={file}"]
    assert parse_options("cpi-resets learn", Config, arguments) == expected


def test_defaults_without_options() -> None:
    config, output, execution = parse_options("cpi-resets learn", Config, [])
    assert (config, output, execution) == (Config(), Path("results"), Execution())
    config, _, execution = parse_options(
        "x", Config, ["--nested.level", "1", "--cluster", "tcp://h:1"]
    )
    assert config.nested.level == 1.0
    assert execution.cluster == "tcp://h:1"


def test_a_file_without_a_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--config without a file"):
        parse_options("x", Config, ["--config"])


def test_help_of_a_command_shows_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_options("cpi-resets learn", Config, ["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for expected in ("What it does.", "--seeds INT", "how many seeds", "--config", "--cluster"):
        assert expected in text


def test_a_command_runs_and_stores(tmp_path: Path) -> None:
    done = command("squares", "--output", str(tmp_path), "--count", "3", "--workers", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rows = (tmp_path / "squares" / "squares.jsonl").read_text().splitlines()
    assert [json.loads(row)["square"] for row in rows] == [0, 1, 4]


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (["--cuont", "3"], ["Unrecognized options: --cuont", "--count"]),
        (["--count", "three"], ["three", "INT"]),
        (["--workers", "-1"], ["workers = -1: not an integer >= 0; choose 0 or more"]),
        (["--negative"], ["number = -1: negative; choose one >= 0"]),
        (["--config", "none.toml"], ["config = none.toml: cannot be read"]),
        (["--cluster", "here"], ["cluster = 'here': no Dask scheduler answers there"]),
    ],
)
def test_mistakes_exit_with_2_and_no_traceback(
    tmp_path: Path, options: list[str], messages: list[str]
) -> None:
    done = command("squares", "--output", str(tmp_path), *options)
    assert done.returncode == 2
    for message in messages:
        assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "squares" / "squares.jsonl").exists()


def test_an_unknown_configuration_key_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("cuont = 3")
    done = command("squares", "--output", str(tmp_path), "--config", str(file))
    assert done.returncode == 2
    assert "cuont = 3: unknown key 'cuont'; did you mean 'count'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_configuration_in_the_same_place_exits_with_2(tmp_path: Path) -> None:
    assert command("squares", "--output", str(tmp_path), "--count", "2").returncode == 0
    done = command("squares", "--output", str(tmp_path), "--count", "3")
    assert done.returncode == 2
    assert "config.count = 3: the run in" in done.stderr
    assert "was made with 2; choose another --output" in done.stderr


def test_a_corrupt_result_exits_with_2(tmp_path: Path) -> None:
    assert command("squares", "--output", str(tmp_path), "--workers", "1").returncode == 0
    shard = next((tmp_path / "squares" / "shards" / "squares").iterdir())
    shard.write_bytes(shard.read_bytes()[:-7])
    done = command("squares", "--output", str(tmp_path), "--workers", "1")
    assert done.returncode == 2
    assert f"file = {shard}: does not match its own checksum; delete it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_exits_with_2_and_continues_later(tmp_path: Path) -> None:
    options = ("squares", "--output", str(tmp_path), "--workers", "1", "--count", "5")
    # Each shard of 40 rows fits below the limit, the table of 200 rows does not.
    done = command(*options, "--rows", "40", limit=12_000)
    assert done.returncode == 2
    assert "cannot be written (File too large); free some space" in done.stderr
    assert "Traceback" not in done.stderr
    folder = tmp_path / "squares"
    assert not (folder / "squares.jsonl").exists()
    assert not list(folder.rglob("*.tmp"))
    before = len(list((tmp_path / "log").iterdir()))
    assert before == 5
    assert command(*options, "--rows", "40").returncode == 0
    assert len((folder / "squares.jsonl").read_text().splitlines()) == 200
    assert len(list((tmp_path / "log").iterdir())) == before


def test_a_defect_keeps_its_traceback(tmp_path: Path) -> None:
    done = command("squares", "--output", str(tmp_path), "--defect")
    assert done.returncode == 1
    assert "ZeroDivisionError: a defect" in done.stderr


CORES = str(joblib.cpu_count())


@pytest.mark.parametrize(
    ("kind", "options", "own", "threads"),
    [
        ("tables", "--workers 1", "8", "1 1 1"),
        ("tiny", "--workers 1", "8", "1 1 1"),
        ("tiny", "--workers 1 --threads 3", None, "3 3 1"),
        ("model", "--workers 1", None, f"{CORES} {CORES} 1"),
        ("model", "--workers 2", None, "1 1 1"),
        ("model", "--workers 1", "5,2", "5 5 1"),
        ("model", "--workers 2", "5", "5 5 1"),
        ("model", "--workers 1 --threads 3", "5", "3 3 1"),
    ],
)
def test_threads_of_processes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    options: str,
    own: str | None,
    threads: str,
) -> None:
    """Those of PyTorch (OMP and MKL), and those of numpy."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    words = f"squares --threads-only --count 2 --computes {kind} {options} --output {tmp_path}"
    done = command(*words.split())
    assert done.stdout.splitlines() == [threads] * 2


@pytest.mark.parametrize("threads", [1, 2])
def test_pytorch_takes_as_many_threads_as_it_is_told(threads: int) -> None:
    code = (
        "from experiments.runs.threads import start_with_one, use; start_with_one(); {before}"
        f"use({threads}); import torch; print(torch.get_num_threads())"
    )
    for before in ("", "import torch; "):
        script = code.replace("{before}", before)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.stdout.split() == [str(threads)], done.stderr


def test_tables_have_the_same_bytes_whatever_threads_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for threads in ("1", "7"):
        for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
            monkeypatch.setenv(f"{name}_NUM_THREADS", threads)
        words = "learn --worlds tree-sparse --methods GRPO --seeds 2 --budget.updates 4 --workers 1"
        assert command(*words.split(), "--output", str(tmp_path / threads)).returncode == 0
        files.append((tmp_path / threads / "learn" / "curves.jsonl").read_bytes())
    assert files[0] == files[1]


def test_packages_that_only_language_models_need_are_named_where_they_are_missing(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from experiments.cli import main; "
        f"sys.exit(main(['train', '--output', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "torch is not installed; run pip install 'cpi-resets[llm]'" in done.stderr
    assert "Traceback" not in done.stderr
