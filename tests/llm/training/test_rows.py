"""From what an algorithm collects to rows and tensors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory import GRPO, RRPO, Key
from cpi_theory.algorithms.collecting import collect
from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Ending, Group, Rollout
from llm.training.rows import pad_rows, split_by_prompt, training_rows
from tests.llm.lengths import simulator
from tests.llm.rows import random_rows

torch.set_num_threads(1)


def collected(algorithm, prompts=3):
    world = simulator()
    starts = world.start_states(world.task.problems("train", prompts, 0))
    return collect(algorithm, world, starts, Key.of(4), prompts=[7, 5, 9][:prompts])


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
        found = [set(row.advantages) for row in rows if row.group == number]
        np.testing.assert_allclose([a for (a,) in found], expected)
        deviating += bool(rewards.std())
    assert deviating


@pytest.mark.parametrize("change", [lambda a: a[:-1], lambda a: a * np.nan, lambda a: None])
def test_a_missing_advantage_is_refused(reset, change):
    sample = next(s for s in reset.groups[0].samples if len(s.rollout) > 1)
    with pytest.raises(InvalidInput, match=r"advantages.*not one finite number for each of"):
        dataclasses.replace(sample, advantages=change(sample.advantages))


def test_tokens_have_the_advantage_of_their_thought(reset):
    for group in reset:
        samples = [
            dataclasses.replace(s, advantages=np.arange(len(s.rollout)) - 0.5)
            for s in group.samples
        ]
        rows = training_rows([dataclasses.replace(group, samples=tuple(samples))])
        for row, sample in zip(rows, samples, strict=True):
            for (begin, end), advantage in zip(
                sample.rollout.spans, sample.advantages, strict=True
            ):
                assert (row.advantages[begin:end] == advantage).all()
            assert not row.off_policy


def test_a_sample_may_be_learned_in_another_context(reset):
    """A suffix learned as if it followed the prompt: its prompt is that state's, and it says so."""
    group = next(g for g in reset if g.step)
    start = group.parent.states[0]
    moved = [dataclasses.replace(sample, context=start) for sample in group.samples]
    here = training_rows([group])
    there = training_rows([dataclasses.replace(group, samples=tuple(moved))])
    for one, other in zip(here, there, strict=True):
        assert other.prompt == start.tokens != one.prompt
        assert other.completion == one.completion
        assert (one.off_policy, other.off_policy) == (False, True)


def test_rollouts_of_other_worlds_are_refused():
    rollout = Rollout([(0, 0)], [1], 1.0, False, Ending.TERMINAL)
    with pytest.raises(InvalidInput, match=r"groups\[0\].samples"):
        training_rows([Group.of((rollout,), np.zeros(1), 0)])


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
        training_rows([Group.of((empty,), np.zeros(1), 0)])


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
        np.testing.assert_array_equal(
            batch.advantages[i][sampled], row.advantages.astype(np.float32)
        )
        assert not batch.advantages[i][~sampled].any()
    assert not batch.completion_mask[:, 0].any()
    assert (batch.input_ids[batch.attention_mask == 0] == 31).all()
    assert batch.input_ids.shape[1] == max(map(len, rows))


@given(prompts=st.integers(1, 6), minibatches=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_minibatches_keep_prompts_together_and_are_level(prompts, minibatches):
    rows = random_rows(2 * prompts, prompts=prompts)
    if minibatches > prompts:
        with pytest.raises(InvalidInput, match="minibatches"):
            split_by_prompt(rows, minibatches)
        return
    split = split_by_prompt(rows, minibatches)
    assert [row for part in split for row in part] == rows
    sizes = [{row.prompt_id for row in part} for part in split]
    assert max(map(len, sizes)) - min(map(len, sizes)) <= 1
    assert sum(map(len, sizes)) == prompts
