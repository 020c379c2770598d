"""What the audit must find: known biases, known unbiasedness, and the exact numbers of both."""

import importlib.util
import math
import sys
from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path

import numpy as np
import pytest

from cpi_theory import GRPO, RRPO, SRPO, Draw, InvalidInput, relative_group
from cpi_theory.algorithms.relabelling import VPPO
from cpi_theory.algorithms.step_credit import VinePPO
from cpi_theory.audit.batch import Batch, advantages_of
from cpi_theory.audit.branching import Branch, TooMany, every_run
from cpi_theory.audit.forest import Edge, Forest, Node
from cpi_theory.audit.invariances import invariances, smallest_change
from cpi_theory.audit.judgement import exact_scale, judge, sentence
from cpi_theory.audit.law import Spread, drawn, law, listed
from cpi_theory.audit.shrinking import complexity, smallest
from cpi_theory.audit.subject import Subject, groups_of
from cpi_theory.audit.worlds import choice, lock, size, small_worlds
from cpi_theory.randomness import Key

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "examples"
WORLDS = small_worlds()
NAMED = {world.name: world for world in WORLDS}
SMALL = [world for world in WORLDS if world.name not in ("tree", "lock beside choice")]


def example(name):
    spec = importlib.util.spec_from_file_location(f"audited_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ESTIMATORS = example("estimators")


def subject(name, rollouts=3, exact=True):
    return Subject(name, GRPO(rollouts), getattr(ESTIMATORS, name), exact)


def test_every_branch_is_listed_once_with_its_probability():
    coin = [(F(1, 3), "a"), (F(2, 3), "b")]

    def run(branch):
        first = branch.choose(coin)
        return first + (branch.choose(coin) if first == "a" else "")

    runs = list(every_run(run, 10))
    assert runs == [(F(1, 9), "aa"), (F(2, 9), "ab"), (F(2, 3), "b")]
    with pytest.raises(TooMany):
        list(every_run(run, 2))
    assert Branch().probability == 1


@pytest.mark.parametrize("world", SMALL, ids=lambda w: w.name)
def test_leave_one_out_is_unbiased_in_fractions(world):
    found = law(subject("leave_one_out"), world)
    assert found.how == "fractions"
    assert (found.update == sum(found.samples.values()) * world.gradient).all()
    assert judge(found).verdict == "unbiased"
    assert judge(found).exact


@pytest.mark.parametrize("rollouts", [2, 3, 4])
def test_the_mean_of_the_group_costs_one_rollout_of_n(rollouts):
    found = law(subject("group_mean", rollouts), NAMED["lock"])
    assert exact_scale(found) / rollouts == F(rollouts - 1, rollouts)
    assert judge(found).verdict == "scaled"


def test_dividing_by_the_spread_weighs_prompts_by_how_far_they_are_from_a_half():
    """c(p) = E[1{mixed} p-hat (1 - p-hat) / spread] / (p (1 - p)), worked out by hand."""
    world = NAMED["two difficulties"]
    found = judge(law(Subject("grpo", GRPO(4)), world))
    assert found.verdict == "reweighted"
    for share in found.shares:
        p = share.value
        mixed = [4 * p * (1 - p) ** 3, 6 * p**2 * (1 - p) ** 2, 4 * p**3 * (1 - p)]
        expected = sum(
            w * np.sqrt(k / 4 * (1 - k / 4)) for w, k in zip(mixed, (1, 2, 3), strict=True)
        ) / (p * (1 - p))
        assert share.scale == pytest.approx(expected, rel=1e-12)
    assert found.shares[1].scale > found.shares[0].scale  # p = .1 counts for more than p = .5


def test_with_groups_of_three_the_spread_is_the_same_whatever_happens():
    assert judge(law(subject("group_spread", 3, False), NAMED["two difficulties"])).verdict == (
        "scaled"
    )


def test_with_more_than_two_rewards_the_spread_even_pushes_the_wrong_way():
    found = judge(law(subject("group_spread", 3, False), NAMED["paid on the way"]))
    assert found.verdict == "biased"
    assert found.reversed_pushes
    assert "away from the better action" in sentence(found)


FAULTS = {
    "turn_baseline": "go on or stop",
    "turn_rewards": "paid on the way",
    "turns_as_samples": "lock",
    "last_turn_only": "lock",
    "per_token": "go on or stop",
}


@pytest.mark.parametrize(("name", "world"), FAULTS.items())
def test_faulty_estimators_are_found_and_their_smallest_world_has_two_steps(name, world):
    assert judge(law(subject(name), NAMED[world])).verdict == "biased"
    found = smallest(lambda n: subject(name, n), "J", SMALL, (2, 3))
    assert size(found.forest) == (2, 2, 1)
    assert found.rollouts == 2
    assert found.judgement.cosine < 0.999


def test_the_hidden_cost_of_going_on_is_what_the_turns_pay_on_average():
    """Issue 7244 of verl: the baseline of a later turn is taken from those alone who get there."""
    world = NAMED["paid on the way"]
    right, wrong = (law(subject(n, 2), world) for n in ("group_mean", "turn_rewards"))
    place = world.parameters.index((world.observation(0), 0))
    # Of the samples that go on a share 1/3 is paid 1 later, and their own mean is taken from them.
    assert wrong.update[place] < 0 < right.update[place]


def test_shrinking_leaves_out_what_does_not_matter():
    big = Forest("big", (NAMED["three steps"].roots[0], NAMED["tree"].roots[0]))
    found = smallest(lambda n: subject("last_turn_only", n), "J", [big], (2,), most=5_000)
    assert complexity(found.forest) < complexity(big)
    assert size(found.forest) == (2, 2, 1)


def test_rollouts_from_later_states_must_not_join_the_group_of_their_prompt():
    world, plan = NAMED["lock, full length"], RRPO(base=2, suffix=2)
    merged = judge(law(Subject("merged", plan, ESTIMATORS.merged_starts, True), world))
    apart = judge(law(Subject("apart", plan, ESTIMATORS.by_start, True), world))
    assert (merged.verdict, apart.verdict) == ("biased", "reweighted")
    assert max(share.residual for share in merged.shares) > 0.05


def test_the_published_parent_rule_biases_the_base_group():
    """Its success rate is (5 p - p^5) / 4: the first failures are taken out as parents."""
    p = F(1, 2)
    world = Forest("coin", (choice(p),))
    plan = RRPO(base=4, suffix=2, parent="published", attempts=60, normalization="none")
    uniform = RRPO(base=4, suffix=2, normalization="none")
    samples = drawn(Subject("published", plan), world, 4_000)
    rate = float(samples.rewards[0]) / float(samples.samples[0])
    # Base rollouts and suffixes start in the one state there is: of six, two are plain.
    plain = listed(Subject("uniform", uniform), world, 5_000)
    assert plain.rewards[0] / plain.samples[0] == p
    expected = (4 * float((5 * p - p**5) / 4) + 2 * float(p)) / 6
    assert rate == pytest.approx(expected, abs=0.012)
    assert rate > 0.55


def test_what_resets_learn_from_is_named_with_its_mixture():
    world = NAMED["lock, full length"]
    for plan in (RRPO, SRPO):
        found = law(Subject("resets", plan(base=2, suffix=2, normalization="leave-one-out")), world)
        judged = judge(found)
        assert judged.verdict in ("mixture", "reweighted")
        later = [s for s in judged.shares if s.start != 0 and not np.isnan(s.scale)]
        assert later
        for share in later:  # suffix groups are plain groups of the state that they start in
            assert share.scale == pytest.approx(1, rel=1e-12)
            assert share.reward == pytest.approx(share.value)
        assert "V(" in sentence(judged) or "state 0" in sentence(judged)
        assert all(share.reward == pytest.approx(share.value) for share in judged.shares)


class SecondStep:
    """A group from the start, and one from wherever its first rollout is after a step."""

    rows_per_prompt = 4

    def plan(self, prompt, key):
        base = yield Draw(prompt.start, key.child("base").integers(2))
        groups = [relative_group(base, prompt, "leave-one-out")]
        if len(base[0]) > 1:
            later = yield Draw(base[0].states[1], key.child("later").integers(2))
            groups.append(relative_group(later, prompt, "leave-one-out", base[0], 1))
        return groups


def test_a_plain_mixture_is_named_and_is_not_J():
    world = NAMED["lock"]  # step 1 is reached with probability 1/2
    found = law(Subject("second step", SecondStep()), world)
    assert found.samples == {0: 2, 1: 1}
    assert judge(found).verdict == "mixture"
    assert "0.667 V(0) + 0.333 V(1)" in sentence(judge(found))


def test_made_up_rollouts_that_join_the_base_group_make_its_scale_depend_on_the_pass_rate():
    """n base rollouts without a failure are joined by m more, which they then differ from."""
    n = m = 2
    plan = RRPO(base=n, suffix=m, normalization="leave-one-out")
    for p in (F(1, 2), F(1, 10)):
        found = listed(Subject("rrpo", plan), Forest("coin", (choice(p),)), 5_000)
        surplus = n * m * (1 - p) * p ** (n - 1) / (n + m - 1)
        (samples,) = found.samples.values()
        assert samples == n + m
        assert float(exact_scale(found)) == pytest.approx(float(samples + surplus), rel=1e-12)


@pytest.mark.parametrize("continuations", [1, 2, 3])
def test_vineppo_estimates_advantages_without_bias_and_with_variance_falling_as_one_over_k(
    continuations,
):
    plan = VinePPO(rollouts=1, continuations=continuations)
    world = NAMED["lock"]
    found = law(Subject("vineppo", plan), world)
    assert judge(found).verdict == "unbiased"
    for (state, action), credit in found.credits.items():
        assert credit.mean == pytest.approx(float(world.advantage(state, action)), abs=1e-12)
    # At the last step V is estimated and the reward is certain: only the estimate varies.
    (last,) = [s for s in range(2) if s != world.starts[0]]
    right = float(world.value(last))
    expected = right * (1 - right) / continuations
    assert found.credits[last, 0].variance == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("precision", [F(1), F(3, 4), F(1, 2)])
def test_credit_by_a_localizer_rewards_wrong_steps_as_often_as_the_localizer_errs(precision):
    """The first step is decisive and the second is sure: a wrong answer can only be too late."""
    root = lock((F(1, 2), F(1)), dead=False)
    world = Forest("blamed", (root,), precision=precision)
    plan = VPPO(rollouts=2)
    found = law(Subject("blame", plan), world)
    assert found.credits[world.starts[0], 1].wrong == pytest.approx(float(1 - precision))


def test_drawn_laws_agree_with_listed_ones_within_their_errors():
    world, plan = NAMED["two difficulties"], Subject("grpo", GRPO(4))
    exact, sampled = listed(plan, world, 1_000), drawn(plan, world, 3_000)
    assert sampled.how == "draws"
    assert judge(sampled).verdict in ("reweighted", "scaled")
    gap = (exact.update - sampled.update).astype(float)
    assert (np.abs(gap) <= 4.5 * sampled.errors).all()
    assert sampled.errors.all()
    assert not exact.errors.any()
    for one, other in zip(judge(exact).shares, judge(sampled).shares, strict=True):
        assert abs(one.scale - other.scale) <= other.slack


def test_the_spread_of_drawn_updates_by_hand():
    """Two of four draws start there, with 1 and 2 samples, g = (1, 0); c = (3 + 3) / 3.

    The updates less c n g are (1, 1) and (-1, 3): along g the error is sqrt(2) / 3, and what is
    left has squares 2 and 10 about a mean of (0, 1) over four. Without g all of it is left.
    """
    updates = np.array([[3.0, 1.0], [3.0, 3.0]])
    found = Spread.of(updates, np.array([1.0, 2.0]), np.array([1.0, 0.0]), 4)
    assert found.scale == pytest.approx(np.sqrt(2) / 3)
    assert found.residual == pytest.approx(np.sqrt(2 + 10 - 4 * 1) / 4)
    nothing = Spread.of(updates, np.array([1.0, 2.0]), np.zeros(2), 4)
    assert (nothing.scale, nothing.residual) == (0, pytest.approx(np.sqrt(10 + 18 - 4 * 3.25) / 4))


@pytest.mark.parametrize("name", ["three steps", "two difficulties", "lock beside choice"])
def test_standard_errors_of_drawn_factors_are_what_factors_spread_by(name):
    """Leave-one-out is unbiased, so that each drawn factor should be 1 within its error."""
    plan = Subject("rloo", GRPO(4), ESTIMATORS.leave_one_out)
    judged = [judge(drawn(plan, NAMED[name], 300, seed)) for seed in range(40)]
    errors = [
        (float(share.scale) - 1) / (share.slack / 4)
        for one in judged
        for share in one.shares
        if not math.isnan(share.scale)
    ]
    assert 0.75 < np.std(errors) < 1.3
    assert {one.verdict for one in judged} == {"unbiased"}


def test_what_was_drawn_is_said_to_be():
    world = NAMED["two difficulties"]
    plan = Subject("rloo", GRPO(4), ESTIMATORS.leave_one_out)
    found = judge(drawn(plan, world, 100))
    low, high = found.factors
    assert 0.5 < low < 1 < high < 2
    assert sentence(found) == (
        "follows the gradient of J, without a bias, as far as 100 drawn updates show: "
        f"times {low:.3g} to {high:.3g}"
    )
    assert found.draws == 100
    assert "drawn" not in sentence(judge(listed(plan, world, 1_000)))
    spread = judge(drawn(Subject("grpo", GRPO(4)), world, 3_000))
    assert sentence(spread).startswith(
        "follows the gradient of J, as far as 3,000 drawn updates show: times 1."
    )


def test_fractions_are_judged_without_any_rounding():
    """A success is praised 1 + 1e-6 times: another step in one state, another aim in several."""

    def praising(batch):
        found = np.asarray(ESTIMATORS.leave_one_out(batch), object)
        return np.array([a * (1 + F(1, 10**6)) if a > 0 else a for a in found], object)

    plan = Subject("praising", GRPO(2), praising, exact=True)
    coin = judge(law(plan, Forest("coin", (choice(F(1, 4)),))))
    assert coin.verdict == "scaled"
    assert sentence(coin).startswith("follows the gradient of J exactly, times 1.000001: ")
    assert judge(law(replace(plan, exact=False), Forest("coin", (choice(F(1, 4)),)))).verdict == (
        "unbiased"
    )


def test_what_points_against_the_gradient_is_called_so():
    plan = Subject("against", GRPO(3), lambda batch: -ESTIMATORS.leave_one_out(batch))
    found = judge(law(plan, NAMED["choice"]))
    assert found.verdict == "biased"
    assert "points against the gradient of its value, -1 times" in sentence(found)


def test_noise_of_one_update_is_that_of_a_coin():
    """One parameter pair, REINFORCE without a baseline: U = r (e_a - pi) of one rollout."""
    world = Forest("coin", (choice(F(1, 4)),))
    found = law(Subject("plain", GRPO(2), lambda b: b.rewards, exact=True), world)
    one = 2 * float(F(3, 4)) ** 2  # |e_0 - pi|^2
    p = 0.25
    assert found.variance == pytest.approx(2 * (p * one - p**2 * one))
    assert float(found.rollouts) == float(found.steps) == 2


def test_invariances_tell_a_choice_from_a_fault():
    def by_place(batch):
        return batch.rewards * np.arange(len(batch))

    def whitened(batch):
        return (batch.rewards - batch.rewards.mean()) / (batch.rewards.std() + 1e-9)

    def noticed(function):
        plan = Subject("x", GRPO(3), function)
        worlds = [NAMED["two difficulties"], NAMED["lock beside choice"]]
        return {row.name for row in invariances(plan, worlds) if not row.holds}

    assert noticed(ESTIMATORS.leave_one_out) == set()
    assert "order" in noticed(by_place)
    assert noticed(ESTIMATORS.per_token) == {"length"}
    assert noticed(whitened) == {"split"}


def test_the_smallest_change_needs_no_more_than_a_group():
    """The order shows in two rollouts of one prompt; the ids of groups need one whose is not 0."""
    subjects = {
        "order": lambda n: Subject("x", GRPO(n), lambda b: b.rewards * np.arange(len(b))),
        "names": lambda n: Subject("x", GRPO(n), lambda b: b.rewards * b.groups),
        "padding": lambda n: Subject("x", GRPO(n), lambda b: b.rewards),
    }
    worlds = [NAMED["two difficulties"], NAMED["lock beside choice"]]
    found = {name: smallest_change(of, name, worlds, (2, 3)) for name, of in subjects.items()}
    assert len(found["order"]) == len(found["names"]) == 2
    assert len(set(found["order"].groups)) == 1
    assert found["padding"] is None


def stateful(batch, seen=[]):  # noqa: B006 - that is the fault
    seen.append(1)
    return batch.rewards * len(seen)


class Remembering:
    """Compares with the mean of the last other batch, so that a call that is repeated agrees."""

    def __init__(self):
        self.now, self.before = (None, 0.0), (None, 0.0)

    def __call__(self, batch):
        if self.now[0] != batch.rewards.tolist():
            self.before, self.now = self.now, (batch.rewards.tolist(), batch.rewards.mean())
        return batch.rewards - self.before[1]


def leaving(batch):
    raise SystemExit(0)


def mutating(batch):
    batch.rewards[:] -= 1
    return batch.rewards


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda b: b.rewards[:1], "neither"),
        (lambda b: b.rewards / 0 * 0, "not finite"),
        (stateful, "differ"),
        (mutating, "changes its input rewards"),
        (Remembering(), "differ, with other batches between them"),
        (leaving, "raised SystemExit: 0"),
        (lambda b: 1e200 * b.rewards, "beyond 1e"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_estimators_that_are_none_are_named(function, match):
    with pytest.raises(InvalidInput, match=match):
        law(Subject("x", GRPO(2), function), NAMED["choice"])


def test_a_memory_shows_in_drawn_updates_too():
    plan = Subject("x", GRPO(4), Remembering())
    with pytest.raises(InvalidInput, match="with other batches between them"):
        drawn(plan, NAMED["two difficulties"], 50)


def test_batches_hold_what_the_world_knows():
    world = NAMED["lock"]
    batch = Batch.of(groups_of(Subject("x", GRPO(8)), world, Key.of(2)), world)
    assert set(batch.lengths.tolist()) == {1, 2}
    assert (batch.steps[~batch.mask] == -1).all()
    assert batch.values[:, 0] == pytest.approx(float(world.value(0)))
    assert batch.greedy == pytest.approx(0.0)  # the likelier second action is wrong
    assert (batch.step_rewards.sum(axis=1) == batch.rewards).all()
    long = batch.stretched(3)
    assert (long.lengths == 3 * batch.lengths).all()
    assert long.log_probs.sum() == pytest.approx(batch.log_probs.sum())
    same = advantages_of(ESTIMATORS.leave_one_out, batch.padded(1))
    assert (same[:, :-1] == advantages_of(ESTIMATORS.leave_one_out, batch)).all()


def test_a_start_where_nothing_can_be_learned_is_no_fault():
    sure = Node((Edge(F(1), 1),))
    world = Forest("sure beside choice", (sure, choice(F(1, 2))))
    assert judge(law(subject("leave_one_out"), world)).verdict == "unbiased"


def test_an_estimator_that_learns_nothing_is_silent():
    nothing = Subject("nothing", GRPO(2), lambda b: 0 * b.rewards)
    assert judge(law(nothing, NAMED["choice"])).verdict == "silent"
