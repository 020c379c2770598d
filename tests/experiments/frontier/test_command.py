"""The frontier grid: what it stores, and how goals are judged, worked by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.config import load_config
from experiments.documents.document import DataTable
from experiments.execution.settings import Execution
from experiments.frontier.cells import frontier_cell
from experiments.frontier.command import run, show, summarise
from experiments.frontier.config import CellSpec, FrontierConfig
from experiments.frontier.report import frontier_answers, frontier_section, verdicts
from experiments.frontier.summary import goals, rank_rule, surely_met
from experiments.frontier.worlds import TREES
from experiments.learn.curves import Budget, localizer_at
from experiments.methods import ALGORITHMS, GroupMethod
from experiments.runs.files import Row
from experiments.runs.store import Run
from tabular.learning.optimizers import Adam

TINY = FrontierConfig(
    worlds=("two hard", "five hard"),
    methods=("GRPO", "SRPO", "Frontier"),
    accuracies=(1.0, 0.1),
    seeds=2,
    updates=3,
)
CONFIGS = Path(__file__).parents[3] / "experiments" / "configs" / "frontier"


def cell(world: str, method: str, accuracy: float | None, updates: int = 3) -> Row:
    budget = Budget(prompts=2, updates=updates, every=1)
    spec = CellSpec(TREES[world], method, accuracy, Adam(0.03), budget, (0, 1, 2))
    (row,) = frontier_cell(spec)
    return row


def row(method: str, accuracy: float | None, means: list[float], base: float = 0.005) -> Row:
    return {
        "world": "w", "method": method, "accuracy": accuracy, "base_pass": base, "means": means,
    }  # fmt: skip


@pytest.mark.parametrize("method", ALGORITHMS)
def test_every_method_spends_eight_rollouts_per_prompt(method: str) -> None:
    made = cell("four hard", method, 0.7)
    assert made["rollouts"] == 3 * 2 * 8
    assert made["steps"] <= 10 * made["rollouts"]
    assert len(made["means"]) == 3
    assert (made["localizations"] > 0) == (method not in ("GRPO", "RRPO"))


def test_worlds_run_from_a_third_to_a_thousandth() -> None:
    rates = [cell(name, "GRPO", None, 1)["base_pass"] for name in TREES]
    assert 0.25 < rates[0] < 0.35
    assert rates[-1] < 0.001
    assert sum(rate <= 0.01 for rate in rates) == 4


def test_guesses_are_not_followed() -> None:
    plain = cell("two hard", "GRPO", None, 8)["means"]
    assert cell("two hard", "Frontier", 0.0, 8)["means"] == plain
    assert cell("two hard", "deepest", 0.0, 8)["means"] != plain


def test_goals_are_judged_against_the_better_baseline() -> None:
    means = [
        row("GRPO", None, [0.2, 0.4]),
        row("SRPO", 1.0, [0.3, 0.5]),
        row("SRPO", 0.4, [0.1, 0.3]),
        row("Frontier", 1.0, [0.35, 0.53]),
        row("Frontier", 0.4, [0.18, 0.41]),
    ]
    sharp, blurred = goals(means)
    assert (sharp["better"], blurred["better"]) == ("SRPO", "GRPO")
    assert sharp["difference"] == pytest.approx(0.04)
    assert blurred["difference"] == pytest.approx(-0.005)
    # Differences 0.05 and 0.03: standard error 0.01, Student's t of one degree of freedom 12.706.
    assert sharp["upper"] == pytest.approx(0.04 + 0.12706, rel=1e-4)
    assert (sharp["aim"], blurred["aim"]) == ("gain", "no loss")
    assert blurred["met"]
    easy = goals([{**r, "base_pass": 0.02} for r in means])[0]
    assert (easy["aim"], easy["met"]) == ("no loss", True)
    assert verdicts([sharp | {"met": True}, blurred]) == [
        "Frontier: within 0.01 of the better baseline by the estimate in 1 of 1, with the whole "
        "interval in 0; 0.04 above the better baseline by the estimate in 1 of 1, with the whole "
        "interval in 0; lowest -0.005 (w, accuracy 0.4)."
    ]


@pytest.mark.parametrize(
    ("aim", "lower", "surely"),
    [("no loss", -0.01, True), ("no loss", -0.011, False), ("gain", 0.04, True),
     ("gain", 0.039, False)],
)  # fmt: skip
def test_an_aim_is_surely_met_where_the_whole_interval_lies_within_it(
    aim: str, lower: float, surely: bool, tmp_path: Path
) -> None:
    goal = row("Frontier", 0.9, []) | {
        "better": "GRPO", "difference": lower + 0.02, "lower": lower, "upper": lower + 0.04,
        "aim": aim, "met": True,
    }  # fmt: skip
    assert surely_met(goal) == surely
    assert (
        f"by the estimate in 1 of 1, with the whole interval in {surely:d}" in verdicts([goal])[0]
    )
    stored = Run.open(tmp_path, "frontier", TINY, 0)
    stored.once("goals", lambda: [goal])
    stored.once("cells", list)
    (table, _) = (b for b in frontier_section(stored) if isinstance(b, DataTable))
    assert table.columns[-2:] == ("met by the estimate", "surely")
    assert table.rows[0][-2:] == (True, surely)


@pytest.mark.parametrize(("shift", "met"), [(0.041, True), (0.039, False)])
def test_a_gain_is_asked_where_answers_are_good_and_success_is_rare(
    shift: float, met: bool
) -> None:
    means = [
        row("GRPO", None, [0.2, 0.4]),
        row("SRPO", 0.9, [0.1, 0.1]),
        row("Frontier", 0.9, [0.2 + shift, 0.4 + shift]),
    ]
    assert goals(means)[0]["met"] == met


def test_summaries_hold_means_with_intervals() -> None:
    (summary,) = summarise([row("GRPO", None, [0.2, 0.4])])
    assert summary["mean"] == pytest.approx(0.3)
    assert summary["upper"] == pytest.approx(0.3 + 1.2706, rel=1e-4)
    assert "means" not in summary


def test_every_method_is_shown_beside_the_better_baseline() -> None:
    means = [
        row("GRPO", None, [0.2, 0.4]),
        row("SRPO", 0.4, [0.1, 0.3]),
        row("Frontier", 0.4, [0.18, 0.41]),
        row("Adaptive Frontier", 0.4, [0.31, 0.51]),
    ]
    console = Console(record=True, width=200)
    show(summarise(means), goals(means), console)
    text = console.export_text()
    assert "Frontier, Adaptive Frontier less the better of GRPO and SRPO" in text
    (line,) = (one for one in text.splitlines() if one.split()[:1] == ["w"])
    for number in ("0.300", "0.200", "0.295", "0.410", "-0.005", "+0.110"):
        assert number in line, number


def test_the_rule_goes_from_fresh_rollouts_to_the_deepest() -> None:
    best = [r["rank"] for r in rank_rule() if r["best"]]
    assert len(best) == 41
    assert (best[0], best[-1]) == (0, 1)
    ranks = [r for r in best if r]
    assert ranks == sorted(ranks, reverse=True)


def test_the_command_stores_its_tables_and_resumes(tmp_path: Path) -> None:
    console = Console(record=True, width=160)
    assert run(TINY, tmp_path, Execution(workers=1), console) == 0
    stored = Run.existing(tmp_path, "frontier")
    assert stored.tables() == ("cells", "goals", "means", "rule")
    assert len(stored.read("means")) == 2 * (1 + 2 * 2)
    assert (
        "Frontier: within 0.01 of the better baseline by the estimate in" in console.export_text()
    )
    before = (tmp_path / "frontier" / "means.jsonl").read_bytes()
    shard = next((tmp_path / "frontier" / "shards" / "means").iterdir())
    shard.unlink()
    run(TINY, tmp_path, Execution(workers=1), Console(quiet=True))
    assert (tmp_path / "frontier" / "means.jsonl").read_bytes() == before


def test_a_run_beside_another_takes_its_baselines(tmp_path: Path) -> None:
    run(TINY, tmp_path, Execution(workers=1), Console(quiet=True))
    beside = dataclasses.replace(
        TINY, name="ours", methods=("Adaptive Frontier",), beside="frontier", accuracies=(0.1,)
    )
    assert run(beside, tmp_path, Execution(workers=1), Console(quiet=True)) == 0
    ours, theirs = (Run.existing(tmp_path, name) for name in ("ours", "frontier"))
    assert [row["method"] for row in ours.read("means")] == ["Adaptive Frontier"] * 2
    cells = {(r["world"], r["method"]): r["mean"] for r in ours.read("cells")}
    for row in theirs.read("cells"):
        if row["accuracy"] in (None, 0.1):
            assert cells[row["world"], row["method"]] == row["mean"]
    judged = [row["method"] for row in ours.read("goals")]
    assert sorted(judged) == ["Adaptive Frontier"] * 2 + ["Frontier"] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beside": "nothing"}, r"beside = 'nothing': no such run; give the name of a run"),
        ({"seed": 5}, r"beside = 'frontier': has seed = 0, this run 5"),
        ({"last_accuracy": 0.2}, "has last_accuracy = None, this run 0.2"),
        ({"accuracies": (0.5,)}, r"lacks \('five hard', 'Frontier', 0.5\)"),
    ],
)
def test_what_cannot_stand_beside_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    run(TINY, tmp_path, Execution(workers=1), Console(quiet=True))
    ours = {"name": "ours", "methods": ("Adaptive Frontier",), "beside": "frontier"}
    other = dataclasses.replace(TINY, **ours | changes)
    with pytest.raises(InvalidInput, match=message):
        run(other, tmp_path, Execution(workers=1), Console(quiet=True))


def test_a_localiser_drifts_from_the_first_accuracy_to_the_last() -> None:
    """Deepest named steps: the same at first, and fewer right ones later."""
    budget = Budget(prompts=4, updates=20, every=20)

    def mean(first: float, last: float | None) -> list[float]:
        one = CellSpec(TREES["one hard"], "deepest", first, Adam(0.03), budget, (0, 1, 2), last)
        return list(frontier_cell(one)[0]["means"])

    good, falling, poor = mean(1.0, None), mean(1.0, 0.0), mean(0.0, None)
    assert mean(1.0, 1.0) == good
    assert falling not in (good, poor)
    assert _accuracies(1.0, 0.5) == pytest.approx([1.0, 0.75, 0.5])


def _accuracies(first: float, last: float) -> list[float]:
    method = GroupMethod("x", ALGORITHMS["GRPO"](1.0), first, last_accuracy=last)
    return [localizer_at(TREES["one hard"], method, done).accuracy for done in (0.0, 0.5, 1.0)]


def test_adaptive_methods_tell_what_they_believe() -> None:
    (made,) = frontier_cell(
        CellSpec(TREES["four hard"], "Adaptive SRPO", 0.9, Adam(0.03), Budget(2, 6, 2), (0, 1), 0.1)
    )
    assert [row["update"] for row in made["believed"]] == [2, 4, 6]
    assert all(0 <= row["at_least"] <= 1 and 0 < row["accuracy"] < 1 for row in made["believed"])
    assert "believed" not in cell("four hard", "Frontier", 0.9)


def test_the_quick_profile_is_small() -> None:
    quick = load_config(FrontierConfig, CONFIGS / "quick.toml")
    curves = sum(len(spec.seeds) for spec in quick.specs())
    assert curves <= 150
    assert {spec.method for spec in quick.specs()} >= {"GRPO", "SRPO", "Frontier"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 1}, "seeds = 1"),
        ({"accuracies": (1.2,)}, r"accuracies\[0\] = 1.2"),
        ({"worlds": ("one hrad",)}, r"worlds\[0\] = 'one hrad': unknown; did you mean 'one hard'"),
        ({"worlds": ("one hard",) * 2}, r"worlds\[1\] = 'one hard': given twice"),
        ({"methods": ("GRPO", "Frontier")}, "SRPO is missing"),
        ({"rate": 0.0}, "rate = 0.0"),
        ({"updates": 0}, "updates = 0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        dataclasses.replace(TINY, **changes)


def answers(methods, last_accuracy=None):
    """What the first screen says of made-up goals of three methods."""
    rows = [
        {
            "method": method,
            "world": "four hard",
            "accuracy": accuracy,
            "difference": accuracy / 10 - shift,
            "lower": -0.5,
            "upper": 0.5,
        }
        for method, shift in (("Frontier", 0.0), ("Adaptive Frontier", 0.2), ("SRPO", 0.9))
        for accuracy in (0.5, 0.9)
    ]
    config = {"methods": methods, "last_accuracy": last_accuracy}
    run = SimpleNamespace(config=config, read=lambda _: rows, directory=Path("some"))
    return {answer.about: f"{answer.number} {answer.sentence}" for answer in frontier_answers(run)}


def test_each_run_answers_for_its_own_methods():
    assert set(answers(["GRPO", "SRPO", "Frontier"])) == {"tabular, Frontier"}
    (said,) = answers(["Adaptive Frontier"]).values()
    assert said.startswith("-0.150 [-0.500, +0.500] Adaptive Frontier less the better of")
    assert "localiser right in 50%);" in said


def test_a_localiser_that_drifts_is_said_to():
    (said,) = answers(["Frontier"], last_accuracy=0.45).values()
    assert "localiser right in 50% at first and in 45% at last" in said
