"""Advantage estimators in a few lines each, right ones and faulty ones, for `cpi-resets audit`.

Each is a function of a batch of rollouts, as ``cpi_theory.audit.batch.Batch`` describes it. The
faulty ones are what people have written: the audit finds what is wrong with each of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.audit.batch import Batch

Advantages = NDArray[Any]


def leave_one_out(batch: Batch) -> Advantages:
    """RLOO: the baseline is the mean of the others, which know nothing of this rollout."""
    out = batch.rewards.copy()
    for i, group in enumerate(batch.groups):
        others = (batch.groups == group) & (np.arange(len(batch)) != i)
        out[i] -= batch.rewards[others].sum() / int(others.sum())
    return out


def group_mean(batch: Batch) -> Advantages:
    """Dr. GRPO: the mean of the group, this rollout among them: unbiased but for (n - 1) / n."""
    out = batch.rewards.copy()
    for group in np.unique(batch.groups):
        rows = batch.groups == group
        out[rows] -= batch.rewards[rows].sum() / int(rows.sum())
    return out


def group_spread(batch: Batch) -> Advantages:
    """GRPO: divided by the group's spread, so that easy and hard prompts count for more."""
    out = group_mean(batch).astype(np.float64)
    for group in np.unique(batch.groups):
        rows = batch.groups == group
        spread = out[rows].std()
        out[rows] = out[rows] / spread if spread > 1e-9 else 0
    return out


def by_start(batch: Batch) -> Advantages:
    """Rollouts from one state form a group, whatever prompt they belong to."""
    out = batch.rewards.copy()
    for start in np.unique(batch.starts):
        rows = batch.starts == start
        out[rows] -= batch.rewards[rows].sum() / int(rows.sum())
    return out


def merged_starts(batch: Batch) -> Advantages:
    """Faulty with resets: rollouts from later states join the group of their prompt.

    A state that is better than the start lends its rollouts an advantage that no action earned.
    """
    return group_mean(batch)


def turn_baseline(batch: Batch) -> Advantages:
    """Faulty: at each turn the mean return of the rollouts that are still going on.

    How many those are depends on what their policies did, so that late turns count for less; and
    a rollout that is alone learns nothing.
    """
    out = np.zeros(batch.mask.shape, dtype=batch.rewards.dtype)
    for group in np.unique(batch.groups):
        for turn in range(batch.mask.shape[1]):
            rows = (batch.groups == group) & batch.mask[:, turn]
            if rows.any():
                mean = batch.rewards[rows].sum() / int(rows.sum())
                out[rows, turn] = batch.rewards[rows] - mean
    return out


def turn_rewards(batch: Batch) -> Advantages:
    """Faulty: each turn's reward less the mean of that turn, summed over the turns that follow.

    A rollout that goes on has more baselines taken from it than one that stops, so that going on
    costs what the turns pay on average (https://github.com/verl-project/verl/issues/7244).
    """
    centred = np.zeros(batch.mask.shape, dtype=batch.step_rewards.dtype)
    for group in np.unique(batch.groups):
        for turn in range(batch.mask.shape[1]):
            rows = (batch.groups == group) & batch.mask[:, turn]
            if rows.any():
                paid = batch.step_rewards[rows, turn]
                centred[rows, turn] = paid - paid.sum() / int(rows.sum())
    return centred[:, ::-1].cumsum(axis=1)[:, ::-1]


def turns_as_samples(batch: Batch) -> Advantages:
    """Faulty: each turn is a sample of its own, and the mean is taken over all samples.

    Long rollouts count for more in the baseline, which depends on what this one did
    (https://github.com/microsoft/agent-lightning/issues/489).
    """
    out = batch.rewards.copy()
    for group in np.unique(batch.groups):
        rows = batch.groups == group
        tokens = batch.lengths[rows]
        out[rows] -= (batch.rewards[rows] * tokens).sum() / int(tokens.sum())
    return out


def last_turn_only(batch: Batch) -> Advantages:
    """Faulty: the advantage reaches the last turn alone; the others silently learn nothing.

    The scalar was multiplied with the mask of the last turn before it was handed to the others
    (https://github.com/NovaSky-AI/SkyRL/pull/1507).
    """
    last = batch.steps == batch.steps.max(axis=1, keepdims=True)
    return np.where(last, leave_one_out(batch)[:, None], 0)


def per_token(batch: Batch) -> Advantages:
    """GRPO's loss as published: a rollout's tokens share its weight, so that length matters."""
    return leave_one_out(batch) / batch.lengths
