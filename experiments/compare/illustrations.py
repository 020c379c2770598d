"""Where reset policies reset to, and what a collection consists of: records behind the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.checks import check_count
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageReset, ImprovableReset
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.seam import Algorithm, Collection, Refusal, ResetPolicy, Rollout
from experiments.runs.files import Row
from tabular.resets.localizer import Localizer
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.trees import ReasoningTree, reasoning_tree


@dataclass(frozen=True)
class AnatomySpec:
    """A reasoning tree and how many of its failures to look at.

    Attributes:
        horizon: thoughts per rollout.
        hard_steps: hard ones among them.
        easy_probability: chance of the right thought in the others.
        failures: failed rollouts behind the distributions.
        seed: of everything.
    """

    horizon: int = 10
    hard_steps: int = 3
    easy_probability: float = 0.97
    failures: int = 5_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("failures", self.failures, 100)

    def tree(self) -> ReasoningTree:
        """The tree."""
        return reasoning_tree(
            self.horizon,
            hard_steps=self.hard_steps,
            easy_probability=self.easy_probability,
            seed=self.seed,
        )


def reset_positions(spec: AnatomySpec) -> list[Row]:
    """Law of the reset step relative to the first error, over failed rollouts of the tree.

    Rows of kind "position": `reset`, `offset` (reset step less first error), its `probability`;
    of kind "share": `reset` and how many failures it `refused`, and the probability that the prefix
    kept is still `clean` (the reset is at or before the first error).
    """
    tree = spec.tree()
    blurred, tau = Localizer(accuracy=0.7), float(tree.tau)
    policies: list[tuple[str, ResetPolicy, Localizer]] = [
        ("uniform", UniformReset(), Localizer()),
        ("first_error", FirstErrorReset(), Localizer()),
        ("first_error_blurred", FirstErrorReset(), blurred),
        ("improvable", ImprovableReset(tau), Localizer()),
        ("advantage", AdvantageReset(tau / 4), Localizer()),
    ]
    key = Key.of(spec.seed).child("positions")
    failures = _failures(tree, spec.failures, key)
    rows = []
    for name, policy, localizer in policies:
        simulator = TabularSimulator(tree.mdp, tree.policy, localizer=localizer)
        answers = policy.step_probabilities(
            failures, simulator, key.child(name).integers(len(failures))
        )
        rows += _position_rows(name, tree, failures, answers)
    return rows


def _failures(tree: ReasoningTree, count: int, key: Key) -> list[Rollout]:
    """Draw `count` failed rollouts from the start; fewer only if failing is rare."""
    simulator = TabularSimulator(tree.mdp, tree.policy)
    drawn = 4 * count
    starts = simulator.start_states(drawn, key.child("starts"))
    rollouts = simulator.rollout(starts, key.child("rollouts").integers(drawn))
    return [r for r in rollouts if r.failed][:count]


def _position_rows(
    name: str,
    tree: ReasoningTree,
    failures: list[Rollout],
    answers: list[NDArray[np.float64] | Refusal],
) -> list[Row]:
    horizon = tree.horizon
    law = np.zeros(2 * horizon - 1)
    refused = 0
    for rollout, answer in zip(failures, answers, strict=True):
        if isinstance(answer, Refusal):
            refused += 1
            continue
        first = _first_error(tree, rollout)
        law[horizon - 1 - first : 2 * horizon - 1 - first] += answer
    law /= max(len(failures) - refused, 1)
    offsets = np.arange(1 - horizon, horizon)
    rows: list[Row] = [
        {"kind": "position", "reset": name, "offset": int(o), "probability": float(p)}
        for o, p in zip(offsets, law, strict=True)
    ]
    share = {"kind": "share", "reset": name, "refused": refused, "failures": len(failures)}
    return [
        *rows,
        share | {"clean": float(law[offsets <= 0].sum()), "exact": float(law[horizon - 1])},
    ]


def _first_error(tree: ReasoningTree, rollout: Rollout) -> int:
    step = tree.first_error(rollout.states[0][1] // 2, rollout.actions)  # type: ignore[index]
    return len(rollout) - 1 if step is None else step


def anatomy(spec: AnatomySpec) -> list[Row]:
    """Real collections of one prompt by each algorithm and layout, rollout by rollout.

    The iteration shown is the first whose reset group with exact localisation is informative and
    starts in the middle: a picture of how it works, not of how often. Each row is a rollout:
    `algorithm`, `group`, `role` ("base", "suffix", or "parent" for one that is only reset),
    `first` (the step its own actions begin at), `right` (per step, kept ones included), `reward`,
    `advantage`, `reset` (the step a parent is reset to).
    """
    tree = spec.tree()
    simulator = TabularSimulator(tree.mdp, tree.policy)
    algorithms: dict[str, Algorithm] = {
        "GRPO": GRPO(),
        "RRPO 1x4": ResetGRPO.layout("1x4", UniformReset()),
        "SRPO 1x4": ResetGRPO.layout("1x4", FirstErrorReset()),
        "SRPO 2x4": ResetGRPO.layout("2x4", FirstErrorReset()),
        "SRPO 1x8": ResetGRPO.layout("1x8", FirstErrorReset()),
    }
    key = Key.of(spec.seed).child("anatomy")
    chosen = _instructive(algorithms["SRPO 1x4"], simulator, key)
    rows = []
    for name, algorithm in algorithms.items():
        collection = collect(algorithm, simulator, [(0, 0)], key.child(chosen))
        rows += _collection_rows(name, tree, collection)
    return rows


def _instructive(algorithm: Algorithm, simulator: TabularSimulator, key: Key) -> int:
    for iteration in range(1000):
        collection = collect(algorithm, simulator, [(0, 0)], key.child(iteration))
        suffixes = [g for g in collection if g.parent is not None]
        middle = range(2, simulator.horizon - 3)
        if any(g.informative and g.step in middle for g in suffixes):
            return iteration
    return 0


def _collection_rows(name: str, tree: ReasoningTree, collection: Collection) -> list[Row]:
    rows: list[Row] = []
    shown: list[Rollout] = [r for g in collection if g.parent is None for r in g.rollouts]
    for index, group in enumerate(collection):
        parent, step = group.parent, group.step
        kept = [] if parent is None or step is None else _rights(tree, parent, 0)[:step]
        if parent is not None and not any(parent is r for r in shown):
            rows.append(_row(name, index, "parent", kept=[], rights=_rights(tree, parent, 0)))
            rows[-1] |= {"reward": parent.reward, "advantage": None, "reset": step}
        for sample in group.samples:
            rollout = sample.rollout
            role = "base" if parent is None else "suffix"
            row = _row(name, index, role, kept, _rights(tree, rollout, len(kept)))
            resets = [g.step for g in collection if g.parent is rollout]
            row |= {"reward": rollout.reward, "advantage": sample.advantage}
            rows.append(row | {"reset": resets[0] if resets else None})
    generated = {"rollouts": collection.generated_rollouts, "steps": collection.generated_steps}
    return [row | generated for row in rows]


def _row(name: str, group: int, role: str, kept: list[bool], rights: list[bool]) -> Row:
    right = kept + rights
    return {"algorithm": name, "group": group, "role": role, "first": len(kept), "right": right}


def _rights(tree: ReasoningTree, rollout: Rollout, first: int) -> list[bool]:
    problem = rollout.states[0][1] // 2  # type: ignore[index]
    correct = tree.right_actions[problem, first : first + len(rollout)]
    return [bool(a == c) for a, c in zip(rollout.actions, correct, strict=True)]
