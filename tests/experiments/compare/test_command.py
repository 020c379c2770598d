"""The compare command: its worlds have the parameters they claim, its numbers are the theory's."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cpi_theory.bounds.chooser import samples_for
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.checks import InvalidInput
from experiments.compare.command import run
from experiments.compare.config import CompareConfig
from experiments.compare.measures import (
    GainSpec,
    SamplesSpec,
    measure_gains,
    measure_samples,
    one_step,
    plan,
    rollouts_per_sample,
    trial_law,
)
from experiments.compare.plan import lines
from experiments.compare.settings import Line, Setting
from experiments.compare.worlds import policy_update
from experiments.execution.settings import Execution
from experiments.runs.store import Run
from tabular.evaluation.evaluate import evaluate
from tabular.resets.updates import coverage, improvable, reset_step
from tabular.simulation.reset_weight import reset_weight
from tabular.worlds.aliased import aliased

COVERAGES = (1 / 8, 1 / 16, 1 / 32, 1 / 64)


@st.composite
def one_decision_settings(draw: st.DrawFn) -> Setting:
    horizon = draw(st.integers(2, 9))
    return Setting(
        learner=draw(st.sampled_from(["aliased", "statewise"])),
        coverage=draw(st.floats(0.01, 1)) / horizon,
        tau=draw(st.floats(0.01, 0.5)),
        horizon=horizon,
        actions=draw(st.integers(2, 6)),
    )


@given(one_decision_settings())
def test_worlds_have_the_coverage_and_level_of_their_setting(setting: Setting) -> None:
    update = policy_update(setting)
    evaluation = evaluate(update.mdp, update.policy)
    assert coverage(evaluation, setting.level) == pytest.approx(setting.coverage)
    assert evaluation.value == pytest.approx(0.5)
    mask = improvable(evaluation, setting.level)
    visited = mask & (evaluation.visits > 1e-12)
    assert evaluation.best_advantages[visited] == pytest.approx(setting.tau)
    assert np.abs(evaluation.advantages[~mask & (evaluation.visits > 1e-12)]).max() < 1e-12
    assert evaluation.visits[:-1, 1] == pytest.approx(evaluation.visits[0, 1])


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_two_layers_and_actions_are_the_worlds_of_the_lower_bound(p: float, tau: float) -> None:
    setting = Setting(coverage=p, tau=tau, horizon=2)
    ours, theirs = policy_update(setting), aliased(p, tau)
    mine, other = evaluate(ours.mdp, ours.policy), evaluate(theirs.mdp, theirs.policy)
    assert mine.value == pytest.approx(other.value)
    assert mine.visits[0].max() == pytest.approx(other.visits[0].max())
    assert coverage(mine, setting.level) == pytest.approx(coverage(other, setting.level))
    assert np.sort(mine.advantages[0].ravel())[-2:] == pytest.approx(
        np.sort(other.advantages[0].ravel())[-2:], abs=1e-9
    )


@given(st.floats(0.3, 1), st.floats(0.2, 1), st.floats(0.02, 0.25))
def test_imperfect_resets_have_their_precision_and_recall(q: float, rho: float, p: float) -> None:
    setting = Setting(resets="imperfect", coverage=p, precision=q, recall=rho)
    update = policy_update(setting)
    evaluation = evaluate(update.mdp, update.policy)
    weight = np.asarray(reset_weight(update.mdp, update.policy, setting.reset).values)
    mask = improvable(evaluation, setting.level)
    selected = evaluation.occupancy * weight
    assert selected[mask].sum() / selected.sum() == pytest.approx(q)
    assert selected[mask].sum() / evaluation.occupancy[mask].sum() == pytest.approx(rho)
    assert selected.sum() == pytest.approx(setting.selected)
    step = reset_step(evaluation, np.broadcast_to(update.candidate, (4, 4, 2)), weight)
    assert step.advantage == pytest.approx(q * setting.tau)  # T6: the class offers q tau


@pytest.mark.parametrize("resets", ["random", "oracle", "imperfect"])
@pytest.mark.parametrize("learner", ["aliased", "statewise"])
def test_the_law_offers_what_the_bounds_say(learner: str, resets: str) -> None:
    blur = {"precision": 0.5, "recall": 0.5} if resets == "imperfect" else {}
    setting = Setting(learner, resets, **blur)  # type: ignore[arg-type]
    law = trial_law(policy_update(setting), setting)
    assert law.best_advantage == pytest.approx(setting.reset_precision * setting.tau)
    # The uniform policy wins one game in two, wherever one resets to.
    assert law.success.sum() == pytest.approx(0.5)
    assert rollouts_per_sample(setting) == pytest.approx(1 + 1 / setting.selected)


def test_one_step_worked_by_hand() -> None:
    # p = 1/4, tau = 1/5, H = 2: every second rollout has its decision at step 0.
    setting = Setting(resets="oracle", coverage=0.25, tau=0.2, horizon=2)
    update = policy_update(setting)
    evaluation = evaluate(update.mdp, update.policy)
    weight = np.asarray(reset_weight(update.mdp, update.policy, setting.reset).values)
    row = one_step(update.mdp, evaluation, update.candidate, weight)
    assert row["selected"] == pytest.approx(0.25)
    assert (row["advantage"], row["spread"]) == (pytest.approx(0.2), pytest.approx(0.2))
    assert row["remaining"] == pytest.approx(1.0)
    assert row["alpha"] == pytest.approx(0.5)  # tau / (2 tau 1)
    assert row["guaranteed"] == pytest.approx(2 * 0.25 * 0.04 / (4 * 0.2))  # 0.025
    assert row["gain"] == pytest.approx(0.5 * 0.5 * 0.2)
    assert row["full_gain"] == pytest.approx(0.1)
    worst = one_step(update.mdp, evaluation, update.candidate, weight, spread=2.0)
    assert worst["alpha"] == pytest.approx(0.05)
    assert worst["guaranteed"] == pytest.approx(2 * 0.25 * 0.04 / 8)


@given(one_decision_settings(), st.sampled_from(["random", "oracle"]))
def test_guarantees_hold_and_are_ordered(setting: Setting, resets: str) -> None:
    setting = Setting(**(vars_of(setting) | {"resets": resets}))
    coverages = (setting.coverage, setting.coverage / 2)
    rows = measure_gains(GainSpec(Line(setting, "coverage", coverages), 20, 0))
    for row in (r for r in rows if r["kind"] == "point"):
        assert row["gain"] >= row["sharp"] - 1e-12 >= row["guaranteed"] - 2e-12
        assert row["planned"] <= row["guaranteed"] + 1e-12


def vars_of(setting: Setting) -> dict:
    return {name: getattr(setting, name) for name in setting.__dataclass_fields__}


def fit_of(rows: list[dict], **wanted: object) -> dict:
    return next(
        r for r in rows if r["kind"] == "exponent" and all(r[k] == v for k, v in wanted.items())
    )


@pytest.mark.parametrize(
    ("learner", "resets", "exponent"),
    [("aliased", "random", 2), ("statewise", "random", 1), ("aliased", "oracle", 0)],
)
def test_sample_exponents_in_the_coverage(learner: str, resets: str, exponent: float) -> None:
    line = Line(Setting(learner, resets), "coverage", COVERAGES)  # type: ignore[arg-type]
    rows = measure_samples(SamplesSpec(line, 0.9, 2000, 200, seed=11))
    fit = fit_of(rows, quantity="samples")
    assert fit["expected"] == exponent
    assert fit["exponent"] == pytest.approx(exponent, abs=0.06)
    assert fit["lower"] - 0.03 <= exponent <= fit["upper"] + 0.03
    points = [r for r in rows if r["kind"] == "point"]
    for point in points:
        assert (point["floor"] or 0) <= point["samples"] <= point["bound"]


@pytest.mark.parametrize(
    ("dial", "values", "learner", "exponent"),
    [
        ("precision", (0.25, 0.5, 1.0), "aliased", 2),
        ("precision", (0.25, 0.5, 1.0), "statewise", 1),
        ("recall", (0.25, 0.5, 1.0), "aliased", 0),
        ("tau", (0.05, 0.1, 0.2), "aliased", 2),
        ("horizon", (2.0, 4.0, 8.0), "aliased", 0),
    ],
)
def test_other_sample_exponents(
    dial: str, values: tuple[float, ...], learner: str, exponent: float
) -> None:
    setting = Setting(learner, "imperfect", precision=0.25, coverage=1 / 16)  # type: ignore[arg-type]
    line = Line(setting, dial, values)  # type: ignore[arg-type]
    fit = fit_of(measure_samples(SamplesSpec(line, 0.9, 2000, 100, 5)), quantity="samples")
    assert fit["expected"] == exponent
    # Few samples are needed at the easy end, where (1/2 - x^2) is not 1/2 yet: hence 0.12.
    assert fit["exponent"] == pytest.approx(exponent, abs=0.12)


@pytest.mark.parametrize(
    ("resets", "family", "exponent"),
    [
        ("random", "one decision", 2),
        ("oracle", "one decision", 1),
        ("random", "tree", 2),
        ("oracle", "tree", 1),
    ],
)
def test_gain_exponents_in_the_coverage(resets: str, family: str, exponent: float) -> None:
    dials = {"horizon": 16, "tau": 0.05, "actions": 4} if family == "tree" else {}
    setting = Setting(resets=resets, family=family, **dials)  # type: ignore[arg-type]
    rows = measure_gains(GainSpec(Line(setting, "coverage", COVERAGES), 100, 0))
    for rule in ("exact", "worst"):
        for quantity in ("gain", "guaranteed"):
            fit = fit_of(rows, spread_rule=rule, quantity=quantity)
            assert fit["expected"] == exponent
            assert fit["exponent"] == pytest.approx(exponent, abs=0.1), (rule, quantity)


def test_recall_cancels_when_delta_is_known_and_counts_when_not() -> None:
    setting = Setting(resets="imperfect", precision=0.5, horizon=8)
    rows = measure_gains(GainSpec(Line(setting, "recall", (0.25, 0.5, 1.0)), 50, 0))
    exact = fit_of(rows, spread_rule="exact", quantity="gain")
    worst = fit_of(rows, spread_rule="worst", quantity="gain")
    assert (exact["expected"], worst["expected"]) == (0, 1)
    assert exact["exponent"] == pytest.approx(0, abs=1e-6)
    assert worst["exponent"] == pytest.approx(1, abs=1e-6)


def test_plans_are_those_of_the_theory() -> None:
    setting = Setting(resets="random", coverage=1 / 16, tau=0.2)
    two = PolicyClass(2, 0.1, policies=2)
    assert plan(setting, 0.1).samples == samples_for(0.2 / 16 / 2, two)
    oracle = plan(Setting(resets="oracle"), 0.1)
    assert plan(setting, 0.1).leading_samples / oracle.leading_samples == pytest.approx(256)


def test_lines_are_distinct_and_cover_every_parameter() -> None:
    for quick in (False, True):
        every = lines(CompareConfig(quick=quick).effective())
        assert len(every) == len(set(every))
        assert {line.parameter for line in every if line.base} == {
            "coverage",
            "tau",
            "horizon",
            "actions",
            "precision",
            "recall",
        }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy": 1.0}, "accuracy"),
        ({"coverages": (0.5,)}, "coverages"),
        ({"precisions": (0.1, 1.0)}, "below a coverage"),
        ({"replications": 3}, "replications"),
    ],
)
def test_configuration_refuses(change: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        CompareConfig(**change)


def test_settings_refuse() -> None:
    with pytest.raises(InvalidInput, match="coverage"):
        Setting(coverage=0.3, horizon=4)
    with pytest.raises(InvalidInput, match="precision"):
        Setting(resets="oracle", precision=0.5)
    with pytest.raises(InvalidInput, match="two different"):
        Line(Setting(), "tau", (0.1, 0.1))


@pytest.fixture(scope="module")
def small() -> CompareConfig:
    return CompareConfig(
        coverages=(1 / 8, 1 / 16, 1 / 32),
        taus=(0.1, 0.2),
        horizons=(2, 4),
        actions=(2, 3),
        precisions=(0.25, 1.0),
        recalls=(0.5, 1.0),
        replications=100,
        bootstraps=20,
        check_replications=20,
        worlds=("lock",),
    )


def test_run_is_resumable_and_reproducible(small: CompareConfig, tmp_path: Path) -> None:
    quiet = Console(quiet=True)
    for folder in ("one", "two"):
        assert run(small, tmp_path / folder, Execution(workers=1), quiet) == 0
    one, two = (Run.existing(tmp_path / f, "compare") for f in ("one", "two"))
    assert one.tables() == two.tables()
    for table in one.tables():
        assert one.path(table).read_bytes() == two.path(table).read_bytes(), table
    before = one.path("samples").stat().st_mtime_ns
    shard = next((one.directory / "shards" / "samples").iterdir())
    kept = shard.read_bytes()
    shard.unlink()
    run(small, tmp_path / "one", Execution(workers=1), quiet)
    assert shard.read_bytes() == kept
    assert one.path("samples").stat().st_mtime_ns == before
    rows = one.read("samples")
    assert all(math.isfinite(r["samples"]) for r in rows if r["kind"] == "point")
