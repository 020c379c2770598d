"""Trees of cut rollouts and forks of finished ones: TreeRPO, SPO-tree and TreeRL."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.advantages import (
    Normalization,
    check_normalization,
    group_advantages,
)
from cpi_theory.algorithms.pieces import from_start
from cpi_theory.algorithms.step_credit import unlikely
from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_probability
from cpi_theory.randomness import Key
from cpi_theory.seam import Draw, Ending, Group, Plan, Prompt, Rollout, Sample, ScoreSteps

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Family:
    """Siblings of a tree: rollouts from one state, each worth what is reached below it.

    Attributes:
        rollouts: the siblings, cut unless they ended or stand in the last level.
        values: of each, shape (n,): its reward, or the mean value of its children where it was cut.
    """

    rollouts: Sequence[Rollout]
    values: Floats


def grow_tree(
    prompt: Prompt, key: Key, branching: Sequence[int], steps: int
) -> Generator[list[Draw], Any, list[Family]]:
    """Branch from the start and from wherever a sibling was cut; a level is one round of draws.

    Args:
        prompt: its start is the root.
        key: of all branches.
        branching: siblings of a family in each level; those of the last run to their end.
        steps: after which the siblings of other levels are cut.

    Returns:
        All families, the deepest level first.
    """
    nodes, levels = [(prompt.start, key)], []
    for level, width in enumerate(branching):
        most = steps if level + 1 < len(branching) else None
        drawn = yield [Draw(state, own.integers(width), most) for state, own in nodes]
        levels.append(drawn)
        nodes = [
            (sibling.last, own.child(i))
            for (_, own), family in zip(nodes, drawn, strict=True)
            for i, sibling in enumerate(family)
            if sibling.ended is Ending.CUT
        ]
    families: list[Family] = []
    below: Iterator[float] = iter(())
    for drawn in reversed(levels):
        level_families = [
            Family(
                family,
                np.array([next(below) if r.ended is Ending.CUT else r.reward for r in family]),
            )
            for family in drawn
        ]
        below = iter([float(family.values.mean()) for family in level_families])
        families += level_families
    return families


def _check_tree(branching: Sequence[int], steps: int) -> None:
    if not branching:
        raise InvalidInput("branching", branching, "no level", "give a width for each")
    for width in branching:
        # A single child has nothing to be compared with.
        check_count("branching", width, minimum=2)
    check_count("steps", steps)


def _edges(branching: Sequence[int]) -> int:
    return int(np.cumprod(branching).sum())


@dataclass(frozen=True, slots=True)
class TreeRPO:
    r"""A tree whose siblings are groups: each is compared with those from the same state.

    Formula: the reward of a sibling is :math:`V = ` its outcome, or the mean over its children
    where it was cut; its advantage is relative to its siblings as in GRPO.

    Estimates Q of the next `steps` steps less V of the state, over the spread of the siblings under
    "std". Siblings of a cut family are not independent given their values' noise: with n of them
    the centred credit is (n - 1) / n of that. Cost: the tree's leaves, as many rollouts as
    `branching` multiplies to, whose beginnings are shared. Needs terminal rewards; worlds that can
    cut (:class:`~cpi_theory.seam.CuttingSimulator`) spare what others throw away.

    Attributes:
        branching: siblings per family, level by level.
        steps: of the world after which a level ends; the last one runs to the end.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`; "std" is GRPO's,
            on whose mechanism the paper builds. How it scales values between 0 and 1 was not
            checked.

    Source: Yang et al. (2025), arXiv 2506.05183.
    """

    branching: tuple[int, ...] = (8, 8, 8)
    steps: int = 1
    normalization: Normalization = "std"

    def __post_init__(self) -> None:
        _check_tree(self.branching, self.steps)
        check_normalization(self.normalization)

    @property
    def rows_per_prompt(self) -> int:
        """Every edge of the whole tree."""
        return _edges(self.branching)

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """A group for each family; see :class:`~cpi_theory.seam.Algorithm`."""
        families = yield from grow_tree(prompt, key, self.branching, self.steps)
        return [
            Group.of(f.rollouts, group_advantages(f.values, self.normalization), prompt.id)
            for f in families
        ]


@dataclass(frozen=True, slots=True)
class SPOTree:
    r"""A tree of fixed branching and segment length; an edge is worth what it adds.

    Formula: :math:`V(node)` is the mean over its children, or the reward of a leaf, and an edge has
    the advantage :math:`V(child) - V(parent)`; all edges are learned from. That is TreeRPO without
    its division by the spread, seen from the edges.

    Estimates the advantage of a segment, with the factor (n - 1) / n since the child is among those
    that its parent is the mean of. Cost: the leaves, 216 for 6-6-6. Needs terminal rewards, and
    with `probability` a world that knows how likely its steps were.

    Attributes:
        branching: children per node, level by level.
        steps: of the world per segment; the last runs to the end.
        probability: leave the gradient to steps that were less likely; None: to all. Within
            thoughts, ``mask_above`` of the loss masks tokens.

    Source: Guo et al. (2025), arXiv 2505.23564 (SPO-tree).
    """

    branching: tuple[int, ...] = (6, 6, 6)
    steps: int = 1
    probability: float | None = None

    def __post_init__(self) -> None:
        _check_tree(self.branching, self.steps)
        if self.probability is not None:
            check_probability("probability", self.probability)

    @property
    def rows_per_prompt(self) -> int:
        """Every edge of the whole tree."""
        return _edges(self.branching)

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """A group for each parent; see :class:`~cpi_theory.seam.Algorithm`."""
        families = yield from grow_tree(prompt, key, self.branching, self.steps)
        gains = [group_advantages(family.values, "none") for family in families]
        if self.probability is None:
            return [
                Group.of(f.rollouts, g, prompt.id) for f, g in zip(families, gains, strict=True)
            ]
        scores = yield [ScoreSteps(family.rollouts) for family in families]
        groups = []
        for family, gain, logprobs in zip(families, gains, scores, strict=True):
            unsure = unlikely(self.probability, logprobs)
            credits = (np.where(marks, g, 0.0) for marks, g in zip(unsure, gain, strict=True))
            groups.append(Group(tuple(map(Sample, family.rollouts, credits)), prompt.id))
        return groups


@dataclass(slots=True, eq=False)
class _Branch:
    """A rollout of a forking tree.

    Attributes:
        rollout: to its end.
        parent: the branch that it forked from, None of a chain from the start.
        step: of the parent, before which it forked.
        forks: branches that forked from this one.
    """

    rollout: Rollout
    parent: _Branch | None = None
    step: int = 0
    forks: list[_Branch] = field(default_factory=list)

    def below(self) -> tuple[float, int]:
        """Sum and number of the rewards of this leaf and of all leaves that forked from it."""
        parts = [fork.below() for fork in self.forks]
        return self.rollout.reward + sum(s for s, _ in parts), 1 + sum(n for _, n in parts)

    def through(self, step: int) -> tuple[float, int]:
        """Mean reward and number of the leaves that hold step `step` of this rollout."""
        parts = [fork.below() for fork in self.forks if fork.step > step]
        total = self.rollout.reward + sum(s for s, _ in parts)
        count = 1 + sum(n for _, n in parts)
        return total / count, count


@dataclass(frozen=True, slots=True)
class TreeRL:
    r"""Finished rollouts, forked again where the policy was least sure.

    A node is a segment between two forks, its value V the mean reward of the leaves below it.

    Formula: :math:`A = |L|^{-power} ((V(node) - V(root)) + (V(node) - V(parent)))`, with L the
    leaves below the node: what the node is worth against the whole tree and against where it came
    from, less for what many leaves share, as it is learned from in each of them.

    No unbiased estimate of an advantage: it is the sum of a global and a local one, and leaves are
    weighed by where the policy was unsure. Cost: `chains` (1 + `rounds` `forks` `branches`)
    rollouts, forks starting late. Needs terminal rewards and a world that knows how likely its
    steps were, which stands for entropy.

    Attributes:
        chains: rollouts from the start, each the trunk of a tree.
        forks: places of each tree that are forked in a round: those of its least likely steps.
        rounds: how often.
        branches: rollouts from each place.
        power: of the number of leaves.

    Source: Hou et al. (2025), arXiv 2506.11902.
    """

    chains: int = 6
    forks: int = 2
    rounds: int = 1
    branches: int = 2
    power: float = 0.5

    def __post_init__(self) -> None:
        for name in ("chains", "forks", "rounds", "branches"):
            check_count(name, getattr(self, name))
        check_in_range("power", self.power, 0, 10)

    @property
    def rows_per_prompt(self) -> int:
        """Every leaf, with the steps that are its own."""
        return self.chains * (1 + self.rounds * self.forks * self.branches)

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group of all leaves; see :class:`~cpi_theory.seam.Algorithm`."""
        drawn = yield from_start(prompt, key, "base", self.chains)
        trees = [[_Branch(rollout)] for rollout in drawn]
        scores: dict[_Branch, Floats] = {}
        for number in range(self.rounds):
            new = [one for tree in trees for one in tree if one not in scores]
            found = yield ScoreSteps([one.rollout for one in new])
            scores |= dict(zip(new, found, strict=True))
            places = [self._places(tree, scores) for tree in trees]
            drawn = iter(
                (
                    yield [
                        Draw(
                            one.rollout.states[t],
                            key.child("fork", number, i, n).integers(self.branches),
                        )
                        for i, chosen in enumerate(places)
                        for n, (one, t) in enumerate(chosen)
                    ]
                )
            )
            for tree, chosen in zip(trees, places, strict=True):
                for one, t in chosen:
                    forks = [_Branch(rollout, one, t) for rollout in next(drawn)]
                    one.forks += forks
                    tree += forks
        leaves = [one for tree in trees for one in tree]
        root = float(np.mean([one.rollout.reward for one in leaves]))
        samples = [Sample(one.rollout, self._credit(one, root)) for one in leaves]
        return [Group(tuple(samples), prompt.id)]

    def _places(
        self, tree: list[_Branch], scores: dict[_Branch, Floats]
    ) -> list[tuple[_Branch, int]]:
        """The least likely steps of a tree that it is not forked at yet, the earlier of a tie."""
        open_ones = [
            (float(logprob), order, t)
            for order, one in enumerate(tree)
            for t, logprob in enumerate(scores[one])
            if all(fork.step != t for fork in one.forks)
        ]
        return [(tree[order], t) for _, order, t in sorted(open_ones)[: self.forks]]

    def _credit(self, one: _Branch, root: float) -> Floats:
        """Credit of each step of a branch, shape (steps,)."""
        above, first = root, one
        # A fork before the first step of a branch comes from where that branch came from.
        while first.parent is not None and not first.step:
            first = first.parent
        if first.parent is not None:
            above, _ = first.parent.through(first.step - 1)
        credit, cuts = np.empty(len(one.rollout)), {fork.step for fork in one.forks}
        for t in range(len(one.rollout)):
            if t in cuts and t:
                above, _ = one.through(t - 1)
            value, leaves = one.through(t)
            credit[t] = ((value - root) + (value - above)) / leaves**self.power
        return credit
