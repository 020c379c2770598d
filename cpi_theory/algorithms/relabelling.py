"""Methods that draw a plain group and only give its steps other credit: no later state is visited.

Each is a control for what resets do: the same rollouts, the same answers of the world.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.advantages import (
    Normalization,
    check_normalization,
    group_advantages,
)
from cpi_theory.algorithms.pieces import draw_index, from_start, may_be_parent
from cpi_theory.checks import check_count, check_in_range, check_probability
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.seam import (
    Group,
    NameSteps,
    Plan,
    Prompt,
    Refusal,
    ResetPolicy,
    Rollout,
    Sample,
)

Floats = NDArray[np.float64]


def named_steps(
    reset: ResetPolicy, rollouts: Sequence[Rollout], key: Key
) -> Generator[NameSteps, Any, dict[int, Floats]]:
    """Ask which steps of each failure a reset policy names.

    Args:
        reset: asked about failures alone.
        rollouts: any number.
        key: each answer hangs on it and on the rollout's place.

    Returns:
        By the place of the rollout, the distribution over its steps; refusals are left out.
    """
    failures = [i for i, rollout in enumerate(rollouts) if may_be_parent(rollout)]
    # A key per place: what one failure is told does not depend on how many others there are.
    keys = key.child("locate").integers(len(rollouts))[failures]
    answers = yield NameSteps(reset, [rollouts[i] for i in failures], keys)
    answered = zip(failures, answers, strict=True)
    return {i: answer for i, answer in answered if not isinstance(answer, Refusal)}


@dataclass(frozen=True, slots=True)
class VPPO:
    """A plain group in which failures are punished from their first error on, and not before.

    Every step of a success has the credit 1. A failure is asked about: steps before its named first
    error get `prefix`, that step and all later ones -1; a failure without a named step gets -1
    throughout. It uses what SRPO uses, the same answers to the same question, but no later states:
    what it lacks against SRPO is what resets give.

    The credit is that of an exact localiser only as far as the world's is: one that is right with
    probability q praises a wrong prefix or spares a wrong step with up to 1 - q. No unbiased
    estimate of an advantage. Cost: `rollouts`, and a localisation of each failure.

    Where the paper shapes a reward for the end of the good prefix and lets returns carry it to the
    steps before, here every step of the prefix has the same fixed credit.

    Attributes:
        rollouts: from the start.
        prefix: credit of what precedes the first error, in [0, 1].
        reset: names first errors; a policy that weighs several steps has one drawn.

    Source: Liu et al. (2026), arXiv 2601.18984.
    """

    rollouts: int = 8
    prefix: float = 0.5
    reset: ResetPolicy = field(default_factory=FirstErrorReset)

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts)
        check_probability("prefix", self.prefix)

    @property
    def rows_per_prompt(self) -> int:
        """All rollouts."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group; see :class:`~cpi_theory.seam.Algorithm`."""
        rollouts = yield from_start(prompt, key, "base", self.rollouts)
        named = yield from named_steps(self.reset, rollouts, key)
        samples = []
        for i, rollout in enumerate(rollouts):
            credit = np.full(len(rollout), -1.0 if rollout.failed else 1.0)
            if i in named:
                credit[: draw_index(named[i], key.child("step", i))] = self.prefix
            samples.append(Sample(rollout, credit))
        return [Group(tuple(samples), prompt.id)]


@dataclass(frozen=True, slots=True)
class CAPO:
    r"""A plain group in which steps that a judge calls wrong are punished one by one.

    Formula: :math:`R_{it} = outcome \cdot r_i - step \cdot 1[t\ is\ judged\ wrong]`, and the
    advantage of a step is relative to all of the group's :math:`R_{it}`.

    The judge is a reset policy: the steps that it gives any weight are those that it calls wrong.
    `WrongStepReset` judges each step where a world knows its advantages; `FirstErrorReset`, the
    default, names the first wrong step alone, which is what most language models can be asked.
    The paper asks a larger model about every step and takes a vote.

    No unbiased estimate of an advantage. Cost: `rollouts`, and a judgement of each failure.

    Attributes:
        rollouts: from the start.
        outcome, step: the two weights.
        judge: of failures.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.

    Source: Xie et al. (2025), arXiv 2508.02298.
    """

    rollouts: int = 8
    outcome: float = 2.0
    step: float = 1.0
    judge: ResetPolicy = field(default_factory=FirstErrorReset)
    normalization: Normalization = "std"

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts)
        for name in ("outcome", "step"):
            check_in_range(name, getattr(self, name), 0, 1000)
        check_normalization(self.normalization)

    @property
    def rows_per_prompt(self) -> int:
        """All rollouts."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group; see :class:`~cpi_theory.seam.Algorithm`."""
        rollouts = yield from_start(prompt, key, "base", self.rollouts)
        wrong = yield from named_steps(self.judge, rollouts, key)
        rewards = [np.full(len(r), self.outcome * r.reward) for r in rollouts]
        for i, weights in wrong.items():
            rewards[i] -= self.step * (weights > 0)
        flat = np.concatenate(rewards)
        relative = group_advantages(flat, self.normalization) if len(flat) else flat
        credits = np.split(relative, np.cumsum([len(r) for r in rollouts])[:-1])
        return [Group(tuple(map(Sample, rollouts, credits)), prompt.id)]


@dataclass(frozen=True, slots=True)
class LambdaGRPO:
    """GRPO in which a step that m rollouts of the group share counts 1 / m in each of them.

    A step is shared by the rollouts that took it in the same state after the same steps. Together
    they then weigh as one: what most of the group began with does not outweigh where it parts.

    Estimates what GRPO estimates, with steps weighed by 1 / m, which is not the weight that the
    policy visits them with: no gradient of J. Cost: `rollouts`.

    Attributes:
        rollouts: group size, at least 2.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.

    Source: Sullivan and Koller (2025), arXiv 2509.21154.
    """

    rollouts: int = 8
    normalization: Normalization = "std"

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts, minimum=2)
        check_normalization(self.normalization)

    @property
    def rows_per_prompt(self) -> int:
        """All rollouts."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group; see :class:`~cpi_theory.seam.Algorithm`."""
        rollouts = yield from_start(prompt, key, "base", self.rollouts)
        gains = group_advantages([r.reward for r in rollouts], self.normalization)
        credits = (g / m for g, m in zip(gains, shared_by(rollouts), strict=True))
        return [Group(tuple(map(Sample, rollouts, credits)), prompt.id)]


def shared_by(rollouts: Sequence[Rollout]) -> list[Floats]:
    """Count the rollouts that hold each step, with all that precedes it.

    Args:
        rollouts: from one state.

    Returns:
        Shape (len(rollout),) per rollout, each at least 1. The sum of their inverses is the number
        of different beginnings.
    """
    paths = [_numbered_path(rollout) for rollout in rollouts]
    # Numbers of (number of the beginning, step) pairs: equal beginnings get equal numbers.
    numbers: dict[tuple[int, Hashable], int] = {}
    beginnings = []
    for path in paths:
        number, own = 0, []
        for step in path:
            number = numbers.setdefault((number, step), len(numbers) + 1)
            own.append(number)
        beginnings.append(own)
    counts = Counter(number for own in beginnings for number in own)
    return [np.array([counts[n] for n in own], np.float64) for own in beginnings]


def _numbered_path(rollout: Rollout) -> list[Hashable]:
    steps = zip(rollout.states, rollout.actions, strict=True)
    return [(state, _hashable(action)) for state, action in steps]


def _hashable(action: Any) -> Hashable:
    # Actions may be arrays, which do not hash.
    return (action.shape, action.tobytes()) if isinstance(action, np.ndarray) else action


@dataclass(frozen=True, slots=True)
class GiGPO:
    r"""A plain group, and second groups of the steps that its rollouts take in equal states.

    Formula: :math:`A_{it} = A(r_i) + weight \cdot A(R_{it})`, the first relative to the group, the
    second to all steps of the group in a state equal to :math:`s_{it}`, with the discounted return
    :math:`R_{it} = discount^{T_i - 1 - t} r_i`. A state met once adds nothing.

    The second term estimates Q of the action less V of the state, as far as `discount` is 1 and
    states are met by rollouts that do not differ otherwise; their sum estimates no advantage. Cost:
    `rollouts`. Needs terminal rewards; texts have equal states only where rollouts begin alike.

    Attributes:
        rollouts: group size, at least 2.
        weight: of the second groups.
        discount: per step, in [0, 1].
        normalization: of both; see :data:`cpi_theory.algorithms.advantages.Normalization`.

    Source: Feng et al. (2025), arXiv 2505.10978.
    """

    rollouts: int = 8
    weight: float = 1.0
    discount: float = 0.95
    normalization: Normalization = "std"

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts, minimum=2)
        check_in_range("weight", self.weight, 0, 1000)
        check_probability("discount", self.discount)
        check_normalization(self.normalization)

    @property
    def rows_per_prompt(self) -> int:
        """All rollouts."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group; see :class:`~cpi_theory.seam.Algorithm`."""
        rollouts = yield from_start(prompt, key, "base", self.rollouts)
        gains = group_advantages([r.reward for r in rollouts], self.normalization)
        credits = [np.full(len(r), g) for r, g in zip(rollouts, gains, strict=True)]
        met: defaultdict[Hashable, list[tuple[int, int]]] = defaultdict(list)
        for i, rollout in enumerate(rollouts):
            for t, state in enumerate(rollout.states):
                met[state].append((i, t))
        for places in met.values():
            returns = [self._return(rollouts[i], t) for i, t in places]
            relative = group_advantages(returns, self.normalization)
            for (i, t), gain in zip(places, relative, strict=True):
                credits[i][t] += self.weight * gain
        return [Group(tuple(map(Sample, rollouts, credits)), prompt.id)]

    def _return(self, rollout: Rollout, step: int) -> float:
        return float(self.discount ** (len(rollout) - 1 - step) * rollout.reward)
