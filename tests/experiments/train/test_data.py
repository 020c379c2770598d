"""Questions of one's own: they decide results as settings do, and little may be known of them."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.execution.settings import Execution
from experiments.report.command import run as report_on
from experiments.report.config import ReportConfig
from experiments.runs.store import Run
from experiments.train.command import run
from experiments.train.config import TrainConfig
from experiments.train.engines import training_curve
from experiments.train.report import localization_verdicts
from experiments.train.spec import Checkpoints
from experiments.worlds.language import DatasetWorld
from experiments.worlds.writing import Writing
from llm.models.load import load_model
from llm.models.settings import TINY_NAME, ModelSettings
from tests.experiments.train.test_command import BUDGET, spec

SHORT = dataclasses.replace(BUDGET, updates=2, every=1, held_out=4)
ONE = Execution(workers=1)


@pytest.fixture
def questions(tmp_path):
    """A file of questions that the tiny model never answers."""
    path = tmp_path / "questions.jsonl"
    write(path)
    return path


def write(path, first=0):
    rows = [{"question": f"Q start {i} + 1", "answer": str(10_000 + i)} for i in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[first:]))


def world(questions):
    writing = Writing(max_tokens=24, thought_tokens=6, localization_tokens=8)
    return DatasetWorld("mine", str(questions), writing=writing)


def config(questions, **changes):
    options = {"worlds": ("mine",), "methods": ("GRPO", "SRPO"), "budget": SHORT, "resamples": 20}
    return TrainConfig(**options | changes, more=(world(questions),))


def test_changed_questions_give_new_curves_and_tables(questions, tmp_path):
    quiet = Console(quiet=True)
    run(config(questions), tmp_path, ONE, quiet)
    record = Run.existing(tmp_path, "train")

    def shards():
        return {path.name for path in (record.directory / "shards" / "curves").iterdir()}

    first, origin = shards(), record.manifest.entries()
    run(config(questions), tmp_path, ONE, quiet)
    assert shards() == first
    write(questions, first=1)
    run(config(questions), tmp_path, ONE, quiet)
    assert len(shards()) == 2 * len(first)
    now = record.manifest.entries()
    assert all(now[name]["inputs"] != origin[name]["inputs"] for name in origin)


def test_a_changed_model_gives_new_curves(tmp_path):
    model, vocabulary = load_model(ModelSettings(TINY_NAME))
    folder = tmp_path / "model"
    for bias in (0.0, 0.5):
        model.lm_head.weight.data[5] += bias
        model.save_pretrained(folder)
        vocabulary.tokenizer.save_pretrained(folder)
        options = {"worlds": ("sparse",), "methods": ("GRPO",), "budget": SHORT, "resamples": 20}
        whole = TrainConfig(**options, model=ModelSettings(str(folder)))
        run(whole, tmp_path, ONE, Console(quiet=True))
    shards = list((tmp_path / "train" / "shards" / "curves").iterdir())
    assert len(shards) == 4  # two seeds of each


def test_checkpoints_of_other_questions_are_refused(questions, tmp_path):
    one, checkpoints = spec(world=world(questions), budget=SHORT), Checkpoints(tmp_path / "m", 1)
    folder = checkpoints.of(one)
    assert checkpoints.of(one) == folder
    write(questions, first=1)
    with pytest.raises(InvalidInput, match=r"mine-SRPO-0.*other settings, data or code"):
        checkpoints.of(one)


def test_what_is_asked_is_counted_where_nobody_knows_the_answer(questions):
    rows = training_curve(spec("SRPO", world=world(questions), budget=SHORT))
    tallies = [row["localization"] for row in rows]
    assert sum(tally["asked"] for tally in tallies) == rows[-1]["localizations"] > 0
    assert all(tally["unknown"] == tally["asked"] for tally in tallies if tally["asked"])
    assert all(tally["exact"] == 0 for tally in tallies)


def test_a_run_that_cannot_learn_says_so_and_is_drawn_as_far_as_it_goes(questions, tmp_path):
    printed = io.StringIO()
    run(config(questions), tmp_path, ONE, Console(file=printed, width=200))
    sentence = "mine: nothing was learned by GRPO, SRPO: in no group did rewards differ"
    assert sentence in printed.getvalue()
    record = Run.existing(tmp_path, "train")
    # Texts that all failed leave room for a difference: equal rates are no certainty.
    assert all(
        row["difference"] == 0 and row["lower"] < 0 < row["upper"] for row in record.read("pairs")
    )
    (verdict,) = localization_verdicts(record.read("localization"))
    assert verdict.endswith("failures were localised; whether rightly nobody knows.")
    printed = io.StringIO()
    assert report_on(ReportConfig(), tmp_path, ONE, Console(file=printed, width=200)) == 0
    assert "left out train-localization: its records hold no localisation" in printed.getvalue()
    report = (tmp_path / "report" / "report.md").read_text()
    assert sentence in report
    assert verdict in report
