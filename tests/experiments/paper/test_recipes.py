"""The paper's settings files: made by one command, whole, and run for two updates each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.config import load_config
from experiments.paper import differences as found
from experiments.paper.__main__ import FOLDER, files
from experiments.paper.recipes import PARTS, recipes
from experiments.paper.toml import as_toml
from experiments.train.command import check_tasks
from experiments.train.config import TrainConfig
from experiments.train.spec import TrainBudget
from experiments.train.training import Training
from experiments.worlds.code import CodeWorld
from experiments.worlds.language import DatasetWorld
from experiments.worlds.writing import Unsure, Writing
from llm.models.settings import TINY_NAME, LoraSettings, ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.text.boundaries import Line
from tests.llm.data.sources import livecodebench, numinamath
from tests.llm.data.test_recipes import jsonl
from tests.llm.rewards.sandbox.sandboxed import needs_sandbox

RECIPES = {recipe.name: recipe for recipe in recipes()}
OLYMPIADS = {r.part: r for r in RECIPES.values() if r.name.startswith("olmo3-7b-olympiads")}
LCB = {r.part: r for r in RECIPES.values() if r.name.startswith("olmo3-7b-lcb")}


def test_files_and_page_are_what_the_command_makes():
    for path, text in files().items():
        assert path.read_text() == text, "run python -m experiments.paper"
    assert {path.stem for path in FOLDER.glob("*")} == RECIPES.keys()


def test_every_file_is_read_as_its_recipe():
    for name, recipe in RECIPES.items():
        assert load_config(TrainConfig, FOLDER / f"{name}.toml") == recipe.config


def test_text_of_settings_is_read_back(tmp_path):
    config = TrainConfig(
        name='a "quoted" name',
        seeds_by_world={"sparse": 3},
        checkpoint_every=0,
        more=(DatasetWorld("mine", "q.jsonl", writing=Writing(Line(), prompt="Ö\n{{question}}")),),
    )
    file = tmp_path / "x.toml"
    file.write_text(as_toml(config))
    assert load_config(TrainConfig, file) == config
    assert as_toml(TrainConfig()) == "\n"


# --- what they say ----------------------------------------------


def test_the_matched_files_differ_in_what_they_say_alone():
    ours, bare = OLYMPIADS["equal"].config, {"name": "x"}
    for part, changes in {
        "equal-unclipped": {"loss": OLYMPIADS["equal-unclipped"].config.loss},
        "equal-low-rate": {"optimizer": replace(ours.optimizer, rate=1e-6)},
        "layouts": {
            k: getattr(OLYMPIADS["layouts"].config, k) for k in ("methods", "more_methods")
        },
    }.items():
        assert replace(ours, **bare, **changes) == replace(OLYMPIADS[part].config, **bare)
    for part in PARTS:
        for spec in OLYMPIADS[part].config.specs():
            if part != "equal-tokens":
                assert spec.method.algorithm.rows_per_prompt == 8


@pytest.mark.parametrize("problems", [OLYMPIADS, LCB], ids=["olympiads", "lcb"])
def test_each_difference_to_our_rules_has_a_reason(problems):
    assert set(found.OURS) == {part for part in PARTS if part.startswith("published")}
    table = {d.setting for d in found.differences(problems)}
    assert {"loss.kind", "method.parent", "world.writing.boundary"} <= table
    assert ("world.scoring" in table) == (problems is LCB)


def test_a_difference_without_a_reason_is_refused():
    recipe = OLYMPIADS["published-grpo"]
    other = replace(recipe.config, optimizer=replace(recipe.config.optimizer, rate=1e-3))
    with pytest.raises(InvalidInput, match=r"optimizer\.rate"):
        found.differences({**OLYMPIADS, "published-grpo": replace(recipe, config=other)})


# --- whether they run -------------------------------------------


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with prepared problems where the files look for them."""
    folder = tmp_path_factory.mktemp("workplace")
    rows = {
        "numinamath_olympiads": [numinamath(i, i) for i in range(1, 560)],
        "livecodebench_medium": [livecodebench(i) for i in range(1, 240)],
    }
    for name, records in rows.items():
        source = jsonl(folder / f"{name}.jsonl", records)
        to = folder / "results" / "data" / name
        assert main(["data", "prepare", name, "--from", str(source), "--to", str(to)]) == 0
    return folder


@needs_sandbox
def test_every_file_finds_its_prepared_problems(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    ready = set()
    for recipe in RECIPES.values():
        key = as_toml(replace(recipe.config, name="x", model=ModelSettings("x"), seeds=1))
        if key not in ready:  # the same for both models
            check_tasks(recipe.config)
            ready.add(key)


def test_without_prepared_problems_the_message_names_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for problems, name in ((OLYMPIADS, "numinamath_olympiads"), (LCB, "livecodebench_medium")):
        file = FOLDER / f"{problems['equal'].name}.toml"
        assert main(["train", "--config", str(file)]) == 2
        assert f"results/data/{name}" in capsys.readouterr().err


@pytest.fixture(scope="module")
def sums(tmp_path_factory):
    """The tiny model's own problems, as the recipes read prepared ones."""
    task, folder = ArithmeticTask(horizon=4), tmp_path_factory.mktemp("sums")
    for split, count in (("train", 9), ("test", 4)):
        problems = task.problems(split, count, 1)
        rows = [
            {"id": p.id, "question": task.prompt(p), "kind": "math", "answers": [p.answer]}
            for p in problems
        ]
        jsonl(folder / f"{split}.jsonl", rows)
    return folder


def scaled(spec, folder):
    """The same run at a size that the tiny model manages in a moment: nothing else is replaced.

    Programs are beyond it, so all recipes work on sums; unsure thoughts stand for named ones, as it
    was not taught to read its solutions in English.
    """
    writing = replace(
        spec.world.writing,
        answer=Writing().answer,
        prompt="{{question}}",
        localizer=Unsure(0.9),
        max_thoughts=6,
        max_tokens=48,
        thought_tokens=12,
        chat=False,
    )
    fields = RECIPES["olmo3-7b-olympiads-equal"].config.more[0].fields
    world = DatasetWorld(
        "sums", str(folder / "train.jsonl"), str(folder / "test.jsonl"), fields=fields
    )
    return replace(
        spec,
        world=replace(world, writing=writing),
        model=ModelSettings(TINY_NAME, lora=LoraSettings(4, 4)),
        optimizer=replace(spec.optimizer, micro_batch=64),
        budget=replace(spec.budget, prompts=4, updates=2, every=2, held_out=4),
        sampler=SamplerSettings(),
        engine="lean",
    )


def test_two_updates_of_every_file(sums):
    done = {}
    for recipe in RECIPES.values():
        for spec in recipe.config.specs():
            small = scaled(spec, sums)
            if spec.seed == 0 and repr(small) not in done:  # the same for both models
                done[repr(small)] = (recipe.part, spec.method, two_updates(small))
    assert {part for part, _, _ in done.values()} == PARTS.keys()
    for part, method, (seen, collections, losses) in done.values():
        resets = sum(g.parent is not None for c in collections for g in c)
        masked = not getattr(method.algorithm, "train_prefix", False)
        assert (resets > 0) == ("RPO" in method.name and "GRPO" not in method.name and masked), part
        assert len(set(seen)) == 8, "an epoch brings each problem once"
        assert any(losses), (part, method.name)


def two_updates(spec):
    """Problems, collections, and losses of a run's updates."""
    training = Training(spec)
    before = [p.detach().clone() for p in training.trainer._parameters]
    seen, collections, losses = [], [], []
    for update in (1, 2):
        seen += [p.id for p in training.begin(update)]
        collections.append(training.advance())
        losses.append(training.losses["gradient_norm"])
    after = training.trainer._parameters
    assert any((a != b).any() for a, b in zip(after, before, strict=True))
    return seen, collections, losses


@needs_sandbox
def test_programs_are_run_in_an_update(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    spec = next(iter(LCB["published-srpo"].config.specs()))
    assert isinstance(spec.world, CodeWorld)
    small = replace(
        scaled(spec, workplace),
        world=replace(spec.world, writing=replace(spec.world.writing, max_tokens=12)),
        budget=TrainBudget(prompts=1, updates=1, held_out=2, order="epochs"),
        optimizer=replace(spec.optimizer, minibatches=1),
    )
    training = Training(small)
    assert training.advance().generated_rollouts >= 8
    assert training.record()["value"] == 0  # the tiny model writes no programs
