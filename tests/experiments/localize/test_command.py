"""From the command line to the sentences: marked files, and rollouts of the tiny model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments.cli import main
from experiments.localize.config import LocalizeConfig
from experiments.localize.samples import Judged, Reader, answer_row, trace_rows
from experiments.localize.spec import MarkedTraces
from experiments.runs.store import Run
from experiments.worlds.language import ArithmeticWorld
from experiments.worlds.named_localizers import LOCALIZERS, NamedLocalizer
from experiments.worlds.writing import AskEndpoint, Unsure, Writing
from llm.data.marked_traces import read_marked
from llm.localizers.self_localizer import Disclosure
from llm.tasks.dataset import DatasetTask
from llm.text.boundaries import Line
from tests.llm.canned import CannedSampler, byte_vocabulary

DATA = Path(__file__).parents[2] / "llm" / "data"
MISTAKES, PROCESS = str(DATA / "mistakes.jsonl"), str(DATA / "process.jsonl")
SHORT = ArithmeticWorld("short", horizon=4, hard_steps=2)
WORLD = """
[[more]]
type = "ArithmeticWorld"
name = "short"
horizon = 4
hard_steps = 2
"""


def test_files_by_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["localize", "--traces", MISTAKES, PROCESS, "--part", "2", "--workers", "1"]
    assert main([*asked, "--output", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "BIG-Bench Mistake, mistakes: 3 traces, 2 with a wrong step" in text
    assert "ProcessBench, process: 2 traces, 1 with a wrong step" in text
    record = Run.existing(tmp_path, "localize")
    assert [row["first_error"] for row in record.read("answers")] == [None, 1, 0, None, 1]
    assert main(["report", "--vector", "none", "--output", str(tmp_path)]) == 0
    assert "Who finds first errors" in (tmp_path / "report" / "report.md").read_text()


def test_rollouts_of_the_tiny_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = tmp_path / "world.toml"
    world.write_text(WORLD)
    asked = ["localize", "--config", str(world), "--worlds", "short", "--problems", "16"]
    asked += ["--localizers", "self", "checker", "blurred", "unsure", "--rollouts", "2"]
    asked += ["--part", "8", "--workers", "1", "--output", str(tmp_path)]
    assert main(asked) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "own rollouts, short: self, exact of" in text
    record = Run.existing(tmp_path, "localize")
    exact = {r["localizer"]: r for r in record.read("scores") if r["measure"] == "exact"}
    f1 = {r["localizer"]: r["estimate"] for r in record.read("scores") if r["measure"] == "f1"}
    assert exact["checker"]["estimate"] == f1["checker"] == 1.0
    assert exact["blurred"]["estimate"] < exact["checker"]["estimate"]
    assert exact["always none"]["estimate"] == 0.0
    assert exact["self"]["estimate"] > exact["uniform step"]["estimate"]
    # The parts are kept, and nothing is asked anew.
    before = (tmp_path / "localize" / "answers.jsonl").read_bytes()
    parts = sorted((tmp_path / "localize" / "shards" / "answers").glob("*"))
    assert len(parts) == 2
    (tmp_path / "localize" / "answers.jsonl").unlink()
    parts[0].unlink()
    kept = parts[1].stat().st_mtime_ns
    assert main(asked) == 0
    assert (tmp_path / "localize" / "answers.jsonl").read_bytes() == before
    assert parts[1].stat().st_mtime_ns == kept


def test_an_answer_hangs_on_its_trace_alone() -> None:
    config = LocalizeConfig(
        worlds=("short",), localizers=("blurred",), problems=6, rollouts=2, more=(SHORT,)
    )
    (whole,) = config.specs()
    parts = dataclasses.replace(config, part=4).specs()
    assert trace_rows(whole) == [row for part in parts for row in trace_rows(part)]


def test_a_part_of_a_file_is_drawn_by_the_seed() -> None:
    def drawn(seed: int) -> list[object]:
        (spec,) = LocalizeConfig(traces=(MISTAKES,), most=2, seed=seed).specs()
        return [row["trace"] for row in trace_rows(spec)]

    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(8)}) > 1


def asked_of_a_model(name: str | NamedLocalizer, reply: str) -> tuple[list[str], list[object]]:
    """What a model with canned replies is shown of the marked file, and what it says."""
    one = LOCALIZERS[name] if isinstance(name, str) else name
    bytes_, source = byte_vocabulary(), MarkedTraces(MISTAKES, Writing(localization_tokens=64))
    sampler, traces = CannedSampler(bytes_, lambda *_: reply), read_marked(MISTAKES).traces
    task = DatasetTask(tuple(trace.problem for trace in traces))
    reader = Reader(source, task, None, bytes_, sampler)
    judged = [
        Judged(
            "d", "t", t.id, t.problem.id, len(t.steps), t.first_error, t.failed, reader.rollout(t)
        )
        for t in traces
    ]
    told = one.presumes_failure(source.writing)
    located = reader.ask(one, judged, Key.of(0).integers(3), told)
    answers = [answer_row(answer, told) for answer in located]
    return sampler.prompts, [a["reason"] if a["step"] is None else a["step"] for a in answers]


def test_models_are_shown_what_is_true_of_a_trace() -> None:
    for name in ("self-not-told", "self-answer-given"):
        prompts, answers = asked_of_a_model(name, r"so \boxed{0}")
        assert answers == ["no error found"] * 3
        assert "Step 2: 5 - 7 = 12." in prompts[1]
        assert ("Correct answer: -2" in prompts[1]) == (name == "self-answer-given")
    for name in ("self", "self-told-wrong", "self-answer-shown"):
        prompts, answers = asked_of_a_model(name, r"so \boxed{2}")
        assert answers == ["not failed", 1, "not failed"]
        assert len(prompts) == 1
    prompts, answers = asked_of_a_model("majority", r"\boxed{9}")
    assert (len(prompts), answers) == (15, ["out of range"] * 3)
    mine = NamedLocalizer("mine", disclosure=Disclosure.NOT_TOLD, prompt="{{question}} {{steps}} ?")
    prompts, _ = asked_of_a_model(mine, "none")
    assert prompts[0].startswith("What is (2 + 3) * 4 - 6? Step 1: 2 + 3 = 5.")


def test_probabilities_of_marked_steps(tmp_path: Path) -> None:
    """The tiny model's words: nothing that it can write is refused."""
    path = tmp_path / "traces.jsonl"
    path.write_text(
        '{"problem": "right", "steps": ["1: +2 13", "2: *3 16"], "label": -1}\n'
        '{"problem": "wrong", "steps": ["1: +2 13"], "label": 0}\n'
    )
    writing = Writing(prompt="{{question}}")
    for probability, expected in ((1.0, [0, 0]), (1e-9, [None, None])):
        sure = NamedLocalizer("sure", Unsure(probability))
        (spec,) = LocalizeConfig(
            traces=(str(path),), localizers=("sure",), more_localizers=(sure,), writing=writing
        ).specs()
        assert [row["said"]["sure"]["step"] for row in trace_rows(spec)] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "traces = (): nothing is looked at; name files of marked traces"),
        (["--traces", "nowhere.jsonl"], "traces = nowhere.jsonl: no such file"),
        (["--worlds", "nowhere"], "worlds[0] = 'nowhere'"),
        (["--traces", MISTAKES, "--localizers", "oracle"], "localizers[0] = 'oracle': unknown"),
        (
            ["--traces", MISTAKES, "--localizers", "checker"],
            "localizers = 'checker': .* holds traces, and no checker of steps; leave it out",
        ),
        (
            ["--traces", MISTAKES, "--localizers", "blurred"],
            "localizers = 'blurred': .* no checker of steps",
        ),
        (
            ["--traces", PROCESS, "--localizers", "self-answer-given"],
            "'self-answer-given': shows the right answer, which .* does not hold",
        ),
        (
            ["--traces", MISTAKES, "--localizers", "self-not-told"],
            "step 1 = '2 .*: the model's tokenizer cannot write it; name a model",
        ),
        (
            ["--worlds", "natural", "--localizers", "self-not-told"],
            "'self-not-told': the world asks for first errors in words that its model was taught",
        ),
    ],
)
def test_bad_input_is_named(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    code = main(["localize", *options, "--workers", "1", "--output", str(tmp_path)])
    error = " ".join(capsys.readouterr().err.split())
    assert code == 2
    pattern = message if ".*" in message else re.escape(message)
    assert re.search(pattern, error), error


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no file of traces"):
        LocalizeConfig(traces=(str(tmp_path),)).specs()
    with pytest.raises(InvalidInput, match=r"traces = .*: is given twice; name each file once"):
        LocalizeConfig(traces=(MISTAKES, MISTAKES)).specs()
    with pytest.raises(InvalidInput, match="cannot be put behind marked steps"):
        LocalizeConfig(traces=(MISTAKES,), writing=Writing(boundary=Line())).specs()
    path = tmp_path / "unknown.jsonl"
    path.write_text('{"problem": "?", "steps": ["a"], "label": 0}\n')
    with pytest.raises(InvalidInput, match="does not say which are; choose self-not-told"):
        LocalizeConfig(traces=(str(path),), localizers=("self-told-wrong",)).specs()
    with pytest.raises(InvalidInput, match="the name of another one"):
        LocalizeConfig(more_localizers=(NamedLocalizer("self"),))
    with pytest.raises(InvalidInput, match="missing beside a prompt"):
        NamedLocalizer("mine", prompt="{{question}} {{steps}}")


def test_who_is_told_of_a_failure() -> None:
    writing = Writing()
    told = {name for name, one in LOCALIZERS.items() if one.presumes_failure(writing)}
    assert told == {"self", "self-told-wrong", "self-answer-shown"}
    assert not LOCALIZERS["self"].presumes_failure(None)
    endpoint = NamedLocalizer("e", AskEndpoint("http://localhost", "m"))
    assert endpoint.presumes_failure(None)
