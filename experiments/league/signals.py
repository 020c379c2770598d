"""What the audit says of the league's methods, in its own worlds and at the league's base policies.

The audit's number is the signal-to-noise ratio of an update over the steps that it generates,
|E U|^2 / E |U - E U|^2 / steps. It is taken in the audit's own small worlds, once for all, and at
the base policy of each tabular world of the league, before anything is learned there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.collecting import collect
from cpi_theory.audit.judgement import judge
from cpi_theory.audit.law import law
from cpi_theory.audit.subject import Subject
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import scheduled
from experiments.audit.summary import with_outcomes_alone
from experiments.audit.trial import world_of
from experiments.league.config import LeagueConfig
from experiments.learn.curves import begin_learning
from experiments.methods import HALF_WAY, TABULAR_METHODS, GroupMethod
from experiments.runs.files import Row
from experiments.worlds.tabular import World, build_world

_MOST = 300
"""Branches of chance that are listed in a small world; beyond that updates are drawn."""


@dataclass(frozen=True)
class AuditSpec:
    """A method in one of the audit's small worlds.

    Attributes:
        method: a name that `learn` knows.
        world: a name of the audit's.
        draws: updates, where not everything can be listed.
        seed: of these.
    """

    method: str
    world: str
    draws: int
    seed: int


def audit_specs(config: LeagueConfig) -> list[AuditSpec]:
    """Every method of the league in every small world."""
    if config.draws == 0:
        return []
    known = [name for name in config.methods if isinstance(TABULAR_METHODS.get(name), GroupMethod)]
    return [
        AuditSpec(method, world, config.draws, config.seed)
        for method in known
        for world in with_outcomes_alone()
    ]


def audited(spec: AuditSpec) -> list[Row]:
    """The audit of a method in a small world.

    Columns: `method`, `small_world`, `how` (expectations were taken), `verdict`, `cosine` to the
    gradient of J, `signal_per_step`; null, with the `problem`, for a method that cannot be audited.
    """
    method = TABULAR_METHODS[spec.method]
    assert isinstance(method, GroupMethod)
    labels = {"method": spec.method, "small_world": spec.world}
    tested = Subject(spec.method, scheduled(method.algorithm, HALF_WAY))
    try:
        found = law(tested, world_of(spec.world), _MOST, spec.draws, spec.seed)
    except InvalidInput as error:
        nothing = dict.fromkeys(("how", "verdict", "cosine", "signal_per_step"))
        return [labels | nothing | {"problem": error.problem}]
    judged = judge(found)
    return [
        {
            **labels,
            "how": found.how,
            "verdict": judged.verdict,
            "cosine": _finite(judged.cosine),
            "signal_per_step": _finite(judged.signal_per_step),
            "problem": None,
        }
    ]


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class SignalSpec:
    """A method at the base policy of a tabular world.

    Attributes:
        world, method: see there.
        prompts: start states of an update.
        draws: updates.
        seed: of the seeded world and of the updates.
    """

    world: World
    method: GroupMethod
    prompts: int
    draws: int
    seed: int


def signal_specs(config: LeagueConfig, costs: Sequence[Row]) -> list[SignalSpec]:
    """Every method that plays in every tabular world."""
    if config.kind != "tabular" or config.draws == 0:
        return []
    ready = {(row["world"], row["method"]) for row in costs if row["status"] == "ready"}
    return [
        SignalSpec(world, method, config.prompts, config.draws, config.seed)
        for world in config.chosen_worlds()
        for method in config.chosen_methods()
        if isinstance(world, World)
        and isinstance(method, GroupMethod)
        and (world.name, method.name) in ready
    ]


def measured_signal(spec: SignalSpec) -> list[Row]:
    """The signal of a method at the base policy, from drawn updates.

    Columns: `world`, `method`, `draws`, `steps` of an update, `signal_per_step`, that of which is
    along the exact gradient of J, `aligned_per_step`, and the `cosine` of the mean update to that
    gradient (null where the mean is zero). Squares of means are estimated without bias, so that a
    signal that is not there may come out below 0.
    """
    key = Key.of(spec.seed).child("league signal", spec.world.name)
    simulator, policy = begin_learning(
        spec.world, spec.method, build_world(spec.world, key.child("instance"))
    )
    algorithm = scheduled(spec.method.algorithm, HALF_WAY)
    updates, steps = [], 0
    for draw in range(spec.draws):
        starts = simulator.start_states(spec.prompts, key.child("starts", draw))
        collection = collect(algorithm, simulator, starts, key.child("collect", draw))
        steps += collection.generated_steps
        updates.append(policy.gradient(collection, policy).ravel())
    found = moments(np.array(updates), policy.gradient_of_return().ravel())
    each = steps / spec.draws
    return [
        {
            "world": spec.world.name,
            "method": spec.method.name,
            "draws": spec.draws,
            "steps": each,
            "signal_per_step": found.signal / each,
            "aligned_per_step": found.aligned / each,
            "cosine": found.cosine,
        }
    ]


@dataclass(frozen=True)
class Moments:
    """Signal-to-noise ratios of updates U beside a gradient g, V being E |U - E U|^2.

    Attributes:
        signal: |E U|^2 / V; 0 without noise.
        aligned: (E U . g / |g|)^2 / V, negative where E U points away from g.
        cosine: of E U and g; None where one is nothing.
    """

    signal: float
    aligned: float
    cosine: float | None


def moments(updates: NDArray[np.float64], gradient: NDArray[np.float64]) -> Moments:
    """Estimate the moments of updates, shape (draws, parameters), beside the gradient of J.

    With m the mean of n updates and V the sum of their sample variances, |m|^2 - V / n estimates
    |E U|^2 without bias; along a direction it is the same in one dimension.
    """
    n, mean = len(updates), updates.mean(axis=0)
    noise = float(updates.var(axis=0, ddof=1).sum())
    size = float(np.linalg.norm(gradient))
    along = updates @ gradient / size if size else np.zeros(n)
    square = float(along.mean() ** 2 - along.var(ddof=1) / n)
    length = float(np.linalg.norm(mean))
    return Moments(
        (float(mean @ mean) - noise / n) / noise if noise else 0.0,
        float(np.sign(along.mean())) * square / noise if noise else 0.0,
        float(along.mean()) / length if length and size else None,
    )
