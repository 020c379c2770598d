"""The report: sentences that follow the records, pages that need no other file."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from experiments.compare.command import run as compare
from experiments.compare.config import CompareConfig
from experiments.compare.report import (
    check_verdict,
    exponent_verdicts,
    imperfect_verdicts,
    looseness_verdicts,
    world_verdicts,
)
from experiments.curve_statistics import difference_verdicts
from experiments.documents.document import shown
from experiments.documents.numbers import agreement, interval_text
from experiments.execution.settings import Execution
from experiments.learn.report import learning_summary
from experiments.report.command import run
from experiments.report.config import ReportConfig
from experiments.runs.store import Run
from experiments.verify.report import bound_verdicts
from paper_figs.catalogue import FIGURES
from paper_figs.style import render


def fit(exponent: float, lower: float, upper: float, **more: object) -> dict:
    return {
        "kind": "exponent",
        "dial": "coverage",
        "base": True,
        "quantity": "samples",
        "learner": "aliased",
        "resets": "random",
        "family": "one decision",
        "expected": 2.0,
        "exponent": exponent,
        "lower": lower,
        "upper": upper,
    } | more


def test_a_verdict_says_inside_or_how_far_outside() -> None:
    inside, outside = fit(1.98, 1.95, 2.01), fit(1.9, 1.85, 1.95)
    assert agreement(inside, "exponent", 2.0) == "theory says 2, inside the interval"
    assert agreement(outside, "exponent", 2.0).endswith("outside the interval, -0.100 away")
    assert interval_text(inside, "exponent") == "1.98 [1.95, 2.01]"
    assert interval_text(fit(-0.001, -0.02, 0.01), "exponent").startswith("0.00")


def test_exponent_verdicts_count_cells() -> None:
    rows = [fit(2.0, 1.9, 2.1), fit(1.7, 1.6, 1.8, base=False)]
    sentences = exponent_verdicts(rows, [])
    assert any("(1/p)^2.00 [1.90, 2.10]" in s for s in sentences)
    assert any("at most 0.300; 1 of 2 intervals" in s for s in sentences)


def test_imperfect_verdicts_report_where_the_oracle_is_worse() -> None:
    row = {
        "samples_saved": 4.2,
        "samples_saved_lower": 3.9,
        "samples_saved_upper": 4.4,
        "samples_saved_theory": 4.0,
        "gain_factor": 0.5,
        "gain_factor_theory": 0.5,
    }
    first, second, third = imperfect_verdicts([row, row | {"gain_factor": 2.0}])
    assert "1.05 to 1.05" in first
    assert "2 of 2 intervals" in first
    assert "1.000 to 4.000" in second
    assert third.startswith("In 1 of 2")


def test_other_verdicts() -> None:
    check = {"right": 0.88, "lower": 0.85, "upper": 0.91, "accuracy": 0.9}
    assert "88.0% of choices" in check_verdict([check])
    assert "1 of 1 95 % intervals" in check_verdict([check])
    bound = {"bound": "T4", "facts": "samples", "smallest": 281.0, "largest": 294.0}
    assert looseness_verdicts([bound]) == ("T4, samples: off by a factor of 281 to 294.",)
    base = {"world": "w", "policy": "u", "gain": 1.0, "sharp": 0.5, "guaranteed": 0.4}
    rows = [
        base | {"resets": "random"},
        base | {"resets": "first error", "gain": 0.7},
        base | {"resets": "oracle", "level": 0.5, "gain": 2.0},
    ]
    oracle, first, bounds = world_verdicts(rows)
    assert "1 of 1 world." in oracle
    assert "0 of 1 world; not in w (u)." in first
    assert bounds.startswith("Every exact gain")
    rows[0] = rows[0] | {"sharp": 3.0}
    assert world_verdicts(rows)[2] == "1 row breaks gain >= T1s >= T2."


def pair(world: str, lower: float, upper: float, axis: str = "rollouts") -> dict:
    middle = (lower + upper) / 2
    labels = {"world": world, "first": "SRPO", "second": "GRPO", "axis": axis, "seeds": 20}
    return labels | {"difference": middle, "lower": lower, "upper": upper}


def test_differences_are_only_claimed_where_the_interval_excludes_zero() -> None:
    rows = [pair("a", 0.1, 0.3), pair("b", -0.1, 0.3), pair("c", -0.3, -0.1), pair("d", 0.0, 0.1)]
    sentences = difference_verdicts(rows)
    assert sentences[0] == (
        "a: SRPO - GRPO = 0.200 [0.100, 0.300] per rollout over 20 seeds: SRPO is ahead."
    )
    assert sentences[1].endswith("not distinguishable.")
    assert sentences[2].endswith("GRPO is ahead.")
    assert sentences[3].endswith("not distinguishable.")
    (summary,) = learning_summary(rows)
    assert summary == (
        "SRPO against GRPO per rollout: ahead in 1, behind in 1 and not distinguishable in 2 of 4 "
        "worlds."
    )
    assert len(learning_summary([*rows, pair("a", 0.1, 0.2, "steps")])) == 2


def test_bound_verdicts_name_what_was_violated() -> None:
    row = {"theorem": "T1", "checks": 1000, "exact_checks": 10, "violations": 0, "attained": 3}
    good = [
        row | {"tightness": 1.0},
        row | {"theorem": "T4", "attained": 0, "tightness": 0.1664},
        row | {"theorem": "T5", "attained": 0, "tightness": None},
    ]
    first, second, third = bound_verdicts(good)
    assert first == (
        "3,000 inequalities were checked, 30 of them in exact arithmetic. No statement failed."
    )
    assert second == "Attained exactly on some instance: T1."
    assert third == "T4 reached 16.6% of what it bounds at the closest."
    bad = bound_verdicts([good[0] | {"violations": 2}])
    assert "1 theorem was violated: T1." in bad[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (0.000123456, "0.000123"), (12345.6, "12,346"), (7, "7")],
)
def test_numbers_as_people_read_them(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    config = CompareConfig(
        coverages=(1 / 8, 1 / 16, 1 / 32),
        taus=(0.2, 0.4),
        horizons=(2, 4),
        actions=(2, 3),
        precisions=(0.25, 1.0),
        recalls=(0.5, 1.0),
        replications=100,
        bootstraps=20,
        check_replications=20,
        worlds=("lock",),
    )
    compare(config, root, Execution(workers=1), Console(quiet=True))
    return root


def test_report_of_a_real_run(results: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        console = Console(file=log, width=200)
        assert run(ReportConfig(), results, Execution(), console) == 0
    said = (tmp_path / "log").read_text()
    assert "left out hero: there is no run of learn" in said
    assert "left out for want of a run: verify, learn, frontier, league, audit, train, " in said
    assert said.count("left out") == 2
    folder = results / "report"
    written = {p.name for p in (folder / "figures").iterdir()}
    assert {"compare-samples.pdf", "compare-samples.png", "reset-tree.png"} <= written
    again = next(entry for entry in FIGURES if entry.name == "reset-tree")
    figure = again.draw(Run.existing(results, "compare").read("anatomy"))
    assert (folder / "figures" / "reset-tree.pdf").read_bytes() == render(figure, "pdf")
    with (tmp_path / "log").open("w") as log:
        bare = ReportConfig(vector="none")
        assert run(bare, results, Execution(), Console(file=log, width=200)) == 0
    kinds = {path.suffix for path in (folder / "figures").iterdir()}
    assert kinds == {".png"}  # what this making did not make is gone
    text = (folder / "report.md").read_text()
    exponents = [
        r
        for r in Run.existing(results, "compare").read("samples")
        if r["kind"] == "exponent" and r["base"] and r["dial"] == "coverage"
    ]
    chosen = next(r for r in exponents if (r["learner"], r["resets"]) == ("aliased", "random"))
    assert f"(1/p)^{chosen['exponent']:.2f}" in text
    assert f"exponent of 1/p: {interval_text(chosen, 'exponent')}" in text
    links = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert links
    assert all((folder / link).is_file() for link in links)
