"""The committed records of long runs: read by today's code, and what it makes of them is stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from cpi_theory.randomness import Key
from experiments import curve_statistics as shared
from experiments.compare.summary import bounds_against_facts, imperfect_oracles
from experiments.evaluate import correction_summary
from experiments.evaluate import summary as evaluation
from experiments.execution.settings import Execution
from experiments.frontier.summary import goals
from experiments.league.summary import pairs, places, ranked
from experiments.localize import summary as localization
from experiments.report.command import run
from experiments.report.config import ReportConfig
from experiments.report.page import LIMIT
from experiments.runs.store import Run
from experiments.train import summary
from paper_figs.catalogue import FIGURES

RECORDS = Path(__file__).resolve().parents[2] / "docs" / "records"


@pytest.mark.slow
def test_every_figure_of_theirs_is_drawn_without_running_anything(tmp_path):
    shutil.copytree(RECORDS, tmp_path, dirs_exist_ok=True)
    assert run(ReportConfig(vector="none"), tmp_path, Execution(), Console(quiet=True)) == 0
    drawn = {path.stem for path in (tmp_path / "report" / "figures").glob("*.png")}
    runs = {path.parent.name for path in RECORDS.glob("*/run.json")}
    ours = {entry.name for entry in FIGURES if {command for command, _ in entry.tables} <= runs}
    assert drawn >= ours
    assert "train-curves-smollm2-sums" in drawn
    assert (tmp_path / "report" / "report.html").stat().st_size <= LIMIT
    assert {name.split("-")[0] for name in drawn} >= {"train", "anatomy", "frontier"}


@pytest.mark.parametrize(
    ("run", "seeds"),
    [
        ("train", {"sparse": 20, "early": 10, "natural": 10}),
        ("smollm2-sums", {"sums-four": 5}),
        ("smollm2-rare", {"sums-six": 5}),
    ],
)
def test_summaries_of_the_training_runs_follow_from_their_curves(run, seeds):
    record = Run.existing(RECORDS, run)
    curves = shared.gather(record.read("curves"))
    assert {world: len(one.seeds) for (world, _), one in curves.items()} == seeds
    for table, made in (
        ("pairs", shared.pairs(curves, summary.AXES, summary.CONTRASTS)),
        ("reach", shared.reach(curves, summary.AXES)),
        ("speedups", shared.speedups(curves, ("update", *summary.AXES), summary.CONTRASTS)),
        ("finals", summary.finals(curves, record.config["budget"]["held_out"])),
    ):
        for stored, row in zip(record.read(table), made, strict=True):
            assert {k: pytest.approx(v) if isinstance(v, float) else v for k, v in row.items()} == (
                stored
            )


@pytest.mark.parametrize(
    ("run", "prompts"), [("train", 8), ("smollm2-sums", 4), ("smollm2-rare", 4)]
)
def test_every_method_had_the_same_budget(run, prompts):
    for row in Run.existing(RECORDS, run).read("collections"):
        assert row["rollouts"] == 40 * prompts * 8


def test_the_goals_of_frontier_follow_from_its_means():
    record = Run.existing(RECORDS, "frontier")
    for stored, row in zip(record.read("goals"), goals(record.read("means")), strict=True):
        assert stored["met"] == row["met"]
        assert stored["difference"] == pytest.approx(row["difference"])


def test_bounds_against_facts_follow_from_samples_and_gains():
    record = Run.existing(RECORDS, "compare")
    samples, gains = record.read("samples"), record.read("gains")
    assert bounds_against_facts(samples, gains) == record.read("looseness")
    assert imperfect_oracles(samples, gains) == record.read("imperfect")


def test_places_and_pairs_of_the_league_follow_from_its_scores():
    record = Run.existing(RECORDS, "league")
    league = ranked(record.read("scores"), record.config["seeds"])
    compared = pairs(league)
    for stored, row in zip(record.read("pairs"), compared, strict=True):
        assert stored["difference"] == pytest.approx(row["difference"])
        assert stored["holm"] == pytest.approx(row["holm"])
    made = places(league, compared, 50, Key.of(0))
    for stored, row in zip(record.read("places"), made, strict=True):
        assert stored["rank"] == pytest.approx(row["rank"])
        assert (stored["behind"], stored["ahead"]) == (row["behind"], row["ahead"])


def evaluations():
    stored = {path.parent.name: json.loads(path.read_text()) for path in RECORDS.glob("*/run.json")}
    return [name for name, run in stored.items() if run["config"]["type"] == "EvaluateConfig"]


@pytest.mark.parametrize("run", evaluations())
def test_summaries_of_the_evaluations_follow_from_their_attempts(run):
    record = Run.existing(RECORDS, run)
    attempts, config = record.read("attempts"), record.config
    scores = evaluation.scores_by_problem(attempts, config["attempts"]["ks"])
    made = {
        "models": evaluation.models(attempts, scores),
        "methods": evaluation.methods(attempts, scores),
    }
    if record.has("chains"):
        table = correction_summary.table_of(record.read("chains"), attempts)
        rounds = config["correction"]["rounds"]
        key = Key.of(config["seed"]).child("evaluate", "rivals")
        made["corrections"] = correction_summary.corrections(table, rounds)
        made["rivals"] = correction_summary.rivals(table, rounds, key)
    for name, rows in made.items():
        for stored, row in zip(record.read(name), rows, strict=True):
            row["tokenizer"] = stored.get("tokenizer")  # of a folder that is not here
            assert {k: v for k, v in row.items() if k in stored} == {
                k: pytest.approx(v) if isinstance(v, float) else v for k, v in stored.items()
            }


def localizations():
    stored = {path.parent.name: json.loads(path.read_text()) for path in RECORDS.glob("*/run.json")}
    return [name for name, run in stored.items() if run["config"]["type"] == "LocalizeConfig"]


@pytest.mark.parametrize("run", localizations())
def test_what_localisers_are_worth_follows_from_their_answers(run):
    record = Run.existing(RECORDS, run)
    if not record.has("answers"):  # those of a whole data set would be its marks
        assert record.config["localizers"] == []
        return
    answers = record.read("answers")
    for table, make in (
        ("scores", localization.scores),
        ("gains", localization.gains),
        ("refusals", localization.refusals),
        ("positions", localization.positions),
    ):
        for stored, row in zip(record.read(table), make(answers), strict=True):
            assert stored == {
                k: pytest.approx(v) if isinstance(v, float) else v for k, v in row.items()
            }


def test_no_text_of_marked_traces_is_among_the_records():
    """Names, numbers and what was named: nothing that somebody else has written."""
    for name in localizations():
        record = Run.existing(RECORDS, name)
        for row in record.read("answers") if record.has("answers") else ():
            texts = {v for v in (*row.values(), *_said(row)) if isinstance(v, str)}
            assert max(map(len, texts)) < 45, texts


def _said(row):
    return [value for answer in row["said"].values() for value in answer.values()]
