"""The family of credit methods against values worked by hand, and against what they estimate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from cpi_theory import (
    CAPO,
    RLOO,
    RRPO,
    VPPO,
    Adaptive,
    CritiqueGRPO,
    DrGRPO,
    FirstErrorReset,
    GiGPO,
    InvalidInput,
    Key,
    LambdaGRPO,
    Localization,
    PrefixStarts,
    Reason,
    ResetGRPO,
    Rollout,
    SCoRe,
    SPOChain,
    SPOTree,
    Stages,
    TreeRL,
    TreeRPO,
    UnsureReset,
    ValueDropReset,
    VinePPO,
    WrongStepReset,
    collect,
)
from cpi_theory.algorithms.relabelling import shared_by
from cpi_theory.algorithms.step_credit import segment_begins, unlikely
from cpi_theory.seam import Ending, Refusal, needs_start, scheduled
from tabular import TabularSimulator, evaluate, reasoning_tree

TREE = reasoning_tree(horizon=4, branching=3, hard_steps=2, right_probability=0.4, problems=3)


def tree():
    return TabularSimulator(TREE.mdp, TREE.policy)


def written(begin, letters, reward):
    """A rollout that adds letters to a text; states are the texts, or of the last letter alone."""
    states = [begin + letters[:i] for i in range(len(letters))]
    return Rollout(states, list(letters), float(reward), reward < 1, Ending.TERMINAL)


@dataclass
class Script:
    """A world whose n-th rollout from a text is given, in order: letters and reward."""

    given: dict
    errors: dict = field(default_factory=dict)
    surprise: dict = field(default_factory=dict)
    asked: dict = field(default_factory=dict)

    def rollout(self, states, keys):
        return [self._next(state) for state in states]

    def _next(self, state):
        number = self.asked[state] = self.asked.get(state, 0) + 1
        letters, reward = self.given[state][number - 1]
        return written(state, letters, reward)

    def locate_first_error(self, rollouts, keys):
        return [Localization(self.errors["".join(r.actions)]) for r in rollouts]

    def step_logprobs(self, rollouts):
        return [np.array([-self.surprise.get(a, 0.0) for a in r.actions]) for r in rollouts]

    def revise(self, rollouts, keys):
        return [f"{'!' if r.failed else '?'}{''.join(r.actions)}|" for r in rollouts]

    def demonstrate(self, states, keys):
        return [written(s, "abcdefgh", 1) for s in states]


def credits(algorithm, world):
    """The advantages of each sample of each group, from the text ""."""
    groups = collect(algorithm, world, [""], 0)
    return [[sample.advantages.tolist() for sample in group.samples] for group in groups]


def only(algorithm, world):
    (group,) = credits(algorithm, world)
    return group


# --- whole rollouts ------------------------------------------------------------------------------


def test_normalisations_have_names():
    """One success of four: 3/4 and -1/4 of the mean, 1 and -1/3 of the mean of the others."""
    given = {"": [("a", 1), ("a", 0), ("a", 0), ("a", 0)]}
    assert only(DrGRPO(rollouts=4), Script(given)) == [[0.75], [-0.25], [-0.25], [-0.25]]
    assert np.ravel(only(RLOO(rollouts=4), Script(given))) == pytest.approx(
        [1, -1 / 3] + [-1 / 3] * 2
    )


def test_any_rollout_may_be_reset():
    begin = [("ab", 1), ("ab", 1)]
    script = Script({"": begin, "a": [("b", 1), ("c", 0)]})
    reset = UnsureReset(sharpness=50)
    script.surprise = {"b": 1.0}
    any_rollout = ResetGRPO(reset, base=2, suffix=2, failures_only=False)
    groups = collect(any_rollout, script, [""], 0)
    assert [group.step for group in groups] == [None, 1]
    assert not groups.groups[1].parent.failed
    failures = ResetGRPO(reset, base=2, suffix=2)
    refused = collect(failures, Script({"": begin * 2}), [""], 0)
    assert refused.refusals == {Reason.NOT_FAILED: 1}
    assert RRPO().failures_only


# --- fresh continuations -------------------------------------------------------------------------


def test_vineppo_telescopes_to_the_reward_less_the_value_of_the_start():
    script = Script({"": [("ab", 1), ("b", 0), ("b", 1)], "a": [("b", 0), ("b", 0)]})
    # V("") is 1/2 from the second and third rollout, V("a") is 0.
    assert only(VinePPO(1, 2), script) == [[-0.5, 1.0]]
    world = tree()
    for group in collect(VinePPO(3, 4), world, [(0, 0)] * 5, 1):
        for i, sample in enumerate(group.samples):
            key = Key.of(1).child(group.prompt, "value", i, 0).integers(4)
            value = np.mean([r.reward for r in world.rollout([sample.rollout.states[0]] * 4, key)])
            assert sample.advantages.sum() == pytest.approx(sample.rollout.reward - value)


@pytest.mark.parametrize(
    "algorithm", [VinePPO(8, 2), SPOTree((3, 3), steps=1)], ids=["vine", "tree"]
)
def test_credit_is_the_exact_advantage_on_average(algorithm):
    """Of SPO-tree two thirds of it: the child is among the three that its parent is the mean of."""
    world, exact = tree(), evaluate(TREE.mdp, TREE.policy).advantages
    share = 1.0 if isinstance(algorithm, VinePPO) else 2 / 3
    found = {}
    for group in collect(algorithm, world, [(0, 0)] * 400, 5):
        for sample in group.samples:
            first = sample.rollout.ended is not Ending.CUT and isinstance(algorithm, SPOTree)
            steps = zip(
                sample.rollout.states, sample.rollout.actions, sample.advantages, strict=True
            )
            for (h, s), action, advantage in [] if first else steps:
                found.setdefault((h, s, int(action)), []).append(advantage)
    often = {where: each for where, each in found.items() if len(each) > 300}
    assert len(often) >= 3
    for where, each in often.items():
        error = np.std(each) / len(each) ** 0.5
        assert abs(np.mean(each) - share * exact[where]) < 5 * error + 1e-9


def test_segments_end_with_cut_points():
    marks = np.array([0, 1, 0, 1, 1, 0, 1, 0], bool)
    assert segment_begins(marks, 2) == [0, 4, 7]
    assert segment_begins(marks, 1) == [0, 2, 4, 5, 7]
    assert segment_begins(marks[:7], 2) == [0, 4]  # no segment begins behind the last step
    assert segment_begins(marks[:0], 2) == []


def test_spo_chain_credits_cut_points_with_their_segment():
    given = {"": [("axbx", 1), ("a", 1), ("a", 0)], "ax": [("b", 1), ("b", 1)]}
    world = Script(given, surprise={"x": 1.0, "a": 0.05})
    # Cut points are the x; V("") = 1/2, V("ax") = 1, and the rest brings nothing more.
    assert only(SPOChain(1, 2, points=1), world) == [[0.0, 0.5, 0.0, 0.0]]
    again = Script(given, surprise={"x": 1.0})
    assert only(SPOChain(1, 2, points=1, mask=False), again) == [[0.5, 0.5, 0.0, 0.0]]


# --- trees ---------------------------------------------------------------------------------------

BRANCHED = {
    "": [("ac", 0), ("bc", 0)],
    "a": [("d", 1), ("e", 0)],
    "b": [("d", 1), ("e", 1)],
}


def test_spo_tree_takes_children_less_parents():
    """V(a) = 1/2, V(b) = 1, V(root) = 3/4; what the cut rollouts would have come to is not seen."""
    below_a, below_b, top = credits(SPOTree((2, 2)), Script(BRANCHED))
    assert (below_a, below_b) == ([[0.5], [-0.5]], [[0.0], [0.0]])
    assert top == [[-0.25], [0.25]]
    masked = credits(
        SPOTree((2, 2), probability=0.5), Script(BRANCHED, surprise={"d": 1.0, "b": 2})
    )
    assert masked == [[[0.5], [0.0]], [[0.0], [0.0]], [[0.0], [0.25]]]


def test_tree_rpo_compares_siblings():
    below_a, below_b, top = credits(TreeRPO((2, 2)), Script(BRANCHED))
    assert (below_a, below_b, top) == ([[1], [-1]], [[0], [0]], [[-1], [1]])
    for group in collect(TreeRPO((4, 3, 2), normalization="none"), tree(), [(0, 0)] * 10, 0):
        assert group.advantages.sum() == pytest.approx(0, abs=1e-12)


def test_a_branch_that_ends_early_is_a_leaf():
    given = {"": [("a", 1), ("bc", 0)], "b": [("d", 0), ("e", 0)]}
    below, top = credits(SPOTree((2, 2)), Script(given))
    assert (below, top) == ([[0], [0]], [[0.5], [-0.5]])


def test_tree_rl_by_hand():
    given = {"": [("ab", 0), ("cb", 1)], "a": [("d", 1)], "c": [("d", 1)]}
    found = only(TreeRL(2, 1, 1, 1), Script(given, surprise={"b": 2.0, "d": 1.0}))
    root, half = 3 / 4, np.sqrt(0.5)
    expected = [
        [2 * (1 / 2 - root) * half, (0 - root) + (0 - 1 / 2)],  # a: worth 1/2, shared by two leaves
        [2 * (1 - root) * half, (1 - root) + 0],
        [(1 - root) + 1 / 2],  # the fork behind a
        [(1 - root) + 0],  # the fork behind c
    ]
    by_text = dict(zip(("ab", "cb", "d a", "d c"), expected, strict=True))
    order = ["ab", "d a", "cb", "d c"]  # each tree with its forks
    assert len(found) == 4
    for name, credit in zip(order, found, strict=True):
        assert credit == pytest.approx(by_text[name])


def test_forks_before_the_first_step_of_a_fork_come_from_where_it_came_from():
    given = {"": [("ab", 0)], "a": [("d", 1), ("e", 1)]}
    # Round one forks before b; round two before d, the first step of that fork.
    world = Script(given, surprise={"b": 3.0, "d": 2.0, "a": 1.0})
    chain, first, second = only(TreeRL(1, 1, 2, 1, power=0), world)
    root, above = 2 / 3, 2 / 3  # the node a holds all three leaves
    assert chain == pytest.approx([0, (0 - root) + (0 - above)])
    assert first == second == pytest.approx([(1 - root) + (1 - above)])


def test_a_fork_s_parent_is_the_segment_that_it_leaves():
    """Forks behind a and behind ab: that of ab comes from b, which the fork behind a is not below.

    Of the leaves abc (0), ad (1), abe (0) the root is worth 1/3, as is a; b is worth 0.
    """
    given = {"": [("abc", 0)], "a": [("d", 1)], "ab": [("e", 0)]}
    world = Script(given, surprise={"b": 2.0, "c": 3.0})
    chain, behind_ab, behind_a = only(TreeRL(1, 2, 1, 1, power=0), world)
    root, a, b = 1 / 3, 1 / 3, 0
    assert chain == pytest.approx([0, (b - root) + (b - a), (0 - root) + (0 - b)])
    assert behind_a == pytest.approx([(1 - root) + (1 - a)])
    assert behind_ab == pytest.approx([(0 - root) + (0 - b)])


# --- relabelling ---------------------------------------------------------------------------------


def test_vppo_praises_up_to_the_error_and_punishes_from_it():
    given = {"": [("abc", 0), ("abd", 1), ("xyz", 0)]}
    world = Script(given, errors={"abc": 2, "xyz": 0})
    assert only(VPPO(3, prefix=0.25), world) == [[0.25, 0.25, -1], [1, 1, 1], [-1, -1, -1]]


def test_capo_punishes_steps_one_by_one():
    given = {"": [("ab", 0), ("cd", 1)]}
    world = Script(given, errors={"ab": 1})
    # Rewards 0, -1 and 2, 2, whose mean is 3/4.
    assert only(CAPO(2, normalization="none"), world) == [[-0.75, -1.75], [1.25, 1.25]]


def test_every_wrong_step_is_judged_where_advantages_are_known():
    world, exact = tree(), evaluate(TREE.mdp, TREE.policy).advantages
    failures = [r for r in world.rollout([(0, 0)] * 40, Key.of(0).integers(40)) if r.failed]
    answers = WrongStepReset().step_weights(failures, world, Key.of(1).integers(len(failures)))
    for rollout, weights in zip(failures, answers, strict=True):
        taken = [exact[h, s, a] for (h, s), a in zip(rollout.states, rollout.actions, strict=True)]
        assert weights.tolist() == [float(a < -1e-9) for a in taken]
        assert weights.any()
    lucky = [r for r in world.rollout([(0, 0)] * 40, Key.of(0).integers(40)) if not r.failed][:1]
    assert WrongStepReset().step_weights(lucky, world, Key.of(1).integers(1)) == [
        Refusal(Reason.NO_ERROR)
    ]


def test_lambda_grpo_counts_a_shared_step_once():
    given = [("abc", 1), ("abd", 0), ("xyz", 0), ("xyz", 0)]
    rollouts = [written("", *one) for one in given]
    shares = shared_by(rollouts)
    assert [each.tolist() for each in shares] == [[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]]
    # As many as there are different beginnings: a, ab, abc, abd, x, xy, xyz.
    assert sum((1 / each).sum() for each in shares) == pytest.approx(7)
    found = only(LambdaGRPO(4, "none"), Script({"": given}))
    assert found[0] == [3 / 8, 3 / 8, 3 / 4]
    assert found[2] == [-1 / 8] * 3


def test_equal_steps_after_different_ones_are_not_shared():
    """In worlds where ways meet again, the same action in the same state is another step."""

    def through(first):
        return Rollout(["s", "m"], [first, "e"], 1.0, False, Ending.TERMINAL)

    assert [each.tolist() for each in shared_by([through("a"), through("b")])] == [[1, 1], [1, 1]]
    arrays = [Rollout(["s"], [np.array([i])], 1.0, False, Ending.TERMINAL) for i in (0, 0, 1)]
    assert [each.tolist() for each in shared_by(arrays)] == [[2], [2], [1]]


class Meeting:
    """Two of three ways meet in the state m."""

    def rollout(self, states, keys):
        ways = [("m", 1.0), ("m", 0.0), ("n", 1.0)]
        return [
            Rollout(["s", way], ["go", "on"], reward, reward < 1, Ending.TERMINAL)
            for way, reward in ways[: len(states)]
        ]

    def locate_first_error(self, rollouts, keys):
        raise AssertionError


def test_gigpo_by_hand():
    """Returns from s are discounted by 1/2: 1/2, 0, 1/2; those from m are 1 and 0."""
    found = collect(GiGPO(3, 1.0, 0.5, "none"), Meeting(), ["s"], 0).groups[0]
    expected = [
        [1 / 3 + 1 / 6, 1 / 3 + 1 / 2],
        [-2 / 3 - 1 / 3, -2 / 3 - 1 / 2],
        [1 / 3 + 1 / 6, 1 / 3],  # n was met once
    ]
    for sample, credit in zip(found.samples, expected, strict=True):
        assert sample.advantages == pytest.approx(credit)


# --- reset policies ------------------------------------------------------------------------------


def test_unlikely_is_below_the_level_and_nothing_is_below_none():
    steps = [np.log([0.5, 0.25, 0.2]), np.log([0.9])]
    assert [each.tolist() for each in unlikely(0.25, steps)] == [[False, False, True], [False]]
    assert not any(each.any() for each in unlikely(0.0, steps))


def test_unsure_resets_prefer_unlikely_steps():
    rollout, world = written("", "abc", 0), Script({}, surprise={"a": 1.0, "b": 2.0})
    (weights,) = UnsureReset(sharpness=2).step_weights([rollout], world, Key.of(0).integers(1))
    assert weights.tolist() == [0.25, 1, 0]
    sure = written("", "xyz", 0)
    (answer,) = UnsureReset().step_probabilities([sure], world, Key.of(0).integers(1))
    assert answer == Refusal(Reason.NO_ELIGIBLE_STEP)


def test_the_value_drops_most_where_the_error_is():
    given = {"": [("q", 1), ("q", 0)], "a": [("q", 1), ("q", 1)], "ab": [("q", 0), ("q", 0)]}
    rollout, key = written("", "abc", 0), Key.of(0).integers(1)
    (weights,) = ValueDropReset(2).step_weights([rollout], Script(given), key)
    assert weights.tolist() == [0, 1, 0]
    # Values 1/2, 1, 0 and the reward 0: the drop is over b.


def test_with_many_continuations_value_drops_are_first_errors():
    problem = reasoning_tree(5, 3, 2, 0.5, 1.0, problems=2, seed=4)
    world = TabularSimulator(problem.mdp, problem.policy)
    rollouts = world.rollout([(0, 0)] * 60, Key.of(2).integers(60))
    failures = [r for r in rollouts if r.failed]
    keys = Key.of(3).integers(len(failures))
    named = FirstErrorReset().step_weights(failures, world, keys)
    exact = world.step_advantages(failures)
    alone = [i for i, a in enumerate(exact) if (a < -1e-9).sum() == 1]
    assert len(alone) > 20
    dropped = ValueDropReset(60).step_weights(failures, world, keys)
    agree = [np.array_equal(named[i], dropped[i]) for i in alone]
    assert np.mean(agree) > 0.95


def test_what_a_reset_policy_draws_is_counted():
    found = collect(ResetGRPO(ValueDropReset(3), base=2, suffix=2), tree(), [(0, 0)], 4)
    assert found.generated_rollouts == 2 + 4 * 3 + 2


# --- prefixes ------------------------------------------------------------------------------------


def test_stages_shrink_to_nothing():
    assert [Stages(5).kept(10, m) for m in range(5)] == [8, 6, 4, 2, 0]
    assert [Stages(6).kept(3, m) for m in range(6)] == [2, 2, 1, 1, 0, 0]
    sliding = PrefixStarts(2, Stages(4))
    given = {"abcdefgh"[:k]: [("q", 1), ("q", 0)] for k in range(8)}

    def kept(progress):
        groups = collect(scheduled(sliding, progress), Script(given), [""], 0)
        return groups.groups[0].step

    assert [kept(p) for p in (0, 0.24, 0.25, 0.5, 0.75, 1)] == [6, 6, 4, 2, 0, 0]


def test_mixed_stages_are_all_alike():
    algorithm = PrefixStarts(2, Stages(4, "mixed"))
    given = {"abcdefgh"[:k]: [("q", 1)] * 2000 for k in range(8)}
    groups = collect(algorithm, Script(given), [""] * 400, 0)
    counts = np.bincount([group.step for group in groups], minlength=8)
    assert set(np.flatnonzero(counts)) == {0, 2, 4, 6}
    assert counts[[0, 2, 4, 6]].min() > 60


def test_an_adaptive_prefix_is_the_shortest_that_is_solved_often_enough():
    """Solved from five letters on, of eight: halving tries 3, 5 and 4."""
    text = "abcdefgh"
    given = {text[:k]: [("q", float(k >= 5)), ("q", float(k >= 5))] * 3 for k in range(8)}
    script = Script(given)
    # More rounds than it takes: where there is nothing left to halve, nothing is probed.
    found = collect(PrefixStarts(2, Adaptive(rounds=6, probes=2)), script, [""], 0)
    assert [group.step for group in found] == [5]
    assert set(script.asked) == {text[:3], text[:5], text[:4]}
    assert found.generated_rollouts == 3 * 2 + 2


def test_own_successes_are_started_from():
    given = {"": [("ab", 0), ("cd", 1)], "c": [("d", 1), ("x", 0)]}
    algorithm = PrefixStarts(2, Stages(2), source="own", search=2)
    base, suffix = collect(algorithm, Script(given), [""], 0)
    assert base.advantages.tolist() == [-1, 1]
    assert (suffix.parent.actions, suffix.step) == (["c", "d"], 1)
    none = {"": [("ab", 0), ("cd", 0), ("ab", 0), ("cd", 1)]}
    found = collect(algorithm, Script(none), [""], 0)
    assert [len(group.samples) for group in found] == [4]
    assert found.refusals == {Reason.NO_SUCCESS: 1}


def test_worlds_that_cannot_show_are_refused():
    with pytest.raises(InvalidInput, match=r"Meeting cannot show.*demonstrate"):
        collect(PrefixStarts(2), Meeting(), ["s"], 0)


# --- second attempts -----------------------------------------------------------------------------

TWICE = {"": [("a", 1), ("b", 0)], "?a|": [("c", 0)], "!b|": [("d", 1)]}


def test_score_by_hand():
    """Rewards 1, 0 at first and 0, 1 then; of two, the others' mean is the other."""
    first, second = collect(SCoRe(2, hold=0.3), Script(TWICE), [""], 0)
    assert [s.advantages.tolist() for s in first.samples] == [[0], [0]]
    assert [s.kl for s in first.samples] == [0.3, 0.3]
    assert [s.advantages.tolist() for s in second.samples] == [[-1], [1]]
    assert [(s.kl, s.context) for s in second.samples] == [(0, None)] * 2
    assert first.informative  # held, if nothing else
    later = scheduled(SCoRe(2, bonus=10), 0.5)
    first, second = collect(later, Script(TWICE), [""], 0)
    assert [s.advantages.tolist() for s in first.samples] == [[1], [-1]]
    assert [s.kl for s in first.samples] == [0, 0]
    # 0 + 10 (0 - 1) = -10 and 1 + 10 (1 - 0) = 11.
    assert [s.advantages.tolist() for s in second.samples] == [[-21], [21]]
    assert needs_start(later)
    assert not needs_start(RRPO())


def test_critique_grpo_by_hand():
    given = {"": [("a", 1), ("b", 0), ("c", 0)], "!b|": [("d", 0)], "!c|": [("e", 1)]}
    (group,) = collect(CritiqueGRPO(3, gamma=0.2), Script(given), [""], 0)
    texts = ["".join(s.rollout.actions) for s in group.samples]
    assert texts == ["a", "b", "c", "e"]  # of two rewrites the one that succeeded
    assert group.advantages.tolist() == [0.5, -0.5, -0.5, 0.5]
    assert [s.context for s in group.samples] == [None, None, None, ""]
    assert [s.shaping for s in group.samples] == [0, 0, 0, 0.2]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: VinePPO(0), "rollouts"),
        (lambda: VinePPO(4, 0), "continuations"),
        (lambda: SPOChain(probability=1.5), "probability"),
        (lambda: SPOTree((2, 1)), "branching"),
        (lambda: SPOTree(()), "branching"),
        (lambda: TreeRPO(steps=0), "steps"),
        (lambda: TreeRPO(normalization="max"), "normalization"),
        (lambda: TreeRL(power=-1), "power"),
        (lambda: VPPO(prefix=2.0), "prefix"),
        (lambda: CAPO(step=-1.0), "step"),
        (lambda: GiGPO(discount=1.1), "discount"),
        (lambda: LambdaGRPO(1), "rollouts"),
        (lambda: UnsureReset(-1.0), "sharpness"),
        (lambda: ValueDropReset(0), "continuations"),
        (lambda: Stages(0), "count"),
        (lambda: Stages(2, "random"), "order"),
        (lambda: Adaptive(success=2.0), "success"),
        (lambda: PrefixStarts(source="books"), "source"),
        (lambda: PrefixStarts(progress=1.5), "progress"),
        (lambda: SCoRe(stage=3), "stage"),
        (lambda: SCoRe(1), "rollouts"),
        (lambda: CritiqueGRPO(gamma=0.0), "gamma"),
    ],
)
def test_bad_settings_name_their_field(make, field):
    with pytest.raises(InvalidInput, match=rf"^{field}"):
        make()
