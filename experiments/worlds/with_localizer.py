"""Tabular worlds with a localiser of some quality, and how `diagnose` prepares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cpi_theory.checks import check_count
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Localization, Rollout, Simulator, State
from experiments.worlds.prepared import PreparedWorld
from experiments.worlds.tabular import WORLDS, TreeWorld, World, build_world
from tabular.resets.localizer import Localizer
from tabular.simulation.simulator import TabularSimulator


@dataclass(frozen=True)
class WorldWithLocalizer:
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
        """A localiser of the world's first errors, as exact as the settings say."""
        return Localizer(self.world.threshold, self.accuracy, self.precision, self.recall)

    def simulator(self, key: Key) -> TabularSimulator:
        """The world of the seed `key`, under its base policy."""
        seeded = build_world(self.world, key)
        problem = seeded.problem
        return TabularSimulator(
            problem.mdp, problem.policy, localizer=self.localizer, success=seeded.success
        )


def prepare(setting: WorldWithLocalizer, prompts: int, key: Key) -> PreparedWorld:
    """Prepare a tabular world with freshly drawn prompts.

    Deviations are measured from the exact first error, whatever the localiser names.
    """
    check_count("prompts", prompts)
    simulator = setting.simulator(key.child("instance"))
    reference = TabularSimulator(
        simulator.mdp,
        simulator.policy,
        localizer=Localizer(setting.world.threshold),
        success=simulator.success,
    )
    return PreparedWorld(
        setting.label,
        Blind(simulator) if setting.blind else simulator,
        simulator.start_states(prompts, key.child("starts")),
        reference,
        float(simulator.mdp.reward_bound),
        most_steps=simulator.mdp.horizon,
        most_tokens=simulator.mdp.horizon,
    )


@dataclass(frozen=True)
class Blind:
    """A world without its exact advantages: what a language model offers.

    Attributes:
        world: what is hidden.
    """

    world: Simulator

    def rollout(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        """Return the rollouts of the hidden world."""
        return self.world.rollout(states, keys)

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Return the answers of the hidden world."""
        return self.world.locate_first_error(rollouts, keys)


VALIDATION: tuple[WorldWithLocalizer, ...] = (
    WorldWithLocalizer(WORLDS["tree-sparse"]),
    WorldWithLocalizer(WORLDS["tree-natural"], accuracy=0.7),
    WorldWithLocalizer(WORLDS["tree-early"], accuracy=0.4),
    WorldWithLocalizer(WORLDS["tree-recoverable"], precision=0.6, recall=0.7),
    WorldWithLocalizer(WORLDS["tree-natural"], accuracy=0.7, blind=True),
)
"""Reasoning trees, all of whose numbers are known, with exact and blurred localisers; the last is
diagnosed without a look at its exact advantages."""


def _tree(name: str, accuracy: float = 1.0, **parameters: float) -> WorldWithLocalizer:
    horizon = int(parameters.get("horizon", 10))
    return WorldWithLocalizer(TreeWorld(name, facts=3 * horizon, **parameters), accuracy)  # type: ignore[arg-type]


SETTINGS: tuple[WorldWithLocalizer, ...] = (
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
"""Reasoning trees over all parameters; in brackets the localiser's accuracy where it errs.

The signal that predicts the order of methods was chosen on other settings."""
