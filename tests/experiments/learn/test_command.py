"""Learning curves: matched budgets, exact values, guarantees kept, and summaries worked by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments import curve_statistics as summary
from experiments.cli import main
from experiments.execution.settings import Execution
from experiments.learn.command import run
from experiments.learn.config import LearnConfig
from experiments.learn.curves import Budget, CurveSpec, learning_curve
from experiments.methods import FAMILY, REVISING, TABULAR_METHODS, GroupMethod
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.tabular import WORLDS, GymWorld, LockWorld, TreeWorld, build_world, choose
from tabular.evaluation.evaluate import evaluate
from tabular.learning.optimizers import Adam

SMALL = Budget(
    prompts=2, updates=3, every=2, trials=200, conservative_rollouts=1500, exact_updates=6,
    exact_every=2,
)  # fmt: skip
MATCHED = ("Dr. GRPO", "RLOO", "RRPO, any", "UnsureReset", "VPPO", "CAPO", "lambda-GRPO", "GiGPO",
           "R3", "R3, mixed", "own prefixes", "SCoRe")  # fmt: skip
FAMILY_METHODS = [
    name for name, method in TABULAR_METHODS.items()
    if isinstance(method, GroupMethod) and (name in FAMILY or name == "CAPO, every step")
]  # fmt: skip
GROUP_METHODS = [
    name for name, method in TABULAR_METHODS.items()
    if isinstance(method, GroupMethod) and (name in MATCHED or name not in FAMILY_METHODS)
]  # fmt: skip
EXACT_METHODS = [name for name in TABULAR_METHODS if name.endswith("exact")]


def curve(world: str, method: str, seed: int = 0, budget: Budget = SMALL) -> list[Row]:
    return learning_curve(
        CurveSpec(WORLDS[world], TABULAR_METHODS[method], Adam(0.2), budget, seed)
    )


# --- worlds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_runs_with_a_gradient_and_with_a_mixture(name: str) -> None:
    learnt = [row["value"] for row in curve(name, "SRPO-70")]
    mixed = [row["value"] for row in curve(name, "CPI-CARO, exact")]
    assert learnt[0] == pytest.approx(mixed[0], abs=1e-5)  # the softmax has a floor
    assert all(0 <= value <= 1 for value in learnt)
    assert mixed == sorted(mixed)
    assert mixed[-1] > mixed[0]


def test_trees_start_at_their_closed_form_and_vary_with_the_seed() -> None:
    world = WORLDS["tree-sparse"]
    trees = [build_world(world, Key.of(seed)).problem for seed in range(2)]
    assert not np.array_equal(trees[0].hard, trees[1].hard)  # type: ignore[attr-defined]
    for seed in range(2):
        # Four hard steps of ten: 0.3^4 * 0.99^6, whatever their places.
        assert curve("tree-sparse", "GRPO", seed)[0]["value"] == pytest.approx(0.3**4 * 0.99**6)


def test_the_oracle_s_level_covers_every_hard_step() -> None:
    seeded = build_world(WORLDS["tree-early"], Key.of(0))
    tree = seeded.problem
    assert seeded.tau == pytest.approx(tree.tau / 2)  # type: ignore[attr-defined]
    assert seeded.coverage == pytest.approx(tree.coverage(seeded.tau))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["taxi", "cliff-walking"])
def test_success_is_meant_in_the_environment_s_own_reward(name: str) -> None:
    world = WORLDS[name]
    assert isinstance(world, GymWorld)
    seeded = build_world(world, Key.of(0))
    scaling = seeded.problem.mdp.scaling
    assert scaling is not None
    assert scaling.original(seeded.success) == pytest.approx(world.success, abs=1e-4)


def test_a_tree_without_a_level_gets_one_and_a_bad_level_is_refused() -> None:
    with pytest.raises(InvalidInput, match="tau = -1"):
        build_world(LockWorld("x", tau=-1.0), Key.of(0))
    with pytest.raises(InvalidInput, match="threshold"):
        build_world(TreeWorld("x", threshold=0.0), Key.of(0))


def test_worlds_are_chosen_by_name() -> None:
    mine = LockWorld("mine", length=3)
    assert choose("worlds", ("mine", "lock"), (mine,)) == [mine, WORLDS["lock"]]
    with pytest.raises(InvalidInput, match=r"worlds\[1\] = 'mien': unknown; did you mean 'mine'"):
        choose("worlds", ("lock", "mien"), (mine,))
    with pytest.raises(InvalidInput, match=r"worlds\[1\] = 'lock': given twice"):
        choose("worlds", ("lock", "lock"), ())


# --- curves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", GROUP_METHODS)
@pytest.mark.parametrize("world", ["tree-sparse", "frozen-lake"])
def test_rollouts_are_matched_at_eight_per_prompt(world: str, method: str) -> None:
    rows = curve(world, method)
    assert [row["update"] for row in rows] == [0, 2, 3]
    assert [row["rollouts"] for row in rows] == [0, 2 * 2 * 8, 3 * 2 * 8]
    assert [row["point"] for row in rows] == [0, 1, 2]
    assert {(row["world"], row["method"], row["seed"]) for row in rows} == {(world, method, 0)}


@pytest.mark.parametrize("method", FAMILY_METHODS)
def test_the_family_learns_on_a_tree(method: str) -> None:
    budget = dataclasses.replace(SMALL, prompts=4, updates=30, every=30)
    begin, end = curve("tree-natural", method, budget=budget)
    assert end["rollouts"] >= 30 * 4 * 8
    assert end["value"] > begin["value"] + 0.02
    assert ("second" in end) == (method in REVISING)


def test_score_learns_second_attempts_first_and_then_both() -> None:
    budget = dataclasses.replace(SMALL, prompts=8, updates=120, every=60)
    before, half, end = curve("tree-natural", "SCoRe", budget=budget)
    # Stage 1 holds the first attempt where it was, and stage 2 does not.
    assert abs(half["value"] - before["value"]) < 0.01 < end["value"] - half["value"]
    assert half["second"] > half["value"] + 0.1


def test_a_reset_saves_the_steps_before_it() -> None:
    steps = {method: curve("tree-sparse", method)[-1]["steps"] for method in ("GRPO", "RRPO")}
    assert steps["GRPO"] == 3 * 2 * 8 * 10  # no thought ends a rollout of the tree early
    assert steps["RRPO"] < steps["GRPO"]


def test_a_curve_depends_on_its_spec_alone() -> None:
    again = curve("tree-early", "SRPO-40", seed=5)
    assert again == curve("tree-early", "SRPO-40", seed=5)
    assert again != curve("tree-early", "SRPO-40", seed=6)
    assert again[1:] != curve("tree-early", "SRPO", seed=5)[1:]


def test_methods_of_a_seed_share_world_and_base_rollouts() -> None:
    first = {m: curve("tree-natural", m, budget=dataclasses.replace(SMALL, updates=1, every=1))
             for m in ("RRPO", "SRPO")}  # fmt: skip
    assert first["RRPO"][0]["value"] == first["SRPO"][0]["value"]
    assert first["RRPO"][1]["refusals"] == first["SRPO"][1]["refusals"]


def test_recorded_values_are_those_of_the_learnt_policy() -> None:
    """The first update redone by hand: collect, one Adam step, evaluate."""
    from tabular.learning.softmax import SoftmaxPolicy
    from tabular.simulation.simulator import TabularSimulator

    budget = dataclasses.replace(SMALL, updates=1, every=1)
    key = Key.of(3).child("learn", "lock")
    problem = build_world(WORLDS["lock"], key.child("instance")).problem
    policy = SoftmaxPolicy.from_policy(problem.mdp, problem.policy, floor=1e-6)
    simulator = TabularSimulator(problem.mdp, policy.probabilities())
    starts = simulator.start_states(2, key.child("starts", 1))
    collected = collect(GRPO(8), simulator, starts, key.child("collect", 1))
    gradient = policy.gradient(collected)
    step = 0.2 * gradient / (np.abs(gradient) + 1e-8)  # Adam's first step is a sign step
    learnt = policy.with_logits(policy.logits + step)
    expected = float(evaluate(problem.mdp, learnt.probabilities()).value)
    row = curve("lock", "GRPO", seed=3, budget=budget)[1]
    assert row["value"] == pytest.approx(expected, abs=1e-12)
    assert row["informative"] == sum(group.informative for group in collected)
    assert row["steps"] == collected.generated_steps


@pytest.mark.parametrize("method", EXACT_METHODS)
@pytest.mark.parametrize("world", ["tree-natural", "lock", "frozen-lake"])
def test_exact_iteration_gains_at_least_what_it_guarantees(world: str, method: str) -> None:
    budget = dataclasses.replace(SMALL, exact_updates=40, exact_every=4)
    rows = curve(world, method, budget=budget)
    gains = np.diff([row["value"] for row in rows])
    promised = np.diff([row["guaranteed"] for row in rows])
    assert (promised > 0).all()
    assert (gains >= promised - 1e-12).all()
    assert rows[-1]["rollouts"] == 0


def test_sampled_iteration_rises_and_respects_its_limit() -> None:
    budget = dataclasses.replace(SMALL, trials=4000, conservative_rollouts=200_000)
    rows = curve("tree-natural", "CPI-CARO", budget=budget)
    gains = [row["value"] - rows[0]["value"] for row in rows[1:]]
    promised = [row["guaranteed"] for row in rows[1:]]
    assert rows[1]["decision"] == "stepped"
    assert all(gain >= least > 0 for gain, least in zip(gains, promised, strict=True))
    assert rows[-2]["rollouts"] < 200_000 <= rows[-1]["rollouts"]


def test_random_resets_cannot_decide_where_the_oracle_can() -> None:
    budget = dataclasses.replace(SMALL, trials=4000, conservative_rollouts=30_000)
    rows = curve("tree-natural", "CPI-RR", budget=budget)
    assert {row["decision"] for row in rows[1:]} == {"undecided"}
    assert rows[-1]["value"] == rows[0]["value"]


def test_learning_learns() -> None:
    """A bound far from what was seen: J from 0.08 to above 0.9 in 60 updates for every seed."""
    budget = Budget(updates=60, every=60)
    for method in ("GRPO", "RRPO", "SRPO"):
        assert curve("tree-natural", method, budget=budget)[-1]["value"] > 0.9


# --- summaries -----------------------------------------------------------------------------------


def records(
    method: str, values: Sequence[Sequence[float]], steps: Sequence[float], world: str = "w"
) -> list[Row]:
    """Curves of one method: per seed its values at 0, 10, 20, ... rollouts."""
    return [
        {
            "world": world,
            "method": method,
            "seed": seed,
            "point": point,
            "value": value,
            "rollouts": 10 * point,
            "steps": steps[point],
            "localizations": 2 * point,
            "groups": 0 if point == 0 else 4,
            "informative": 0 if point == 0 else 1 + seed,
            "refusals": {} if point == 0 else {"not failed": 1},
        }
        for seed, line in enumerate(values)
        for point, value in enumerate(line)
    ]


UP = records("SRPO", [[0.0, 0.2, 0.4], [0.2, 0.4, 0.6]], steps=[0, 10, 40])
FLAT = records("GRPO", [[0.1, 0.1, 0.1], [0.2, 0.2, 0.2]], steps=[0, 50, 100])


def test_the_mean_over_a_curve_is_its_area() -> None:
    one = summary.gather(UP)["w", "SRPO"]
    assert one.seeds == (0, 1)
    np.testing.assert_allclose(one.mean_until("rollouts", 20), [0.2, 0.4], atol=1e-12)
    np.testing.assert_allclose(one.mean_until("rollouts", 10), [0.1, 0.3], atol=1e-12)
    # Over steps: (10 * 0.1 + 30 * 0.3) / 40 for the first seed.
    np.testing.assert_allclose(one.mean_until("steps", 40), [0.25, 0.45], atol=1e-12)


def test_pairs_say_who_is_ahead_up_to_the_shared_budget() -> None:
    curves = summary.gather([*UP, *FLAT])
    by_axis = {row["axis"]: row for row in summary.pairs(curves)}
    assert by_axis["rollouts"]["difference"] == pytest.approx((0.1 + 0.2) / 2)
    assert by_axis["steps"]["budget"] == 40
    half = by_axis["rollouts"]["upper"] - by_axis["rollouts"]["difference"]
    # Differences 0.1 and 0.2: standard error 0.05, Student's t of one degree of freedom 12.706.
    assert half == pytest.approx(0.05 * 12.706, rel=1e-3)
    assert by_axis["rollouts"]["verdict"] == (
        "no difference shown between SRPO and GRPO per rollout"
    )


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [
        (0.5, "SRPO is ahead of GRPO per step"),
        (-0.5, "GRPO is ahead of SRPO per step"),
    ],
)
def test_verdicts_name_the_winner(shift: float, verdict: str) -> None:
    noise = [0.001, -0.001, 0.002]
    flat = [[0.5 + e] * 3 for e in noise]
    moved = [[0.5 + shift] * 3 for _ in noise]
    rows = records("SRPO", moved, [0, 10, 20]) + records("GRPO", flat, [0, 10, 20])
    found = {row["axis"]: row["verdict"] for row in summary.pairs(summary.gather(rows))}
    assert found["steps"] == verdict


def test_bands_hold_the_interquartile_mean_and_end_with_the_first_seed() -> None:
    lines = [[0.0, 0.1 * seed, 0.2 * seed] for seed in range(8)]
    one = summary.gather(records("SRPO", lines, [0, 5, 20]))["w", "SRPO"]
    rows = summary.bands([one], ("rollouts",), 200, Key.of(0))
    last = rows[-1]
    assert (last["x"], last["seeds"]) == (20.0, 8)
    # Of 0, 0.2, ..., 1.4 the middle half is 0.4, 0.6, 0.8, 1.0.
    assert last["value"] == pytest.approx(0.7)
    assert last["lower"] < 0.7 < last["upper"]
    assert rows[0]["lower"] == rows[0]["upper"] == 0.0
    assert rows == summary.bands([one], ("rollouts",), 200, Key.of(0))


def test_a_stopped_curve_keeps_its_value_up_to_a_given_end() -> None:
    lines = [[0.0, 0.5], [0.0, 0.5]]
    one = summary.gather(records("CPI-RR, exact", lines, [0, 5]))["w", "CPI-RR, exact"]
    rows = summary.bands([one], ("rollouts",), 20, Key.of(0), until=40.0)
    assert (rows[-1]["x"], rows[-1]["value"]) == (40.0, 0.5)
    assert rows[5]["x"] == pytest.approx(5.0)
    assert rows[5]["value"] == pytest.approx(0.25)


def test_reach_interpolates_and_admits_what_was_not_reached() -> None:
    rows = summary.reach(summary.gather([*UP, *FLAT]))
    found = {(row["method"], row["axis"]): row for row in rows}
    up, flat = found["SRPO", "rollouts"], found["GRPO", "rollouts"]
    # Halfway between 0.1 (first values) and 0.5 (best last values) of the means of two seeds.
    assert up["level"] == pytest.approx(0.3)
    assert up["median"] == pytest.approx((15 + 5) / 2)
    assert (up["reached"], up["seeds"]) == (2, 2)
    assert (flat["median"], flat["reached"]) == (None, 0)


def test_reach_counts_the_first_time_and_what_was_there_from_the_start() -> None:
    wavy = records("SRPO", [[0.0, 0.6, 0.0, 0.6], [0.6, 0.0, 0.0, 0.6]], steps=[0, 5, 10, 15])
    rows = {row["axis"]: row for row in summary.reach(summary.gather(wavy))}
    # The level is (0.3 + 0.6) / 2; the first seed gets there after 7.5 rollouts, the other at 0.
    assert rows["rollouts"]["level"] == pytest.approx(0.45)
    assert rows["rollouts"]["median"] == pytest.approx(7.5 / 2)
    assert rows["steps"]["median"] == pytest.approx(3.75 / 2)


def test_reach_has_an_interval_from_six_seeds_on() -> None:
    rows = records("SRPO", [[0.0, 0.2 + 0.1 * s, 1.0] for s in range(6)], steps=[0, 1, 2])
    (found,) = (r for r in summary.reach(summary.gather(rows)) if r["axis"] == "rollouts")
    # Midway is 0.5: between 10 and 20 rollouts for the first three, before 10 for the last two.
    assert (found["lower"], found["upper"]) == pytest.approx((10 * 0.5 / 0.7, 10 + 10 * 0.3 / 0.8))
    (few,) = (r for r in summary.reach(summary.gather(rows[:15])) if r["axis"] == "rollouts")
    assert (few["lower"], few["upper"], few["seeds"]) == (None, None, 5)


def test_speedups_are_paired_by_seed_and_admit_what_is_unknown() -> None:
    # Of seven seeds the second method never gets there in two, and neither does in the last one.
    fast = [[0.0, 1.0, 1.0]] * 6 + [[0.0, 0.0, 0.0]]
    slow = [[0.0, 0.0, 1.0]] * 4 + [[0.0, 0.0, 0.0]] * 3
    rows = records("SRPO", fast, [0, 4, 8]) + records("GRPO", slow, [0, 8, 16])
    found = {row["axis"]: row for row in summary.speedups(summary.gather(rows))}
    per_rollout, per_step = found["rollouts"], found["steps"]
    assert (per_rollout["first"], per_rollout["second"]) == ("SRPO", "GRPO")
    # 15 / 5 rollouts and 12 / 2 steps in four seeds; of seven the interval spans all.
    assert (per_rollout["speedup"], per_step["speedup"]) == pytest.approx((3, 6))
    assert (per_rollout["lower"], per_rollout["upper"], per_rollout["shown"]) == (0, None, False)
    six = summary.speedups(summary.gather([row for row in rows if row["seed"] < 6]))
    assert [(r["lower"], r["upper"], r["shown"]) for r in six] == [
        (pytest.approx(3), None, True),
        (pytest.approx(6), None, True),
    ]
    (sooner, *_) = summary.speedup_verdicts(six)
    expected = "w, rollouts: SRPO gets half-way 3.00 [3.00, -] times as soon as GRPO (6 seeds): "
    assert sooner == f"{expected}SRPO is sooner."
    # Where all others agree, a seed of which nothing is known leaves both ends open.
    agreed = records("GRPO", [[0.0, 0.0, 1.0]] * 6 + [[0.0, 0.0, 0.0]], [0, 8, 16])
    some = summary.speedups(summary.gather([*rows[:21], *agreed]))[0]
    assert (some["speedup"], some["lower"], some["upper"]) == (pytest.approx(3), 0, None)
    back = summary.speedups(summary.gather(rows), contrasts=[("GRPO", "SRPO")])
    assert [r["speedup"] for r in back] == pytest.approx([1 / 3, 1 / 6])
    assert summary.speedups(summary.gather(rows[:3] + rows[21:24])) == []


def test_groups_and_collections_count_over_seeds() -> None:
    one = summary.gather(UP)["w", "SRPO"]
    rows = summary.groups([one])
    assert [row["x"] for row in rows] == [10, 20]
    assert [row["informative"] for row in rows] == [(1 + 2) / 8] * 2
    (total,) = summary.collections([one])
    assert total["informative"] == pytest.approx(6 / 16)
    assert total["lower"] < 6 / 16 < total["upper"]
    assert total["refusals"] == {"not failed": 4}
    assert (total["rollouts"], total["steps"], total["localizations"]) == (20, 40, 4)


# --- the command ---------------------------------------------------------------------------------

TINY = LearnConfig(
    worlds=("tree-natural", "lock"),
    methods=("GRPO", "SRPO", "CPI-RR, exact"),
    sampled_worlds=("lock",),
    seeds=3,
    budget=SMALL,
    resamples=50,
)


def test_the_command_stores_tables_that_figures_read(tmp_path: Path) -> None:
    console = Console(record=True, width=120)
    assert run(TINY, tmp_path, Execution(workers=1), console) == 0
    stored = Run.existing(tmp_path, "learn")
    assert stored.tables() == (
        "bands", "collections", "conservative", "curves", "groups", "pairs", "reach", "speedups",
    )  # fmt: skip
    assert {row["method"] for row in stored.read("bands")} == {"GRPO", "SRPO"}
    assert {(r["world"], r["method"], r["axis"]) for r in stored.read("conservative")} == {
        ("tree-natural", "CPI-RR, exact", "update"),
        ("lock", "CPI-RR, exact", "update"),
        *((("lock", m, a)) for m in ("CPI-RR", "CPI-CARO") for a in ("rollouts", "steps")),
    }
    assert all(math.isfinite(row["value"]) for row in stored.read("bands"))
    text = console.export_text()
    assert "SRPO - GRPO" in text
    assert "half of what can be gained" in text


def test_the_family_is_compared_with_what_it_is_to_beat(tmp_path: Path) -> None:
    console = Console(record=True, width=160)
    config = dataclasses.replace(
        TINY, worlds=("lock",), sampled_worlds=(), methods=("GRPO", "SRPO", "VPPO", "SCoRe")
    )
    assert run(config, tmp_path, Execution(workers=1), console) == 0
    pairs = {(r["first"], r["second"]) for r in Run.existing(tmp_path, "learn").read("pairs")}
    ours = {(name, other) for name in ("VPPO", "SCoRe") for other in ("GRPO", "SRPO")}
    assert ours <= pairs
    assert "VPPO - SRPO" in console.export_text()


def test_the_command_gives_the_same_files_from_two_processes(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, worlds=("lock",))
    for folder, workers in (("one", 1), ("two", 2)):
        run(config, tmp_path / folder, Execution(workers=workers), Console(quiet=True))
    for name in Run.existing(tmp_path / "one", "learn").tables():
        first, second = (tmp_path / d / "learn" / f"{name}.jsonl" for d in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


def test_a_run_goes_on_with_more_seeds_or_with_fewer(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, methods=("GRPO",), sampled_worlds=())

    def ran(folder: str, seeds: int, **changes: Any) -> dict[str, bytes]:
        changed = dataclasses.replace(config, seeds=seeds, **changes)
        assert run(changed, tmp_path / folder, Execution(workers=1), Console(quiet=True)) == 0
        stored = Run.existing(tmp_path / folder, "learn")
        assert stored.config["seeds"] == seeds
        return {table: stored.path(table).read_bytes() for table in stored.tables()}

    few = ran("one", 2)
    assert ran("one", 3) == ran("whole", 3)
    assert ran("one", 2) == few
    # Resamples are of what is made of the curves.
    resampled = ran("one", 2, resamples=TINY.resamples + 1)
    assert resampled["curves"] == few["curves"]
    labels = [row["label"] for row in Run.existing(tmp_path / "one", "learn").timings()]
    curves = [label for label in labels if label.startswith("curves/")]
    assert len(curves) == len(set(curves)) == 3 * len(TINY.worlds)  # none was made twice
    with pytest.raises(InvalidInput, match=r"^rate = 0.1: the run in"):
        ran("one", 3, rate=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 1}, "seeds = 1: not an integer >= 2"),
        ({"methods": ("GPRO",)}, r"methods\[0\] = 'GPRO': unknown; did you mean 'GRPO'"),
        ({"worlds": ("tre",)}, r"worlds\[0\] = 'tre': unknown"),
        ({"sampled_worlds": ("tre",)}, r"sampled_worlds\[0\] = 'tre': unknown"),
        ({"rate": 0.0}, "rate = 0.0: not a positive number"),
        ({"resamples": 0}, "resamples = 0"),
        ({"resamples": 10**9}, "resamples = 1000000000: more than 1,000,000"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        LearnConfig(**changes)  # type: ignore[arg-type]


def test_a_budget_is_made_of_counts() -> None:
    with pytest.raises(InvalidInput, match="every = 0"):
        Budget(every=0)


def test_a_budget_of_steps_ends_a_curve_after_the_update_that_uses_it_up() -> None:
    whole = curve("tree-natural", "VinePPO", budget=dataclasses.replace(SMALL, every=1))
    enough = dataclasses.replace(SMALL, updates=50, every=1, steps=whole[1]["steps"] + 1)
    found = curve("tree-natural", "VinePPO", budget=enough)
    assert [row["update"] for row in found] == [0, 1, 2]
    # Nothing else depends on it: VinePPO has no schedule.
    assert found == whole[:3]
    with pytest.raises(InvalidInput, match="steps = 0"):
        dataclasses.replace(SMALL, steps=0)


@pytest.mark.parametrize(
    ("methods", "compared"),
    [
        (("VinePPO", "TreeRL"), {("TreeRL", "VinePPO")}),
        (("RLOO", "GRPO"), {("RLOO", "GRPO")}),
        (("VPPO", "RRPO", "RLOO"), {("RRPO", "VPPO"), ("RLOO", "VPPO")}),
        (("VinePPO",), set()),
    ],
)
def test_methods_are_compared_whatever_they_are(methods, compared, tmp_path, capsys):
    asked = ["learn", "--worlds", "tree-sparse", "--methods", *methods, "--seeds", "2"]
    asked += ["--budget.updates", "2", "--workers", "1", "--output", str(tmp_path)]
    assert main(asked) == 0
    rows = Run.existing(tmp_path, "learn").read("pairs")
    assert {(row["first"], row["second"]) for row in rows} == compared
    printed = capsys.readouterr().out
    assert ("paired by seed" in printed) == bool(compared)
    for first, second in compared:
        assert f"{first} - {second}" in printed
