"""The command line: quick to answer, and clear about what the user can mend."""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import joblib
import pytest

from cpi_theory.checks import InvalidInput
from experiments import cli
from experiments.commands import COMMANDS, GROUPS
from experiments.execution.settings import Execution
from experiments.exit_codes import CANNOT_WRITE, DEFECT, EXIT_CODES, LOST
from experiments.options import parse_options

HERE = Path(__file__).parent / "execution"
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


def command(
    *arguments: str, limit: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
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
        env=os.environ | {"COLUMNS": "100"} | environment,
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


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["--help"], 0), (["-h"], 0), (["help"], 0), (["help", "help"], 0)],
)
def test_without_a_command_the_overview_is_shown(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    assert "cpi-resets COMMAND [options]" in capsys.readouterr().out


def test_help_may_be_asked_for_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for arguments in (["data", "--help"], ["help", "data"], ["help", "data", "--json"]):
        assert cli.main(arguments) == 0
        shown.append(capsys.readouterr().out)
    assert "similarity" in shown[0]
    assert shown[0] == shown[1] == shown[2]
    assert cli.main(["help", "dta"]) == 2
    assert "command = 'dta': no such command; did you mean 'data'?" in capsys.readouterr().err


def test_the_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cpi-resets 0.")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("verfy", "did you mean 'verify'"), ("zzz", "choose one of 'verify', 'compare'")],
)
def test_an_unknown_command_names_the_nearest(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name]) == 2
    error = capsys.readouterr().err
    assert f"command = '{name}': no such command" in error
    assert hint in error


def test_an_option_before_the_command_is_told_its_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["--quick", "verify"]) == 2
    assert "command = '--quick': an option, where a command is" in capsys.readouterr().err


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
        assert text.count(expected) == 1, expected
    assert "Attributes:" not in text


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
        (["--workers", "1000000"], ["workers = 1000000: more than 8 for each core"]),
        (["--negative"], ["number = -1: negative; choose one >= 0"]),
        (["--config", "none.toml"], ["config = none.toml: cannot be read"]),
        (["--cluster", "here"], ["cluster = 'here': not the address of a Dask scheduler"]),
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
    assert "count = 3: the run in" in done.stderr
    assert "was made with 2; choose another --name or --output" in done.stderr


def test_a_corrupt_result_exits_with_2(tmp_path: Path) -> None:
    assert command("squares", "--output", str(tmp_path), "--workers", "1").returncode == 0
    shard = next((tmp_path / "squares" / "shards" / "squares").iterdir())
    shard.write_bytes(shard.read_bytes()[:-7])
    done = command("squares", "--output", str(tmp_path), "--workers", "1")
    assert done.returncode == 2
    assert f"file = {shard}: does not match its own checksum; delete it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_exits_with_74_and_continues_later(tmp_path: Path) -> None:
    options = ("squares", "--output", str(tmp_path), "--workers", "1", "--count", "5")
    # Each shard of 40 rows fits below the limit, the table of 200 rows does not.
    done = command(*options, "--rows", "40", limit=12_000)
    assert done.returncode == CANNOT_WRITE == 74
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
    assert done.returncode == DEFECT == 70
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
        "from experiments.execution.threads import start_with_one, use; start_with_one(); {before}"
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


def test_a_lost_worker_exits_with_3_and_continues_later(tmp_path: Path) -> None:
    options = ("squares", "--output", str(tmp_path), "--workers", "2", "--count", "3", "--deadly")
    done = command(*options)
    assert done.returncode == LOST == 3
    assert "a worker process was killed" in done.stderr
    assert "Traceback" not in done.stderr
    assert command(*options).returncode == 0


def test_an_output_that_is_full_exits_with_74(tmp_path: Path) -> None:
    options = ("squares", "--output", str(tmp_path), "--workers", "1", "--lines", "3")
    done = shell(*options, after=">/dev/full")
    assert done.returncode == CANNOT_WRITE
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("learn", "--help"), ("squares", "--lines")])
def test_an_output_whose_reader_has_left_exits_with_74_and_says_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    if arguments[-1] == "--lines":
        arguments = (*arguments, "100000", "--output", str(tmp_path), "--workers", "1")
    done = shell(*arguments, after="| true; exit ${PIPESTATUS[0]}")
    assert done.returncode == CANNOT_WRITE
    assert done.stderr == ""


def test_a_closed_output_is_no_reason_to_stop(tmp_path: Path) -> None:
    options = ("squares", "--output", str(tmp_path), "--workers", "1", "--lines", "3")
    assert shell(*options, after=">&-").returncode == 0
    assert (tmp_path / "squares" / "squares.jsonl").exists()


def shell(*arguments: str, after: str) -> subprocess.CompletedProcess[str]:
    """The same in bash, with a redirection or a pipe behind it."""
    words = (sys.executable, str(HERE / "sweep_tasks.py"), *arguments)
    # What follows the pipe ends before anything is written into it.
    return subprocess.run(
        ["bash", "-c", f"{shlex.join(words)} {after}"], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_our_characters_stops_nothing(tmp_path: Path, encoding: str) -> None:
    options = ("squares", "--output", str(tmp_path), "--workers", "1", "--lines", "1")
    done = command(*options, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout, done.stderr) == (0, "? ? ?\n", "")
    assert command("learn", "--help", PYTHONIOENCODING=encoding).returncode == 0


@pytest.mark.parametrize("arguments", [("--help",), ("verify", "--help")])
def test_help_says_what_exit_codes_mean(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    _, _, text = capsys.readouterr().out.rpartition("exit codes:")
    for code, meaning in EXIT_CODES.items():
        assert f"{code:<4} {meaning}" in text


def test_the_overview_shows_commands_by_group_with_an_example_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"\n{group}:\n") for group in GROUPS]
    assert places == sorted(places)
    for name, command in COMMANDS.items():
        here = text.index(f"\n  {name} ")
        assert GROUPS[sum(place < here for place in places) - 1] == command.group
        assert f"cpi-resets {name} {command.example}".rstrip() in text
    commands = text[: text.index("options of all commands")]
    assert max(map(len, commands.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_a_use_of_its_command(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(cli.__file__).parents[1])
    arguments = shlex.split(COMMANDS[name].example.partition(" > ")[0])
    cli.parse(name, arguments)
    assert cli.main([name, "--help"]) == 0
    assert f"example:\n  {cli.example(name)}\n" in capsys.readouterr().out


def test_the_documentation_lists_every_exit_code() -> None:
    text = (Path(cli.__file__).parents[1] / "docs" / "running.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (.*?) \|$", text, re.MULTILINE))
    assert rows == {str(code): meaning for code, meaning in EXIT_CODES.items()}


# The settings of the tiny model hold those of llm/training, which load PyTorch.
LIGHT = [name for name in COMMANDS if name != "tiny-model"]


def test_help_of_no_command_loads_what_only_its_work_needs() -> None:
    """One process for all, which names the first command behind which something was loaded."""
    heavy = ("torch", "transformers", "trl", "datasets", "matplotlib", "distributed", "pandas")
    code = (
        "import sys; from experiments.cli import main\n"
        f"for name in {LIGHT!r}:\n"
        "    code = main([name, '--help'])\n"
        f"    print('loaded', name, code, *[m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = [line for line in done.stdout.splitlines() if line.startswith("loaded ")]
    assert loaded == [f"loaded {name} 0" for name in LIGHT], done.stderr


@pytest.mark.parametrize("name", ["report", "reproduce"])
def test_the_backend_that_a_notebook_names_matters_to_nobody(name: str, tmp_path: Path) -> None:
    # Not module://no_such_notebook: matplotlib believes in any module until a window is opened.
    backend = {"MPLBACKEND": "no_such_notebook"}
    assert command(name, "--help", **backend).returncode == 0
    done = command("report", "--output", str(tmp_path), **backend)
    assert done.returncode == 2
    assert "holds no run that a report shows" in done.stderr


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("learn", "worlds = []", "worlds = (): empty; name at least one of 'tree-natural'"),
        ("learn", "methods = []", "methods = (): empty; name at least one of 'GRPO'"),
        ("train", "worlds = []", "worlds = (): empty; name at least one of 'natural'"),
        ("train", "methods = []", "methods = (): empty; name at least one of 'GRPO'"),
        ("anatomy", "worlds = []", "worlds = (): empty"),
        ("frontier", "worlds = []", "worlds = (): empty; name at least one of 'one hard'"),
        ("frontier", "methods = []", "methods = (): empty"),
        ("frontier", "accuracies = []", "accuracies = (): empty"),
        ("frontier", "accuracies = [0.5, 0.5]", "accuracies[1] = 0.5: given twice"),
        ("compare", "worlds = []", "worlds = (): empty"),
        ("compare", "taus = [0.1, inf]", "taus[1] = inf: not a positive number"),
        ("compare", "taus = [0.1, 0.6]", "taus[1] = 0.6: not a number in [0, 0.5]"),
        ("compare", "horizons = [1, 2]", "horizons[0] = 1: not an integer >= 2"),
        ("compare", "horizons = [2, 2, 4]", "horizons[1] = 2: given twice"),
        ("compare", "recalls = [0.0, 1.0]", "recalls[0] = 0.0: not a positive number"),
        ("compare", "coverages = [0.1, -0.1]", "coverages[1] = -0.1: not a positive number"),
        ("compare", "coverages = [0.1, 0.5]", "coverages[1] = 0.5: above 1 / 8, what the longest"),
        ("diagnose", 'world = "lokc"', "error: world = 'lokc': unknown; did you mean 'lock'?"),
        ("warm-start", 'world = "sum"', "error: world = 'sum': unknown; did you mean 'sums'?"),
        ("train", "[seeds_by_world]\nx = 3", "seeds_by_world = 'x': unknown; choose one of"),
        ("learn", "[budget]\nupdates = 0", "budget.updates = 0: not an integer >= 1"),
        ("compare", 'worlds = ["Tacsi"]', "worlds[0] = 'Tacsi': unknown"),
        ("tiny-model", "regimes = []", "regimes = (): empty"),
        (
            "train",
            '[[more]]\ntype = "ArithmeticWorld"\nname = "x"\nhorizon = 0',
            "more[0].horizon = 0",
        ),
        (
            "train",
            '[[more]]\ntype = "DatasetWorld"\nname = "x"\nsource = "q"\nmax_thoughts = 0',
            "max_thoughts = 0",
        ),
        (
            "learn",
            '[[more]]\ntype = "TreeWorld"\nname = "x"\nright_probability = 1.5',
            "right_probability = 1.5",
        ),
        (
            "learn",
            '[[more]]\ntype = "TreeWorld"\nname = "lock"',
            "more[0].name = 'lock': the name of another one",
        ),
        (
            "train",
            '[[more]]\ntype = "ArithmeticWorld"\nname = "natural"',
            "more[0].name = 'natural': the name of another one",
        ),
        (
            "train",
            'methods = ["ORACLE"]\nworlds = ["x"]\n'
            '[[more]]\ntype = "DatasetWorld"\nname = "x"\nsource = "QUESTIONS"',
            "no exact step checker",
        ),
        (
            "anatomy",
            'worlds = ["x"]\n[[more]]\ntype = "DatasetWorld"\nname = "x"\nsource = "none.jsonl"',
            "none.jsonl",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_stored(
    name: str, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = tmp_path / "questions.jsonl"
    rows = [json.dumps({"question": f"{i} + 1?", "answer": str(i + 1)}) for i in range(8)]
    questions.write_text("\n".join(rows) + "\n")
    file, output = tmp_path / "settings.toml", tmp_path / "results"
    file.write_text(text.replace("QUESTIONS", str(questions)))
    assert cli.main([name, "--config", str(file), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(output.rglob("*.json*"))


SEEDED = sorted(
    name
    for name, command in COMMANDS.items()
    if hasattr(getattr(importlib.import_module(f"{command.folder}.config"), command.config), "seed")
)


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("seed", ["99999999999999999999999", "-1"])
def test_every_command_refuses_a_seed_of_which_nothing_can_be_drawn_at_once(
    name: str, seed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--seed", seed, "--output", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert f"error: seed = {seed}: " in said.err
    assert not said.out
    file = tmp_path / "settings.toml"
    file.write_text(f"seed = {seed}\n")
    assert cli.main([name, "--config", str(file), "--output", str(tmp_path)]) == 2
    assert f"seed = {seed}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [file]


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
