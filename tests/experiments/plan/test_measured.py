"""What is planned is held against what was measured: committed times and records of long runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.config import build
from experiments.plan.config import Assumptions, PlanConfig
from experiments.plan.plan import make_plan
from experiments.runs.store import Run
from experiments.train.config import TrainConfig
from experiments.train.spec import TrainBudget
from llm.models.settings import ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.training.settings import LossSettings, OptimizerSettings

DOCS = Path(__file__).resolve().parents[3] / "docs"
MEASURED = [
    json.loads(line) for line in (DOCS / "measurements" / "plan.jsonl").read_text().splitlines()
]
FACTOR = 1.5


def near(planned, measured):
    return measured / FACTOR < planned < measured * FACTOR


def plan_of(row):
    """The plan of one update."""
    config = TrainConfig(
        worlds=("natural" if row["model"] == "tiny" else "sums-four",),
        methods=(row["method"],),
        seeds=1,
        model=ModelSettings(row["model"]),
        optimizer=OptimizerSettings(
            precision=row.get("learning_precision", "weights"),
            micro_batch=row.get("micro_batch", 64),
        ),
        loss=LossSettings("corrected"),
        sampler=SamplerSettings(precision=row.get("sampler_precision", "model")),
        budget=TrainBudget(prompts=row["prompts"], updates=1, every=1),
    )
    names = ("pass_rate", "tokens", "longest", "reply", "prompt")
    assume = Assumptions(**{name: row[name] for name in names if name in row})
    return make_plan(config, PlanConfig(assume=assume), row["threads"])


@pytest.mark.parametrize(
    "row", MEASURED, ids=lambda r: f"{r['model']} {r['method']} {r.get('sampler_precision', '')}"
)
def test_an_update_takes_what_was_planned(row):
    plan = plan_of(row)
    seconds = plan.planned[0].cost.seconds
    sampling = seconds.sampling + seconds.localisation
    assert near(sampling + seconds.learning, row["sampling"] + row["learning"])
    assert near(sampling, row["sampling"])
    assert near(seconds.learning, row["learning"])
    if "generated" in row:
        assert plan.total("rollouts").expected == pytest.approx(row["rollouts"])
        assert near(plan.total("generated").expected, row["generated"])


def planned_like(run):
    """The plan of a recorded run, and its records."""
    record = Run.existing(DOCS / "records", run)
    config = build(TrainConfig, {k: v for k, v in record.config.items() if k != "type"})
    if config.model.path == "smollm2-four":  # made by a warm start, of the same sizes
        model = replace(config.model, path="HuggingFaceTB/SmolLM2-135M-Instruct")
        config = replace(config, model=model)
    return make_plan(config, PlanConfig(like=DOCS / "records" / run), 1), record


def test_a_recorded_run_of_a_real_model_takes_the_minutes_that_were_planned():
    plan, _ = planned_like("smollm2-sums")
    for one in plan.planned:
        seconds = one.cost.seconds
        # docs/measurements/smollm2.md: of collecting and learning, in the median of nine runs.
        assert near((seconds.total - seconds.evaluation) / 60, 12)


def test_recorded_runs_of_the_tiny_model_take_the_seconds_that_were_planned():
    plan, _ = planned_like("train")
    runs = sum(one.runs for one in plan.planned)
    # docs/measurements/training.md: on average over all runs, evaluations included.
    assert near(3600 * sum(plan.hours.values()) / runs, 32)


@pytest.mark.parametrize("run", ["train", "smollm2-sums"])
def test_a_recorded_run_generates_what_was_planned(run):
    plan, record = planned_like(run)
    drawn = {}
    for row in record.read("curves"):
        drawn[row["world"], row["method"], row["seed"]] = row
    for one in plan.planned:
        runs = [r for (w, m, _), r in drawn.items() if (w, m) == (one.world, one.method)]
        assert len(runs) == one.runs
        assert one.cost.rollouts.expected == pytest.approx(runs[0]["rollouts"])
        tokens = sum(r["tokens"] for r in runs) / len(runs)
        assert near(one.cost.generated.expected, tokens), one.method
        assert tokens < one.cost.generated.most
