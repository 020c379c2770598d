"""What is planned is held against what was measured: committed times and records of long runs."""

from __future__ import annotations

import pytest

from website.planned import measured, plan_like, plan_of

FACTOR = 1.5


def near(planned, measured):
    return measured / FACTOR < planned < measured * FACTOR


@pytest.mark.parametrize(
    "row", measured(), ids=lambda r: f"{r['model']} {r['method']} {r.get('sampler_precision', '')}"
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


def test_a_recorded_run_of_a_real_model_takes_the_minutes_that_were_planned():
    plan, _ = plan_like("smollm2-sums")
    for one in plan.planned:
        seconds = one.cost.seconds
        # docs/measurements/smollm2.md: of collecting and learning, in the median of nine runs.
        assert near((seconds.total - seconds.evaluation) / 60, 12)


def test_recorded_runs_of_the_tiny_model_take_the_seconds_that_were_planned():
    plan, _ = plan_like("train")
    runs = sum(one.runs for one in plan.planned)
    # docs/measurements/training.md: on average over all runs, evaluations included.
    assert near(3600 * sum(plan.hours.values()) / runs, 32)


@pytest.mark.parametrize("run", ["train", "smollm2-sums"])
def test_a_recorded_run_generates_what_was_planned(run):
    plan, record = plan_like(run)
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
