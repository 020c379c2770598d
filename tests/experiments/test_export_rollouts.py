"""Rollouts for other programs, read back by those programs' own readers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.export.stored import read_written, sort_written, text_of
from experiments.export.traces import write_traces
from experiments.runs.store import Run

SETTINGS = """
texts = true

[[more]]
type = "ArithmeticWorld"
name = "short"
horizon = 4
hard_steps = 2

[correction]
rounds = 3
localizers = ["checker"]
stops = ["oracle"]
chains = 2
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of evaluate that has kept its texts."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "settings.toml").write_text(SETTINGS)
    asked = ["evaluate", "--config", str(folder / "settings.toml"), "--benchmarks", "short"]
    asked += ["--problems", "4", "--attempts.samples", "2", "--workers", "1"]
    assert main([*asked, "--output", str(folder)]) == 0
    return Run.existing(folder, "evaluate")


def chains_of(run: Run) -> dict[tuple[str, int], list[Any]]:
    chains: dict[tuple[str, int], list[Any]] = {}
    for row in run.read("chains"):
        chains.setdefault((row["problem"], row["chain"]), []).append(row)
    return chains


# --- what is stored ------------------------------------------------------------------------------


def test_thoughts_are_put_together_over_rounds(run: Run) -> None:
    (written,) = read_written(str(run.directory))
    corrected = 0
    for problem in written.problems.values():
        for chain in problem.chains:
            for number, row in enumerate(chain.rounds):
                whole = chain.thoughts(number)
                assert whole[len(whole) - len(row["thoughts"]) :] == row["thoughts"]
                assert sum(len(t["tokens"]) for t in row["thoughts"]) == row["tokens"]
                # The answer that was judged is that of the whole text.
                assert row["answer"] is None or rf"{row['answer']}" in text_of(whole)
                if number:
                    kept = chain.thoughts(number - 1)[: row["step"]]
                    assert whole[: row["step"]] == kept
                    corrected += bool(kept)
    assert corrected


def test_attempts_are_those_of_the_records(run: Run) -> None:
    (written,) = read_written(str(run.directory))
    assert written.file == "short-model"
    names = {chain.name for problem in written.problems.values() for chain in problem.chains}
    assert names == {"greedy 0", "sampled 0", "sampled 1", "checker, oracle 0", "checker, oracle 1"}


def test_names_of_files_are_harmless() -> None:
    row = {"benchmark": "../a b", "method": "x/y (z)", "seed": 3, "problem": "p", "kind": "greedy"}
    row |= {"attempt": 0, "question": "", "reference": "", "prompt": "", "prompt_tokens": []}
    (written,) = sort_written([row], [])
    assert written.file == "a-b-x-y-z-3"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: "nowhere", "holds no run"),
        (lambda folder: _run(folder, type="TrainConfig"), "is no run of evaluate"),
        (lambda folder: _run(folder, type="EvaluateConfig"), "was made without texts"),
    ],
)
def test_runs_without_texts_are_named(
    make: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make(tmp_path / "run")
    asked = ["export", source, "--format", "verifiers", "--to", str(tmp_path / "out")]
    assert main(asked) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def _run(folder: Path, **config: object) -> str:
    folder.mkdir()
    about = {"format": 1, "config": config, "seed": 0, "environments": []}
    (folder / "run.json").write_text(json.dumps(about))
    return str(folder)


# --- traces of verifiers -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def episodes(run: Run, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the package itself reads of a file that the command wrote."""
    pytest.importorskip("verifiers.v1.episode")
    from verifiers.v1.configs.agent import WireAgentConfig
    from verifiers.v1.state import State
    from verifiers.v1.task import WireTaskData
    from verifiers.v1.trace import Trace
    from verifiers.v1.utils.trace_store import read_episodes

    folder = tmp_path_factory.mktemp("traces")
    asked = ["export", str(run.directory), "--format", "verifiers", "--to", str(folder)]
    assert main(asked) == 0
    return read_episodes(folder / "short-model", Trace[WireTaskData, State, WireAgentConfig])


def test_an_episode_holds_all_that_was_written_about_a_problem(
    run: Run, episodes: list[Any]
) -> None:
    attempts = run.read("attempts")
    assert {e.task.data.id for e in episodes} == {row["problem"] for row in attempts}
    for episode in episodes:
        own = [row for row in attempts if row["problem"] == episode.task.data.id]
        assert episode.task.data.prompt == own[0]["question"]
        assert episode.task.data.answer == own[0]["reference"]
        plain = [t for t in episode.traces if t.metrics["rounds"] == 0 and "oracle" not in t.id]
        assert sorted(t.reward for t in plain) == sorted(row["reward"] for row in own)


def test_a_branch_is_the_very_ids_that_were_read_and_written(run: Run, episodes: list[Any]) -> None:
    branched = 0
    for (problem, number), rows in chains_of(run).items():
        (episode,) = (e for e in episodes if e.task.data.id == problem)
        (trace,) = (t for t in episode.traces if t.info["chain"] == f"checker, oracle {number}")
        assert trace.reward == rows[-1]["reward"]
        assert trace.info["upper_bound"]
        assert trace.num_output_tokens == sum(row["tokens"] for row in rows)
        whole: list[Any] = []
        for row, attempt in zip(rows, trace.info["attempts"], strict=True):
            whole = (
                whole[: row["step"]] + row["thoughts"]
                if row["step"] is not None
                else list(row["thoughts"])
            )
            nodes, node = [], attempt["leaf"]
            while node is not None:
                nodes.append(trace.nodes[node])
                node = nodes[-1].parent
            ids = [token for one in reversed(nodes) for token in one.token_ids]
            expected = [token for thought in whole for token in thought["tokens"]]
            assert ids == row["prompt_tokens"] + expected
            sampled = [one for one in nodes if one.sampled]
            assert all(len(one.logprobs) == sum(one.mask) for one in sampled)
        # What was kept is there once.
        assert len(trace.nodes) == 1 + sum(len(row["thoughts"]) for row in rows)
        branched += len(trace.branches) > 1
    assert branched


def test_the_lines_that_read_traces_run_as_they_are_printed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("verifiers.v1.episode")
    folder = tmp_path / "it's a folder"
    asked = ["export", str(run.directory), "--format", "verifiers", "--to", str(folder)]
    assert main(asked) == 0
    code = textwrap.dedent(capsys.readouterr().out.partition("Look at it:\n")[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "4 problems, of the first 5 attempts\n", done.stderr


def test_traces_of_equal_runs_are_equal(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("verifiers.v1.episode")
    written = read_written(str(run.directory))
    first, second = (write_traces(written, tmp_path / name) for name in "ab")
    assert first[0].read_bytes() == second[0].read_bytes()


# --- logs of Inspect -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Inspect itself reads of a log that the command wrote."""
    pytest.importorskip("inspect_ai", reason="Inspect (the extra inspect) is not installed")
    from inspect_ai.log import read_eval_log

    folder = tmp_path_factory.mktemp("logs")
    asked = ["export", str(run.directory), "--format", "inspect", "--to", str(folder)]
    assert main(asked) == 0
    return read_eval_log(str(folder / "short-model.eval"))


def test_a_sample_per_problem_with_scores_and_tokens(run: Run, log: Any) -> None:
    attempts, chains = run.read("attempts"), chains_of(run)
    assert log.status == "success"
    assert {s.id for s in log.samples} == {row["problem"] for row in attempts}
    for sample in log.samples:
        own = [row for row in attempts if row["problem"] == sample.id]
        corrected = [rows for (problem, _), rows in chains.items() if problem == sample.id]
        sampled = [row["reward"] for row in own if row["kind"] == "sampled"]
        assert sample.scores["sampled"].value == sum(sampled) / len(sampled)
        last = [rows[-1]["reward"] for rows in corrected]
        assert sample.scores["checker, oracle"].value == sum(last) / len(last)
        assert sample.scores["checker, oracle"].metadata["upper_bound"]
        tokens = sum(row["tokens"] for row in own)
        tokens += sum(row["tokens"] for rows in corrected for row in rows)
        assert sample.model_usage["model"].output_tokens == tokens
    means = {score.name: score.metrics["mean"].value for score in log.results.scores}
    rewards = [row["reward"] for row in attempts if row["kind"] == "greedy"]
    assert means["greedy"] == sum(rewards) / len(rewards)


def test_every_reset_is_a_branch_of_its_chain(run: Run, log: Any) -> None:
    resets = 0
    for sample in log.samples:
        # Viewers take these: the events of branches are among those that they hide.
        (timeline,) = sample.timelines
        agents = {
            part.name: part
            for part in timeline.root.content
            if getattr(part, "span_type", None) == "agent"
        }
        for (problem, number), rows in chains_of(run).items():
            if problem != sample.id:
                continue
            agent = agents[f"checker, oracle {number}"]
            anchors = {e.anchor_id for e in sample.events if e.event == "anchor"}
            assert len(agent.branches) == len(rows) - 1
            for branch, row in zip(agent.branches, rows[1:], strict=True):
                assert branch.branched_from in anchors
                assert branch.name == f"round {row['round']}, keeps {row['step']}"
                (model,) = (c.event for c in branch.content if c.event.event == "model")
                assert model.output.completion == text_of(row["thoughts"])
                assert model.output.usage.output_tokens == row["tokens"]
                assert len(model.input) == 1 + (row["step"] > 0)
                resets += 1
    assert resets


@pytest.mark.slow
def test_the_viewer_shows_resets_as_branches(run: Run, log: Any, browser: Any) -> None:
    """In ``inspect view`` itself: scores, a span per attempt, and what each reset led to."""
    problem, name, rounds = next(
        (problem, f"checker, oracle {number}", rows)
        for (problem, number), rows in chains_of(run).items()
        if len(rows) > 2
    )
    with viewer(Path(log.location).parent) as address:
        page = browser.new_page(viewport={"width": 1400, "height": 1400})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/#/tasks/short-model.eval")
        page.get_by_text(problem).first.wait_for()
        assert "NaN" not in page.inner_text("body")
        page.goto(f"{address}/#/tasks/short-model.eval/samples/sample/{problem}/1/")
        page.locator(f"text=/sub-agent: {name}/i").first.click()
        last = rounds[-1]
        page.get_by_text(f"round {last['round']}, keeps {last['step']}", exact=True).last.click()
        page.get_by_text(last["thoughts"][-1]["text"].strip()).first.wait_for()
        page.close()
    assert not errors


@contextlib.contextmanager
def viewer(folder: Path) -> Iterator[str]:
    """The program that comes with Inspect, serving a folder of logs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    code = "from inspect_ai._cli.main import main; main()"
    places = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, "view", "--log-dir", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, env=os.environ | places, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def test_texts_are_data(log: Any) -> None:
    """A string as the data of an event would be shown as Markdown."""
    info = [e for sample in log.samples for e in sample.events if e.event == "info"]
    assert info
    assert all(isinstance(event.data, dict) for event in info)


def test_without_inspect_it_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.export.inspect_log import write_logs

    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(InvalidInput, match=r"pip install 'cpi-resets\[inspect\]'"):
        write_logs(read_written(str(run.directory)), tmp_path)
