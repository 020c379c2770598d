"""A page of runs that are under way: what is finished is shown, and what is not is said."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from experiments.cli import main
from experiments.execution.settings import Execution
from experiments.learn.command import run as learn
from experiments.learn.config import LearnConfig
from experiments.learn.curves import Budget
from experiments.report import making
from experiments.report.under_way import complete_seeds, state_of
from experiments.runs.store import Run

CONFIG = LearnConfig(
    worlds=("tree-natural",),
    methods=("GRPO", "SRPO"),
    sampled_worlds=(),
    seeds=3,
    budget=Budget(updates=3, exact_updates=3, exact_every=1),
    resamples=20,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    assert learn(CONFIG, root, Execution(workers=1), Console(quiet=True)) == 0
    return root


@pytest.fixture
def under_way(finished: Path, tmp_path: Path) -> Path:
    """The same as a process leaves it that was killed while it drew the last curve."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for path in [*(tmp_path / "learn").glob("*.jsonl"), tmp_path / "learn" / "manifest.json"]:
        path.unlink()
    shards = sorted((tmp_path / "learn" / "shards" / "curves").glob("*.jsonl"))
    assert len(shards) == 6
    next(path for path in shards if '"seed": 2' in path.read_text().split("\n")[0]).unlink()
    return tmp_path


def watch(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, looks: int = 1, between: object = None
) -> list[str]:
    """The page after each look, and the one that is left when the watch is ended."""
    pages, file = [], root / "report" / "report.html"

    def sleep(_seconds: float) -> None:
        pages.append(file.read_text())
        if len(pages) == looks:
            raise KeyboardInterrupt
        if callable(between):
            between()

    monkeypatch.setattr(time, "sleep", sleep)
    assert main(["report", "--watch", "7", "--output", str(root)]) == 130
    return [*pages, file.read_text()]


def test_what_is_finished_so_far_is_shown(
    under_way: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.read_bytes() for p in under_way.rglob("*") if p.is_file() and p.name != ".lock"}
    page, last = watch(under_way, monkeypatch)
    assert "learn: 5 of its curves are finished so far." in page
    assert "loads itself again every 7 s" in page
    assert '<figure id="figure-learn-curves">' in page
    # Two seeds are there of both methods; the third one would compare unequal numbers.
    assert "over 2 seeds" in page
    assert 'data-every="7.0"' in page
    assert 'content="7"' in page
    assert "data-every" not in last  # nobody writes it again
    assert "Under way" not in last
    assert '<figure id="figure-learn-curves">' in last
    kept = {path: path.read_bytes() for path in before}
    assert kept == before  # runs are read, and nothing is written to them
    assert not (under_way / "report" / "figures").exists()


def test_the_page_follows_the_runs(
    under_way: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish() -> None:
        shutil.rmtree(under_way / "learn")
        shutil.copytree(finished / "learn", under_way / "learn")

    first, second, _ = watch(under_way, monkeypatch, looks=2, between=finish)
    assert "over 2 seeds" in first
    assert "over 3 seeds" in second
    assert "finished so far" not in second


def test_worlds_that_are_not_as_far_are_shown_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, worlds=("tree-natural", "lock"), seeds=2)
    assert learn(config, tmp_path, Execution(workers=1), Console(quiet=True)) == 0
    for path in [*(tmp_path / "learn").glob("*.jsonl"), tmp_path / "learn" / "manifest.json"]:
        path.unlink()
    for path in (tmp_path / "learn" / "shards" / "curves").glob("*.jsonl"):
        first = path.read_text().split("\n")[0]
        if '"lock"' in first and '"SRPO"' in first:
            path.unlink()
    page, _ = watch(tmp_path, monkeypatch)
    assert "learn: 6 of its curves are finished so far." in page
    assert '<figure id="figure-learn-curves">' in page


def test_a_watch_says_at_once_what_it_watches_and_where_the_page_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[str] = []
    page = tmp_path / "report" / "report.html"

    def writes(self: making.LivePage, *_: object, **__: object) -> Path:
        written.append(capsys.readouterr().out)
        page.parent.mkdir(exist_ok=True)
        page.write_text("")
        return page

    monkeypatch.setattr(making.LivePage, "write", writes)
    watch(tmp_path, monkeypatch)
    said = f"watching {tmp_path}, every 7 s; the page: {page} (Ctrl-C ends it)\n"
    assert written[0] == said


def test_what_a_watch_says_first_waits_for_nothing_that_draws() -> None:
    code = "import sys, experiments.report.command; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_watch_may_begin_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, _ = watch(tmp_path, monkeypatch)
    assert "Nothing to show yet" in page


def test_a_long_training_says_how_far_it_is(
    under_way: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = under_way / "train" / "models" / "sums-SRPO-0"
    folder.mkdir(parents=True)
    line = '{"update": 12, "reward": 0.4375, "tokens": 12345, "seconds_left": 600.0}\n'
    (folder / "log.jsonl").write_text(line + line.replace("12,", "13,") + '{"update": 14, "rew')
    page, _ = watch(under_way, monkeypatch)
    said = "train, sums-SRPO-0: update 13, mean reward 0.438, 12,345 tokens, about 10 min left."
    assert said in page
    (folder / "finished.json").write_text("{}")
    page, _ = watch(under_way, monkeypatch)
    assert "sums-SRPO-0" not in page


def test_a_table_that_is_damaged_is_named_and_the_watch_goes_on(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "learn" / "bands.jsonl"
    path.write_text(path.read_text()[:-40])
    page, _ = watch(tmp_path, monkeypatch)
    assert "Nothing to show yet" not in page
    assert re.search(r"left out.*?bands\.jsonl: does not match its checksum", page, re.DOTALL)


def test_a_run_that_is_half_written_hides_no_other(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "run.json").write_text('{"config"')
    page, _ = watch(tmp_path, monkeypatch)
    assert "Nothing to show yet" not in page
    assert re.search(r"new: file = .*run\.json: is not valid JSON", page)
    assert 'id="learn"' in page


def test_only_seeds_that_all_methods_have_are_compared() -> None:
    rows = [
        {"world": world, "method": method, "seed": seed}
        for world, method, seeds in (("a", "x", 3), ("a", "y", 2), ("b", "x", 1))
        for seed in reversed(range(seeds))
    ]
    kept = complete_seeds(rows)
    assert [(r["world"], r["method"], r["seed"]) for r in kept] == [
        *(("a", "x", 0), ("a", "y", 0), ("a", "x", 1), ("a", "y", 1), ("b", "x", 0))
    ]


def test_the_report_itself_is_no_change(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    before = state_of(tmp_path, "report")
    Run.open(tmp_path, "report", {"type": "ReportConfig"}, 0).write("x", [])
    assert state_of(tmp_path, "report") == before
    (tmp_path / "learn" / "more.jsonl").write_text("")
    assert state_of(tmp_path, "report") != before
