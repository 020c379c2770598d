"""Values by hand: a model whose chances are known, drops that are, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cpi_theory.randomness import Key
from experiments.cli import main
from experiments.localize.config import LocalizeConfig
from experiments.localize.report import value_verdicts
from experiments.localize.samples import Judged
from experiments.localize.value_summary import (
    ANY,
    AT_MARK,
    AT_START,
    DIFFERENCE,
    EARLIER,
    ELSEWHERE,
    LARGEST,
    REACH,
    value_curve,
    value_drops,
)
from experiments.localize.values import prefix_values, value_rows
from experiments.runs.store import Run
from experiments.worlds.language import ArithmeticWorld
from llm.data.marked_traces import MarkedTrace
from llm.localizers.marked import as_rollout
from llm.simulator import LanguageModelSimulator
from llm.tasks.dataset import DatasetTask
from llm.text.boundaries import Delimiter
from llm.text.thoughts import ThoughtFormat
from tests.llm.canned import CannedSampler, byte_vocabulary

DATA = Path(__file__).parents[2] / "llm" / "data"
MISTAKES, PROCESS = str(DATA / "mistakes.jsonl"), str(DATA / "process.jsonl")
SHORT = ArithmeticWorld("short", horizon=4, hard_steps=2)

# The third step is wrong, and the answer too.
TRACE = MarkedTrace("t", "Which number?", ("one", "two", "WRONG", "four"), 2, "7", True)


def follower(prompt: str, key: int) -> str:
    """A model that is right with an even key, unless the wrong step is before it."""
    return rf"so</thought>\boxed{{{8 if 'WRONG' in prompt or key % 2 else 7}}}"


def values_of(traces, form=None, context=1 << 20):
    """Rows of values under the model above, and what it was shown."""
    vocabulary = byte_vocabulary()
    sampler = CannedSampler(vocabulary, follower, context=context)
    task = DatasetTask(tuple({t.problem.id: t.problem for t in traces}.values()))
    simulator = LanguageModelSimulator(sampler, vocabulary, task, form)
    judged = [
        Judged(
            "d",
            "t",
            trace.id,
            trace.problem.id,
            len(trace.steps),
            trace.first_error,
            trace.failed,
            as_rollout(trace, vocabulary, vocabulary.encode("Q"), Delimiter("</thought>")),
        )
        for trace in traces
    ]
    return prefix_values(simulator, judged, 64, Key.of(0)), sampler


def value(rows, measure, marked=ANY):
    (found,) = (r for r in rows if r["measure"] == measure and r["marked"] == marked)
    return found


def test_a_model_that_follows_its_prefix_falls_at_the_error():
    rows, sampler = values_of([TRACE])
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert [row["continuations"] for row in rows] == [64] * 4
    right = [row["successes"] for row in rows]
    assert all(16 < wins < 48 for wins in right[:3]), right
    assert len(set(right[:3])) > 1  # each prefix has draws of its own
    assert right[3] == 0
    # Before the third step nothing of it is shown, before the fourth all of it.
    assert sampler.prompts[2 * 64] == "Qone</thought>two</thought>"
    assert sampler.prompts[3 * 64] == "Qone</thought>two</thought>WRONG</thought>"
    drops = value_drops(rows)
    assert value(drops, AT_MARK)["estimate"] == right[2] / 64
    assert value(drops, ELSEWHERE)["estimate"] == pytest.approx((right[0] - right[2]) / 64 / 3)
    assert value(drops, LARGEST)["estimate"] == 1.0


def test_what_is_drawn_for_a_trace_hangs_on_it_alone():
    clean = MarkedTrace("c", "Which?", ("one",), None, "7", False)
    other = MarkedTrace("o", "What?", ("WRONG", "two"), 0, "7", True)
    arrived = MarkedTrace("a", "How?", ("WRONG", "two"), 0, "7", False)
    rows, _ = values_of([other, clean, arrived, TRACE])
    assert [row["trace"] for row in rows] == ["o"] * 2 + ["t"] * 4
    assert rows[2:] == values_of([TRACE])[0]


@pytest.mark.parametrize(
    ("form", "context", "left"),
    [
        (ThoughtFormat(max_thoughts=3), 1 << 20, 3),
        # Two steps take 2 * (3 + 10) tokens, the prompt one: no room in limits of as many.
        (ThoughtFormat(max_tokens=26), 1 << 20, 2),
        (None, 27, 2),
        (None, 28, 3),
    ],
)
def test_prefixes_without_room_are_left_out(form, context, left):
    rows, _ = values_of([TRACE], form, context)
    assert [row["continuations"] > 0 for row in rows] == [i < left for i in range(4)]
    drops = value_drops(rows)
    assert value(drops, AT_START)["left_out"] == 1
    assert value(drops, AT_START)["estimate"] is None
    assert value_curve(rows) == []
    assert "no trace of several steps" in value_verdicts(drops)[0]


def trace(name, successes, mark, failed=True, question=None, of=8):
    """Rows of a trace with so many successes before each step."""
    judged = Judged("d", "t", name, question or name, len(successes), mark, failed)
    return [
        judged.row() | {"step": step, "continuations": of, "successes": wins}
        for step, wins in enumerate(successes)
    ]


# Values 1, 3/4, 1/4 and 0 behind; 1/2, 1/2, 1/2 and 1 behind: it went wrong and arrived.
THREE = [*trace("a", [8, 6, 2], 1), *trace("b", [4, 4, 4], 2, failed=False)]


def test_curve_worked_by_hand():
    curve = {row["offset"]: row for row in value_curve(THREE)}
    expected = {-2: 1 / 2, -1: (1 + 1 / 2) / 2, 0: (3 / 4 + 1 / 2) / 2, 1: (1 / 4 + 1) / 2, 2: 0}
    assert {at: row["estimate"] for at, row in curve.items()} == expected
    assert [curve[at]["traces"] for at in (-2, 0, 2)] == [1, 2, 1]
    assert all(row["lower"] <= row["estimate"] <= row["upper"] for row in curve.values())


def test_far_steps_count_together():
    wins = [8, 8, 8, 8, 8, 8, 4, 2]
    curve = {row["offset"]: row["estimate"] for row in value_curve(trace("a", wins, 0))}
    # Of the steps 4 to 7 and the end: 1, 1, 1/2, 1/4 and 0.
    assert max(curve) == REACH
    assert curve[REACH] == pytest.approx(2.75 / 5)


def test_drops_worked_by_hand():
    drops = value_drops(THREE)
    assert value(drops, AT_START)["estimate"] == 3 / 4
    # At the mark 1/2 and -1/2; elsewhere (1/4 + 1/4) / 2 and 0.
    assert value(drops, AT_MARK)["estimate"] == 0
    assert value(drops, ELSEWHERE)["estimate"] == 1 / 8
    gap = value(drops, DIFFERENCE)
    assert gap["estimate"] == pytest.approx(-1 / 8)
    # Student with one degree of freedom: 1/4 and -1/2 are 3/8 off their mean.
    assert gap["upper"] - gap["estimate"] == pytest.approx(12.7062 * 3 / 8, rel=1e-4)
    assert value(drops, LARGEST)["estimate"] == 1 / 2
    assert value(drops, LARGEST)["chance"] == pytest.approx(1 / 3)
    assert value(drops, AT_MARK, EARLIER)["estimate"] == 1 / 2
    assert value(drops, AT_MARK, EARLIER)["traces"] == 1


def test_without_any_success_nothing_is_shown():
    drops = value_drops([row for i in range(9) for row in trace(f"q{i}", [0, 0, 0, 0], 1)])
    gap = value(drops, DIFFERENCE)
    assert (gap["estimate"], gap["lower"], gap["upper"]) == (0.0, None, None)
    # All steps are equally deep: the marked one is as likely as chance would have it.
    largest = value(drops, LARGEST)
    assert largest["estimate"] == largest["chance"] == 1 / 4
    assert all("not shown" in sentence for sentence in value_verdicts(drops))


def test_nothing_to_continue_is_said(tmp_path, capsys) -> None:
    record = {"input": "right", "target": "3", "answer": "3", "steps": ["1: +2 13"]}
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(record | {"mistake_index": 0}) + "\n")
    asked = ["localize", "--traces", str(path), "--values", "2", "--workers", "1"]
    assert main([*asked, "--output", str(tmp_path)]) == 0
    assert "No failed trace has a wrong step" in " ".join(capsys.readouterr().out.split())
    assert main(["report", "--vector", "none", "--output", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "left out localize-values: its records hold no value around a marked step" in said


def test_a_single_step_has_no_other():
    drops = value_drops([*trace("a", [8], 0), *trace("b", [4, 0], 0), *trace("c", [8, 2], 0)])
    assert value(drops, AT_START)["traces"] == 3
    assert value(drops, AT_MARK)["traces"] == 2
    assert value(drops, LARGEST)["chance"] == 1 / 2
    assert value(drops, AT_START, EARLIER)["traces"] == 2


def test_questions_are_the_clusters():
    wins = [[8, 8, 0], [8, 4, 0]]
    alone = [r for i in range(24) for r in trace(f"q{i}", wins[i % 2], 1)]
    alike = [r for i in range(24) for r in trace(f"q{i}", wins[i % 2], 1, question=f"s{i % 4}")]
    for measure in (AT_MARK, DIFFERENCE, AT_START):
        one, few = value(value_drops(alone), measure), value(value_drops(alike), measure)
        assert one["estimate"] == pytest.approx(few["estimate"])
        assert few["upper"] - few["lower"] > 1.2 * (one["upper"] - one["lower"])
        assert few["questions"] == 4
    (sentence, _) = value_verdicts(value_drops(alone))
    assert "+0.750" in sentence
    assert ": deeper at the mark" in sentence


def test_the_difference_is_covered():
    """Nine in ten intervals at least hold the truth that binomial values are drawn from."""
    rng, truth, held = np.random.default_rng(0), np.array([0.8, 0.7, 0.3]), 0
    for _ in range(200):
        rows = [r for i in range(16) for r in trace(f"q{i}", rng.binomial(8, truth).tolist(), 1)]
        gap = value(value_drops(rows), DIFFERENCE)
        held += gap["lower"] <= 0.4 - (0.1 + 0.3) / 2 <= gap["upper"]
    assert held >= 180


def test_the_tiny_model_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["localize", "--worlds", "early", "--problems", "12", "--rollouts", "2"]
    asked += ["--values", "4", "--part", "6", "--workers", "1", "--output", str(tmp_path)]
    assert main(asked) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "own rollouts, early, mark at any step: success from the start" in text
    record = Run.existing(tmp_path, "localize")
    rows = record.read("values")
    asked_about = record.read("answers")
    wrong = [r for r in asked_about if r["failed"] and r["first_error"] is not None]
    assert [(r["trace"], r["step"]) for r in rows] == [
        (one["trace"], step) for one in wrong for step in range(one["steps"])
    ]
    drops = record.read("value_drops")
    assert value(drops, AT_MARK)["estimate"] > value(drops, ELSEWHERE)["estimate"]
    # What is kept is not drawn anew, and comes out the same.
    before = record.path("values").read_bytes()
    parts = sorted((tmp_path / "localize" / "shards" / "values").glob("*"))
    record.path("values").unlink()
    parts[0].unlink()
    kept = parts[1].stat().st_mtime_ns
    assert main(asked) == 0
    assert record.path("values").read_bytes() == before
    assert parts[1].stat().st_mtime_ns == kept
    assert main(["report", "--vector", "none", "--output", str(tmp_path)]) == 0
    assert "Whether success falls at the marked step" in (
        tmp_path / "report" / "report.md"
    ).read_text(encoding="utf-8")
    assert (tmp_path / "report" / "figures" / "localize-values.png").exists()


def test_marked_traces_that_the_tiny_model_can_write(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    record = {"input": "right", "target": "3", "answer": "16", "steps": ["1: +2 13", "2: *3 16"]}
    marks = [{"mistake_index": None}, {"mistake_index": 1}, {"mistake_index": 1, "answer": "3"}]
    lines = [record | mark for mark in marks]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = tmp_path / "settings.toml"
    settings.write_text('[writing]\nprompt = "{{question}}"\nmax_tokens = 40\n')
    asked = ["localize", "--config", str(settings), "--traces", str(path), "--values", "2"]
    assert main([*asked, "--workers", "1", "--output", str(tmp_path)]) == 0
    rows = Run.existing(tmp_path, "localize").read("values")
    assert [(row["trace"], row["step"], row["continuations"]) for row in rows] == [
        ("traces.jsonl, line 2", 0, 2),
        ("traces.jsonl, line 2", 1, 2),
    ]


def test_values_do_not_hang_on_who_is_asked() -> None:
    plain = LocalizeConfig(worlds=("short",), problems=2, rollouts=1, values=2, more=(SHORT,))
    asked = LocalizeConfig(
        worlds=("short",), localizers=("checker",), problems=2, rollouts=1, values=2, more=(SHORT,)
    )
    assert plain.value_specs() == asked.value_specs()
    assert LocalizeConfig(worlds=("early",)).value_specs() == []
    (spec,) = plain.value_specs()
    assert value_rows(spec) == value_rows(spec)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--worlds", "early", "--values", "-1"], "values = -1"),
        (
            ["--traces", PROCESS, "--values", "2"],
            "values = 2: .*does not hold the right answers that continuations are judged by; "
            "choose 0",
        ),
        (
            ["--traces", MISTAKES, "--values", "2"],
            "the model's tokenizer cannot write it; name a model",
        ),
    ],
)
def test_bad_input_is_named(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    assert main(["localize", *options, "--workers", "1", "--output", str(tmp_path)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(message, error), error
