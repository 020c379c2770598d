"""Worlds of language models in settings: what is built, refused, stored and digested."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from cpi_theory.checks import InvalidInput
from experiments.anatomy.config import AnatomyConfig
from experiments.config import load_config
from experiments.diagnose.config import DiagnoseConfig
from experiments.runs.encoding import canonical, digest
from experiments.runs.fingerprint import fingerprint
from experiments.train.config import TrainConfig
from experiments.worlds.language import DatasetWorld
from experiments.worlds.reasoning_gym import ReasoningGymWorld

SCORER = """
def score(problem, text):
    return min(text.count("e"), int(problem.answer)) / int(problem.answer)
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Questions of two files, and a scorer, where the command is started."""
    monkeypatch.chdir(tmp_path)
    for name in ("train", "test"):
        rows = [{"question": f"{name} {i}", "answer": [i + 1, i + 2]} for i in range(6)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "marks.py").write_text(SCORER)
    return tmp_path


def test_questions_may_have_several_answers_and_a_held_out_source(files):
    task = DatasetWorld("x", "train.jsonl", "test.jsonl").task()
    (problem,) = task.problems("test", 1, 0)
    assert problem.question.startswith("test")
    assert len(problem.answers) == 2
    for answer in problem.answers:
        assert task.verify(problem, f"\\boxed{{{answer}}}").reward == 1.0
    assert task.verify(problem, r"\boxed{99}").reward == 0.0


def test_a_scorer_of_ones_own_judges_and_gets_the_record_s_answer_as_json(files):
    rows = [{"question": f"How many {i}", "answer": 4, "tests": {"in": [i]}} for i in range(4)]
    (files / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    world = DatasetWorld("x", "rows.jsonl", reward="marks:score", success=0.5)
    task = world.task()
    (problem,) = task.problems("train", 1, 0)
    assert [task.verify(problem, text).reward for text in ("", "ee", "eeee")] == [0, 0.5, 1]
    fields = dataclasses.replace(world.fields, answer="tests")
    (problem,) = dataclasses.replace(world, fields=fields).task().problems("train", 1, 0)
    assert list(json.loads(problem.answer)) == ["in"]


def test_an_edited_scorer_is_used_from_the_next_world_on(files):
    (files / "rows.jsonl").write_text(
        '{"question": "a", "answer": "1"}\n{"question": "b", "answer": "1"}'
    )
    rewards, tasks = [], []
    for value in (0.25, 0.5):
        (files / "marks.py").write_text(
            f"def score(problem, text):\n    return {value}  # {value:.9f}"
        )
        tasks.append(DatasetWorld("x", "rows.jsonl", reward="marks:score").task())
        (problem,) = tasks[0].problems("train", 1, 0)
        rewards.append([task.verify(problem, "text").reward for task in tasks])
    assert rewards == [[0.25], [0.25, 0.5]]


def test_all_files_behind_a_world_are_digested_the_scorer_included(files):
    world = DatasetWorld("x", "train.jsonl", "test.jsonl", reward="marks:score")
    first = fingerprint(world)
    assert set(first) == {"train.jsonl", "test.jsonl", "marks:score"}
    for name in ("train.jsonl", "test.jsonl", "marks.py"):
        content = (files / name).read_text()
        (files / name).write_text(content + "\n")
        assert fingerprint(world) != first
        (files / name).write_text(content)
    assert fingerprint(world) == first


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"reward": "marks"}, "names no function"),
        ({"reward": "none:score"}, "no module none"),
        ({"reward": "marks:nothing"}, "marks has no nothing; choose one of"),
        ({"reward": "marks:score", "fields": {"kind": "kind"}}, "a reward is set too"),
        ({"reward_seconds": 0}, "positive"),
        ({"success": 1.5}, "success"),
        ({"fields": {"default_kind": "scored"}}, "nothing scores the answers"),
    ],
)
def test_bad_scorers_are_refused_before_anything_is_sampled(files, settings, problem):
    fields = dataclasses.replace(DatasetWorld("x", "y").fields, **settings.pop("fields", {}))
    with pytest.raises(InvalidInput, match=problem) as caught:
        DatasetWorld("x", "train.jsonl", fields=fields, **settings).task()
    assert caught.value.remedy


def test_older_settings_of_questions_keep_their_digests():
    """Fields that came later are stored where they are not their default."""
    stored = json.loads(canonical(DatasetWorld("x", "y")))
    assert not {"reward", "reward_seconds", "success"} & stored.keys()
    assert json.loads(canonical(DatasetWorld("x", "y", reward="a:b")))["reward"] == "a:b"
    assert digest(DatasetWorld("x", "y", success=0.5)) != digest(DatasetWorld("x", "y"))


SHARED = """
[model]
path = "tiny"

[[more]]
type = "ReasoningGymWorld"
name = "chains"
task_name = "chain_sum"
parameters = { min_terms = 2, max_terms = 2 }
success = 0.5
"""


def test_one_world_table_and_one_model_table_for_all_commands(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(SHARED)
    train = load_config(TrainConfig, file)
    anatomy = load_config(AnatomyConfig, file)
    diagnose = load_config(DiagnoseConfig, file)
    expected = ReasoningGymWorld(
        "chains", "chain_sum", parameters={"min_terms": 2, "max_terms": 2}, success=0.5
    )
    assert train.more == anatomy.more == diagnose.more == (expected,)
    assert train.model == anatomy.model == diagnose.model
    assert dataclasses.replace(train, worlds=("chains",)).specs()[0].world == expected
    assert dataclasses.replace(anatomy, worlds=("chains",)).specs()[0].world == expected
    assert dataclasses.replace(diagnose, world="chains").language_world() == expected


@pytest.mark.parametrize("cls", [TrainConfig, AnatomyConfig, DiagnoseConfig])
def test_a_model_may_be_given_by_its_path_alone(tmp_path, cls):
    file = tmp_path / "mine.toml"
    file.write_text('model = "tiny"\n')
    short = load_config(cls, file)
    file.write_text('model = { path = "tiny" }\n')
    assert short == load_config(cls, file)
    assert os.fspath(short.model.path) == "tiny"
