"""The whole pipeline, killed for real at arbitrary points: nothing lost, nothing done twice."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.commands import COMMANDS
from experiments.config import load_config
from experiments.reproduce.command import _Stage
from experiments.reproduce.config import ReproduceConfig
from experiments.reproduce.profile import Profile
from experiments.runs.store import Run
from experiments.train.config import TrainConfig
from experiments.worlds.language import DatasetWorld
from tests.experiments.test_json import TOGETHER

TINY = """
[verify]
instances = 40
search = 0

[compare]
coverages = [0.125, 0.0625]
taus = [0.2, 0.4]
horizons = [2, 4]
actions = [2, 4]
precisions = [0.25, 1.0]
recalls = [0.5, 1.0]
replications = 40
bootstraps = 20
check_replications = 0
worlds = ["FrozenLake"]

[learn]
worlds = ["tree-natural", "lock"]
methods = ["GRPO", "SRPO", "CPI-RR, exact"]
sampled_worlds = []
seeds = 3
resamples = 20

[learn.budget]
updates = 4
exact_updates = 4
exact_every = 2

[frontier]
worlds = ["two hard"]
methods = ["GRPO", "SRPO", "Frontier"]
accuracies = [1.0]
seeds = 2
updates = 4

[diagnose]
world = "tree-natural"
prompts = 8

[train]
worlds = ["short"]
methods = ["GRPO", "SRPO"]
resamples = 20

[[train.more]]
type = "ArithmeticWorld"
name = "short"
horizon = 3
hard_steps = 1

[train.budget]
prompts = 2
updates = 2
every = 1
held_out = 8

[anatomy]
worlds = ["natural"]
prompts = 12
rollouts = 2
resamples = 20

[report]
vector = "none"
"""
# Without verify and compare, whose figures have tests of their own and would take as long again.
SHORT = TINY + 'runs = ["learn", "frontier", "diagnose", "train", "anatomy"]\n'
UNSTABLE = {"timings.jsonl", "log.jsonl", "finished.json", ".lock"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "tiny.toml"
    path.write_text(SHORT)
    return path


def start(profile: Path, output: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", "reproduce", "--profile", str(profile),
         "--output", str(output), "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def finish(profile: Path, output: Path, *more: str) -> None:
    """Run to the end in this process, which has loaded all that a new one would have to."""
    asked = ["reproduce", "--profile", str(profile), "--output", str(output), "--workers", "1"]
    assert main([*asked, *more]) == 0


def count(folder: Path) -> int:
    """How many files a folder holds."""
    return sum(path.is_file() for path in folder.rglob("*"))


def stored(output: Path) -> dict[str, bytes]:
    """Every stored file but timings and locks.

    Where it ran and the digest of the code are left out: a commit or an edit elsewhere while this
    test runs is no difference in what came out.
    """
    files = {}
    for path in sorted((output / "tiny").rglob("*")):
        if path.is_file() and path.name not in UNSTABLE:
            content = path.read_bytes()
            if path.name == "run.json" or path.parent.name == "reproduce":
                content = _without_place(json.loads(content))
            files[str(path.relative_to(output))] = content
    return files


def _without_place(description: dict[str, Any]) -> bytes:
    description.pop("environments", None)
    description.get("state", {}).pop("code", None)
    return json.dumps(description).encode()


@pytest.fixture(scope="module")
def printed(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The output of a run that nobody interrupted, and the JSON object that it printed."""
    output, said = tmp_path_factory.mktemp("whole"), io.StringIO()
    with contextlib.redirect_stdout(said):
        finish(profile, output, "--json")
    return output, json.loads(said.getvalue(), parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def whole(printed: tuple[Path, dict[str, Any]]) -> Path:
    """The output of a run that nobody interrupted."""
    return printed[0]


def test_everything_is_there(whole: Path) -> None:
    names = set(stored(whole))
    for expected in (
        "tiny/verify/summary.jsonl",
        "tiny/compare/samples.jsonl",
        "tiny/learn/bands.jsonl",
        "tiny/frontier/cells.jsonl",
        "tiny/diagnose/verdict.jsonl",
        "tiny/train/bands.jsonl",
        "tiny/anatomy/passk.jsonl",
        "tiny/learn/explore.html",
        "tiny/train/explore.html",
        "tiny/report/report.md",
        "tiny/report/report.html",
        "tiny/reproduce/report.jsonl",
    ):
        assert expected in names
    assert any(name.endswith(".png") for name in names)


def test_commands_that_it_runs_have_their_rows_below_their_names(
    printed: tuple[Path, dict[str, Any]],
) -> None:
    found = printed[1]
    for name, tables in TOGETHER.items():
        for table in tables:
            assert found["data"][name][table], (name, table)
    difference = found["data"]["learn"]["pairs"][0]["difference"]
    assert isinstance(difference, float)
    assert any("records: " in line for line in found["said"])


def test_killed_anywhere_and_started_again_gives_the_same_bytes(
    profile: Path, whole: Path, tmp_path: Path
) -> None:
    files, rng = count(whole), random.Random(0)
    for share in (rng.uniform(0.1, 0.4), rng.uniform(0.5, 0.8)):
        process = start(profile, tmp_path)
        # Somewhere behind so many files, whatever is being written then.
        while count(tmp_path) < share * files and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, text
    finish(profile, tmp_path)
    assert stored(tmp_path) == stored(whole)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_finished_profile_is_passed_over(
    profile: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.jsonl")}
    finish(profile, whole)
    text = capsys.readouterr().out
    for name in Profile.__dataclass_fields__:
        assert f"{name}: already finished" in text
    changed = {path.name for path, at in before.items() if path.stat().st_mtime_ns != at}
    assert changed == {"timings.jsonl"}


def test_what_was_deleted_is_made_again_and_nothing_else(
    profile: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "copy"
    shutil.copytree(whole, output)
    (output / "tiny" / "learn" / "pairs.jsonl").unlink()
    finish(profile, output)
    text = capsys.readouterr().out
    assert "verify: already finished" in text
    assert "compare: already finished" in text
    assert "learn: already finished" not in text
    assert "report: already finished" not in text  # it was shown while learn ran again
    assert stored(output) == stored(whole)


def test_another_profile_of_the_same_name_is_refused(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "tiny.toml"
    other.write_text(SHORT.replace("seeds = 3", "seeds = 4"))
    assert main(["reproduce", "--profile", str(other), "--output", str(whole)]) == 2
    text = capsys.readouterr().err
    assert "learn.seeds = 4: the run in" in " ".join(text.split())


def test_the_largest_exit_code_is_kept(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A violated bound must fail the whole, now and when it is passed over later."""
    from rich.console import Console

    from experiments.execution.settings import Execution
    from experiments.reproduce import command as reproduce

    ran = []

    def returning(code: int, name: str) -> Callable[..., int]:
        def fake(settings: object, output: Path, execution: object, console: object) -> int:
            ran.append(name)
            return code

        return fake

    names = list(Profile.__dataclass_fields__)
    for name in names:
        module = importlib.import_module(f"{COMMANDS[name].folder}.command")
        monkeypatch.setattr(module, "run", returning(int(name == "verify"), name))
    config = ReproduceConfig(str(profile))
    for _ in range(2):
        assert reproduce.run(config, tmp_path, Execution(workers=1), Console(quiet=True)) == 1
    assert ran == names


def test_the_page_says_which_command_is_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from experiments.execution.settings import Execution
    from experiments.reproduce import command as reproduce

    pages: dict[str, str] = {}

    def looking(name: str) -> Callable[..., int]:
        def fake(settings: object, output: Path, execution: object, console: object) -> int:
            pages[name] = (output / "report" / "report.html").read_text()
            row = {"theorem": "T1", "instances": 1, "checks": 4321, "exact_checks": 0}
            row |= {"violations": 0, "attained": 1, "tightness": 1.0, "penalty_used": None}
            row |= {"adversarial_tightness": None, "adversarial_penalty_used": None}
            if name == "verify":
                Run.open(output, name, {"type": "VerifyConfig"}, 0).write("summary", [row])
            return 0

        return fake

    names = list(Profile.__dataclass_fields__)
    for name in names:
        module = importlib.import_module(f"{COMMANDS[name].folder}.command")
        monkeypatch.setattr(module, "run", looking(name))
    (tmp_path / "all.toml").write_text(TINY)
    config, quiet = ReproduceConfig(str(tmp_path / "all.toml")), Console(quiet=True)
    assert reproduce.run(config, tmp_path, Execution(workers=1), quiet) == 0
    assert f"verify is running, command 1 of {len(names)}: check every bound" in pages["verify"]
    assert "4,321" not in pages["verify"]
    assert f"compare is running, command 2 of {len(names)}" in pages["compare"]
    assert "0 of 4,321 failed" in pages["compare"]
    assert "data-every" in pages["compare"]


def test_a_stage_whose_data_have_changed_is_not_finished(tmp_path: Path) -> None:
    data = tmp_path / "questions.jsonl"
    world = DatasetWorld("mine", str(data))
    stage = _Stage("train", TrainConfig(worlds=("mine",), more=(world,)), tmp_path)
    states = []
    for content in ("a", "a", "b"):
        data.write_text(content)
        states.append(stage.state([]))
    assert states[0] == states[1] != states[2]


def test_profiles_name_every_command_and_are_found_by_name() -> None:
    # Models and benchmarks are made once, and not every machine has a GPU to check.
    elsewhere = {"reproduce", "data", "model", "tiny-model", "warm-start", "evaluate", "export"}
    elsewhere |= {"gpu-check", "localize", "audit", "plan", "doctor", "new", "completion"}
    elsewhere |= {"league"}
    assert set(COMMANDS) == elsewhere | set(Profile.__dataclass_fields__)
    for name in ("quick", "full"):
        profile = load_config(Profile, ReproduceConfig(name).path())
        assert profile.learn.seeds >= 20
        assert profile.explore.runs == ("learn", "train")  # an empty table would name none


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'quik': no such profile; did you mean 'quick'"):
        ReproduceConfig("quik").path()
