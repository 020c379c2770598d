"""Reset policies on worlds that were not made for them: Gymnasium, trees, locks, files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cpi_theory.bounds.finite_horizon import greedy_improvement_lower_bound
from cpi_theory.checks import InvalidInput, check_count, check_in_range
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import ResetPolicy
from experiments.compare.chooser_samples import TrialLaw, samples_to_reach
from experiments.compare.measures import one_step
from experiments.runs.files import Row
from experiments.worlds.tabular import World, build_world
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.policies import uniform_policy
from tabular.resets.deviations import visit_counts
from tabular.resets.localizer import Localizer
from tabular.resets.updates import coverage, greedy_on, improvable
from tabular.simulation.reset_weight import reset_weight
from tabular.worlds.from_gymnasium import from_gymnasium
from tabular.worlds.locks import combination_lock
from tabular.worlds.trees import reasoning_tree

Kind = Literal["gymnasium", "tree", "lock"]
PolicyName = Literal["base", "uniform", "half greedy"]


@dataclass(frozen=True)
class WorldWithPolicy:
    """A world and the policy to improve there.

    Attributes:
        name: human-readable label; of a Gymnasium world its environment id.
        kind: "gymnasium" (`name` and `options` go to gymnasium.make), "tree" or "lock".
        horizon: actions per rollout.
        policy: "base" is the family's own; "half greedy" is uniform moved half way to what is
            greedy for it.
        options: further parameters of the world, as (name, value) pairs.
    """

    name: str
    kind: Kind
    horizon: int
    policy: PolicyName
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        check_count("horizon", self.horizon)
        if self.policy == "base" and self.kind == "gymnasium":
            raise InvalidInput("policy", "base", "Gymnasium has none", "choose another")

    @property
    def label(self) -> str:
        """Name, and those options that tell apart worlds of one name."""
        parameters = " ".join(str(v) for k, v in self.options if k == "map_name")
        steady = any(k == "is_slippery" and not v for k, v in self.options)
        return " ".join(filter(None, [self.name, parameters, "not slippery" if steady else ""]))


def standard_worlds() -> tuple[WorldWithPolicy, ...]:
    """The worlds that ``compare`` visits by default."""
    gym = [
        ("FrozenLake", 30, (("map_name", "4x4"),)),
        ("FrozenLake", 30, (("map_name", "4x4"), ("is_slippery", False))),
        ("FrozenLake", 80, (("map_name", "8x8"),)),
        ("CliffWalking", 40, ()),
        ("Taxi", 40, ()),
    ]
    families: list[tuple[str, Kind, int, tuple[tuple[str, Any], ...]]] = [
        ("reasoning tree", "tree", 10, (("hard_steps", 2),)),
        ("reasoning tree, sparse", "tree", 10, (("hard_steps", 4),)),
        ("combination lock", "lock", 6, (("actions", 3), ("wrong", "dead"))),
    ]
    policies: tuple[PolicyName, ...] = ("uniform", "half greedy")
    return (
        *(
            WorldWithPolicy(name, "gymnasium", h, policy, o)
            for name, h, o in gym
            for policy in policies
        ),
        *(WorldWithPolicy(name, kind, h, "base", options) for name, kind, h, options in families),
    )


@dataclass(frozen=True)
class ResetsSpec:
    """Measure reset policies in one world.

    Attributes:
        world: world and policy; a world of a configuration file has its own policy, first errors,
            success and level of improvability.
        levels: tau as shares of the largest best advantage that the policy meets, where the world
            has no level of its own.
        accuracy, replications, bootstraps: of the samples to a right choice.
        seed: of their random numbers.
    """

    world: WorldWithPolicy | World
    levels: tuple[float, ...] = (0.25, 0.5)
    accuracy: float = 0.9
    replications: int = 1000
    bootstraps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for level in self.levels:
            check_in_range("levels", level, 0.01, 1.0)


def measure_resets(spec: ResetsSpec) -> list[Row]:
    """One row per reset policy (and level, for the oracle).

    The candidates are the deterministic choices of one action per observation; a Gymnasium world
    is seen state by state, without the clock. Each row has the step of T2 at the exact Delta
    towards the class' best candidate for that reset policy, `samples` for a right choice (None
    where returns are not 0 or R_max), and the oracle's rows T3's bound of a full step.

    Raises:
        InvalidInput: if a world has a level that nothing reaches.
    """
    evaluated = _evaluated(spec)
    rows = [
        evaluated.row("start", StartReset()),
        evaluated.row("random", UniformReset()),
        evaluated.row("first error", FirstErrorReset()),
    ]
    rows += [
        evaluated.row("oracle", ImprovableReset(share * evaluated.largest * (1 - 1e-9)), tau)
        | {"level": share}
        for share, tau in evaluated.taus()
    ]
    return rows


def _evaluated(spec: ResetsSpec) -> _EvaluatedWorld:
    world = spec.world
    if isinstance(world, WorldWithPolicy):
        mdp, policy, observations = mdp_and_policy(world)
        labels = (world.label, world.policy)
        return _EvaluatedWorld(mdp, evaluate(mdp, policy), observations, labels, spec)
    seeded = build_world(world, Key.of(spec.seed).child("place", world.name))
    mdp = seeded.problem.mdp
    return _EvaluatedWorld(
        mdp,
        evaluate(mdp, seeded.problem.policy),
        mdp.observations,
        (world.name, "base"),
        spec,
        Localizer(world.threshold),
        seeded.success,
        seeded.tau,
    )


def mdp_and_policy(
    world: WorldWithPolicy,
) -> tuple[FiniteHorizonMDP, NDArray[np.float64], NDArray[np.int64]]:
    """The MDP of a world, its policy (H, S, A), and the candidates' observations (H, S)."""
    parameters = dict(world.options)
    if world.kind == "gymnasium":
        mdp = from_gymnasium(world.name, world.horizon, **parameters)
        by_state = np.broadcast_to(np.arange(mdp.states), (mdp.horizon, mdp.states))
        return mdp, _policy(mdp, world.policy), by_state
    make = reasoning_tree if world.kind == "tree" else combination_lock
    problem = make(world.horizon, **parameters)
    chosen = problem.policy if world.policy == "base" else _policy(problem.mdp, world.policy)
    return problem.mdp, chosen, problem.mdp.observations


def _policy(mdp: FiniteHorizonMDP, name: PolicyName) -> NDArray[np.float64]:
    uniform = uniform_policy(mdp)
    if name == "uniform":
        return uniform
    return 0.5 * uniform + 0.5 * greedy_on(evaluate(mdp, uniform))


@dataclass(frozen=True, eq=False)
class _EvaluatedWorld:
    """What the rows of one world share."""

    mdp: FiniteHorizonMDP
    evaluation: Evaluation
    observations: NDArray[np.int64]
    labels: tuple[str, PolicyName]
    spec: ResetsSpec
    localizer: Localizer | None = None
    success: float | None = None
    tau: float | None = None

    @property
    def largest(self) -> float:
        """The largest best advantage that the policy meets."""
        return float(self.evaluation.best_advantages[self.evaluation.visits > 0].max())

    def taus(self) -> list[tuple[float, float]]:
        """The oracle's levels, as shares of the largest and as such: the world's own, if any.

        Raises:
            InvalidInput: if the world's level is above the largest best advantage.
        """
        if self.tau is None:
            return [(share, share * self.largest) for share in self.spec.levels]
        if self.tau > self.largest:
            problem = f"no visited state of {self.labels[0]} can be improved by so much"
            raise InvalidInput("tau", self.tau, problem, f"choose at most {self.largest:.3g}")
        return [(self.tau / self.largest, self.tau)]

    def row(self, name: str, reset: ResetPolicy, tau: float | None = None) -> Row:
        evaluation = self.evaluation
        induced = reset_weight(
            self.mdp,
            evaluation.policy,
            reset,
            localizer=self.localizer,
            success=self.success,
        )
        weight = np.asarray(induced.values, dtype=np.float64)
        labels = {
            "kind": "place",
            "world": self.labels[0],
            "policy": self.labels[1],
            "horizon": self.mdp.horizon,
            "resets": name,
            "tau": tau,
            "weight_exact": induced.exact,
        }
        law = TrialLaw.of(
            evaluation.visits,
            weight,
            evaluation.q_values,
            evaluation.advantages,
            self.observations,
            float(self.mdp.reward_bound),
        )
        candidate = np.eye(self.mdp.actions)[law.best_candidate[self.observations]]
        return (
            labels
            | one_step(self.mdp, evaluation, candidate, weight)
            | self._samples(name, law, tau)
            | self._oracle(tau)
        )

    def _samples(self, name: str, law: TrialLaw, tau: float | None) -> Row:
        if not _outcomes_only(self.mdp) or law.best_advantage <= 0:
            return {"samples": None, "lower": None, "upper": None}
        spec = self.spec
        key = Key.of(spec.seed).child("place", *self.labels, name, f"{tau}")
        found = samples_to_reach(
            law.share_right, spec.accuracy, spec.replications, key, spec.bootstraps
        )
        return {"samples": found.samples, "lower": found.lower, "upper": found.upper}

    def _oracle(self, tau: float | None) -> Row:
        """Coverage at tau and T3's guarantee of a full greedy step on the improvable set."""
        if tau is None:
            return {"coverage": None, "greedy_guaranteed": None, "greedy_gain": None}
        level = tau * (1 - 1e-9)  # an advantage that equals tau must not be lost to rounding
        mask = improvable(self.evaluation, level)
        law = visit_counts(self.mdp, self.evaluation.policy, mask)
        greedy = greedy_on(self.evaluation, mask)
        full = one_step(self.mdp, self.evaluation, greedy, mask.astype(float))
        return {
            "coverage": float(coverage(self.evaluation, level)),
            "greedy_guaranteed": float(greedy_improvement_lower_bound(level, law.tolist())),
            "greedy_gain": full["full_gain"],
        }


def _outcomes_only(mdp: FiniteHorizonMDP) -> bool:
    """Whether every return is 0 or R_max.

    It is if every reward is: returns are at most R_max, so no rollout is paid twice.
    """
    # Rescaled rewards are 0 and 1 up to rounding only.
    paid = np.unique(np.asarray(mdp.rewards, dtype=np.float64)) / float(mdp.reward_bound)
    return bool(np.all(np.minimum(abs(paid), abs(paid - 1)) < 1e-12))
