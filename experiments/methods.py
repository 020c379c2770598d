"""The methods that commands know by name: one table of algorithms, and who localises for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cpi_theory.algorithms.adaptive import AdaptiveFrontier, AdaptiveSRPO
from cpi_theory.algorithms.conservative import ConservativePolicyIteration
from cpi_theory.algorithms.frontier import FrontierGRPO, FrontierParent
from cpi_theory.algorithms.grpo import GRPO, RLOO, DrGRPO
from cpi_theory.algorithms.parent_choice import FirstErrorModel
from cpi_theory.algorithms.prefix_starts import Adaptive, PrefixStarts, Stages
from cpi_theory.algorithms.relabelling import CAPO, VPPO, GiGPO, LambdaGRPO
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO, ResetGRPO
from cpi_theory.algorithms.second_attempts import CritiqueGRPO, SCoRe
from cpi_theory.algorithms.step_credit import SPOChain, VinePPO
from cpi_theory.algorithms.trees import SPOTree, TreeRL, TreeRPO
from cpi_theory.checks import InvalidInput, check_choice
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import ImprovableReset, WrongStepReset
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.resets.unsure import UnsureReset
from cpi_theory.resets.value_drop import ValueDropReset
from cpi_theory.seam import Algorithm
from experiments.config import check_new_names, named_values
from experiments.worlds.localizing import asks_checker
from experiments.worlds.tabular import SeededWorld
from experiments.worlds.writing import Locating, Unsure

GroupAlgorithm = Algorithm


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
    "Adaptive Frontier": lambda _: AdaptiveFrontier(),
    "Adaptive SRPO": lambda _: AdaptiveSRPO(),
}
"""By name: what collects where the localiser has a given accuracy."""

FAMILY: Mapping[str, Algorithm] = {
    "Dr. GRPO": DrGRPO(rollouts=8),
    "RLOO": RLOO(rollouts=8),
    "RRPO, any": RRPO(failures_only=False, on_refusal="fresh"),
    "UnsureReset": ResetGRPO(UnsureReset(), on_refusal="fresh"),
    "ValueDropReset": ResetGRPO(ValueDropReset(4), on_refusal="fresh"),
    "VinePPO": VinePPO(4, 3),
    "SPO-chain": SPOChain(4, 3, points=2),
    "SPO-tree": SPOTree((3, 3, 3), steps=3),
    "TreeRPO": TreeRPO((3, 3, 3), steps=3),
    "TreeRL": TreeRL(4, 2, 1, 1),
    "VPPO": VPPO(8),
    "CAPO": CAPO(8),
    "lambda-GRPO": LambdaGRPO(8),
    "GiGPO": GiGPO(8),
    "R3": PrefixStarts(8),
    "R3, mixed": PrefixStarts(8, Stages(order="mixed")),
    "AdaBack": PrefixStarts(8, Adaptive()),
    "own prefixes": PrefixStarts(4, Stages(order="mixed"), source="own"),
    "SCoRe": SCoRe(4),
    "Critique-GRPO": CritiqueGRPO(7),
    "Adaptive Frontier": AdaptiveFrontier(),
    "Adaptive SRPO": AdaptiveSRPO(),
}
"""The family of credit methods, with groups about as small as those above.

They do not draw equally much for a prompt, so that they are compared along rollouts and tokens.
"""

REVISING = ("SCoRe", "Critique-GRPO")
"""Those that need worlds with second attempts."""

HALF_WAY = 0.5
"""Methods with a schedule are looked at where half of it is done."""

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
        revises: whether it needs a world with second attempts.
        last_accuracy: at the end of training, linear in the updates until then; None: the same.
    """

    name: str
    algorithm: GroupAlgorithm
    accuracy: float = 1.0
    revises: bool = field(default=False, metadata={"later": True})
    last_accuracy: float | None = field(default=None, metadata={"later": True})

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

_TABULAR: tuple[TabularMethod, ...] = (
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
    *(GroupMethod(name, one, revises=name in REVISING) for name, one in FAMILY.items()),
    GroupMethod("CAPO, every step", CAPO(8, judge=WrongStepReset())),
)

TABULAR_METHODS: Mapping[str, TabularMethod] = {method.name: method for method in _TABULAR}
"""The methods that `learn` knows by name."""


@dataclass(frozen=True)
class LanguageMethod:
    """An algorithm object and who localises for it.

    Attributes:
        name: in records and figures.
        algorithm: what collects.
        localizer: "self": whom the world names, the model itself by default; "oracle": the task's
            exact step checker; or another localiser.
    """

    name: str
    algorithm: GroupAlgorithm
    localizer: Literal["self", "oracle"] | Locating = "self"

    @property
    def needs_checker(self) -> bool:
        """Whether it asks the exact step checker of the task."""
        return self.localizer == "oracle" or asks_checker(self.localizer)


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
        LanguageMethod("EntropyReset", ALGORITHMS["SRPO"](_ASSUMED_ACCURACY), Unsure()),
        *(LanguageMethod(name, algorithm) for name, algorithm in FAMILY.items()),
    )
}
"""The methods that `train` knows by name."""

TRAINED = ("GRPO", "RRPO", "SRPO", "ORACLE", "Frontier")
"""Those that it trains unless told otherwise."""


Family = (
    VinePPO
    | SPOChain
    | SPOTree
    | TreeRPO
    | TreeRL
    | VPPO
    | CAPO
    | LambdaGRPO
    | GiGPO
    | PrefixStarts
    | SCoRe
    | CritiqueGRPO
    | AdaptiveFrontier
)
"""Classes of the family whose values may stand in settings files."""


@dataclass(frozen=True)
class MethodVariant:
    """A method of a user's own: an algorithm that `train` knows, with parameters.

    A parameter that is not given keeps the value that it has in the method of the algorithm's name;
    one that the algorithm does not have is refused.

    Attributes:
        name: in records and figures.
        algorithm: GRPO, RRPO, SRPO or Frontier, with the parameters below; or a table that names a
            class of the family and its own, as ``{ type = "VinePPO", continuations = 9 }``.
        localizer: see :class:`LanguageMethod`.
        rollouts: per prompt: the group of GRPO, all of Frontier's, or of a `layout`.
        layout: of RRPO and SRPO, "RxS": R parents with S suffixes each, and the rest of the
            `rollouts` in the base group.
        base, suffix, parents: of RRPO and SRPO, in place of a layout; `base` of Frontier, too.
        parent: which failure is reset: "uniform" or "published" for RRPO and SRPO; "posterior",
            "rank", "uniform" or a depth rank for Frontier.
        train_base: whether the base group of RRPO and SRPO is learned from, or only searched for
            parents.
        attempts: of the published rule.
        train_prefix: whether RRPO and SRPO learn from kept prefixes, too (the paper's "no mask").
        on_refusal: "drop", "uniform" or "fresh", for RRPO and SRPO.
        keep_parent: whether the parent's own continuation joins Frontier's suffix group.
        accuracy: of the localiser, as Frontier assumes it.
        normalization: of advantages: "std", "none" or "leave-one-out".
    """

    name: str
    algorithm: Literal["GRPO", "RRPO", "SRPO", "Frontier"] | Family
    localizer: Literal["self", "oracle"] | Locating = "self"
    rollouts: int | None = None
    layout: str | None = None
    base: int | None = None
    suffix: int | None = None
    parents: int | None = None
    parent: str | int | None = None
    train_base: bool | None = None
    attempts: int | None = None
    on_refusal: Literal["drop", "uniform", "fresh"] | None = None
    keep_parent: bool | None = None
    accuracy: float | None = None
    normalization: Literal["std", "none", "leave-one-out"] | None = None
    train_prefix: bool | None = field(default=None, metadata={"later": True})

    def __post_init__(self) -> None:
        # Runs have folders of these names.
        if not self.name.strip() or "/" in self.name or self.name.startswith("."):
            remedy = "choose one without slashes"
            raise InvalidInput("more_methods.name", self.name, "not a name of a folder", remedy)
        algorithms = ("GRPO", *_BASED)
        if isinstance(self.algorithm, str):
            check_choice(f"more_methods.{self.name}.algorithm", self.algorithm, algorithms)
        self.method()

    def method(self) -> LanguageMethod:
        """The method.

        Raises:
            InvalidInput: for a parameter that the algorithm does not have, or refuses.
        """
        given = {name: v for name in _PARAMETERS if (v := getattr(self, name)) is not None}
        for name, value in given.items():
            if self.algorithm not in _PARAMETERS[name]:
                known = self.algorithm
                named = known if isinstance(known, str) else f"{type(known).__name__} outside it"
                raise self._refused(name, value, f"{named} has no such parameter")
        try:
            return LanguageMethod(self.name, self._made(given), self.localizer)
        except InvalidInput as error:
            field = f"more_methods.{self.name}.{error.field}"
            raise InvalidInput(field, error.value, error.problem, error.remedy) from error

    def _made(self, given: dict[str, Any]) -> GroupAlgorithm:
        if not isinstance(self.algorithm, str):
            return self.algorithm
        if self.algorithm == "GRPO":
            return GRPO(**{"rollouts": 8} | given)
        if self.algorithm == "Frontier":
            model = FirstErrorModel(given.pop("accuracy", _ASSUMED_ACCURACY))
            return FrontierGRPO(model, **{"keep_parent": True} | given)
        reset = FirstErrorReset() if self.algorithm == "SRPO" else UniformReset()
        given = {"on_refusal": "fresh"} | given
        if "layout" not in given:
            if "rollouts" in given:
                problem = "says nothing without a layout"
                raise InvalidInput("rollouts", given["rollouts"], problem, "give base and suffix")
            return ResetGRPO(reset, **given)
        for name in ("base", "suffix", "parents"):
            if name in given:
                raise InvalidInput(name, given[name], "the layout says it", "give either")
        layout, rollouts = given.pop("layout"), given.pop("rollouts", 8)
        return ResetGRPO.layout(layout, reset, rollouts, **given)

    def _refused(self, name: str, value: object, problem: str) -> InvalidInput:
        return InvalidInput(f"more_methods.{self.name}.{name}", value, problem, "leave it out")


_RESETS, _BASED = ("RRPO", "SRPO"), ("RRPO", "SRPO", "Frontier")
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "rollouts": ("GRPO", *_BASED),
    "layout": _RESETS,
    "base": _BASED,
    "suffix": _RESETS,
    "parents": _RESETS,
    "parent": _BASED,
    "train_base": _RESETS,
    "attempts": _RESETS,
    "train_prefix": _RESETS,
    "on_refusal": _RESETS,
    "keep_parent": ("Frontier",),
    "accuracy": ("Frontier",),
    "normalization": ("GRPO", *_BASED),
}
"""Which algorithms have which parameter."""


def choose_methods(
    field: str, names: Sequence[str], more: Sequence[MethodVariant]
) -> list[LanguageMethod]:
    """The methods of these names, from `more` or :data:`LANGUAGE_METHODS`.

    Args:
        field: named in messages.
        names: chosen ones.
        more: of a user's own.

    Raises:
        InvalidInput: for a name that is neither, one given twice, or no name at all.
    """
    check_new_names("more_methods", [variant.name for variant in more], LANGUAGE_METHODS)
    own = {variant.name: variant.method() for variant in more}
    return named_values(field, names, {**LANGUAGE_METHODS, **own})
