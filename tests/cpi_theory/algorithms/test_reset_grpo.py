"""GRPO and its resets: which rollouts are drawn, which form a group, and what it costs."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO, ResetGRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageReset, ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import Reason
from tests.cpi_theory.chain import Chain, Scripted

STARTS = [(0, 0)] * 40
PUBLISHED = {"parent": "published"}


def fingerprint(group):
    parent = None if group.parent is None else (tuple(group.parent.states), group.parent.actions)
    rollouts = [(tuple(r.states), tuple(r.actions), r.reward) for r in group.rollouts]
    return group.prompt, rollouts, group.advantages.tolist(), str(parent), group.step


def by_prompt(collection):
    groups = {}
    for group in collection:
        groups.setdefault(group.prompt, []).append(fingerprint(group))
    return groups


def started(collection):
    return [g for g in collection if g.parent is None]


def suffixes(collection):
    return [g for g in collection if g.parent is not None]


# --- GRPO -------------------------------------------------------


def test_grpo_is_one_group_per_prompt_in_one_call():
    world = Chain()
    collection = collect(GRPO(rollouts=8), world, STARTS, 3)
    assert world.calls == ["rollout"]
    assert [g.prompt for g in collection] == list(range(40))
    assert {len(g.rollouts) for g in collection} == {8}
    assert collection.generated_rollouts == 320
    assert collection.generated_steps == 960
    assert not collection.refusals
    for group in collection:
        rewards = np.array([r.reward for r in group.rollouts])
        if rewards.std():
            np.testing.assert_allclose(group.advantages, (rewards - rewards.mean()) / rewards.std())
        else:
            assert not group.informative


def test_no_prompts_no_calls():
    for algorithm in (GRPO(), RRPO(), RRPO(parent="published")):
        world = Chain()
        assert len(collect(algorithm, world, [], 0)) == 0
        assert world.calls == []


# --- the default rule -------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "calls"),
    [
        (RRPO(), ["rollout", "rollout"]),
        (SRPO(), ["rollout", "locate", "rollout"]),
        (SRPO(on_refusal="fresh"), ["rollout", "locate", "rollout"]),
        (ResetGRPO.layout("2x4", FirstErrorReset()), ["rollout", "locate", "rollout"]),
    ],
)
def test_at_most_one_base_one_localisation_and_one_suffix_call(algorithm, calls):
    world = Chain(blind=0.3)
    collect(algorithm, world, STARTS, 1)
    assert world.calls == calls


def test_all_successes_need_no_localisation():
    world = Chain(right=(1 - 1e-15,) * 3)
    collection = collect(SRPO(), world, STARTS, 1)
    assert world.calls == ["rollout", "rollout"]
    assert collection.localizations == 0
    assert collection.refusals == {Reason.NOT_FAILED: 40}
    assert [len(g.rollouts) for g in collection] == [8] * 40


def test_parents_stay_in_the_base_group_and_suffixes_start_at_the_reset_state():
    collection = collect(RRPO(), Chain(), STARTS, 5)
    bases = {g.prompt: g for g in started(collection)}
    assert suffixes(collection)
    for group in suffixes(collection):
        assert group.parent in bases[group.prompt].rollouts
        assert group.parent.failed
        assert len(bases[group.prompt].rollouts) == 4
        assert len(group.rollouts) == 4
        reset_state = group.parent.states[group.step]
        for rollout in group.rollouts:
            assert rollout.states[0] == reset_state
            assert len(rollout) == 3 - group.step


def test_the_account_counts_every_rollout_and_generated_step():
    collection = collect(SRPO(), Chain(blind=0.4), STARTS, 6)
    rollouts = [r for g in collection for r in g.rollouts]
    assert collection.generated_rollouts == len(rollouts)
    assert collection.generated_steps == sum(map(len, rollouts))
    parents = sum(any(r.failed for r in g.rollouts[:4]) for g in started(collection))
    assert collection.localizations == parents
    assert collection.refusals[Reason.NOT_FAILED] == 40 - parents
    assert collection.refusals[Reason.UNPARSABLE] == parents - len(suffixes(collection))


def test_parents_are_uniform_among_the_failures():
    """Two failures of four: each of the two is the parent half the time."""
    chosen = Counter()
    for seed in range(2000):
        world = Scripted({"p": [1, 0, 1, 0, 0, 0, 0, 0]})
        (_, suffix) = collect(RRPO(), world, ["p"], seed)
        chosen[suffix.parent.actions[0]] += 1
    assert set(chosen) == {1, 3}
    assert abs(chosen[1] - 1000) < 4 * np.sqrt(500)


def test_reset_steps_follow_the_reset_policys_probabilities():
    """Uniform over 3 steps, within four standard errors."""
    collection = collect(RRPO(), Chain(), [(0, 0)] * 2000, 8)
    steps = Counter(g.step for g in suffixes(collection))
    n = sum(steps.values())
    for step in range(3):
        assert abs(steps[step] - n / 3) < 4 * np.sqrt(n * 2 / 9)
    assert {g.step for g in suffixes(collect(ResetGRPO(StartReset()), Chain(), STARTS, 1))} == {0}


def test_base_groups_are_unbiased_by_exact_enumeration():
    """E[base accuracy] = p for every p: both sides are polynomials, compared as such."""
    totals = Counter()
    for outcomes in itertools.product([0, 1], repeat=4):
        collection = collect(RRPO(), Scripted({"p": [*outcomes, 0, 0, 0, 0]}), ["p"], 0)
        base = started(collection)[0].rollouts[:4]
        assert [r.reward for r in base] == list(outcomes)
        totals[sum(outcomes)] += sum(int(r.reward) for r in base)
    for p in (Fraction(1, 5), Fraction(1, 2), Fraction(4, 5)):
        mean = sum(totals[k] * p**k * (1 - p) ** (4 - k) for k in totals) / 4
        assert mean == p


def test_base_groups_are_unbiased_by_simulation():
    world = Chain()
    p = world.values()[0, 0]
    collection = collect(SRPO(), world, [(0, 0)] * 3000, 11)
    mean = np.mean([r.reward for g in started(collection) for r in g.rollouts[:4]])
    assert abs(mean - p) < 4 * np.sqrt(p * (1 - p) / 12000)


def test_a_prompt_without_failures_becomes_one_group_of_equal_budget():
    world = Scripted({"p": [1] * 4 + [0, 1, 1, 0]})
    (group,) = collect(SRPO(), world, ["p"], 0)
    assert world.calls == [4, 4]
    assert group.parent is None
    assert [r.reward for r in group.rollouts] == [1, 1, 1, 1, 0, 1, 1, 0]
    # 6 of 8 right: (1 - .75)/sqrt(.75 .25) = .577 and -1.732.
    np.testing.assert_allclose(sorted(set(group.advantages.round(3))), [-1.732, 0.577])


def test_groups_are_normalised_separately():
    world = Scripted({"p": [1, 1, 0, 0, 1, 0, 0, 0]})
    base, suffix = collect(RRPO(), world, ["p"], 0)
    assert base.advantages.tolist() == [1, 1, -1, -1]
    np.testing.assert_allclose(suffix.advantages, [3**0.5] + [-(3**-0.5)] * 3)
    pooled = collect(
        RRPO(normalization="none"), Scripted({"p": [1, 1, 0, 0, 1, 0, 0, 0]}), ["p"], 0
    )
    assert [g.advantages.tolist() for g in pooled] == [[0.5, 0.5, -0.5, -0.5], [0.75] + [-0.25] * 3]


def test_an_empty_failure_can_be_no_parent():
    world = Scripted({"p": [None, 1, 1, None, 0, 0, 0, 0]})
    collection = collect(RRPO(), world, ["p"], 0)
    assert collection.refusals == {Reason.EMPTY: 1}
    assert len(started(collection)[0].rollouts) == 8


# --- refusals ---------------------------------------------------


@pytest.mark.parametrize("on_refusal", ["drop", "uniform", "fresh"])
def test_refusals_are_counted_and_never_become_a_silent_first_step(on_refusal):
    world = Chain(right=(0.5,) * 6, blind=1.0)
    collection = collect(SRPO(on_refusal=on_refusal), world, STARTS * 5, 2)
    parents = collection.localizations
    assert parents > 150
    assert collection.refusals[Reason.UNPARSABLE] == parents
    lengths = Counter(len(g.rollouts) for g in started(collection))
    if on_refusal == "drop":
        assert not suffixes(collection)
        assert lengths[4] == parents
        assert collection.generated_rollouts == 4 * parents + 8 * (200 - parents)
    elif on_refusal == "fresh":
        assert not suffixes(collection)
        assert lengths == {8: 200}
    else:
        steps = Counter(g.step for g in suffixes(collection))
        assert sum(steps.values()) == parents
        assert set(steps) == set(range(6))
        assert steps[0] < parents / 3


def test_a_reset_policy_with_nothing_eligible_is_counted():
    collection = collect(ResetGRPO(ImprovableReset(0.99)), Chain(), STARTS, 4)
    assert (
        collection.refusals[Reason.NO_ELIGIBLE_STEP] == 40 - collection.refusals[Reason.NOT_FAILED]
    )
    assert not suffixes(collection)
    assert collection.localizations == 0


# --- independence -----------------------------------------------

ALGORITHMS = [
    GRPO(),
    RRPO(),
    SRPO(on_refusal="fresh"),
    ResetGRPO(AdvantageReset(0.05)),
    SRPO(parent="published", on_refusal="uniform"),
    ResetGRPO.layout("2x4", FirstErrorReset()),
    ResetGRPO.layout("1x8", UniformReset(), parent="published"),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_prompts_groups_depend_on_its_id_alone(algorithm):
    world = Chain(blind=0.3, recovery=0.2)
    ids = [5, 17, 2, 40, 9, 11]
    whole = by_prompt(collect(algorithm, world, [(0, 0)] * 6, 7, ids))
    for order in ([9, 2, 5, 40, 11, 17], [40, 9], [17]):
        part = by_prompt(collect(algorithm, world, [(0, 0)] * len(order), 7, order))
        assert part == {i: whole[i] for i in order if i in whole}


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_two_prompts_with_the_same_text_share_nothing(algorithm):
    groups = by_prompt(collect(algorithm, Chain(), [(0, 0)] * 30, 7))
    assert set(groups) == set(range(30))
    actions = {str([r[1] for r in g[0][1]]) for g in groups.values()}
    assert len(actions) > 15  # the same draws for two prompts would be a shared buffer


def test_iterations_and_seeds_draw_afresh():
    world = Chain()
    runs = [
        by_prompt(collect(GRPO(), world, STARTS, rng))
        for rng in (1, 2, Key.of(1).child(0), Key.of(1).child(1))
    ]
    assert all(a != b for a, b in itertools.combinations(runs, 2))
    assert by_prompt(collect(GRPO(), world, STARTS, Key.of(1))) == runs[0]


def test_repeated_or_missing_prompt_ids_are_refused():
    with pytest.raises(InvalidInput, match=r"prompts = \[3\]: .*share their random numbers"):
        collect(RRPO(), Chain(), [(0, 0)] * 3, 0, [3, 1, 3])
    with pytest.raises(InvalidInput, match="3 starts"):
        collect(GRPO(), Chain(), [(0, 0)] * 3, 0, [3, 1])


def test_a_world_that_loses_rollouts_is_refused():
    class Lossy(Chain):
        def rollout(self, states, keys):
            return super().rollout(states, keys)[1:]

    with pytest.raises(InvalidInput, match="8 states given"):
        collect(GRPO(), Lossy(), [(0, 0)], 0)


# --- the perfect localiser --------------------------------------


def test_a_perfect_localiser_equals_the_oracle_where_only_one_step_can_fail():
    """One hard step, nothing to gain elsewhere: the first error is the one improvable state."""
    world = Chain(right=(1.0, 1.0, 0.4, 1.0, 1.0))
    named = collect(SRPO(), world, STARTS, 3)
    oracle = collect(ResetGRPO(ImprovableReset(0.5)), world, STARTS, 3)
    assert suffixes(named)
    assert by_prompt(named) == by_prompt(oracle)
    assert named.generated_steps == oracle.generated_steps


def test_it_differs_from_the_oracle_where_several_steps_are_improvable():
    world = Chain(right=(0.5, 0.5, 0.5))
    named = collect(SRPO(), world, STARTS, 3)
    oracle = collect(ResetGRPO(ImprovableReset(0.05)), world, STARTS, 3)
    assert by_prompt(named) != by_prompt(oracle)


# --- the published rule -----------------------------------------


def published(outcomes, **options):
    """Run the published rule on one prompt whose i-th rollout succeeds as told."""
    world = Scripted({"p": [*outcomes, *[0] * 30]})
    collection = collect(RRPO(parent="published", **options), world, ["p"], 0)
    return world, collection


def sequential(outcomes, base=4, attempts=12):
    """The rule as one reads it: one rollout after the other."""
    kept, parent, drawn = [], None, 0
    while drawn < attempts and (len(kept) < base or parent is None):
        if outcomes[drawn] == 0 and parent is None:
            parent = drawn
        elif len(kept) < base:
            kept.append(drawn)
        drawn += 1
    return kept, parent, drawn


def test_rounds_draw_exactly_what_the_sequential_rule_draws():
    for outcomes in itertools.product([0, 1], repeat=12):
        kept, parent, drawn = sequential(outcomes)
        _, collection = published(outcomes)
        base = started(collection)[0].rollouts
        assert [r.actions[0] for r in base[:4]] == kept
        if parent is None:
            assert len(base) == 8
            assert collection.generated_rollouts == drawn + 4 == 16
        else:
            (suffix,) = suffixes(collection)
            assert suffix.parent.actions[0] == parent
            assert suffix.parent not in base
            assert collection.generated_rollouts == drawn + 4


def sequences():
    """All runs of 12 outcomes, by the number of successes they contain."""
    return ((sum(o), o) for o in itertools.product([0, 1], repeat=12))


def expectation(values, p):
    return sum(total * p**k * (1 - p) ** (12 - k) for k, total in values.items())


def test_base_accuracy_of_the_published_rule_is_biased_as_known():
    """(5 p - p^5) / 4, exactly: the cap of 12 changes no base rollout."""
    totals = Counter()
    for k, outcomes in sequences():
        _, collection = published(outcomes)
        totals[k] += sum(int(r.reward) for r in started(collection)[0].rollouts[:4])
    for p in (Fraction(1, 5), Fraction(1, 2), Fraction(67, 100), Fraction(4, 5)):
        assert expectation(totals, p) / 4 == (5 * p - p**5) / 4
    golden = {0.2: 0.250, 0.5: 0.617, 0.67: 0.804, 0.8: 0.918}
    for p, value in golden.items():
        assert round(float(expectation(totals, Fraction(str(p))) / 4), 3) == value


def test_generated_rollouts_of_the_published_rule():
    """Nine to sixteen per prompt; means as measured on the released sampler."""
    totals, triggered, counts = Counter(), Counter(), set()
    for k, outcomes in sequences():
        _, collection = published(outcomes)
        totals[k] += collection.generated_rollouts
        triggered[k] += len(suffixes(collection))
        counts.add(collection.generated_rollouts)
    assert counts == set(range(9, 17))
    rounded = {
        p: round(float(expectation(totals, Fraction(str(p)))), 1) for p in (0.1, 0.5, 0.8, 0.9)
    }
    assert rounded == {0.1: 9.0, 0.5: 9.1, 0.8: 10.3, 0.9: 12.1}
    for p in (Fraction(4, 5), Fraction(9, 10)):
        assert expectation(triggered, p) == 1 - p**12


def test_the_published_rule_by_simulation():
    world = Chain(right=(0.8,))
    collection = collect(RRPO(parent="published"), world, [(0, 0)] * 3000, 5)
    mean = np.mean([r.reward for g in started(collection) for r in g.rollouts[:4]])
    assert mean == pytest.approx((5 * 0.8 - 0.8**5) / 4, abs=4 * 0.3 / np.sqrt(12000))
    assert collection.generated_rollouts / 3000 == pytest.approx(10.3, abs=0.15)
    assert collection.refusals[Reason.NOT_FAILED] / 3000 == pytest.approx(0.8**12, abs=0.02)


def test_an_empty_rollout_counts_as_a_base_failure_but_is_no_parent():
    _, collection = published([None, 1, None, 0, 1])
    base, suffix = collection
    assert [r.reward for r in base.rollouts] == [0, 1, 0, 1]
    assert suffix.parent.actions[0] == 3


def test_published_2x4_takes_the_first_two_failures_and_discards_the_successes():
    world = Scripted({"p": [1, 0, 1, 1, 0, *[0] * 20]})
    algorithm = ResetGRPO.layout("2x4", UniformReset(), parent="published")
    collection = collect(algorithm, world, ["p"], 0)
    assert [g.parent.actions[0] for g in collection] == [1, 4]
    assert [len(g.rollouts) for g in collection] == [4, 4]
    assert collection.generated_rollouts == 5 + 8


@pytest.mark.parametrize("name", ["2x4", "1x8"])
def test_published_layouts_without_base_fall_back_on_what_they_drew(name):
    outcomes = [1] * 12 if name == "1x8" else [1, 1, 0, *[1] * 9]
    world = Scripted({"p": [*outcomes, *[0] * 20]})
    algorithm = ResetGRPO.layout(name, UniformReset(), parent="published")
    (group,) = collect(algorithm, world, ["p"], 0)
    assert group.parent is None
    assert [r.actions[0] for r in group.rollouts] == list(range(8))
    assert world.given["p"] == 12


def test_published_fallback_draws_what_the_search_did_not():
    world = Scripted({"p": [*[1] * 5, *[0] * 20]})
    algorithm = ResetGRPO.layout("1x8", UniformReset(), parent="published", attempts=5)
    (group,) = collect(algorithm, world, ["p"], 0)
    assert [r.actions[0] for r in group.rollouts] == list(range(8))


# --- without a mask ---------------------------------------------


def test_without_a_mask_a_suffix_is_learned_from_with_what_its_parent_kept():
    masked = list(collect(SRPO(), Chain(), STARTS, 7))
    whole = list(collect(SRPO(train_prefix=True), Chain(), STARTS, 7))
    assert len(masked) == len(whole)
    longer = 0
    for ours, theirs in zip(whole, masked, strict=True):
        assert ours.parent is None
        assert ours.advantages.tolist() == theirs.advantages.tolist()
        kept = theirs.step or 0
        longer += kept > 0
        for joined, suffix in zip(ours.rollouts, theirs.rollouts, strict=True):
            before = () if theirs.parent is None else tuple(theirs.parent.actions[:kept])
            assert tuple(joined.actions) == (*before, *suffix.actions)
            assert joined.states[0] == (0, 0)
            assert (joined.reward, joined.failed) == (suffix.reward, suffix.failed)
    assert longer > 10


# --- layouts and bad input --------------------------------------


def test_layouts_spend_their_rollouts():
    one = ResetGRPO.layout("1x4", UniformReset())
    assert one == RRPO()
    assert (one.base, one.suffix, one.parents, one.train_base) == (4, 4, 1, True)
    two = ResetGRPO.layout("2x4", UniformReset())
    assert (two.suffix, two.parents, two.train_base) == (4, 2, False)
    eight = ResetGRPO.layout("1x8", UniformReset(), parent="published")
    assert (eight.base, eight.suffix, eight.parents) == (0, 8, 1)
    wide = ResetGRPO.layout("2x4", UniformReset(), rollouts=12)
    assert (wide.base, wide.suffix, wide.parents, wide.train_base) == (4, 4, 2, True)


def test_layouts_without_a_base_group_train_suffixes_alone():
    world = Chain(right=(0.6,) * 3)
    collection = collect(ResetGRPO.layout("2x4", UniformReset()), world, STARTS, 3)
    for prompt, groups in itertools.groupby(collection, key=lambda g: g.prompt):
        groups = list(groups)
        assert sum(len(g.rollouts) for g in groups) == 8, prompt
        if len(suffixes(groups)) == 2:
            assert not started(groups)
            assert suffixes(groups)[0].parent is not suffixes(groups)[1].parent
    assert collection.generated_rollouts == 40 * 12


def test_a_second_parent_that_is_missing_becomes_fresh_rollouts():
    world = Scripted({"p": [1, 0, 1, 1, *[0] * 8]})
    algorithm = ResetGRPO.layout("2x4", UniformReset(), rollouts=12)
    base, suffix = collect(algorithm, world, ["p"], 0)
    assert [len(base.rollouts), len(suffix.rollouts)] == [8, 4]


@pytest.mark.parametrize("rollouts", [3, 5, 7])
def test_rollouts_that_fit_no_layout_are_refused(rollouts):
    with pytest.raises(InvalidInput, match=f"rollouts = {rollouts}: .*choose"):
        ResetGRPO.layout("2x4" if rollouts == 7 else "1x4", UniformReset(), rollouts=rollouts)


@pytest.mark.parametrize("name", ["4", "x4", "0x4", "1x", "1x4x2", "one"])
def test_names_that_are_no_layout_are_refused(name):
    with pytest.raises(InvalidInput, match="layout = "):
        ResetGRPO.layout(name, UniformReset())


def test_the_smallest_groups_and_as_many_parents_as_base_rollouts_are_fine():
    assert ResetGRPO(UniformReset(), base=2, suffix=2, parents=2).parents == 2
    world = Scripted({"p": [0, 0, 1, 0, 0, 1]})
    collection = collect(ResetGRPO(UniformReset(), base=2, suffix=2, parents=2), world, ["p"], 0)
    assert [len(g.rollouts) for g in collection] == [2, 2, 2]
    assert [g.informative for g in collection] == [False, True, True]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: GRPO(rollouts=1), "rollouts"),
        (lambda: GRPO(normalization="mean"), "normalization"),
        (lambda: RRPO(base=1), "base"),
        (lambda: RRPO(base=-1), "base"),
        (lambda: RRPO(base=0), "base"),
        (lambda: RRPO(base=2, parents=3), "base"),
        (lambda: RRPO(suffix=1), "suffix"),
        (lambda: RRPO(parents=0), "parents"),
        (lambda: RRPO(parent="first"), "parent"),
        (lambda: RRPO(on_refusal="ignore"), "on_refusal"),
        (lambda: RRPO(normalization="std1"), "normalization"),
        (lambda: RRPO(parent="published", attempts=4), "attempts"),
        (lambda: RRPO(parent="published", train_base=False), "train_base"),
        (lambda: ResetGRPO("uniform"), "reset"),
    ],
)
def test_impossible_options_are_refused_by_name(make, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        make()
