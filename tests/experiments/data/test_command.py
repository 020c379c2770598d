"""``cpi-resets data`` lists, shows and prepares; its settings work as they are printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.config import load_config
from experiments.train.config import TrainConfig
from llm.data.recipes.catalogue import CATALOGUE
from tests.llm.data.sources import ROWS, TWO_SPLITS
from tests.llm.data.test_recipes import carried, jsonl

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
DOCUMENTED = re.findall(r"^    cpi-resets (data .*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", DOCUMENTED)
def test_the_documented_commands_run(command, tmp_path, monkeypatch):
    if command.endswith("champ"):
        carried("champ")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 0


def test_the_documentation_names_every_recipe_and_a_world_that_loads(tmp_path):
    assert len(DOCUMENTED) == 3
    named = set(re.findall(r"`([a-z_0-9*]+)`", PAGE))
    names = {"sciknoweval_*" if name.startswith("sciknoweval_") else name for name in CATALOGUE}
    assert names <= named
    (table,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "x.toml").write_text(table)
    (world,) = load_config(TrainConfig, tmp_path / "x.toml").more
    assert world.scoring == "all passed"


def test_list_names_every_recipe(capsys):
    assert main(["data", "list"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == list(CATALOGUE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "gsm8k"], "name = 'gsm8k': list shows every benchmark; leave it out, or see"),
        (["list", "--to", "x"], "to = x: list prepares nothing; leave --to out, or use"),
        (["show", "gsm8k", "--from", "x"], "from = x: show prepares nothing; leave --from out"),
        (["show", "gsm8k", "--revision", "1"], "revision = '1': show prepares nothing"),
    ],
)
def test_what_an_action_does_not_use_is_refused(words, message, capsys):
    assert main(["data", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_show_says_source_licence_split_and_rules(name, capsys):
    assert main(["data", "show", name]) == 0
    said = capsys.readouterr().out
    recipe = CATALOGUE[name]
    for part in (recipe.source.describe(), recipe.licence.name, "split: ", *recipe.needs):
        assert part in said
    for rule in (*recipe.filters, *recipe.answers):
        assert f"filter {rule.name}: {rule.about}" in said


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_what_show_says_stands_in_rows_for_machines(name, capsys):
    assert main(["data", "show", name]) == 0
    said = capsys.readouterr().out
    assert main(["data", "show", name, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    (about,) = data["benchmark"]
    for field in ("name", "about", "source", "licence", "note"):
        assert about[field] in said
    assert about["redistribute"] == ("must not be passed on" not in said)
    assert f"columns: {', '.join(row['name'] for row in data['columns'])}\n" in said
    (split,) = re.findall("split: (.*)", said)[-1:]
    for row in data["splits"]:
        assert row["split"] in split
        assert row["most"] is None or str(row["most"]) in split
    assert len(data["splits"]) == split.count(",") + 1
    assert [f"filter {row['name']}: {row['about']}" for row in data["filters"]] == [
        line for line in said.splitlines() if line.startswith("filter ")
    ]


def test_the_splits_of_gsm8k_are_those_of_its_source(capsys):
    assert main(["data", "show", "gsm8k", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["splits"] == [
        {"split": "train", "of": "train", "most": None, "seed": 42},
        {"split": "test", "of": "test", "most": None, "seed": 42},
    ]


def settings(said):
    """The settings that a command printed."""
    _, _, table = said.partition("use it, in a settings file:\n")
    return "\n".join(line.strip() for line in table.splitlines())


@pytest.mark.parametrize("name", ["gsm8k", "hmmt_nov_2025"])
def test_prepare_from_an_export(tmp_path, capsys, name):
    source = tmp_path / "export"
    splits = TWO_SPLITS.get(name) or {"train": ROWS[name]}
    for split, rows in splits.items():
        jsonl(source / f"{split}.jsonl", rows)
    asked = ["data", "prepare", name, "--from", str(source), "--output", str(tmp_path)]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "test: 1 problem, test.parquet\nuse it" in said
    file = tmp_path / "settings.toml"
    file.write_text(settings(said))
    (world,) = load_config(TrainConfig, file).more
    assert len(world.task().problems("test", 1, 0)) == 1


def test_what_is_left_out_is_told(tmp_path, capsys):
    row = ROWS["hmmt_nov_2025"][0]
    odd = {**row, "problem_idx": 2, "problem": "Which?", "answer": "5++"}
    source = jsonl(tmp_path / "x.jsonl", [row, odd, {**row, "problem_idx": 3}])
    to = tmp_path / "here"
    assert main(["data", "prepare", "hmmt_nov_2025", "--from", str(source), "--to", str(to)]) == 0
    said = capsys.readouterr().out
    assert "left out, hmmt-nov-2025-2: cannot be read as mathematics" in said
    assert "dropped, question came before: 1" in said
    assert (to / "manifest.json").exists()
    asked = ["data", "prepare", "hmmt_nov_2025", "--from", str(source), "--to", str(to), "--json"]
    assert main(asked) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["splits"] == [{"split": "test", "rows": 1, "file": "test.parquet"}]
    assert [row["name"] for row in data["unreadable"]] == ["hmmt-nov-2025-2"]
    assert data["repeated"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "no benchmark is named"),
        (["prepare", "gpq"], "did you mean 'gpqa'?"),
        (["show", "nothing like it"], "see cpi-resets data list"),
        (["prepare", "gsm8k", "--from", "nowhere"], "no such file or folder"),
        (["prepare", "gsm8k", "--similarity", "2"], "similarity = 2"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert main(["data", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    source = jsonl(tmp_path / "x.jsonl", ROWS["hmmt_nov_2025"])
    taken = tmp_path / "taken"
    taken.write_text("a file")
    asked = ["data", "prepare", "hmmt_nov_2025", "--from", str(source), "--to", str(taken)]
    assert main(asked) == 2
    assert str(taken) in capsys.readouterr().err
    assert taken.read_text() == "a file"
