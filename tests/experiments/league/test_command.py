"""The league: equal budgets, ranks and pairs by hand, and cells that cannot or do not end."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.audit.worlds import small_worlds
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments import cli, methods
from experiments.audit.summary import with_outcomes_alone
from experiments.config import load_config
from experiments.documents.document import blocks_as_markdown
from experiments.execution.settings import Execution
from experiments.exit_codes import DONE, LOST
from experiments.league import config as settings
from experiments.league.cells import (
    best_rates,
    cells,
    curve_of,
    league_cell,
    make_cell,
    rehearsals,
    rehearse,
    trials_of_rates,
)
from experiments.league.command import run, unfinished
from experiments.league.config import LEAGUE, LeagueConfig
from experiments.league.prediction import agreement
from experiments.league.report import (
    agreement_sentence,
    league_answers,
    league_section,
    missing_sentences,
    over_all_sentence,
    verdicts,
    world_sentences,
)
from experiments.league.signals import (
    AuditSpec,
    SignalSpec,
    audited,
    measured_signal,
    moments,
)
from experiments.league.summary import overall, pairs, places, ranked
from experiments.methods import TABULAR_METHODS, GroupMethod
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.language import DatasetWorld
from experiments.worlds.tabular import WORLDS, LockWorld
from paper_figs.figures.league import league_figure

CONFIGS = Path(settings.__file__).parents[1] / "configs" / "league"
SHORT = LockWorld("short", length=3)
SMALL = LeagueConfig(
    worlds=("short", "lock"), more=(SHORT,), methods=("GRPO", "VinePPO", "SRPO", "RLOO"),
    seeds=3, budget=600, points=4, prompts=2, draws=4, resamples=50,
)  # fmt: skip


def played(config: LeagueConfig, output: Path, **execution: int) -> tuple[int, str, Run]:
    console = Console(record=True, width=200)
    code = run(config, output, Execution(**{"workers": 1, **execution}), console)
    return code, console.export_text(), Run.existing(output, config.name)


def cell(method: str, budget: int = 600, seed: int = 0, **changes: Any) -> Row:
    config = dataclasses.replace(SMALL, budget=budget, **changes)
    (row,) = league_cell(make_cell(config, SHORT, TABULAR_METHODS[method], seed, 0.2, cost=40.0))
    return row


def score(world: str, method: str, means: list[float]) -> list[Row]:
    rest = {"rate": 0.2, "base": 0.1, "final": 0.9, "updates": 5, "generated": 600, "rollouts": 60}
    rest |= {"localizations": 0, "groups": 10, "informative": 4, "refusals": {}}
    return [
        {"world": world, "method": method, "seed": seed, "mean": mean, **rest}
        for seed, mean in enumerate(means)
    ]


# --- budgets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", LEAGUE)
def test_no_update_begins_once_the_budget_is_used_up(method: str) -> None:
    spec = make_cell(SMALL, WORLDS["lock"], TABULAR_METHODS[method], 0, 0.2, cost=1.0)
    steps = [row["steps"] for row in curve_of(spec)]
    assert steps[-2] < SMALL.budget <= steps[-1]
    (row,) = league_cell(spec)
    assert row["generated"] == steps[-1]
    assert 0 <= row["base"] <= 1
    assert row["curve"][0] == pytest.approx(row["base"], abs=1e-5)
    assert row["curve"][-1] == pytest.approx(row["final"], abs=1e-5)


def test_a_score_is_the_area_under_the_curve_up_to_the_budget() -> None:
    spec = make_cell(SMALL, SHORT, TABULAR_METHODS["GRPO"], 1, 0.2, cost=1.0)
    rows, (row,) = curve_of(spec), league_cell(spec)
    grid = np.linspace(0, SMALL.budget, 20001)
    values = np.interp(grid, [r["steps"] for r in rows], [r["value"] for r in rows])
    assert row["mean"] == pytest.approx(values.mean(), abs=1e-3)
    # What the last update taught beyond the budget is not counted.
    assert row["final"] == pytest.approx(values[-1])
    assert rows[-1]["steps"] > SMALL.budget


def test_a_schedule_ends_with_the_budget() -> None:
    """R3's sliding stages start from nearly whole solutions and end at the start itself."""
    whole = cell("R3", budget=4000)
    assert (
        whole["generated"] / whole["rollouts"]
        < cell("GRPO", 4000)["generated"] / (cell("GRPO", 4000)["rollouts"])
    )
    assert whole["final"] > 0.5


def test_records_are_spread_over_the_budget_whatever_an_update_takes() -> None:
    costs = {row["method"]: row for spec in rehearsals(SMALL) for row in rehearse(spec)}
    assert costs["VinePPO"]["generated"] > 2 * costs["GRPO"]["generated"]
    for spec in cells(SMALL, list(costs.values()), {}):
        assert 3 <= len(curve_of(spec)) <= 12


def test_methods_of_one_seed_share_world_and_prompts() -> None:
    assert cell("GRPO", seed=2)["base"] == cell("SRPO", seed=2)["base"]
    assert cell("GRPO", seed=2) != cell("GRPO", seed=1)


# --- who can play --------------------------------------------------------------------------------


def test_a_budget_below_one_update_is_named_and_others_play(tmp_path: Path) -> None:
    code, text, stored = played(dataclasses.replace(SMALL, budget=100), tmp_path)
    assert code == DONE
    open_ends = stored.read("unfinished")
    assert {(r["method"], r["why"]) for r in open_ends} == {("VinePPO", "below one update")}
    assert all(row["seed"] is None for row in open_ends)
    flat = " ".join(text.split())
    assert "short, VinePPO: does not play, one update takes " in flat
    assert "of 100 steps." in flat
    assert {row["method"] for row in stored.read("places")} == {"GRPO", "SRPO", "RLOO"}


def test_a_budget_below_every_update_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none can play: one update takes .* of 5 steps"):
        run(dataclasses.replace(SMALL, budget=5), tmp_path, Execution(workers=1), Console())


def test_a_method_that_the_world_of_a_model_cannot_serve_is_named(tmp_path: Path) -> None:
    """Questions from a file come without solutions to start from."""
    pytest.importorskip("torch")
    file = tmp_path / "questions.jsonl"
    rows = [json.dumps({"question": f"{i} + 1?", "answer": str(i + 1)}) for i in range(8)]
    file.write_text("\n".join(rows) + "\n")
    world = DatasetWorld("mine", str(file))
    config = LeagueConfig(worlds=("mine",), more=(world,), methods=("GRPO", "R3"), draws=0)
    (row,) = rehearse(rehearsals(config)[1])
    assert row["status"] == "unable"
    assert row["problem"] == "the task of mine writes no demonstrations"


def test_what_a_world_cannot_do_is_a_row_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from tabular.simulation.simulator import TabularSimulator

    monkeypatch.delattr(TabularSimulator, "demonstrate")
    config = dataclasses.replace(SMALL, methods=("GRPO", "R3"), worlds=("short",))
    plain, shown = [row for spec in rehearsals(config) for row in rehearse(spec)]
    assert (plain["status"], shown["status"]) == ("ready", "unable")
    assert "cannot show how it is done" in shown["problem"]
    assert [spec.run.method.name for spec in cells(config, [plain, shown], {})] == ["GRPO"] * 3


PATIENCE = {"ends": False}


@dataclass(frozen=True)
class Endless:
    """GRPO that never ends its first update on seed 1, unless it is told to.

    It sets off the alarm that comes when the time is over, so that the test need not wait for it.
    """

    rows_per_prompt = 4

    def plan(self, prompt: Any, key: Key) -> Any:
        while key.path[0] == 1 and not PATIENCE["ends"]:
            signal.raise_signal(signal.SIGALRM)
        return (yield from GRPO(4).plan(prompt, key))


def test_a_curve_that_never_ends_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {**settings._TABULAR, "endless": GroupMethod("endless", Endless())}
    monkeypatch.setattr(settings, "_TABULAR", table)
    config = dataclasses.replace(
        SMALL, worlds=("short",), methods=("GRPO", "endless", "RLOO"), limit=600.0, draws=0
    )
    code, text, stored = played(config, tmp_path)
    assert code == LOST
    assert [(r["method"], r["seed"], r["why"]) for r in stored.read("unfinished")] == [
        ("endless", 1, "out of time")
    ]
    flat = " ".join(text.split())
    assert "short, endless: seed 1 not done in 600 s, so that it is not ranked" in flat
    # Its other seeds are kept, and the others are ranked as if it had not been there.
    kept = [row["seed"] for row in stored.read("scores") if row["method"] == "endless"]
    assert kept == [0, 2]
    assert {row["method"] for row in stored.read("places")} == {"GRPO", "RLOO"}
    # The next time it ends: nothing else is done again.
    monkeypatch.setitem(PATIENCE, "ends", True)
    times = len(stored.timings())
    assert played(config, tmp_path)[0] == DONE
    made = [row["label"] for row in stored.timings()[times:] if row["label"].startswith("scores/")]
    assert len(made) == 1
    assert {row["method"] for row in stored.read("places")} == {"GRPO", "endless", "RLOO"}


# --- rates ---------------------------------------------------------------------------------------


def test_rates_are_chosen_on_seeds_that_do_not_count() -> None:
    config = dataclasses.replace(SMALL, rates=(0.5, 1e-6), tuning_seeds=2, worlds=("short",))
    costs = [row for spec in rehearsals(config) for row in rehearse(spec)]
    trials = trials_of_rates(config, costs)
    assert {spec.run.seed for spec in trials} == {3, 4}
    assert len(trials) == 4 * 2 * 2
    rates = best_rates(config, [row for spec in trials for row in league_cell(spec)])
    assert rates == {("short", method): 0.5 for method in config.methods}
    assert {spec.rate for spec in cells(config, costs, {**rates, ("short", "RLOO"): 1e-6})} == {
        0.5, 1e-6,
    }  # fmt: skip
    assert trials_of_rates(SMALL, costs) == []


# --- summaries -----------------------------------------------------------------------------------


def hand_made() -> list[Row]:
    return [
        *score("w", "A", [0.5, 0.6, 0.7, 0.6]),
        *score("w", "B", [0.1, 0.21, 0.3, 0.2]),
        *score("w", "C", [0.5, 0.61, 0.7, 0.61]),
        *score("v", "A", [0.9, 0.9, 0.91, 0.92]),
        *score("v", "B", [0.1, 0.1, 0.11, 0.13]),
        *score("v", "C", [0.4, 0.41, 0.42, 0.42]),
    ]


def with_a_fifth(rows: Sequence[Row]) -> list[Row]:
    """A seed that scores like the first: five are enough for intervals of ranks."""
    return [*rows, *(row | {"seed": 4} for row in rows if row["seed"] == 0)]


def test_pairs_are_adjusted_over_all_worlds() -> None:
    rows = pairs(ranked(hand_made(), 4))
    assert len(rows) == 2 * 3
    first = next(r for r in rows if (r["world"], r["first"], r["second"]) == ("w", "B", "A"))
    assert first["difference"] == pytest.approx(-0.3975)
    # Differences -.4, -.39, -.4, -.4: standard error .0025, t = -159 with 3 degrees of freedom.
    assert first["p"] == pytest.approx(5.5e-7, rel=0.02)
    assert first["holm"] > 2 * first["p"]
    assert first["shown"]
    level = next(r for r in rows if (r["world"], r["first"], r["second"]) == ("w", "C", "A"))
    assert not level["shown"]
    assert level["holm"] == level["p"] == max(r["holm"] for r in rows)


def test_a_method_without_all_its_seeds_is_not_ranked() -> None:
    rows = [r for r in hand_made() if (r["world"], r["method"], r["seed"]) != ("w", "C", 3)]
    league = ranked(rows, 4)
    assert set(league["w"]) == {"A", "B"}
    standing = places(league, pairs(league), 100, Key.of(0))
    assert {r["method"] for r in overall(league, standing, 100, Key.of(0))} == {"A", "B"}


def test_places_hold_ranks_and_what_is_shown_of_them() -> None:
    league = ranked(with_a_fifth(hand_made()), 5)
    rows = {(r["world"], r["method"]): r for r in places(league, pairs(league), 400, Key.of(0))}
    assert [rows["v", m]["rank"] for m in "ABC"] == [1, 3, 2]
    assert (rows["v", "A"]["first"], rows["v", "A"]["rank_upper"]) == (1.0, 1.0)
    a, c = rows["w", "A"], rows["w", "C"]
    assert (a["rank"], c["rank"]) == (2, 1)
    # It ties with C where only seeds 0, 2 and 4 are drawn: with probability (3 / 5)^5, 8 %.
    assert (a["rank_lower"], a["rank_upper"]) == (1.5, 2)
    assert (a["behind"], a["ahead"]) == (c["behind"], c["ahead"]) == (0, 1)
    assert a["informative"] == pytest.approx(0.4)
    (first, second, third) = overall(league, list(rows.values()), 400, Key.of(0))
    assert (first["method"], third["method"]) == ("A", "B")
    assert first["rank"] == second["rank"] == pytest.approx(1.5)
    assert (first["level"], second["level"], third["level"]) == (2, 1, 0)


def test_ranks_over_few_seeds_have_no_interval() -> None:
    """Two resampled seeds of four are no 95 %: that one is always first may be luck."""
    league = ranked(hand_made(), 4)
    standing = places(league, pairs(league), 100, Key.of(0))
    for row in standing:
        assert row["rank"] > 0
        assert row["rank_lower"] is row["rank_upper"] is row["first"] is None
    for row in overall(league, standing, 100, Key.of(0)):
        assert row["lower"] is row["upper"] is row["first"] is None
    assert league_figure(standing, overall(league, standing, 100, Key.of(0)))


def test_a_changed_record_changes_the_sentences() -> None:
    def said(rows: list[Row]) -> list[str]:
        league = ranked(rows, 1 + max(row["seed"] for row in rows))
        standing = places(league, pairs(league), 200, Key.of(0))
        return verdicts(overall(league, standing, 200, Key.of(0)), standing, [], [])

    before = said(hand_made())
    assert before[1] == (
        "w: C is first with 0.605 [0.475, 0.735], shown ahead of 1 of 2; not shown behind anyone: "
        "A, too."
    )
    assert before[2] == "v: A is first with 0.907 [0.892, 0.923], shown ahead of 2 of 2."
    worse = [r | {"mean": r["mean"] - 0.85} if r["method"] == "A" else r for r in hand_made()]
    after = said(worse)
    assert after[2].startswith("v: C is first with")
    assert after[0] != before[0]
    assert after[0] == (
        "Over 2 worlds C has the best mean rank, 1.0 of 3; ranks have no interval over fewer than "
        "5 seeds."
    )
    often = said(with_a_fifth(worse))
    assert often[0].startswith("Over 2 worlds C has the best mean rank, 1.0 [1.0, 1.0] of 3")


def test_who_shares_the_first_rank_is_named_with_it() -> None:
    """C and A change places between the worlds; then A has what C has in both."""

    def said(rows: list[Row]) -> list[str]:
        league = ranked(rows, 5)
        standing = places(league, pairs(league), 200, Key.of(0))
        return verdicts(overall(league, standing, 200, Key.of(0)), standing, [], [])

    over_all, *_ = said(with_a_fifth(hand_made()))
    assert over_all.startswith("Over 2 worlds A and C share the best mean rank, 1.5 [")
    assert ", and are first in " in over_all
    means = {(r["world"], r["seed"]): r["mean"] for r in hand_made() if r["method"] == "C"}
    rows = with_a_fifth(
        [
            r | {"mean": means[r["world"], r["seed"]]} if r["method"] == "A" else r
            for r in hand_made()
        ]
    )
    _, first, _ = said(rows)
    assert first.startswith("w: A and C are first with 0.584 [")
    assert ", shown ahead of 1 and 1 of 2" in first


def test_sentences_say_when_nothing_is_shown() -> None:
    row = {"predictor": "audit", "world": None, "correlation": 0.4, "lower": -0.1, "upper": 0.8}
    row |= {"p": 0.1, "methods": 16, "worlds": 6}
    assert agreement_sentence(row).endswith("that it predicts the order is not shown.")
    sure = row | {"lower": 0.1, "p": 0.01}
    assert agreement_sentence(sure).endswith("it predicts part of the order.")
    # An interval alone is not enough: with few methods it is too narrow.
    assert agreement_sentence(sure | {"p": 0.2}).endswith("is not shown.")
    assert "the other way round" in agreement_sentence(row | {"lower": -0.9, "upper": -0.2})
    ranks = [
        {"method": "A", "rank": 1.5, "lower": 1.0, "upper": 2.0, "first": 0.9, "worlds": 2},
        {"method": "B", "rank": 2.5, "lower": 2.0, "upper": 3.0, "first": 0.1, "worlds": 2},
    ]
    assert over_all_sentence(ranks).endswith("the intervals of B reach it.")
    ranks[1]["lower"] = 2.1
    assert over_all_sentence(ranks).endswith("no other interval reaches it.")


# --- what the audit says -------------------------------------------------------------------------


def test_moments_are_those_of_a_known_law() -> None:
    rng = np.random.default_rng(0)
    # Mean (3, 4), standard deviation 2 in each of 2 dimensions: 25 / 8; along (1, 0): 9 / 8.
    updates = np.array([3.0, 4.0]) + 2 * rng.standard_normal((200_000, 2))
    found = moments(updates, np.array([7.0, 0.0]))
    assert found.signal == pytest.approx(25 / 8, rel=0.02)
    assert found.aligned == pytest.approx(9 / 8, rel=0.02)
    assert found.cosine == pytest.approx(0.6, rel=0.01)
    assert moments(-updates, np.array([7.0, 0.0])).aligned == pytest.approx(-9 / 8, rel=0.02)


def test_a_signal_that_is_not_there_is_0_in_the_mean() -> None:
    rng = np.random.default_rng(1)
    found = [moments(rng.standard_normal((50, 3)), np.ones(3)).signal for _ in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(len(found))
    assert min(found) < 0


def test_the_signal_at_the_base_policy_is_that_of_the_audit() -> None:
    """A lock of one step is the audit's choice: both numbers of RLOO are known in closed form."""
    one = LockWorld("one", length=1, actions=2, right_probability=0.5)
    method = GroupMethod("RLOO", methods.FAMILY["RLOO"])
    (row,) = measured_signal(SignalSpec(one, method, prompts=1, draws=6000, seed=0))
    (known,) = audited(AuditSpec("RLOO", "choice", 100, 0))
    assert known["how"] != "draws"
    assert row["signal_per_step"] == pytest.approx(known["signal_per_step"], rel=0.1)
    assert row["aligned_per_step"] == pytest.approx(row["signal_per_step"], rel=0.05)
    assert row["cosine"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("method", [m for m in LEAGUE if m in methods.FAMILY])
def test_every_method_of_the_league_can_be_audited(method: str) -> None:
    (row,) = audited(AuditSpec(method, "lock", 40, 0))
    assert row["problem"] is None
    assert row["signal_per_step"] > 0


def test_the_worlds_of_the_comparison_pay_at_the_end_alone() -> None:
    names = with_outcomes_alone()
    assert {"choice", "lock", "three steps"} <= set(names)
    assert not {"paid on the way", "three paid steps"} & set(names)
    assert len(names) < len(small_worlds())


def test_agreement_is_found_where_there_is_one_and_not_where_there_is_none() -> None:
    names = [f"m{i}" for i in range(8)]
    rows = [r for w in "wv" for i, n in enumerate(names) for r in score(w, n, [i / 10, i / 9])]
    league = ranked(rows, 2)
    signals = [
        {"world": w, "method": n, "signal_per_step": 2.0**i, "aligned_per_step": -(2.0**i)}
        for w in "wv" for i, n in enumerate(names)
    ]  # fmt: skip
    audit = [{"small_world": "x", "method": n, "signal_per_step": 1.0 + i % 2} for i, n in
             enumerate(names)]  # fmt: skip
    found = {
        (r["predictor"], r["world"]): r for r in agreement(league, audit, signals, 500, Key.of(0))
    }
    assert len(found) == 3 * 3
    sure = found["base", None]
    assert sure["correlation"] == pytest.approx(1)
    assert (sure["p"] < 0.05, sure["methods"], sure["worlds"]) == (True, 8, 2)
    assert found["aligned", "w"]["correlation"] == pytest.approx(-1)
    doubtful = found["audit", None]
    assert doubtful["lower"] < 0 < doubtful["upper"]
    # All have as many updates here, which orders nobody.
    assert not any(predictor == "updates" for predictor, _ in found)
    assert agreement(league, [], [], 500, Key.of(0)) == []
    more = {w: {n: [r | {"updates": i} for r in league[w][n]] for i, n in enumerate(names)}
            for w in league}  # fmt: skip
    (*_, last) = agreement(more, [], [], 500, Key.of(0))
    assert (last["predictor"], last["correlation"]) == ("updates", pytest.approx(1))


# --- the command ---------------------------------------------------------------------------------


def test_the_command_stores_its_tables_and_resumes(tmp_path: Path) -> None:
    code, text, stored = played(SMALL, tmp_path)
    assert code == DONE
    assert set(stored.tables()) == {
        "agreement", "audit", "costs", "overall", "pairs", "places", "scores", "signals",
        "unfinished",
    }  # fmt: skip
    assert len(stored.read("scores")) == 2 * 4 * 3
    assert stored.read("unfinished") == []
    assert "Over 2 worlds" in text
    before = {name: stored.path(name).read_bytes() for name in stored.tables()}
    for shard in list((tmp_path / "league" / "shards" / "scores").iterdir())[:3]:
        shard.unlink()
    played(SMALL, tmp_path)
    assert {name: stored.path(name).read_bytes() for name in stored.tables()} == before
    report = blocks_as_markdown(league_section(stored))
    assert over_all_sentence(stored.read("overall")) in report
    assert "Against GRPO" in report
    (answer,) = league_answers(stored)
    assert answer.about == "a league, tabular"
    assert answer.sentence == over_all_sentence(stored.read("overall"))


def test_the_command_line_races_the_tiny_model(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("torch")
    arguments = ["league", "--worlds", "natural", "--methods", "GRPO", "RLOO", "--seeds", "2"]
    arguments += ["--budget", "900", "--prompts", "1", "--held-out", "4", "--points", "1"]
    arguments += ["--rates", "3e-4", "--draws", "0", "--workers", "1", "--output", str(tmp_path)]
    assert cli.main(arguments) == DONE
    stored = Run.existing(tmp_path, "league")
    assert {row["method"] for row in stored.read("places")} == {"GRPO", "RLOO"}
    assert all(row["generated"] >= 900 for row in stored.read("scores"))
    assert "natural: mean J over the budget" in capsys.readouterr().out
    (answer,) = league_answers(stored)
    assert answer.about == "a league, tiny model"
    assert answer.sentence.startswith("natural: ")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_committed_settings_are_what_they_say(path: Path) -> None:
    config = load_config(LeagueConfig, path)
    if path.stem == "tabular":
        assert config.seeds >= 20
        assert len(config.methods) >= 14
        assert {"lock", "frozen-lake"} <= set(config.worlds)
    if path.stem == "tiny":
        assert config.seeds >= 10
        assert len(config.worlds) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 1}, "seeds = 1"),
        ({"budget": 0}, "budget = 0"),
        ({"rates": ()}, r"rates = \(\): empty"),
        ({"rates": (0.1, 0.1)}, r"rates\[1\] = 0.1: given twice"),
        ({"rates": (-1.0,)}, r"rates\[0\] = -1.0"),
        ({"limit": 0.0}, "limit = 0.0"),
        ({"draws": 1}, "draws = 1"),
        ({"baseline": "SPO-tree"}, "baseline = 'SPO-tree': does not play"),
        ({"baseline": "SRP0"}, r"does not play; did you mean 'SRPO'\?"),
        ({"methods": ("GRPO", "CPI-RR")}, r"methods\[1\] = 'CPI-RR': unknown"),
        ({"worlds": ("lock", "natural")}, "tabular ones and language models'; run a league for"),
        ({"worlds": ("lokc",)}, r"worlds\[0\] = 'lokc': unknown"),
        ({"worlds": ()}, "worlds = .*: empty"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        dataclasses.replace(SMALL, **changes)


def test_a_limit_is_refused_on_a_cluster(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, limit=5.0)
    with pytest.raises(InvalidInput, match=r"limit of seconds = 5\.0: workers of a cluster"):
        run(config, tmp_path, Execution(cluster="tcp://127.0.0.1:1"), Console(quiet=True))


def test_missing_methods_are_listed_by_world() -> None:
    rows = [
        {"world": "w", "method": "A", "seed": s, "why": "out of time", "problem": "not done in 3 s"}
        for s in (1, 4)
    ]
    assert missing_sentences(rows)[0].startswith("w, A: seed 1 and 4 not done in 3 s, so that")
    late = [SignalSpec(SHORT, TABULAR_METHODS["GRPO"], 4, 9, 0), AuditSpec("GRPO", "lock", 9, 0)]
    assert missing_sentences(unfinished([], late, 7)) == [
        "short, GRPO: its signal not done in 7 s; run the same command with a higher --limit.",
        "lock, GRPO: its audit not done in 7 s; run the same command with a higher --limit.",
    ]
    assert world_sentences([]) == []
