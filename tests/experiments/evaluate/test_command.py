"""Evaluations from the command line to the sentences, with the tiny model."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.evaluate import command
from experiments.evaluate.config import EvaluateConfig, models_of
from experiments.evaluate.report import token_verdicts
from experiments.evaluate.samples import attempt_rows
from experiments.evaluate.spec import Attempts, EvaluatedModel, EvaluateSpec
from experiments.exit_codes import INTERRUPTED
from experiments.runs.store import Run
from experiments.worlds.language import ArithmeticWorld
from llm.models.settings import TINY_FOLDER, TINY_NAME, ModelSettings
from paper_figs.rows import select
from tests.llm.data.sources import ROWS
from tests.llm.data.test_recipes import jsonl

SHORT = ArithmeticWorld("short", horizon=4, hard_steps=2)
WORLD = """
[[more]]
type = "ArithmeticWorld"
name = "short"
horizon = 4
hard_steps = 2
"""


def rows(first: int = 0, count: int = 9, **attempts: object) -> list[dict[str, object]]:
    tiny = EvaluatedModel("tiny", ModelSettings(TINY_NAME), 3)
    how = Attempts(**({"samples": 2} | attempts))  # type: ignore[arg-type]
    return attempt_rows(EvaluateSpec(SHORT, tiny, how, 9, first, count, seed=0))


def test_an_attempt_hangs_on_its_model_problem_and_number_alone() -> None:
    whole = rows()
    parts = [*rows(0, 4), *rows(4, 5)]

    def by_name(some: list[dict[str, object]]) -> dict[object, object]:
        return {(r["problem"], r["kind"], r["attempt"]): r for r in some}

    assert len(whole) == 9 * 3
    assert by_name(whole) == by_name(parts)
    more = by_name(rows(samples=4))
    assert all(more[name] == row for name, row in by_name(whole).items())


def test_rows_say_what_became_of_an_attempt() -> None:
    found = rows()
    assert {row["kind"] for row in found} == {"sampled", "greedy"}
    for row in found:
        assert row["right"] == (row["reward"] == 1.0)
        assert row["tokens"] > 0  # type: ignore[operator]
        assert (row["ending"] == "answered") or not row["right"]
    assert any(row["right"] for row in found)


def test_a_trained_run_is_evaluated_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tmp_path / "world.toml"
    world.write_text(WORLD)
    trained = ["train", "--config", str(world), "--worlds", "short", "--seeds", "2"]
    trained += ["--methods", "GRPO", "SRPO", "--budget.prompts", "2", "--budget.updates", "2"]
    trained += ["--budget.every", "2", "--budget.held-out", "8", "--workers", "1"]
    assert main([*trained, "--output", str(tmp_path)]) == 0
    run = str(tmp_path / "train")
    asked = ["evaluate", "--config", str(world), "--benchmarks", "short", "natural"]
    asked += ["--trained", run, "--problems", "6", "--attempts.samples", "2", "--workers", "1"]
    capsys.readouterr()
    assert main([*asked, "--output", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "short, mean of the samples: SRPO - GRPO" in text
    assert "(2 seeds x 6 problems" in text
    assert "GRPO, sampled: interquartile mean" in text
    record = Run.existing(tmp_path, "evaluate")
    models = record.read("models")
    assert {(r["method"], r["seed"]) for r in models} == {
        ("start", None),
        *((method, seed) for method in ("GRPO", "SRPO") for seed in (0, 1)),
    }
    for row in models:
        for measure in ("sampled", "greedy", "majority", "pass@1"):
            assert 0 <= row[f"{measure}_lower"] <= row[measure] <= row[f"{measure}_upper"] <= 1
    (srpo,) = select(
        record.read("methods"), benchmark="short", method="SRPO", measure="sampled", seeds=2
    )
    assert "sampled (pass@1) {estimate:.3f} [{lower:.3f}, {upper:.3f}]".format(**srpo) in text
    assert " pass@1 " not in text  # the mean of the samples again
    assert len(record.read("attempts")) == 2 * 5 * 6 * 3
    # Again: nothing is attempted anew.
    before = (tmp_path / "evaluate" / "attempts.jsonl").read_bytes()
    assert main([*asked, "--output", str(tmp_path)]) == 0
    assert (tmp_path / "evaluate" / "attempts.jsonl").read_bytes() == before
    assert main(["report", "--vector", "none", "--output", str(tmp_path)]) == 0
    report = (tmp_path / "report" / "report.md").read_text()
    assert "Evaluation on held-out problems" in report
    assert (
        f"| {srpo['estimate']:.3g} | {srpo['lower']:.3g} | {srpo['upper']:.3g} | 2 | 6 |" in report
    )
    (one,) = select(models, benchmark="short", method="SRPO", seed=0)
    assert f"{one['greedy']:.3f} [{one['greedy_lower']:.3f}, {one['greedy_upper']:.3f}]" in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trained", "nowhere"], "trained = 'nowhere': holds no run"),
        (["--attempts.ks", "5"], "attempts.ks = 5"),
        (["--attempts.samples", "0", "--attempts.no-greedy"], "nothing is attempted"),
        (["--problems", "1"], "problems = 1"),
        (["--benchmarks", "natrual"], "natural"),
    ],
)
def test_bad_input_is_named(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *options, "--output", str(tmp_path)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_training_without_its_model_is_named(tmp_path: Path) -> None:
    config = {
        "type": "TrainConfig",
        "worlds": ["short"],
        "model": {"path": "tiny", "device": "cpu"},
    }
    folder = tmp_path / "train"
    (folder / "models" / "short-SRPO-0").mkdir(parents=True)
    about = {"format": 1, "config": config, "seed": 0, "environments": []}
    (folder / "run.json").write_text(json.dumps(about))
    spec = {"world": {"name": "short"}, "method": {"name": "SRPO"}, "seed": 0}
    (folder / "models" / "short-SRPO-0" / "made-by.json").write_text(json.dumps({"spec": spec}))
    with pytest.raises(InvalidInput, match=r"short-SRPO-0.*has no last model"):
        models_of(folder, "last")


def write_questions(path: Path, *texts: str) -> None:
    lines = [json.dumps({"question": text, "answer": "1"}) for text in texts]
    path.write_text("".join(line + "\n" for line in lines))


def test_problems_that_were_nearly_learned_from_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    long = "A train leaves Bern at noon with ten people on board, and stops on its way down the "
    long += "valley, where three of them get off and two others get on: how many arrive in {}?"
    write_questions(tmp_path / "learned.jsonl", long.format("Thun"), "What is 1 + 1?")
    write_questions(tmp_path / "near.jsonl", long.format("Spiez"), "What is 1 + 2?")
    write_questions(tmp_path / "far.jsonl", "Which letter is first?", "What is 1 + 2?")
    tables = [
        f'[[more]]\ntype = "DatasetWorld"\nname = "{name}"\nsource = "learned.jsonl"\n'
        f'test_source = "{name}.jsonl"\n'
        for name in ("near", "far")
    ]
    (tmp_path / "worlds.toml").write_text("\n".join(tables))
    asked = ["evaluate", "--config", "worlds.toml", "--problems", "2", "--workers", "1"]
    assert main([*asked, "--benchmarks", "near"]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "1 of 2 are among the training problems or nearly so" in message
    assert not (tmp_path / "results").exists()
    few = ["--attempts.samples", "1", "--attempts.no-greedy", "--output", str(tmp_path / "out")]
    assert main([*asked, "--benchmarks", "far", *few]) == 0


def test_an_evaluation_that_was_stopped_half_way_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "world.toml").write_text(WORLD)
    asked = ["evaluate", "--config", str(tmp_path / "world.toml"), "--benchmarks", "short"]
    asked += ["--problems", "6", "--part", "2", "--attempts.samples", "1", "--workers", "1"]
    parts: list[int] = []

    def stopped(spec: EvaluateSpec) -> list[dict[str, object]]:
        parts.append(spec.first)
        if len(parts) == 2:
            raise KeyboardInterrupt
        return attempt_rows(spec)

    monkeypatch.setattr(command, "attempt_rows", functools.wraps(attempt_rows)(stopped))
    assert main([*asked, "--output", str(tmp_path / "cut")]) == INTERRUPTED
    assert "run the same command again to continue" in " ".join(capsys.readouterr().err.split())
    assert not Run.existing(tmp_path / "cut", "evaluate").has("attempts")
    assert main([*asked, "--output", str(tmp_path / "cut")]) == 0
    assert parts == [0, 2, 2, 4]
    monkeypatch.undo()
    assert main([*asked, "--output", str(tmp_path / "whole")]) == 0
    whole, cut = (tmp_path / name / "evaluate" for name in ("whole", "cut"))
    for table in Run.existing(tmp_path / "whole", "evaluate").tables():
        assert (cut / f"{table}.jsonl").read_bytes() == (whole / f"{table}.jsonl").read_bytes()


def test_models_with_different_tokenizers_are_compared_by_answers_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(TINY_FOLDER, other)
    whole = json.loads((other / "tokenizer.json").read_text())
    words = whole["model"]["vocab"]
    words["right"], words["wrong"] = words["wrong"], words["right"]
    (other / "tokenizer.json").write_text(json.dumps(whole))
    models = [("one", "tiny", 0), ("one", "tiny", 1), ("two", str(other), 0)]
    tables = [
        f'[[models]]\nmethod = "{m}"\nseed = {s}\nmodel = "{path}"\n' for m, path, s in models
    ]
    (tmp_path / "two.toml").write_text(WORLD + "".join(tables))
    asked = ["evaluate", "--config", str(tmp_path / "two.toml"), "--benchmarks", "short"]
    asked += ["--problems", "2", "--attempts.samples", "1", "--attempts.no-greedy"]
    asked += ["--workers", "1", "--output", str(tmp_path)]
    assert main(asked) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The tokenizers of one / two are different ones" in said
    assert "two - one" in said
    rows = Run.existing(tmp_path, "evaluate").read("models")
    assert token_verdicts(rows[:2]) == token_verdicts([]) == ()
    assert token_verdicts([row | {"tokenizer": None} for row in rows]) == ()


def test_texts_that_must_not_be_passed_on_are_kept_from_repositories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [ROWS["gpqa"][0] | {"Record ID": f"r{i}", "Question": f"Which, {i}?"} for i in range(3)]
    source = str(jsonl(tmp_path / "gpqa.jsonl", rows))
    assert main(["data", "prepare", "gpqa", "--from", source, "--to", "gpqa"]) == 0
    (tmp_path / "w.toml").write_text(
        '[[more]]\ntype = "DatasetWorld"\nname = "gpqa"\nsource = "gpqa/test.parquet"\n'
        'test_share = 1.0\nfields = { id = "id", kind = "kind", answer = "answers" }\n'
        "max_tokens = 8\n"
    )
    asked = ["evaluate", "--config", "w.toml", "--benchmarks", "gpqa", "--problems", "2"]
    asked += ["--attempts.samples", "1", "--attempts.no-greedy", "--workers", "1"]
    assert main([*asked, "--name", "without"]) == 0
    assert not Path("results/without/.gitignore").exists()
    assert main([*asked, "--name", "with", "--texts"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The records hold the texts of gpqa, which must not be passed on" in said
    assert Path("results/with/.gitignore").read_text() == "*\n"
    assert "Which, " in Path("results/with/attempts.jsonl").read_text()
    assert main(["export", "results/with", "--format", "verifiers", "--to", "traces"]) == 0
    assert Path("traces/.gitignore").read_text() == "*\n"
    # Again, and with other settings under the same name: it is a run like any other.
    assert main([*asked, "--name", "with", "--texts"]) == 0
    assert main([*asked, "--name", "with", "--texts", "--seed", "1"]) == 2


def test_two_models_of_one_name_are_refused() -> None:
    one = EvaluatedModel("SRPO", ModelSettings(TINY_NAME), 0)
    with pytest.raises(InvalidInput, match="comes twice"):
        EvaluateConfig(models=(one, one))
    other = EvaluatedModel("model", ModelSettings("another"))
    with pytest.raises(InvalidInput, match="comes twice"):
        EvaluateConfig(models=(other,), model=ModelSettings(TINY_NAME)).evaluated()
