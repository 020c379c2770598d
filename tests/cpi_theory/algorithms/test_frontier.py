"""Frontier resets: the budget, what is drawn from where, and which failure becomes the parent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.parent_choice import FirstErrorModel, parent_signals
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.seam import Collection, Ending, Group, Localization, Reason, Rollout
from tests.cpi_theory.chain import Chain, Scripted

HARD = (0.6, 0.5, 0.5, 0.6, 0.4, 0.5)  # pass rate 0.018
SURE = FirstErrorModel(1.0)
ANY = [
    FrontierGRPO(),
    FrontierGRPO(FirstErrorModel(0.9), parent="rank", keep_parent=True),
    FrontierGRPO(parent=2, base=3, rollouts=9, normalization="leave-one-out"),
]


def fingerprint(group: Group) -> tuple[Any, ...]:
    rollouts = [(tuple(r.states), tuple(r.actions), r.reward) for r in group.rollouts]
    parent = None if group.parent is None else tuple(group.parent.actions)
    return group.prompt, rollouts, group.advantages.tolist(), parent, group.step


def by_prompt(collection: Collection) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = {}
    for group in collection:
        groups.setdefault(group.prompt, []).append(fingerprint(group))
    return groups


def suffixes(collection: Collection) -> list[Group]:
    return [g for g in collection if g.parent is not None]


def first_error(rollout: Rollout) -> int:
    return next(i for i, action in enumerate(rollout.actions) if action)


# --- the budget ----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.lists(st.floats(0.1, 1.0), min_size=1, max_size=6),
    st.floats(0, 1),
    st.integers(3, 5),
    st.integers(2, 5),
    st.sampled_from(["posterior", "rank", 1, 2]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_the_budget_is_spent_exactly_and_every_rollout_is_in_one_group(
    right: list[float], blind: float, base: int, rest: int, parent: Any, keep: bool, seed: int
) -> None:
    algorithm = FrontierGRPO(
        FirstErrorModel(0.8), base + rest, base, parent=parent, keep_parent=keep
    )
    world = Chain(right=tuple(right), blind=blind)
    collection = collect(algorithm, world, [(0, 0)] * 5, seed)
    assert collection.generated_rollouts == 5 * (base + rest)
    for prompt in range(5):
        groups = [g for g in collection if g.prompt == prompt]
        assert sum(len(g.rollouts) for g in groups) == base + rest
        assert len(groups) == 1 + len([g for g in groups if g.parent is not None])
    assert world.calls in (["rollout", "locate", "rollout"], ["rollout", "rollout"])


def test_no_prompts_no_calls() -> None:
    world = Chain()
    assert len(collect(FrontierGRPO(), world, [], 0)) == 0
    assert world.calls == []


@pytest.mark.parametrize("algorithm", ANY, ids=str)
def test_what_is_drawn_for_a_prompt_hangs_on_its_id_alone(algorithm: FrontierGRPO) -> None:
    ids, key = [3, 14, 15, 92, 65, 35], Key.of(5).child(2)
    world = Chain(right=HARD, blind=0.3)
    whole = by_prompt(collect(algorithm, world, [(0, 0)] * 6, key, ids))
    assert any(len(groups) == 2 for groups in whole.values())
    parts: dict[int, list[Any]] = {}
    for some in ([65, 3], [92], [35, 15, 14]):
        parts |= by_prompt(collect(algorithm, world, [(0, 0)] * len(some), key, some))
    assert parts == whole


# --- where it does not reset, it is GRPO ---------------------------------------------------------


def test_answers_worth_nothing_give_grpo_to_the_digit() -> None:
    frontier = FrontierGRPO(FirstErrorModel(0.0))
    world = Chain(right=HARD)
    collection = collect(frontier, world, [(0, 0)] * 50, 3)
    assert by_prompt(collection) == by_prompt(collect(GRPO(8), world, [(0, 0)] * 50, 3))
    assert collection.localizations > 100


def test_a_prompt_with_a_success_is_grpo_and_asks_for_nothing() -> None:
    world = Chain(right=(0.9, 0.9))
    starts, key = [(0, 0)] * 60, Key.of(1)
    mine = by_prompt(collection := collect(FrontierGRPO(parent=1), world, starts, key))
    plain = by_prompt(collect(GRPO(8), world, starts, key))
    easy = [p for p, groups in plain.items() if any(r[2] for r in groups[0][1][:4])]
    assert len(easy) > 40
    assert all(mine[p] == plain[p] for p in easy)
    assert collection.localizations == 4 * (60 - len(easy))


def test_refusals_are_counted_and_leave_fresh_rollouts() -> None:
    world = Chain(right=HARD, blind=1.0)
    collection = collect(FrontierGRPO(SURE), world, [(0, 0)] * 30, 3)
    assert by_prompt(collection) == by_prompt(collect(GRPO(8), world, [(0, 0)] * 30, 3))
    assert collection.refusals == {Reason.UNPARSABLE: collection.localizations}


def test_empty_failures_are_refused_as_such() -> None:
    world = Scripted({"p": [None] * 4 + [0, 1, 0, 0]})
    collection = collect(FrontierGRPO(parent=1), world, ["p"], 0)
    assert collection.refusals == {Reason.EMPTY: 4}
    assert [len(g.rollouts) for g in collection] == [8]


# --- the parent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_parent_is_the_failure_of_that_depth_rank(rank: int) -> None:
    collection = collect(FrontierGRPO(parent=rank), Chain(right=HARD), [(0, 0)] * 40, 9)
    base = {g.prompt: g for g in collection if g.parent is None}
    chosen = suffixes(collection)
    assert len(chosen) > 25
    for group in chosen:
        depths = sorted((first_error(r) for r in base[group.prompt].rollouts), reverse=True)
        assert group.step == depths[rank - 1] == first_error(group.parent)  # type: ignore[arg-type]
        assert group.parent in base[group.prompt].rollouts
        assert not base[group.prompt].informative


def test_a_rank_beyond_the_named_steps_leaves_fresh_rollouts() -> None:
    collection = collect(FrontierGRPO(parent=5), Chain(right=HARD), [(0, 0)] * 10, 9)
    assert suffixes(collection) == []


@dataclass
class FixedAnswers:
    """Rollouts of six steps that fail until a reset; the world names the steps it is given."""

    names: tuple[int, ...]

    def rollout(self, states: Any, keys: Any = None) -> list[Rollout]:
        return [self._one(h, int(key)) for h, key in zip(states, keys, strict=True)]

    def _one(self, h: int, key: int) -> Rollout:
        success = h > 0 and key % 2 == 0
        actions = [key] * (6 - h)
        return Rollout(range(h, 6), actions, float(success), not success, Ending.HORIZON)

    def locate_first_error(self, rollouts: Any, keys: Any = None) -> list[Localization]:
        assert len(rollouts) == len(self.names)
        return [Localization(step) for step in self.names]


def test_a_worked_example() -> None:
    """Named steps 2, 5, 0, 3: the deepest is the second failure, the second deepest the fourth."""
    world = FixedAnswers((2, 5, 0, 3))
    for rank, number, step in ((1, 1, 5), (2, 3, 3)):
        base, suffix = collect(FrontierGRPO(parent=rank), world, [0], 1)
        assert suffix.parent is base.rollouts[number]
        assert suffix.step == step
        assert [r.states[0] for r in suffix.rollouts] == [step] * 4
        right = sum(r.reward for r in suffix.rollouts)
        expected = [(r.reward - right / 4) for r in suffix.rollouts]
        spread = np.sqrt(right / 4 * (1 - right / 4))
        np.testing.assert_allclose(suffix.advantages, np.array(expected) / (spread or 1))
        np.testing.assert_array_equal(base.advantages, 0)


def test_the_parent_s_own_continuation_joins_the_group_once() -> None:
    base, suffix = collect(
        FrontierGRPO(parent=1, keep_parent=True), FixedAnswers((2, 5, 0, 3)), [0], 1
    )
    assert [len(base.rollouts), len(suffix.rollouts)] == [3, 5]
    *_, tail = suffix.rollouts
    assert suffix.parent not in base.rollouts
    assert list(tail.actions) == list(suffix.parent.actions)[5:]  # type: ignore[union-attr]
    assert (list(tail.states), tail.reward, tail.failed) == ([5], 0.0, True)
    assert suffix.advantages[-1] < 0


def test_the_posterior_takes_the_largest_signal() -> None:
    """With good answers the deepest, with poor ones a middle step or none."""
    chosen = []
    for accuracy in (1.0, 0.7, 0.0):
        model = FirstErrorModel(accuracy)
        groups = collect(FrontierGRPO(model), FixedAnswers((2, 5, 0, 3)), [0], 1).groups
        signals = parent_signals(model, ((2, 6), (5, 6), (0, 6), (3, 6)), 4, 4)
        best = int(np.argmax(signals))
        step = (None, 2, 5, 0, 3)[best]
        assert groups[-1].step == step
        chosen.append(step)
    assert chosen[-1] is None
    assert len(set(chosen)) == 3


def test_the_uniform_rule_draws_a_parent_and_resets_where_that_beats_fresh_rollouts() -> None:
    """Of four named steps one in four each; what is worth less than fresh is not reset."""
    answers = (2, 5, 0, 3)
    for accuracy, keep in ((0.7, False), (0.3, False), (0.05, True)):
        model = FirstErrorModel(accuracy)
        algorithm = FrontierGRPO(model, parent="uniform", keep_parent=keep)
        named = tuple((step, 6) for step in answers)
        signals = parent_signals(model, named, 4, 4, keep)
        worth = [s for s, own in zip(answers, signals[1:], strict=True) if own > signals[0]]
        drawn = [
            collect(algorithm, FixedAnswers(answers), [0], seed).groups[-1].step
            for seed in range(400)
        ]
        assert {step for step in drawn if step is not None} == set(worth)
        for step in worth:
            assert 65 <= drawn.count(step) <= 135  # 100 expected, four standard errors


def test_the_rank_rule_follows_the_accuracy() -> None:
    steps = []
    for accuracy in (1.0, 0.7, 0.4, 0.1):
        algorithm = FrontierGRPO(FirstErrorModel(accuracy, 0.01, 0.01), parent="rank")
        steps.append(collect(algorithm, FixedAnswers((2, 5, 0, 3)), [0], 1).groups[-1].step)
    assert steps == [5, 3, 2, None]


def test_any_reset_policy_may_name_the_steps() -> None:
    """Uniform resets: each of six steps is named about equally often, the deepest is taken."""
    algorithm = FrontierGRPO(parent=1, reset=UniformReset())
    collection = collect(algorithm, Chain(right=(0.1,) * 6), [(0, 0)] * 500, 2)
    steps = np.array([g.step for g in suffixes(collection)])
    expected = 1 - (5 / 6) ** 4  # at least one of four uniform steps is the last
    assert abs((steps == 5).mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / len(steps))
    assert collection.localizations == 0


def test_only_plain_rollouts_can_be_cut() -> None:
    class Own(Rollout):
        pass

    whole = Own((0, 1), (0, 0), 0.0, True, Ending.HORIZON)
    with pytest.raises(InvalidInput, match="rollout = 'Own': cannot be cut"):
        whole.cut(1)
    with pytest.raises(InvalidInput, match=r"steps = \(2, 2\): not within 2 steps"):
        Rollout((0, 1), (0, 0), 0.0, True, Ending.HORIZON).cut(2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base": 1}, "base = 1"),
        ({"base": 2, "keep_parent": True}, "base = 2"),
        ({"rollouts": 5}, "rollouts = 5"),
        ({"parent": "deepest"}, "parent = 'deepest': unknown"),
        ({"parent": 0}, "parent = 0"),
        ({"reset": "first error"}, "reset = 'first error'"),
        ({"normalization": "z"}, "normalization = 'z'"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        FrontierGRPO(**values)


def test_an_offset_resets_earlier() -> None:
    world = FixedAnswers((2, 5, 0, 3))
    (_, suffix) = collect(FrontierGRPO(parent=1, reset=FirstErrorReset(offset=2)), world, [0], 1)
    assert suffix.step == 3
