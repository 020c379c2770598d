"""Numbers in the prose about diagnoses are those of the code, its claims those of the records."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.diagnosis import budget, diagnose, meters, signals
from cpi_theory.randomness import Key
from cpi_theory.statistics.by_prompt import Resampling
from experiments.diagnose import cost, verdict
from experiments.diagnose.config import DiagnoseConfig
from website import trust
from website.stored import DOCS, read

CONFIG = DiagnoseConfig()
SIZES = CONFIG.sampling.settings()
METER = meters.SampledMeter()
WORDS = {4: "four", 8: "eight"}


def forecast(steps: int) -> budget.Forecast:
    """What the defaults draw where a rollout has so many steps."""
    states = 2 * SIZES.audited + SIZES.traced * steps
    return budget.forecast(
        CONFIG.prompts,
        SIZES.rollouts,
        diagnose.standard_methods(SIZES.rollouts),
        SIZES.parents,
        SIZES.suffixes,
        budget.Amount(states, states),
    )


def least_measuring(steps: int) -> float:
    """Rollouts where no state is in doubt: expected is the geometric mean of least and most."""
    found = forecast(steps).measuring
    return found.expected**2 / found.most


def sure(informative: int, prompts: int) -> float:
    """What a bootstrap makes of some prompts on which one method alone has a signal."""
    ones = np.ones(prompts)
    signal = (np.arange(prompts) < informative).astype(float)
    both = {"a": signals.Signals(signal, ones, 1), "b": signals.Signals(0 * signal, ones, 1)}
    return signals.order_methods(both, Resampling.of(prompts, 4000, Key.of(0))).certainty("a", "b")


def test_sizes_are_the_defaults():
    page = " ".join((DOCS / "diagnose.md").read_text().split())
    drawn = forecast(10).groups + forecast(10).corrections
    for said in (
        f"up to {drawn.most:,.0f} from {CONFIG.prompts} prompts, and mostly "
        f"{round(least_measuring(4), -3):,.0f} to {round(forecast(20).measuring.most, -3):,.0f} "
        "more to measure",
        f"expected from {WORDS[cost.TRIALS]} trial rollouts",
        f"Prompts are then drawn {WORDS[diagnose._FEWEST]} at a time",
        f"the best of {WORDS[METER.branches]} tried next actions",
        f"up to {WORDS[METER.most // METER.completions]} times as many",
        f"before every batch of {budget.BATCH} rollouts",
        f"at least {meters.LEAST_COVERAGE:.0%} of the visits".replace("%", " %"),
        f"are sampled: {meters.UNKNOWN_THRESHOLD} of the reward bound",
        f"differ on fewer than {signals.LEAST_PROMPTS} prompts",
        f"*Probably* from c = {verdict.LIKELY:.0%}".replace("%", " %"),
        f"plainly from {verdict._SURE:.1%}".replace("%", " %"),
    ):
        assert said in page, said


def test_a_bootstrap_is_as_sure_as_the_page_says():
    page = " ".join((DOCS / "diagnose.md").read_text().split())
    assert (
        "among many on which methods differ it is 82 % sure of their order, from two 93 %" in page
    )
    assert sure(1, 200) == pytest.approx(0.82, abs=0.01)
    assert sure(2, 200) == pytest.approx(0.93, abs=0.01)


def test_what_is_said_of_predicted_orders_holds():
    rows, (found,) = (
        read(f"records/diagnose-order/{name}.jsonl") for name in ("settings", "agreement")
    )
    # The bullets below the tables of docs/measurements/diagnose.md, in their order.
    assert found["chance"] < 0.05
    assert found["fixed"] > found["kendall"]
    assert found["between"] > 0.5
    assert all(min(r["GRPO"], r["SRPO"]) > r["RRPO"] for r in rows)
    assert max(row["srpo_over_grpo"] for row in rows) < 0.1
    assert 2 * sum(row["difference"] > 0 for row in rows) > len(rows)
    assert not any(row["shown"] for row in rows)
    assert {row["seeds"] for row in rows} == {3}
    (trees,) = trust._of_trees("agreement")
    assert trees["fixed"] > 0.9 * trees["kendall"]


def test_tables_say_what_the_records_say(monkeypatch):
    (found,) = trust._of_trees("agreement")
    rows = trust._of_trees("settings")
    before = trust.orders(rows)
    assert trust.orders([row | {"lower": 1.0, "upper": 2.0} for row in rows]).count(
        "**"
    ) == 2 * len(rows)
    assert "5.0000" in trust.orders([row | {"success": 5} for row in rows])
    assert before.count("| no |") == sum(not row["agree"] for row in rows)
    said = trust.agreement([row | {"srpo_over_grpo": 0.5} for row in rows], found)
    assert "theirs in 0 of 0 settings" in said
    covered = read("measurements/diagnose.jsonl")
    low = [row | {"covered": 0.5} for row in covered]
    monkeypatch.setattr(trust, "read", lambda _: low)
    assert trust.least_covered().startswith("306 of 306 numbers")
    assert "| all: worst / median | 50.0 / 50.0 |" in trust.coverage()
