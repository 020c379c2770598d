"""Tabular worlds: a family with its parameters, or a file, and how to build one for a seed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cpi_theory.checks import InvalidInput, check_positive
from cpi_theory.randomness import Key
from experiments.config import named_value, named_values
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import uniform_policy
from tabular.mdp.storage import load_with_policy
from tabular.worlds.from_gymnasium import from_gymnasium
from tabular.worlds.locks import combination_lock
from tabular.worlds.problem import Problem
from tabular.worlds.trees import ReasoningTree, reasoning_tree


@dataclass(frozen=True)
class TreeWorld:
    """Reasoning trees over a shared pool of facts; every seed has trees of its own.

    Attributes:
        name: in records and figures.
        horizon: thoughts per problem.
        branching: actions per thought.
        hard_steps: how many steps of a problem are hard.
        right_probability: the base policy's chance of the right thought in a hard step.
        easy_probability: the same elsewhere.
        recoverability: chance that a right thought off the path finds back.
        problems: number of problems.
        facts: size of the pool: independent sets of logits.
        hard_within: hard steps lie among the first so many; None: anywhere.
        threshold: how negative an advantage the localiser takes for an error, in reward units.
        tau: the oracle's level, in reward units; None: half of what makes every hard step on the
            path improvable at first.
    """

    name: str
    horizon: int = 10
    branching: int = 4
    hard_steps: int = 2
    right_probability: float = 0.3
    easy_probability: float = 0.99
    recoverability: float = 0.0
    problems: int = 16
    facts: int | None = 30
    hard_within: int | None = None
    threshold: float = 1e-9
    tau: float | None = None

    def problem(self, key: Key) -> Problem:
        """The trees of one seed with their base policy."""
        return reasoning_tree(
            self.horizon,
            self.branching,
            self.hard_steps,
            self.right_probability,
            self.easy_probability,
            self.recoverability,
            problems=self.problems,
            facts=self.facts,
            hard_within=self.hard_within,
            seed=key,
        )


@dataclass(frozen=True)
class LockWorld:
    """A combination lock; every seed has a code of its own.

    Attributes:
        name: in records and figures.
        length: right actions needed in a row.
        actions: actions per position.
        horizon: steps per rollout; None: `length`.
        wrong: where a wrong action leads: "dead", "start" or "back".
        right_probability: the base policy's chance of the right action; None: all alike.
        threshold: how negative an advantage the localiser takes for an error, in reward units.
        tau: the oracle's level, in reward units.
    """

    name: str
    length: int = 10
    actions: int = 3
    horizon: int | None = None
    wrong: str = "dead"
    right_probability: float | None = 0.55
    threshold: float = 1e-9
    tau: float | None = 0.01

    def problem(self, key: Key) -> Problem:
        """The lock of one seed with its base policy."""
        return combination_lock(
            self.length,
            self.actions,
            self.horizon,
            wrong=self.wrong,
            right_probability=self.right_probability,
            seed=key,
        )


@dataclass(frozen=True)
class GymWorld:
    """A Gymnasium environment from the uniform policy, with one set of logits per state.

    Attributes:
        name: in records and figures.
        env_id: e.g. "FrozenLake".
        horizon: actions per episode.
        slippery: for environments that have the choice.
        map_name: of FrozenLake, "4x4" or "8x8".
        success: a rollout fails if its return is below this, in the environment's own reward.
        threshold: how negative an advantage the localiser takes for an error, in reward units
            after scaling. In a random world nearly every action is a little worse than the
            best one.
        tau: the oracle's level, in reward units after scaling.
    """

    name: str
    env_id: str
    horizon: int
    slippery: bool | None = None
    map_name: str | None = None
    success: float = 1.0
    threshold: float = 0.01
    tau: float | None = 0.02

    def problem(self, _key: Key) -> Problem:
        """The environment with the uniform policy; the same for every seed."""
        options = {"is_slippery": self.slippery, "map_name": self.map_name}
        given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
        mdp = from_gymnasium(self.env_id, self.horizon, **given)
        mdp = dataclasses.replace(mdp, observations=np.arange(mdp.states))
        return Problem(mdp, uniform_policy(mdp))


@dataclass(frozen=True)
class FileWorld:
    """A finite-horizon MDP of your own, from a file that `tabular.save` wrote.

    The base policy is the one that was saved with the MDP, or the uniform one. The file is read
    once, when the world is made, and travels with it: workers need no disk in common.

    Attributes:
        name: in records and figures.
        path: the file, seen from the folder that the command is started in.
        success: a rollout fails if its return is below this, in the unit of the rewards before
            any rescaling; None: R_max.
        threshold: how negative an advantage the localiser takes for an error, in reward units
            after rescaling. In a random world nearly every action is a little worse than the best.
        tau: the oracle's level, in reward units after rescaling; None: half of the largest best
            advantage that the base policy meets.
        sha256: of the file; by default computed. Results are stored under it, so that none
            outlives the data that it came from. If it is given, another file is refused.
    """

    name: str
    path: str
    success: float | None = None
    threshold: float = 1e-9
    tau: float | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        content = self._read()
        digest = hashlib.sha256(content).hexdigest()
        if self.sha256 not in ("", digest):
            problem = f"{self.path} has another content, {digest}"
            raise InvalidInput("sha256", self.sha256, problem, "restore the file, or leave it out")
        object.__setattr__(self, "sha256", digest)
        object.__setattr__(self, "_content", content)
        self._load()

    def problem(self, _key: Key) -> Problem:
        """The MDP in floats with its base policy; the same for every seed."""
        mdp, policy = self._load()
        return Problem(mdp, uniform_policy(mdp) if policy is None else policy)

    def _read(self) -> bytes:
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise InvalidInput(f"path of {self.name}", self.path, problem, "check it") from error

    def _load(self) -> tuple[FiniteHorizonMDP, Any]:
        content: bytes = self._content  # type: ignore[attr-defined]
        field = f"path of {self.name}"
        try:
            mdp, policy = load_with_policy(io.BytesIO(content))
        except InvalidInput as error:
            raise InvalidInput(field, self.path, error.problem, error.remedy) from error
        if isinstance(mdp, DiscountedMDP):
            problem, remedy = "holds a discounted MDP", "save one with a horizon"
            raise InvalidInput(field, self.path, problem, remedy)
        return _in_floats(mdp), None if policy is None else policy.astype(np.float64)


def _in_floats(mdp: FiniteHorizonMDP) -> FiniteHorizonMDP:
    """The MDP without fractions: rollouts and learning are in floats."""
    if not mdp.exact:
        return mdp
    tables = {name: getattr(mdp, name) for name in ("transitions", "rewards", "start")}
    floats = {name: table.astype(np.float64) for name, table in tables.items()}
    return dataclasses.replace(mdp, reward_bound=float(mdp.reward_bound), **floats)


World = TreeWorld | LockWorld | GymWorld | FileWorld


@dataclass(frozen=True, eq=False)
class SeededWorld:
    """A world of one seed.

    Attributes:
        problem: the MDP and its base policy.
        success: a rollout fails if its return is below this, in reward units.
        tau: level of improvability that the oracle works at, in reward units.
        coverage: p_tau of the base policy.
    """

    problem: Problem
    success: float
    tau: float
    coverage: float


# A return that falls short of `success` by rounding alone is no failure.
_MARGIN = 1e-9


def build_world(world: World, key: Key) -> SeededWorld:
    """The seeded of `world` for one seed.

    Raises:
        InvalidInput: if a parameter of the world is out of range.
    """
    check_positive("threshold", world.threshold)
    problem = world.problem(key)
    evaluation = evaluate(problem.mdp, problem.policy)
    tau = _level(world, problem, evaluation)
    improvable = evaluation.best_advantages >= tau
    coverage = float((evaluation.visits * improvable).sum() / problem.mdp.horizon)
    return SeededWorld(problem, _success(world, problem), tau, coverage)


def _level(world: World, problem: Problem, evaluation: Evaluation) -> float:
    if world.tau is not None:
        check_positive("tau", world.tau)
        bound = float(problem.mdp.reward_bound)
        if world.tau > bound:
            what = f"above {bound:g}, the reward bound of {world.name}"
            remedy = "choose one up to it: no advantage exceeds it"
            raise InvalidInput("tau", world.tau, what, remedy)
        return world.tau
    if isinstance(problem, ReasoningTree):
        return float(problem.tau) / 2
    largest = float(evaluation.best_advantages[evaluation.visits > 0].max())
    if largest <= 0:
        raise InvalidInput("tau", None, f"nothing in {world.name} can be improved", "name a level")
    return largest / 2


def _success(world: World, problem: Problem) -> float:
    mdp = problem.mdp
    if not isinstance(world, GymWorld | FileWorld) or world.success is None:
        return float(mdp.reward_bound) - _MARGIN
    return float(mdp.scaling.scaled(world.success)) - _MARGIN


def _named(*worlds: World) -> dict[str, World]:
    return {world.name: world for world in worlds}


WORLDS: Mapping[str, World] = _named(
    TreeWorld("tree-natural", hard_steps=2),
    TreeWorld("tree-sparse", hard_steps=4),
    TreeWorld("tree-early", hard_steps=3, hard_within=5),
    TreeWorld("tree-rare", hard_steps=5),
    TreeWorld("tree-recoverable", hard_steps=4, recoverability=0.3),
    LockWorld("lock"),
    GymWorld("frozen-lake", "FrozenLake", 40, slippery=True),
    GymWorld("frozen-lake-dry", "FrozenLake", 12, slippery=False),
    GymWorld("frozen-lake-8x8", "FrozenLake", 80, slippery=True, map_name="8x8"),
    GymWorld("taxi", "Taxi", 30, success=0.0, threshold=0.001, tau=0.001),
    GymWorld("cliff-walking", "CliffWalking", 40, success=-39.0, threshold=0.001, tau=0.001),
)
"""The worlds that are known by name."""


def choose(field: str, names: tuple[str, ...], more: tuple[World, ...]) -> list[World]:
    """The worlds of these names, from `more` or :data:`WORLDS`; `field` is named in messages.

    Raises:
        InvalidInput: for a name that is neither, or one given twice.
    """
    return named_values(field, names, {**WORLDS, **_named(*more)})


def choose_one(field: str, name: str, more: tuple[World, ...]) -> World:
    """The world of a setting that holds one name; see :func:`choose`.

    Raises:
        InvalidInput: for a name that is neither.
    """
    return named_value(field, name, {**WORLDS, **_named(*more)})
