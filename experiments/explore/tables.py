"""Rollouts of tabular learning curves, drawn again beside the exact values of their policies."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Localization, Prompt, Rollout
from experiments.config import build
from experiments.explore import absent
from experiments.explore.series import Series, Source
from experiments.learn.config import LearnConfig
from experiments.learn.curves import CurveSpec, group_updates
from experiments.methods import GroupMethod
from experiments.rollouts.visits import rounded, visit_row
from experiments.rollouts.witness import Witnessed
from experiments.runs.encoding import canonical
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.tabular import build_world
from tabular.resets.localizer import Localizer
from tabular.simulation.simulator import TabularSimulator


def of_learn(run: Run, seeds: int, updates: int) -> Source:
    """The rollouts of a run of learn.

    They are a function of its settings and seeds, and so are drawn again rather than stored; the
    exact values of the redrawn policies are held against the records.

    Args:
        run: of learn.
        seeds: the first so many of each world and method.
        updates: so many of each curve.

    Raises:
        InvalidInput: its curves are not there.
    """
    if not run.has("curves"):
        raise absent.of_learn(run)
    stored = {name: value for name, value in run.config.items() if name != "type"}
    config = build(LearnConfig, stored)
    values = {
        (row["world"], row["method"], row["seed"], row["update"]): row["value"]
        for row in run.read("curves")
    }
    specs = [
        spec
        for spec in config.specs()
        if isinstance(spec.method, GroupMethod) and spec.seed < config.seed + seeds
    ]
    note = "Conservative policy iteration forms no groups and is not shown."
    left = len({spec.method.name for spec in config.specs()} - {spec.method.name for spec in specs})
    notes = ("Drawn again from the settings and the seed of the run.", *((note,) if left else ()))
    series = (_series(spec, updates, values, run) for spec in specs)
    return Source("learn", "step", series, notes, cut_off=("unfinished",))


def _series(spec: CurveSpec, updates: int, values: dict[Any, float], run: Run) -> Series:
    visits = _visits(spec, updates, values, run)
    return Series(spec.world.name, spec.method.name, spec.seed, visits)


def _visits(
    spec: CurveSpec, updates: int, values: dict[Any, float], run: Run
) -> Iterator[tuple[int | None, Row]]:
    assert isinstance(spec.method, GroupMethod)
    watched = Witnessed(spec.method.algorithm)
    method = dataclasses.replace(spec.method, algorithm=watched)
    key = Key.of(spec.seed).child("learn", spec.world.name)
    seeded = build_world(spec.world, key.child("instance"))
    shown = shown_updates(spec.budget.updates, updates)
    for one in group_updates(dataclasses.replace(spec, method=method), seeded, key):
        _check(spec, one.update, one.after.value(), values, run)
        if one.update in shown:
            world = Tables(one.before, seeded.tau, spec.world.threshold)
            for prompt, seen in sorted(watched.seen.items()):
                groups = [group for group in one.collection if group.prompt == prompt]
                row = visit_row(seen, groups, world)
                yield one.update, row | {"graph": world.graph([r for r, _ in seen.drawn])}
        watched.seen.clear()
        if one.update == shown[-1]:
            return


def shown_updates(updates: int, most: int) -> list[int]:
    """At most so many of the updates 1, 2, ..., evenly spread, with the first and the last."""
    spread = np.linspace(1, updates, min(most, updates))
    return sorted({round(u) for u in spread.tolist()})


def _check(spec: CurveSpec, update: int, value: float, values: dict[Any, float], run: Run) -> None:
    """Refuse to show a curve that is not the one that was recorded.

    Raises:
        InvalidInput: the exact value of its policy is another one.
    """
    label = (spec.world.name, spec.method.name, spec.seed, update)
    known = values.get(label, value)
    if canonical(known) != canonical(value):
        problem = (
            f"update {update} of {label[0]}, {label[1]} has J = {known} there and {value} here"
        )
        remedy = "run learn again with this code, under a new --name"
        raise InvalidInput("runs", str(run.directory), problem, remedy)


@dataclass(frozen=True, eq=False)
class Tables:
    """Describes prompts and rollouts of a tabular world, with the truth about them.

    Attributes:
        simulator: the world under the policy that drew them.
        tau: a state is improvable if its best advantage is at least this, in reward units.
        threshold: how negative the advantage of a wrong step is, in reward units.
    """

    simulator: TabularSimulator
    tau: float
    threshold: float

    def prompt(self, prompt: Prompt) -> Row:
        """See :class:`experiments.rollouts.visits.Describer`."""
        layer, state = _pair(prompt.start)
        value = float(self.simulator.evaluation.values[layer, state])
        text = f"state {state} before step {layer + 1}; V = {value:.4g}"
        return {"problem": f"state {state}", "question": text, "reference": None, "text": text}

    def start(self, rollout: Rollout) -> str:
        """See :class:`experiments.rollouts.visits.Describer`."""
        return "".join(f"state {s} before step {h + 1}" for h, s in map(_pair, rollout.states[:1]))

    def rollout(self, rollout: Rollout) -> Row:
        """See :class:`experiments.rollouts.visits.Describer`.

        Also, per step, `exact` A(s, a), `best` max_a A(s, a) and `values` V(s), in reward units,
        and `states`, pairs of layer and state.
        """
        world = self.simulator
        states = [list(_pair(state)) for state in rollout.states]
        pairs = zip(states, rollout.actions, strict=True)
        row: Row = {
            "texts": [f"state {s}: action {int(a)}" for (_, s), a in pairs],
            "states": states,
            "actions": [int(a) for a in rollout.actions],
            "logprobs": rounded(world.step_logprobs([rollout])[0]),
            "exact": rounded(world.step_advantages([rollout])[0]),
            "best": rounded(world.best_advantages([rollout])[0]),
            "values": rounded(np.array([world.evaluation.values[h, s] for h, s in states])),
        }
        return row | self._truth(rollout)

    def _truth(self, rollout: Rollout) -> Row:
        if not rollout.failed or not len(rollout):
            return {}
        exact, keys = Localizer(self.threshold), np.zeros(1, np.uint64)
        (answer,) = exact.locate([rollout], self.simulator.advantages, keys)
        return {"true": answer.step if isinstance(answer, Localization) else None}

    def graph(self, rollouts: Sequence[Rollout]) -> Row:
        """What some rollouts went through.

        Returns:
            `nodes`: layer, state, V, best advantage, whether that is at least tau, and how often it
            was passed; `edges`: node, action, next node (null: the end), A(s, a), probability and
            how often it was taken; and `tau`.
        """
        world, edges = self.simulator, Counter[tuple[Any, int, Any]]()
        for rollout in rollouts:
            states = [_pair(state) for state in rollout.states]
            for at, action, to in zip(states, rollout.actions, [*states[1:], None], strict=True):
                edges[at, int(action), to] += 1
        passed: Counter[Any] = Counter()
        for (at, _, _), count in edges.items():
            passed[at] += count
        places = {at: i for i, at in enumerate(sorted(passed))}
        found, best = world.evaluation, np.asarray(world.evaluation.best_advantages, float)
        nodes = [
            [
                h,
                s,
                _number(found.values[h, s]),
                _number(best[h, s]),
                bool(best[h, s] >= self.tau),
                n,
            ]
            for (h, s), n in sorted(passed.items())
        ]
        lines = [
            [
                places[at],
                action,
                None if to is None else places[to],
                _number(world.advantages[(*at, action)]),
                _number(found.policy[(*at, action)]),
                count,
            ]
            for (at, action, to), count in sorted(edges.items(), key=lambda one: str(one[0]))
        ]
        return {"nodes": nodes, "edges": lines, "tau": _number(self.tau)}


def _pair(state: Any) -> tuple[int, int]:
    """Layer and index of a state."""
    layer, index = state
    return int(layer), int(index)


def _number(value: Any) -> float:
    return rounded(np.array([value], np.float64))[0]
