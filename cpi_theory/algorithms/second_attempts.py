"""Methods in which an answer is given again: SCoRe, and Critique-GRPO's rewrites."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from cpi_theory.algorithms.advantages import (
    Normalization,
    check_normalization,
    group_advantages,
)
from cpi_theory.algorithms.pieces import from_start, may_be_parent
from cpi_theory.checks import check_count, check_in_range, check_probability
from cpi_theory.randomness import Key
from cpi_theory.seam import Draw, Group, Plan, Prompt, Revise, Sample


@dataclass(frozen=True, slots=True)
class SCoRe:
    r"""Two attempts in a row, the second in its own context, learned in two stages.

    Formula: with rewards :math:`r_1, r_2` of the attempts, stage 1 credits the second with
    :math:`r_2` and holds the first near the policy that learning began with, with weight `hold` of
    the KL divergence; stage 2 credits the first with :math:`r_1` and the second with
    :math:`r_2 + bonus (r_2 - r_1)`. Each is relative to the mean of the prompt's other attempts of
    its kind, which does not depend on it.

    Estimates, in stage 1, the advantage of steps of second attempts from the policy's own first
    ones; stage 2 adds to the gradient of :math:`r_1 + r_2` a bonus whose gradient reaches second
    attempts alone: a first attempt is not paid for being bad. The small KL weight that the paper
    puts on all attempts is the loss's own (``kl``).

    Cost: 2 `rollouts`. Needs a world that can put a finished rollout into the state of a second
    attempt (:class:`~cpi_theory.seam.RevisingSimulator`).

    Attributes:
        rollouts: pairs of attempts, at least 2.
        stage: 1 or 2.
        switch: share of all updates that are of stage 1, where a schedule asks.
        bonus: alpha, for getting better.
        hold: beta_2, of the first attempts' KL divergence in stage 1.

    Source: Kumar et al. (2024), arXiv 2409.12917.
    """

    rollouts: int = 4
    stage: Literal[1, 2] = 1
    switch: float = 0.5
    bonus: float = 10.0
    hold: float = 0.1

    needs_start: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts, minimum=2)
        check_count("stage", self.stage)
        check_in_range("stage", self.stage, 1, 2)
        check_probability("switch", self.switch)
        for name in ("bonus", "hold"):
            check_in_range(name, getattr(self, name), 0, 1000)

    @property
    def rows_per_prompt(self) -> int:
        """Both attempts."""
        return 2 * self.rollouts

    def at(self, progress: float) -> SCoRe:
        """Return the stage in which it is when a share `progress` of all updates is done."""
        return replace(self, stage=1 if progress < self.switch else 2)

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """A group of first and one of second attempts; see :class:`~cpi_theory.seam.Algorithm`."""
        first = yield from_start(prompt, key, "base", self.rollouts)
        states = yield Revise(first, key.child("revise").integers(self.rollouts))
        keys = key.child("second").integers(self.rollouts)
        drawn = yield [Draw(s, keys[i : i + 1]) for i, s in enumerate(states)]
        second = [rollout for (rollout,) in drawn]
        before, after = (np.array([r.reward for r in part]) for part in (first, second))
        held = self.stage == 1
        earlier = 0 * before if held else before
        later = after if held else after + self.bonus * (after - before)
        gains = [group_advantages(rewards, "leave-one-out") for rewards in (earlier, later)]
        return [
            Group(
                tuple(
                    Sample(r, np.full(len(r), g), kl=self.hold if held and part is first else 0.0)
                    for r, g in zip(part, gain, strict=True)
                ),
                prompt.id,
            )
            for part, gain in zip((first, second), gains, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class CritiqueGRPO:
    r"""A group whose failures are criticised and rewritten; some rewrites join the group.

    A rewrite is drawn after the world's words on the failure, and learned from *under the plain
    prompt*, as if the policy had written it unasked. Of all rewrites `kept` join, those that
    succeeded first; advantages are relative to the whole group.

    Formula: a decision of a rewrite contributes :math:`A\, p / (p + gamma)` to the objective, p its
    probability under the plain prompt: unlikely decisions are not drowned by likely ones, as a
    ratio of probabilities would have it.

    No unbiased estimate: rewrites come from another law, which nothing corrects for, and are chosen
    for having succeeded. Cost: `rollouts` and a rewrite of each failure. Needs a world that can
    revise (:class:`~cpi_theory.seam.RevisingSimulator`).

    Attributes:
        rollouts: from the start, at least 2.
        kept: rewrites that join the group, at most.
        gamma: of the shaping, above 0.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.

    Source: Zhang et al. (2025), arXiv 2506.03106.
    """

    rollouts: int = 7
    kept: int = 1
    gamma: float = 0.1
    normalization: Normalization = "none"

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts, minimum=2)
        check_count("kept", self.kept)
        check_in_range("gamma", self.gamma, 1e-6, 1000)
        check_normalization(self.normalization)

    @property
    def rows_per_prompt(self) -> int:
        """The rollouts and the rewrites that join them."""
        return self.rollouts + self.kept

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group; see :class:`~cpi_theory.seam.Algorithm`."""
        rollouts = yield from_start(prompt, key, "base", self.rollouts)
        failures = [i for i, rollout in enumerate(rollouts) if may_be_parent(rollout)]
        # A key per place: a rewrite does not depend on who else has failed.
        keys = {name: key.child(name).integers(self.rollouts) for name in ("revise", "rewrite")}
        failed = [rollouts[i] for i in failures]
        states = yield Revise(failed, keys["revise"][failures])
        wishes = zip(states, failures, strict=True)
        drawn = yield [Draw(state, keys["rewrite"][i : i + 1]) for state, i in wishes]
        # Python's sort keeps the order of equals.
        rewrites = sorted((one for (one,) in drawn if len(one)), key=lambda r: -r.reward)
        joined = [*rollouts, *rewrites[: self.kept]]
        gains = group_advantages([r.reward for r in joined], self.normalization)
        samples = []
        for i, (rollout, gain) in enumerate(zip(joined, gains, strict=True)):
            credit = np.full(len(rollout), gain)
            if i < len(rollouts):
                samples.append(Sample(rollout, credit))
            else:
                samples.append(Sample(rollout, credit, prompt.start, shaping=self.gamma))
        return [Group(tuple(samples), prompt.id)]
