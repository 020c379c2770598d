"""From what an algorithm collects to rows and tensors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory import GRPO, RRPO, Key
from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Ending, Group, Rollout
from llm.training.rows import pad_rows, split_by_prompt, training_rows
from tests.llm.lengths import simulator
from tests.llm.rows import random_rows

torch.set_num_threads(1)


def collected(algorithm, prompts=3):
    world = simulator()
    starts = world.start_states(world.task.problems("train", prompts, 0))
    return algorithm.collect(world, starts, Key.of(4), prompts=[7, 5, 9][:prompts])


@pytest.fixture(scope="module")
def reset():
    return collected(RRPO(on_refusal="fresh"))


def test_kept_thoughts_belong_to_the_prompt(reset):
    rows, suffixes = training_rows(reset), 0
    for row, (group, i) in zip(
        rows, [(g, i) for g in reset for i in range(len(g.rollouts))], strict=True
    ):
        rollout = group.rollouts[i]
        assert row.prompt == rollout.start.prompt + rollout.start.kept
        assert row.completion == rollout.tokens
        np.testing.assert_array_equal(row.logprobs, rollout.logprobs)
        assert reset.groups[row.group] is group
        assert row.prompt_id == group.prompt
        if group.parent is not None and group.step:
            suffixes += 1
            kept = group.parent.tokens[: group.parent.spans[group.step][0]]
            assert row.prompt == group.parent.start.tokens + kept
    assert suffixes  # else nothing was tested


def test_advantages_are_those_of_each_group_alone():
    groups = collected(GRPO(6))
    rows, deviating = training_rows(groups), 0
    for number, group in enumerate(groups):
        rewards = np.array([r.reward for r in group.rollouts])
        deviation = rewards - rewards.mean()
        expected = deviation / rewards.std() if rewards.std() else deviation
        found = [row.advantage for row in rows if row.group == number]
        np.testing.assert_allclose(found, expected)
        deviating += bool(rewards.std())
    assert deviating


@pytest.mark.parametrize(
    ("advantages", "problem"),
    [
        ([1.0, float("nan")], "not finite"),
        ([1.0, None], "not finite"),
        ([float("inf"), 0.0], "not finite"),
        ([1.0], "not one for each"),
        (None, "not one for each"),
    ],
)
def test_a_missing_advantage_is_refused(reset, advantages, problem):
    group = dataclasses.replace(
        reset.groups[0], rollouts=reset.groups[0].rollouts[:2], advantages=advantages
    )
    with pytest.raises(InvalidInput, match=rf"groups\[0\].advantages.*{problem}"):
        training_rows([group])


def test_rollouts_of_other_worlds_are_refused():
    rollout = Rollout([(0, 0)], [1], 1.0, False, Ending.TERMINAL)
    with pytest.raises(InvalidInput, match=r"groups\[0\].rollouts"):
        training_rows([Group((rollout,), np.zeros(1), 0)])


def test_a_rollout_without_tokens_is_refused(reset):
    group = reset.groups[0]
    empty = dataclasses.replace(
        group.rollouts[0],
        tokens=(),
        logprobs=np.empty(0, np.float32),
        spans=(),
        states=dataclasses.replace(group.rollouts[0].states, tokens=(), spans=()),
        actions=(),
    )
    with pytest.raises(InvalidInput, match="without tokens"):
        training_rows([Group((empty,), np.zeros(1), 0)])


@given(count=st.integers(1, 9), seed=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_padding_can_be_undone(count, seed):
    rows = random_rows(count, seed)
    batch = pad_rows(rows, pad=31)
    for i, row in enumerate(rows):
        real = batch.attention_mask[i].bool()
        assert tuple(batch.input_ids[i][real].tolist()) == row.prompt + row.completion
        assert not real[len(row) :].any()
        sampled = batch.completion_mask[i]
        assert tuple(batch.input_ids[i][sampled].tolist()) == row.completion
        np.testing.assert_array_equal(batch.old_logprobs[i][sampled], row.logprobs)
        assert batch.advantages[i] == np.float32(row.advantage)
    assert not batch.completion_mask[:, 0].any()
    assert (batch.input_ids[batch.attention_mask == 0] == 31).all()
    assert batch.input_ids.shape[1] == max(map(len, rows))


@given(prompts=st.integers(1, 6), parts=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_parts_keep_prompts_together_and_are_level(prompts, parts):
    rows = random_rows(2 * prompts, prompts=prompts)
    if parts > prompts:
        with pytest.raises(InvalidInput, match="parts"):
            split_by_prompt(rows, parts)
        return
    split = split_by_prompt(rows, parts)
    assert [row for part in split for row in part] == rows
    sizes = [{row.prompt_id for row in part} for part in split]
    assert max(map(len, sizes)) - min(map(len, sizes)) <= 1
    assert sum(map(len, sizes)) == prompts
