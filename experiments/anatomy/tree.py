"""One prompt's collection under SRPO, thought by thought: rewards, advantages, gradient signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.reset_grpo import SRPO
from cpi_theory.seam import Collection, Group
from experiments.anatomy.samples import PreparedLanguageWorld
from experiments.anatomy.spec import AnatomySpec
from experiments.runs.files import Row
from llm.localizers.base import whole_solution
from llm.text.rollouts import TextRollout
from llm.training.gradient_signal import logit_gradient_norms
from llm.training.rows import training_rows
from llm.training.settings import LossSettings


@dataclass(frozen=True)
class TreeSpec:
    """What the pictures of collections depend on.

    Attributes:
        world: its model, problems and seed.
        loss: whose gradient is shown.
    """

    world: AnatomySpec
    loss: LossSettings = field(default_factory=LossSettings)


def tree_rows(spec: TreeSpec) -> list[Row]:
    """The rollouts of one prompt under SRPO, and the signal of every prompt's groups.

    Rows of kind "rollout" belong to the prompt whose reset group is informative, starts after the
    second thought and, if there is one, whose base group is informative too (the first of those):
    a picture of how it works, not of how often. Each has `group`, `role` ("base" or "suffix"),
    `first` (the thought its own begin at), `thoughts` (texts, kept ones included), `right` (for
    each whether it comes before the first error; null where unknown), `tokens` and `signal`
    (of its own thoughts: sampled tokens, and the norm of the loss gradient in their logits),
    `reward`, `advantage` and `reset` (the thought that it is reset to, if it is).

    Rows of kind "signal", one per prompt and group: `prompt`, `role`, `informative`, `tokens` and
    `signal` (the sum of the norms over the tokens).
    """
    prepared, key = PreparedLanguageWorld.load(spec.world), spec.world.key.child("tree")
    algorithm = SRPO(on_refusal="fresh")
    collection = collect(algorithm, prepared.simulator, prepared.starts, key)
    labels = {"world": spec.world.world.name}
    rows: list[Row] = []
    shown = _instructive(collection)
    for prompt in dict.fromkeys(group.prompt for group in collection):
        groups = [group for group in collection if group.prompt == prompt]
        signals = _signals(prepared, groups, spec.loss)
        rows += [labels | row for row in _signal_rows(groups, signals)]
        if prompt == shown:
            rows += [labels | row for row in _rollout_rows(prepared, groups, signals)]
    return rows


def _signals(
    prepared: PreparedLanguageWorld, groups: Sequence[Group], loss: LossSettings
) -> list[list[np.ndarray]]:
    """Per group and rollout the norms of its tokens, all groups of a prompt as one update."""
    model = prepared.simulator.sampler.model  # type: ignore[attr-defined]
    norms = iter(logit_gradient_norms(model, training_rows(groups), loss))
    return [[next(norms) for _ in group.rollouts] for group in groups]


def _instructive(collection: Collection) -> int | None:
    """The prompt to show; None if no reset group is informative."""
    informative = {g.prompt for g in collection if g.parent is None and g.informative}
    suffixes = [g for g in collection if g.step is not None and g.informative]
    late = [g for g in suffixes if g.step is not None and g.step >= 2]
    best = [g for g in late if g.prompt in informative]
    return next((g.prompt for some in (best, late, suffixes) for g in some), None)


def _signal_rows(groups: Sequence[Group], signals: Sequence[Sequence[np.ndarray]]) -> list[Row]:
    return [
        {
            "kind": "signal",
            "prompt": group.prompt,
            "role": "base" if group.parent is None else "suffix",
            "informative": group.informative,
            "tokens": sum(len(norms) for norms in of_group),
            "signal": float(sum(norms.sum() for norms in of_group)),
        }
        for group, of_group in zip(groups, signals, strict=True)
    ]


def _rollout_rows(
    prepared: PreparedLanguageWorld,
    groups: Sequence[Group],
    signals: Sequence[Sequence[np.ndarray]],
) -> list[Row]:
    rows = []
    for number, (group, of_group) in enumerate(zip(groups, signals, strict=True)):
        for sample, norms in zip(group.samples, of_group, strict=True):
            rollout = sample.rollout
            assert isinstance(rollout, TextRollout)
            resets = [g.step for g in groups if g.parent is rollout]
            row = {"kind": "rollout", "group": number, "prompt": group.prompt}
            row |= {"role": "base" if group.parent is None else "suffix"}
            row |= _thought_columns(prepared, rollout, norms)
            row |= {"reward": rollout.reward, "advantage": sample.advantage}
            rows.append(row | {"reset": resets[0] if resets else None})
    return rows


def _thought_columns(
    prepared: PreparedLanguageWorld, rollout: TextRollout, norms: np.ndarray
) -> Row:
    """What there is to tell of each thought."""
    simulator = prepared.simulator
    thoughts = whole_solution(rollout, simulator.vocabulary, simulator.form.ends)
    return {
        "first": len(rollout.start.ends),
        "thoughts": thoughts,
        "right": _right(prepared, rollout, thoughts),
        "tokens": [b - a for a, b in rollout.spans],
        "signal": [float(np.linalg.norm(norms[a:b])) for a, b in rollout.spans],
    }


def _right(
    prepared: PreparedLanguageWorld, rollout: TextRollout, thoughts: Sequence[str]
) -> list[bool] | None:
    if prepared.oracle is None:
        return None
    wrong = prepared.oracle.task.first_error(rollout.start.problem, thoughts)
    return [wrong is None or i < wrong for i in range(len(thoughts))]
