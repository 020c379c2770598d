"""The figures of `train` and `anatomy`, drawn from records of small real runs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from matplotlib.patches import FancyBboxPatch
from rich.console import Console

from experiments.anatomy.command import run as run_anatomy
from experiments.anatomy.config import AnatomyConfig
from experiments.anatomy.report import gap_verdicts
from experiments.execution.settings import Execution
from experiments.report import figures
from experiments.report.command import run as report
from experiments.report.config import ReportConfig
from experiments.runs.store import Run
from experiments.train.command import run as run_train
from experiments.train.config import TrainConfig
from experiments.train.report import headlines, localization_verdicts
from experiments.train.spec import TrainBudget
from experiments.worlds.language import ArithmeticWorld
from paper_figs.catalogue import FIGURES
from paper_figs.figures.language import credit_figure, localization_figure, pass_curves_figure
from paper_figs.figures.learning import training_differences_figure
from paper_figs.figures.resets import (
    BINS,
    correction_figure,
    deviation_figure,
    passk_figure,
    position_counts,
    relative_bin,
    relative_positions_figure,
)
from paper_figs.rows import select
from paper_figs.style import look, render

SHORT = ArithmeticWorld("short", horizon=5, hard_steps=2)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    quiet, alone = Console(quiet=True), Execution(workers=1)
    anatomy = AnatomyConfig(
        worlds=("short",), prompts=12, rollouts=4, suffixes=3, resamples=20, more=(SHORT,)
    )
    assert run_anatomy(anatomy, root, alone, quiet) == 0
    train = TrainConfig(
        worlds=("short",),
        methods=("GRPO", "SRPO"),
        budget=TrainBudget(prompts=2, updates=2, every=1, held_out=8),
        resamples=20,
        more=(SHORT,),
    )
    assert run_train(train, root, alone, quiet) == 0
    return root


def table(results, command, name):
    return Run.existing(results, command).read(name)


@given(st.integers(0, 99), st.integers(1, 100), st.integers(1, 100))
@example(29, 100, 100)  # int(29 / 100 * 100) is 28
@example(3, 20, 20)  # 3 / 20 lies below numpy's edge of 0.15
def test_bins_are_those_of_exact_fractions(step, length, bins):
    assume(step < length)
    b = relative_bin(step, length, bins)
    assert Fraction(b, bins) <= Fraction(step, length) < Fraction(b + 1, bins)


@pytest.mark.parametrize("bins", [5, 10, 20])
def test_edges_never_move_so_a_uniform_choice_looks_uniform(bins):
    """Floating-point edges put 3/20, 6/20, 7/20, ... one bin too low."""
    rows = [{"step": step, "length": 20} for step in range(20)]
    assert (position_counts(rows, bins) == 20 // bins).all()
    rows = [{"step": k, "length": bins} for k in range(bins)] + [{"step": None, "length": 3}]
    assert (position_counts(rows, bins) == 1).all()


def test_positions_show_the_shares_of_what_was_not_refused(results):
    rows = table(results, "anatomy", "resets")
    ax = relative_positions_figure(rows).axes[0]
    outlines = [p for p in ax.patches if not p.get_fill()]
    for outline, kind in zip(outlines, ("self", "random"), strict=True):
        counts = position_counts(select(rows, kind=kind))
        assert outline.get_data().values == pytest.approx(100 * counts / counts.sum())
    assert len(outlines[0].get_data().edges) == BINS + 1


def test_deviations_are_bars_with_intervals(results):
    rows = table(results, "anatomy", "deviations")
    ax = deviation_figure(rows).axes[0]
    heights = [bar.get_height() for bar in ax.patches]
    kinds = ("self", "first hard", "random")
    expected = [100 * r["share"] for kind in kinds for r in select(rows, kind=kind)]
    assert heights == pytest.approx(expected)
    spans = [tuple(line.get_ydata()) for line in ax.get_lines() if len(line.get_ydata()) == 2]
    for row in select(rows, kind="self"):
        ends = (100 * row["lower"], 100 * row["upper"])
        assert any(span == pytest.approx(ends) for span in spans)


def test_corrections_and_passk_draw_every_known_number(results):
    rows = table(results, "anatomy", "corrections")
    ax = correction_figure(rows).axes[0]
    drawn = {round(float(y), 6) for line in ax.get_lines() for y in line.get_ydata()}
    for row in rows:
        if row["kind"] in ("self", "self control") and row["rate"] is not None:
            assert row["deviation"] is None or round(100 * row["rate"], 6) in drawn
    counts = {r["deviation"]: r["resets"] for r in select(rows, kind="self")}
    ticks = {t.get_text().split("\n")[0]: t.get_text().split("\n")[1] for t in ax.get_xticklabels()}
    assert ticks["0"] == str(counts[0])
    rows = table(results, "anatomy", "passk")
    ax = passk_figure(rows).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    clean = [100 * r["value"] for r in select(rows, prefix="clean")]
    assert lines["clean prefix"] == pytest.approx(clean)
    assert clean == sorted(clean)


def test_the_tree_has_a_box_per_thought_and_no_signal_on_what_is_kept(results):
    rows = table(results, "anatomy", "tree")
    shown = select(rows, kind="rollout")
    figure = credit_figure(rows)
    boxes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    assert len(boxes) == sum(len(r["thoughts"]) for r in shown)
    flat = iter(boxes)
    for row in shown:
        for step in range(len(row["thoughts"])):
            red, green, blue, _ = next(flat).get_facecolor()
            if step < row["first"]:
                assert red == green == blue  # grey
            elif row["advantage"]:
                assert (green > red) == (row["advantage"] > 0)
    assert credit_figure(select(rows, kind="signal")).axes  # no prompt to show is said, not hidden


def test_training_figures(results):
    bands = table(results, "train", "bands")
    figure = pass_curves_figure(bands)
    assert [ax.get_xlabel() for ax in figure.axes] == ["rollouts generated", "tokens generated"]
    assert figure.axes[0].get_ylabel() == "pass rate, held out"
    drawn = figure.axes[1].get_lines()[0]
    wanted = select(bands, method="GRPO", axis="tokens")
    assert drawn.get_ydata() == pytest.approx([r["value"] for r in wanted])
    pairs = table(results, "train", "pairs")
    markers = [
        line
        for line in training_differences_figure(pairs).axes[1].get_lines()
        if line.get_marker() == look("SRPO - GRPO").marker
    ]
    (row,) = select(pairs, axis="tokens")
    assert [line.get_xdata()[0] for line in markers] == [row["difference"]]


def localization_row(x, asked=40, exact=30, first_hard=20, **more):
    row = {"world": "w", "method": "SRPO", "x": x, "asked": asked, "exact": exact}
    row |= {"first_hard": first_hard, "lower": 0.6, "upper": 0.9}
    row |= {"exact_rate": exact / asked if asked else None}
    return row | more


def test_localization_beside_the_fixed_guess():
    rows = [localization_row(64), localization_row(128, exact=10), localization_row(192, asked=0)]
    rows += [localization_row(64, method="ORACLE", exact=40)]
    ax = localization_figure(rows).axes[0]
    rate, guess = ax.get_lines()
    assert list(rate.get_ydata()) == [0.75, 0.25]  # nothing where nothing was asked, no oracle
    assert list(guess.get_ydata()) == [0.5, 0.5]
    (sentence,) = localization_verdicts(rows)
    assert "75% [60%, 90%] of 40 failures at first and in 25% [60%, 90%] of 40 " in sentence
    assert "50% and 50% of the same" in sentence


def test_tasks_without_hard_steps_have_no_fixed_guess():
    rows = [localization_row(64, first_hard=0), localization_row(128, first_hard=0)]
    assert len(localization_figure(rows).axes[0].get_lines()) == 1
    (sentence,) = localization_verdicts(rows)
    assert sentence.endswith("75% [60%, 90%] of 40 failures at last.")


def test_a_localiser_is_told_beside_a_step_at_random():
    rows = [localization_row(64, by_chance=8.0), localization_row(128, by_chance=10.0)]
    (sentence,) = localization_verdicts(rows)
    assert "; a step at random would be right in 20% and 25%; the first hard step" in sentence
    (sentence,) = localization_verdicts([row | {"first_hard": 0} for row in rows])
    assert sentence.endswith("a step at random would be right in 20% and 25% of the same.")


def pair(world, lower, upper, axis="rollouts", seeds=20):
    labels = {"world": world, "first": "SRPO", "second": "GRPO", "axis": axis, "seeds": seeds}
    return labels | {"difference": (lower + upper) / 2, "lower": lower, "upper": upper}


def test_a_report_says_so_if_srpo_does_not_beat_grpo():
    (sentence,) = headlines([pair("a", -0.1, 0.2), pair("b", -0.3, -0.1)])
    assert sentence == (
        "SRPO is not shown to beat GRPO per rollout: ahead in none of 2 worlds (a, b); GRPO is "
        "ahead in b."
    )
    (sentence,) = headlines([pair("b", -0.3, -0.1)])
    assert sentence.startswith("SRPO does not beat GRPO per rollout: ahead in none of 1 world (b)")
    (sentence,) = headlines([pair("a", 0.1, 0.2), pair("b", -0.3, 0.1)])
    assert sentence == "SRPO beats GRPO per rollout in 1 of 2 worlds (a, b): a."
    _, warning = headlines([pair("a", 0.1, 0.2, seeds=2)])
    assert "2 seeds only" in warning


def test_gap_verdicts_claim_only_what_is_shown():
    gap = {"world": "a", "first": "self", "second": "start", "difference": 0.1}
    (sure,) = gap_verdicts([gap | {"lower": 0.05, "upper": 0.15}])
    (unsure,) = gap_verdicts([gap | {"lower": -0.05, "upper": 0.25}])
    assert sure.endswith("a 0.100 [0.050, 0.150]; shown in a.")
    assert unsure.endswith("no difference is shown.")
    assert gap_verdicts([gap | {"difference": None, "lower": None, "upper": None}]) == ()


def test_the_report_holds_both_sections_and_all_their_figures(results, monkeypatch):
    # Only the text counts here; tests of the committed records render the same figures.
    monkeypatch.setattr(figures, "render", lambda figure, extension: extension.encode())
    assert report(ReportConfig(), results, Execution(), Console(quiet=True)) == 0
    text = (results / "report" / "report.md").read_text()
    assert "## Training a language model" in text
    assert "## Resets of a language model's own failures" in text
    for entry in FIGURES:
        if entry.section in ("train", "anatomy"):
            assert f"figures/{entry.name}.png" in text


def test_a_figure_depends_on_its_records_alone(results):
    rows = table(results, "anatomy", "tree")
    assert render(credit_figure(rows), "png") == render(credit_figure(rows), "png")
    assert np.isfinite([s for r in select(rows, kind="rollout") for s in r["signal"]]).all()
