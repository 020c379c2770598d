"""The methods that commands know by name: one table of algorithms, and who localises for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from cpi_theory.algorithms.conservative import ConservativePolicyIteration
from cpi_theory.algorithms.frontier import FrontierGRPO, FrontierParent
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.parent_choice import FirstErrorModel
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO, ResetGRPO
from cpi_theory.resets.oracle import ImprovableReset
from cpi_theory.resets.uniform import UniformReset
from experiments.worlds.tabular import SeededWorld

GroupAlgorithm = GRPO | ResetGRPO | FrontierGRPO


def _frontier(
    parent: FrontierParent = "posterior",
    keep_parent: bool = True,
    assumed_accuracy: float | None = None,
) -> Callable[[float], GroupAlgorithm]:
    """The algorithm for a localiser of some accuracy; it assumes that one or `assumed_accuracy`."""

    def make(accuracy: float) -> GroupAlgorithm:
        model = FirstErrorModel(accuracy if assumed_accuracy is None else assumed_accuracy)
        return FrontierGRPO(model, parent=parent, keep_parent=keep_parent)

    return make


# 8 rollouts per prompt, whatever happens: without a reset state the suffixes become fresh rollouts.
ALGORITHMS: Mapping[str, Callable[[float], GroupAlgorithm]] = {
    "GRPO": lambda _: GRPO(8),
    "RRPO": lambda _: RRPO(on_refusal="fresh"),
    "SRPO": lambda _: SRPO(on_refusal="fresh"),
    "deepest": _frontier(1),
    "second": _frontier(2),
    "third": _frontier(3),
    "Frontier": _frontier(),
    "Frontier, rank": _frontier("rank"),
    "Frontier, plain": _frontier(keep_parent=False),
    "Frontier, told 0.7": _frontier(assumed_accuracy=0.7),
}
"""By name: what collects where the localiser has a given accuracy."""

COMPARED = ("GRPO", "RRPO", "SRPO")
"""The methods whose order `diagnose` predicts."""


@dataclass(frozen=True)
class GroupMethod:
    """A group-relative algorithm with the gradient of its groups.

    Attributes:
        name: in records and figures.
        algorithm: what collects.
        accuracy: chance that the world's localiser names the first error; otherwise it names a
            uniform step.
    """

    name: str
    algorithm: GroupAlgorithm
    accuracy: float = 1.0

    @classmethod
    def of(cls, name: str, algorithm: str, accuracy: float = 1.0) -> GroupMethod:
        """The algorithm of that name, which knows the localiser's accuracy."""
        return cls(name, ALGORITHMS[algorithm](accuracy), accuracy)


@dataclass(frozen=True)
class ConservativeMethod:
    """Conservative policy iteration at the guaranteed step size.

    Attributes:
        name: in records and figures.
        resets: "random" (CPI-RR) or "oracle" (CPI-CARO).
        exact: use exact advantages, which no rollout pays for: what the step size alone does.
    """

    name: str
    resets: Literal["random", "oracle"]
    exact: bool = False

    def algorithm(self, seeded: SeededWorld, trials: int) -> ConservativePolicyIteration:
        """Targets as in T5: tau for the oracle, p tau for random resets."""
        oracle = self.resets == "oracle"
        return ConservativePolicyIteration(
            reset=ImprovableReset(seeded.tau) if oracle else UniformReset(),
            target=seeded.tau if oracle else seeded.tau * seeded.coverage,
            samples=trials,
            exact=self.exact,
        )


TabularMethod = GroupMethod | ConservativeMethod

TABULAR_METHODS: Mapping[str, TabularMethod] = {
    method.name: method
    for method in (
        GroupMethod.of("GRPO", "GRPO"),
        GroupMethod.of("RRPO", "RRPO"),
        GroupMethod.of("SRPO", "SRPO"),
        GroupMethod.of("SRPO-70", "SRPO", 0.7),
        GroupMethod.of("SRPO-40", "SRPO", 0.4),
        GroupMethod.of("Frontier", "Frontier"),
        GroupMethod.of("Frontier-70", "Frontier", 0.7),
        ConservativeMethod("CPI-RR", "random"),
        ConservativeMethod("CPI-CARO", "oracle"),
        ConservativeMethod("CPI-RR, exact", "random", exact=True),
        ConservativeMethod("CPI-CARO, exact", "oracle", exact=True),
    )
}
"""The methods that `learn` knows by name."""


@dataclass(frozen=True)
class LanguageMethod:
    """An algorithm object and who localises for it.

    Attributes:
        name: in records and figures.
        algorithm: what collects.
        localizer: "self": the model itself; "oracle": the task's exact step checker.
    """

    name: str
    algorithm: GroupAlgorithm
    localizer: Literal["self", "oracle"] = "self"


# Of the tiny model's localisations about this share is right at first; fewer later in training.
_ASSUMED_ACCURACY = 0.9

LANGUAGE_METHODS: Mapping[str, LanguageMethod] = {
    method.name: method
    for method in (
        LanguageMethod("GRPO", ALGORITHMS["GRPO"](_ASSUMED_ACCURACY)),
        LanguageMethod("RRPO", ALGORITHMS["RRPO"](_ASSUMED_ACCURACY)),
        LanguageMethod("SRPO", ALGORITHMS["SRPO"](_ASSUMED_ACCURACY)),
        LanguageMethod("ORACLE", ALGORITHMS["SRPO"](_ASSUMED_ACCURACY), "oracle"),
        LanguageMethod("Frontier", ALGORITHMS["Frontier"](_ASSUMED_ACCURACY)),
    )
}
"""The methods that `train` knows by name."""
