"""Settings of ``cpi-resets compare``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import tyro

from cpi_theory.checks import InvalidInput, check_count, check_in_range
from experiments.compare.across_worlds import WorldWithPolicy, standard_worlds
from experiments.compare.settings import Parameter, check_value
from experiments.config import check_given_once, named_values
from experiments.worlds.tabular import World

_SWEPT: Mapping[str, Parameter] = {
    "coverages": "coverage",
    "taus": "tau",
    "horizons": "horizon",
    "actions": "actions",
    "precisions": "precision",
    "recalls": "recall",
}
"""Settings that list the values of a parameter."""


@dataclass(frozen=True)
class CompareConfig:
    """Oracle resets against random and imperfect ones, over a grid of worlds.

    Attributes:
        name: folder of the run below the output folder.
        seed: of all random numbers.
        quick: fewer replications and a smaller grid, the same lines in the figures.
        coverages: values of p; each at most 1 / (largest horizon of the grid).
        taus: values of tau, in the reward's unit (R_max = 1), at most 1/2.
        horizons: values of H, at least 2.
        actions: values of |A|, at least 2.
        precisions: values of q for the imperfect oracle, at least the largest coverage.
        recalls: values of rho for the imperfect oracle.
        accuracy: wanted probability of a right choice.
        replications: experiments per number of samples.
        bootstraps: replicates behind each interval.
        check_replications: experiments with real rollouts per check; 0 leaves them out.
        worlds: names or kinds of standard worlds to measure in (see
            :func:`experiments.compare.across_worlds.standard_worlds`), or names from `more`.
        more: further worlds, such as a `FileWorld` with an MDP of your own, in configuration files
            only.
    """

    name: str = "compare"
    seed: int = 0
    quick: bool = False
    coverages: tuple[float, ...] = (1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128)
    taus: tuple[float, ...] = (0.1, 0.2, 0.4)
    horizons: tuple[int, ...] = (2, 4, 8)
    actions: tuple[int, ...] = (2, 4, 8)
    precisions: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    recalls: tuple[float, ...] = (0.25, 0.5, 1.0)
    accuracy: float = 0.9
    replications: int = 4000
    bootstraps: int = 400
    check_replications: int = 400
    worlds: tuple[str, ...] = ("FrozenLake", "CliffWalking", "Taxi", "tree", "lock")
    more: Annotated[tuple[World, ...], tyro.conf.Suppress] = ()

    def __post_init__(self) -> None:
        check_in_range("accuracy", self.accuracy, 0.5, 0.99)
        check_count("replications", self.replications, 40)
        check_count("bootstraps", self.bootstraps, 20)
        check_count("check_replications", self.check_replications, 0)
        for name, parameter in _SWEPT.items():
            values = getattr(self, name)
            for i, value in enumerate(values):
                check_value(parameter, value, f"{name}[{i}]")
            if len(set(values)) < 2:
                raise InvalidInput(name, values, "no two values", "give at least two")
            check_given_once(name, values)
        self._check_coverages()
        standard = {n: p for p in standard_worlds() for n in (p.kind, p.name)}
        named_values("worlds", self.worlds, standard | {world.name: world for world in self.more})
        if max(self.coverages) > min(self.precisions):
            raise InvalidInput(
                "precisions", self.precisions, "some below a coverage", "raise them above p"
            )

    def _check_coverages(self) -> None:
        """Refuse one that no rollout with a single decision can have."""
        longest = max(self.horizons[:2] if self.quick else self.horizons)
        for i, coverage in enumerate(self.coverages):
            if coverage > 1 / longest:
                problem = f"above 1 / {longest}, what the longest of the horizons allows"
                remedy = "choose a smaller one, or leave that horizon out"
                raise InvalidInput(f"coverages[{i}]", coverage, problem, remedy)

    def worlds_called(self, name: str) -> list[WorldWithPolicy | World]:
        """The worlds of that name or kind; a name from `more` hides others of the same name."""
        own: list[WorldWithPolicy | World] = [world for world in self.more if world.name == name]
        return own or [p for p in standard_worlds() if name in (p.name, p.kind)]

    def chosen_worlds(self) -> list[WorldWithPolicy | World]:
        """The worlds to measure in, each once: standard ones in their own order, then `more`."""
        chosen = [world for name in self.worlds for world in self.worlds_called(name)]
        order: list[WorldWithPolicy | World] = [*standard_worlds(), *self.more]
        return [world for world in order if world in chosen]

    def effective(self) -> CompareConfig:
        """This configuration with what `quick` stands for spelled out."""
        if not self.quick:
            return self
        return replace(
            self,
            taus=self.taus[:2],
            horizons=self.horizons[:2],
            actions=self.actions[:2],
            replications=min(self.replications, 2000),
            bootstraps=min(self.bootstraps, 200),
            check_replications=min(self.check_replications, 100),
        )
