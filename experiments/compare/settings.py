"""What ``compare`` varies, and what the theory says of each parameter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_positive
from cpi_theory.resets.oracle import ImperfectReset, ImprovableReset
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.seam import ResetPolicy

Family = Literal["one decision", "tree"]
Learner = Literal["aliased", "statewise"]
Resets = Literal["random", "oracle", "imperfect"]
Parameter = Literal["coverage", "tau", "horizon", "actions", "precision", "recall"]


_MOST: dict[str, float] = {"coverage": 1, "tau": 0.5, "precision": 1, "recall": 1}


def check_value(parameter: Parameter, value: float, field: str) -> None:
    """Refuse a value that a parameter cannot have in any setting; `field` is named in messages.

    Raises:
        InvalidInput: fewer than two steps or actions, or a share or level out of its range.
    """
    if parameter in ("horizon", "actions"):
        check_count(field, cast(int, value), 2)
        return
    check_positive(field, value)
    check_in_range(field, value, 0, _MOST[parameter])


@dataclass(frozen=True)
class Setting:
    """One world and one reset policy.

    Attributes:
        learner: "aliased": one action for all states; "statewise": one action per state.
        resets: which states are reset to.
        family: kind of world; see :mod:`experiments.compare.worlds`.
        coverage: p, the on-policy share of improvable (state, step) pairs; at most 1 / horizon
            where a rollout has one decision.
        tau: advantage of the right action at an improvable state, R_max = 1.
        horizon: H >= 2.
        actions: |A| >= 2.
        precision, recall: of the imperfect oracle (T6); 1 for the others.
    """

    learner: Learner = "aliased"
    resets: Resets = "random"
    family: Family = "one decision"
    coverage: float = 1 / 16
    tau: float = 0.2
    horizon: int = 4
    actions: int = 2
    precision: float = 1.0
    recall: float = 1.0

    def __post_init__(self) -> None:
        for parameter in get_args(Parameter):
            check_value(parameter, getattr(self, parameter), parameter)
        if self.family == "one decision":
            check_in_range("coverage", self.coverage, 0, 1 / self.horizon)
        if self.resets != "imperfect" and (self.precision, self.recall) != (1.0, 1.0):
            raise InvalidInput(
                "precision", self.precision, f"{self.resets} resets have none", "leave it at 1"
            )

    @property
    def level(self) -> float:
        """tau less a margin of 1e-9: advantages that equal it must not be lost to rounding."""
        return self.tau * (1 - 1e-9)

    @property
    def reset(self) -> ResetPolicy:
        """The reset policy."""
        if self.resets == "random":
            return UniformReset()
        if self.resets == "oracle":
            return ImprovableReset(self.level)
        return ImperfectReset(self.precision, self.recall, self.level)

    @property
    def reset_precision(self) -> float:
        """Share of reset states that are improvable (q of T6): p, 1, or the given one."""
        return {"random": self.coverage, "oracle": 1.0}.get(self.resets, self.precision)

    @property
    def selected(self) -> float:
        """p_w, the share of visited states that the reset policy selects (T6)."""
        return self.recall * self.coverage / self.reset_precision

    def with_value(self, parameter: Parameter, value: float) -> Setting:
        """This setting with one parameter at another value."""
        whole = parameter in ("horizon", "actions")
        change: dict[str, Any] = {parameter: int(value) if whole else value}
        return replace(self, **change)


@dataclass(frozen=True)
class Line:
    """A setting with one parameter swept: what one exponent is fitted to.

    Attributes:
        setting: the other parameters.
        parameter: the swept one.
        values: at least two.
        base: whether figures show the line itself and not only its exponent.
    """

    setting: Setting
    parameter: Parameter
    values: tuple[float, ...]
    base: bool = False

    def __post_init__(self) -> None:
        if len(set(self.values)) < 2:
            raise InvalidInput(
                "values", self.values, "no two different ones", "sweep the parameter"
            )

    def settings(self) -> list[Setting]:
        """The settings along the line."""
        return [self.setting.with_value(self.parameter, value) for value in self.values]


# Parameters in whose inverse samples grow.
_FALLING: tuple[Parameter, ...] = ("coverage", "tau", "precision")


def samples_factor(parameter: Parameter) -> str:
    """What samples are fitted against: "1/coverage", "actions", ..."""
    return f"1/{parameter}" if parameter in _FALLING else parameter


def expected_samples_exponent(line: Line) -> float:
    """Exponent of the samples in :func:`samples_factor` by T4s, T4w and T7s (up to logarithms).

    Aliased choosers need 1 / (q tau)^2 with q the share of reset states that are improvable: p for
    random resets, 1 for the oracle. Statewise choosers only waste the share 1 - q of their samples.

    Source: docs/theory.md, theorem 7 (aliased) and T4w (statewise).
    """
    power = 2.0 if line.setting.learner == "aliased" else 1.0
    random = line.setting.resets == "random"
    return {
        "coverage": power if random else 0.0,
        "tau": 2.0,
        "horizon": 0.0,
        "actions": 1.0,
        "precision": power,
        "recall": 0.0,
    }[line.parameter]


def expected_gain_exponent(line: Line, exact_spread: bool) -> float:
    """Exponent of the gain in the parameter, for a step of size alpha* < 1, by T2 and T6.

    The gain is H p_w (q tau)^2 / (4 Delta L) with p_w = recall p / q. A known spread is
    Delta = recall tau, which cancels one tau and the recall; a learner that knows nothing better
    than Delta = 2 R_max keeps both.

    Source: docs/theory.md, theorem 2 and theorem 6.
    """
    return {
        "coverage": 2.0 if line.setting.resets == "random" else 1.0,
        "tau": 1.0 if exact_spread else 2.0,
        "horizon": 0.0,
        "actions": 0.0,
        "precision": 1.0,
        "recall": 0.0 if exact_spread else 1.0,
    }[line.parameter]
