"""What `diagnose` looks at: worlds by name, as simulators with start states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cpi_theory.checks import check_count
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Localization, Rollout, Simulator, State
from experiments.worlds.sites import Site
from experiments.worlds.tabular import WORLDS, TreeWorld, World, build
from tabular.resets.localizer import Localizer
from tabular.simulation.simulator import TabularSimulator


@dataclass(frozen=True)
class Case:
    """A tabular world with a localiser of some quality.

    Attributes:
        world: the world.
        accuracy: chance that the localiser names the first error, else a uniform step.
        precision, recall: another kind of blur; see :class:`tabular.Localizer`.
        blind: whether the world hides its exact advantages, as a language model does.
    """

    world: World
    accuracy: float = 1.0
    precision: float | None = None
    recall: float | None = None
    blind: bool = False

    @property
    def label(self) -> str:
        """Name in records: that of the world, and what is hidden of it."""
        return f"{self.world.name}, blind" if self.blind else self.world.name

    @property
    def localizer(self) -> Localizer:
        """Of the world's first errors."""
        return Localizer(self.world.threshold, self.accuracy, self.precision, self.recall)

    def simulator(self, key: Key) -> TabularSimulator:
        """The instance that belongs to `key`, under its base policy."""
        instance = build(self.world, key)
        problem = instance.problem
        return TabularSimulator(
            problem.mdp, problem.policy, localizer=self.localizer, success=instance.success
        )


def open_case(case: Case, prompts: int, key: Key) -> Site:
    """A tabular world with freshly drawn prompts; deviations are from the exact first error."""
    check_count("prompts", prompts)
    simulator = case.simulator(key.child("instance"))
    reference = TabularSimulator(
        simulator.mdp,
        simulator.policy,
        localizer=Localizer(case.world.threshold),
        success=simulator.success,
    )
    return Site(
        case.label,
        Blind(simulator) if case.blind else simulator,
        simulator.start_states(prompts, key.child("starts")),
        reference,
        float(simulator.mdp.reward_bound),
    )


@dataclass(frozen=True)
class Blind:
    """A world without its exact advantages: what a language model offers.

    Attributes:
        world: what is hidden.
    """

    world: Simulator

    def rollout(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        """The world's rollouts."""
        return self.world.rollout(states, keys)

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """The world's answers."""
        return self.world.locate_first_error(rollouts, keys)


VALIDATION: tuple[Case, ...] = (
    Case(WORLDS["tree-sparse"]),
    Case(WORLDS["tree-natural"], accuracy=0.7),
    Case(WORLDS["tree-early"], accuracy=0.4),
    Case(WORLDS["tree-recoverable"], precision=0.6, recall=0.7),
    Case(WORLDS["tree-natural"], accuracy=0.7, blind=True),
)
"""Reasoning trees, all of whose numbers are known, with exact and blurred localisers; the last is
diagnosed without a look at its exact advantages."""


def _tree(name: str, accuracy: float = 1.0, **dials: float) -> Case:
    horizon = int(dials.get("horizon", 10))
    return Case(TreeWorld(name, facts=3 * horizon, **dials), accuracy)  # type: ignore[arg-type]


SETTINGS: tuple[Case, ...] = (
    _tree("K2 of 8", horizon=8, hard_steps=2, right_probability=0.25),
    _tree("K3 of 12", 0.5, horizon=12, hard_steps=3, right_probability=0.35),
    _tree("K6", hard_steps=6),
    _tree("K7", hard_steps=7, right_probability=0.4),
    _tree("K7 (.3)", 0.3, hard_steps=7, right_probability=0.4),
    _tree("K8 of 16", horizon=16, hard_steps=8, right_probability=0.45),
    _tree("K12 of 16", horizon=16, hard_steps=12, right_probability=0.6),
    _tree("K12 of 16 (.5)", 0.5, horizon=16, hard_steps=12, right_probability=0.6),
    _tree("K14 of 20", horizon=20, hard_steps=14, right_probability=0.6),
    _tree("K3 early", hard_steps=3, right_probability=0.2, hard_within=4),
    _tree("K1", hard_steps=1, right_probability=0.1),
    _tree("K4 (.2)", 0.2, hard_steps=4, right_probability=0.5),
    _tree("K6 recoverable", horizon=12, hard_steps=6, right_probability=0.4, recoverability=0.1),
    _tree("K10 of 20 (.7)", 0.7, horizon=20, hard_steps=10, right_probability=0.5),
    _tree("K5 of 12, 64 problems", horizon=12, hard_steps=5, problems=64),
    _tree("K4, slips", hard_steps=4, easy_probability=0.95),
    _tree("K6 of 12, 8 actions (.8)", 0.8, horizon=12, hard_steps=6, branching=8),
    _tree("K9", hard_steps=9, right_probability=0.5),
)
"""Reasoning trees over all dials; in brackets the localiser's accuracy where it errs. The signal
was chosen on other settings."""
