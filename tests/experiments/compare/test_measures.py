"""Real rollouts against the exact law, visited worlds, anatomy of collections, summaries."""

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments.compare.across_worlds import (
    ResetsSpec,
    WorldWithPolicy,
    mdp_and_policy,
    measure_resets,
    standard_worlds,
)
from experiments.compare.checks import CheckSpec, check_samples
from experiments.compare.chooser_samples import TrialLaw
from experiments.compare.illustrations import AnatomySpec, anatomy, reset_positions
from experiments.compare.measures import trial_law
from experiments.compare.settings import Setting
from experiments.compare.summary import bounds_against_facts, imperfect_oracles
from experiments.compare.worlds import policy_update
from tabular.evaluation.evaluate import evaluate
from tabular.simulation.conservative import ConservativeTabular
from tabular.simulation.reset_weight import reset_weight


@pytest.mark.parametrize(
    "setting",
    [
        Setting("aliased", "random", coverage=1 / 4, tau=0.4, horizon=3, actions=3),
        Setting("statewise", "oracle", coverage=1 / 8),
        Setting("statewise", "imperfect", coverage=1 / 8, precision=0.5, recall=0.5),
    ],
    ids=lambda s: f"{s.learner}-{s.resets}",
)
def test_the_exact_law_is_the_simulators(setting: Setting) -> None:
    """Chi-square of simulated (observation, action, success) counts against the law's cells."""
    update = policy_update(setting)
    law = trial_law(update, setting)
    simulator = ConservativeTabular(update.mdp, update.policy)
    trials = simulator.draw_trials(setting.reset, 40_000, Key.of(3))
    assert set(np.unique(trials.returns)) <= {0.0, 1.0}
    counts = np.zeros(law.success.shape)
    np.add.at(counts, (trials.observations, trials.actions), trials.returns)
    expected = len(trials) * law.success
    cells = expected > 1e-9
    assert counts[~cells].sum() == 0
    rest = len(trials) - expected.sum()
    chi = ((counts - expected)[cells] ** 2 / expected[cells]).sum()
    chi += (len(trials) - counts.sum() - rest) ** 2 / rest
    freedom = cells.sum()
    assert abs(chi - freedom) < 4 * np.sqrt(2 * freedom)


def test_checks_with_real_rollouts() -> None:
    setting = Setting("aliased", "oracle", coverage=1 / 8)
    (row,) = check_samples(CheckSpec(setting, 10.6, 0.9, 3000, seed=1))
    assert row["samples"] == 11
    assert row["lower"] <= row["right"] <= row["upper"]
    assert row["right"] == pytest.approx(0.9, abs=0.035)
    # One trial and, on average, 1 / p roll-ins until one meets an improvable state.
    assert row["rollouts_per_sample"] == pytest.approx(9, rel=0.03)
    assert row["rollouts_per_sample_expected"] == pytest.approx(9)
    (few,) = check_samples(CheckSpec(setting, 2, 0.9, 1500, seed=1))
    assert few["upper"] < 0.8


def by_reset(rows: list[dict], name: str, level: float | None = None) -> dict:
    return next(r for r in rows if r["resets"] == name and r.get("level") == level)


@pytest.mark.parametrize(
    "world",
    [
        WorldWithPolicy("FrozenLake", "gymnasium", 12, "uniform", (("is_slippery", False),)),
        WorldWithPolicy("CliffWalking", "gymnasium", 20, "half greedy"),
        WorldWithPolicy("Taxi", "gymnasium", 12, "uniform"),
        WorldWithPolicy("reasoning tree", "tree", 6, "base", (("hard_steps", 2),)),
    ],
    ids=lambda p: f"{p.name}-{p.policy}",
)
def test_every_bound_holds_in_every_world(world: WorldWithPolicy) -> None:
    rows = measure_resets(ResetsSpec(world, replications=100, bootstraps=20))
    for row in rows:
        assert row["gain"] >= row["sharp"] - 1e-12
        assert row["sharp"] >= row["guaranteed"] - 1e-12
        assert 0 <= row["alpha"] <= 1
    low, high = by_reset(rows, "oracle", 0.25), by_reset(rows, "oracle", 0.5)
    assert low["coverage"] >= high["coverage"]
    for row in (low, high):
        assert row["selected"] == pytest.approx(row["coverage"])
        assert row["advantage"] >= 0
        assert row["greedy_gain"] >= row["greedy_guaranteed"] - 1e-12
    returns = world.name in ("FrozenLake", "reasoning tree")
    assert all((r["samples"] is not None) == returns for r in rows)
    assert len({r["resets"] for r in rows}) == 4


def test_the_class_best_is_at_least_every_constant_choice() -> None:
    world = WorldWithPolicy("FrozenLake", "gymnasium", 10, "uniform")
    mdp, policy, observations = mdp_and_policy(world)
    evaluation = evaluate(mdp, policy)
    weight = np.ones((mdp.horizon, mdp.states))
    law = TrialLaw.of(
        evaluation.visits, weight, evaluation.q_values, evaluation.advantages, observations
    )
    for action in range(mdp.actions):
        constant = (evaluation.occupancy * evaluation.advantages[..., action]).sum()
        assert law.best_advantage >= constant - 1e-12


def test_half_greedy_is_half_way_to_an_improvement() -> None:
    worlds = [
        WorldWithPolicy("CliffWalking", "gymnasium", 20, name)
        for name in ("uniform", "half greedy")
    ]
    (mdp, uniform, _), (_, half, _) = map(mdp_and_policy, worlds)
    assert evaluate(mdp, half).value > evaluate(mdp, uniform).value
    assert half.min() == pytest.approx(0.125)
    assert half.max() == pytest.approx(0.625)


def test_places_are_told_apart_and_refuse() -> None:
    labels = [(p.label, p.policy) for p in standard_worlds()]
    assert len(set(labels)) == len(labels)
    assert ("FrozenLake 4x4 not slippery", "uniform") in labels
    with pytest.raises(InvalidInput, match="Gymnasium has none"):
        WorldWithPolicy("Taxi", "gymnasium", 5, "base")
    with pytest.raises(InvalidInput, match="levels"):
        ResetsSpec(standard_worlds()[0], levels=(0.0,))


SPEC = AnatomySpec(failures=2000)


def test_positions_agree_with_the_trees_closed_form() -> None:
    rows = reset_positions(SPEC)
    shares = {r["reset"]: r for r in rows if r["kind"] == "share"}
    for name, share in shares.items():
        law = [r["probability"] for r in rows if r["kind"] == "position" and r["reset"] == name]
        assert sum(law) == pytest.approx(1)
        assert share["failures"] == 2000
    assert shares["first_error"]["exact"] == pytest.approx(1)
    first = SPEC.tree().first_error_law(failed=True)[:-1]
    steps = np.arange(SPEC.horizon)
    clean = float(first @ (steps + 1)) / SPEC.horizon
    assert shares["uniform"]["clean"] == pytest.approx(clean, abs=0.02)
    # With probability 0.3 a uniform step, which is the right one once in ten.
    assert shares["first_error_blurred"]["exact"] == pytest.approx(0.73, abs=0.03)
    assert shares["improvable"]["clean"] == pytest.approx(1)


def test_anatomy_shows_real_groups() -> None:
    rows = anatomy(SPEC)
    names = list(dict.fromkeys(r["algorithm"] for r in rows))
    assert names == ["GRPO", "RRPO 1x4", "SRPO 1x4", "SRPO 2x4", "SRPO 1x8"]
    for name in names:
        mine = [r for r in rows if r["algorithm"] == name]
        trained = [r for r in mine if r["role"] != "parent"]
        assert len(trained) == 8
        for group in {r["group"] for r in trained}:
            advantages = [r["advantage"] for r in trained if r["group"] == group]
            assert sum(advantages) == pytest.approx(0)
        for suffix in (r for r in trained if r["role"] == "suffix"):
            assert all(suffix["right"][: suffix["first"]]) or name.startswith("RRPO")
    resets = [r for r in rows if r["algorithm"] == "SRPO 1x4" and r["reset"] is not None]
    assert [r["right"].index(False) for r in resets] == [r["reset"] for r in resets]
    assert any(r["role"] == "suffix" and r["advantage"] != 0 for r in rows)


def point(**more: object) -> dict:
    dials = {"coverage": 0.125, "tau": 0.2, "horizon": 4, "actions": 2}
    return dials | {"kind": "point", "learner": "aliased", "base": True} | more


def test_imperfect_oracles_worked_by_hand() -> None:
    one = {"precision": 1.0, "recall": 1.0}
    half = {"precision": 0.5, "recall": 0.25, "resets": "imperfect"}
    samples = [
        point(resets="random", dial="coverage", samples=1600.0, lower=1500.0, upper=1700.0, **one),
        point(dial="precision", samples=100.0, lower=90.0, upper=110.0, **half),
        point(dial="recall", samples=1.0, lower=1.0, upper=1.0, **half),
    ]
    gains = [
        point(resets="random", spread_rule="worst", gain=0.01, remaining=1.5, **one),
        point(spread_rule="worst", gain=0.02, remaining=2.0, **half),
    ]
    (row,) = imperfect_oracles(samples, gains)
    assert row["samples_saved"] == 16
    assert row["samples_saved_theory"] == 16  # (0.5 / 0.125)^2
    assert row["samples_saved_lower"] == pytest.approx(1500 / 110)
    assert row["gain_factor"] == 2
    assert row["gain_factor_theory"] == pytest.approx(0.25 * 4 * 1.5 / 2)


def test_looseness_is_a_ratio_above_one() -> None:
    samples = [
        point(resets=resets, learner=learner, dial="coverage", samples=10.0, bound=b, floor=floor)
        | {"bound_wide_gaps": b / 2, "on_instance": b / 4, "exact": floor and 9.5}
        for learner in ("aliased", "statewise")
        for resets, floor in (("random", 2.0 if learner == "aliased" else None), ("oracle", None))
        for b in (100.0, 300.0)
    ]
    gains = [
        point(resets=r, dial="coverage", spread_rule=rule, gain=1.0)
        | {"guaranteed": 0.5, "sharp": 0.8, "planned": 0.1}
        for r in ("random", "oracle")
        for rule in ("exact", "worst")
    ]
    rows = {(r["bound"], r["facts"]): r for r in bounds_against_facts(samples, gains)}
    found = rows["T4s/T4w plan", "samples, aliased class, random resets"]
    assert (found["smallest"], found["largest"]) == (10, 30)
    assert rows["T7s closed form", "samples, aliased class, random resets"]["largest"] == 5
    exact = rows["T7s exact", "samples, aliased class, random resets"]
    assert exact["largest"] == pytest.approx(10 / 9.5)
    wide = rows["T4w plan, wide gaps", "samples, statewise class, oracle resets"]
    assert (wide["smallest"], wide["largest"]) == (5, 15)
    near = rows["T4s/T4w on the instance", "samples, statewise class, random resets"]
    assert (near["smallest"], near["largest"]) == (2.5, 7.5)
    assert ("T7s exact", "samples, statewise class, random resets") not in rows
    assert rows["T1s", "gain, oracle resets, Delta exact"]["smallest"] == 1.25
    assert ("T5 plan", "gain, oracle resets, Delta exact") not in rows


def test_reset_weights_of_settings_are_the_reset_policies_own() -> None:
    for resets in ("random", "oracle"):
        setting = Setting(resets=resets)  # type: ignore[arg-type]
        update = policy_update(setting)
        induced = reset_weight(update.mdp, update.policy, setting.reset)
        assert induced.exact
        visited = evaluate(update.mdp, update.policy).visits > 0
        expected = np.ones((4, 4)) if resets == "random" else np.eye(4)[np.ones(4, int)]
        assert induced.values[visited] == pytest.approx(expected[visited])
