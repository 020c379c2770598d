"""Settings of ``cpi-resets audit``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from cpi_theory.audit.shrinking import Claim
from cpi_theory.audit.worlds import small_worlds
from cpi_theory.checks import InvalidInput, check_choice, check_count
from experiments.audit.subjects import Layout
from experiments.config import named_values


@dataclass(frozen=True)
class AuditConfig:
    """Judge advantage estimators on small worlds whose policy gradient is known exactly.

    Attributes:
        name: folder of the run below the output folder.
        estimators: grpo, dr-grpo, rloo, rrpo, rrpo-loo, rrpo-published, srpo, srpo-loo, frontier;
            the methods of docs/methods.md by their names, such as VinePPO; trl:NAME and verl:NAME;
            all of them by ours, methods, trl, verl; or module:attribute and file.py:attribute, an
            algorithm object or a function of a batch (docs/audit.md).
        follows: what they say they follow: the gradient of "J" up to a factor; that of a "mixture"
            over the states in which their rollouts start; or "weights", some weighted sum of the
            values of those states. An estimator that does not makes the exit code 1.
        rollouts: of each prompt in an update; methods have their own number.
        layout: what a function is given: a "group" from each start, or "resets", of which one half
            continues failures of the other.
        exact: give a function fractions; what it returns is then added up without rounding.
        worlds: by name; none: all that there are.
        most: branches that are listed for one world; beyond that updates are drawn.
        draws: so many.
        counterexamples: look for the smallest world that refutes an estimator, and write it as a
            test.
        seed: of what is drawn.
    """

    name: str = "audit"
    estimators: tuple[str, ...] = ("ours",)
    follows: Claim = "J"
    rollouts: int = 4
    layout: Layout = "group"
    exact: bool = False
    worlds: tuple[str, ...] = ()
    most: int = 5_000
    draws: int = 20_000
    counterexamples: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.estimators:
            raise InvalidInput("estimators", (), "there is none", "name one, such as rloo")
        check_choice("follows", self.follows, get_args(Claim))
        check_choice("layout", self.layout, get_args(Layout))
        check_count("rollouts", self.rollouts, minimum=2)
        check_count("most", self.most)
        check_count("draws", self.draws, minimum=100)
        check_count("seed", self.seed, minimum=0)
        self.chosen_worlds()

    def chosen_worlds(self) -> tuple[str, ...]:
        """Names of the worlds."""
        known = {world.name: world for world in small_worlds()}
        if not self.worlds:
            return tuple(known)
        return tuple(world.name for world in named_values("worlds", self.worlds, known))
