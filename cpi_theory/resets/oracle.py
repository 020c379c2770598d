"""Reset policies that know the best advantage of each state: the oracle, blurred or softened.

They need a world that knows its advantages (:class:`~cpi_theory.seam.OracleSimulator`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.checks import InvalidInput, check_in_range, check_positive, check_probability
from cpi_theory.randomness import Keys
from cpi_theory.resets.weights import EMPTY, Weights
from cpi_theory.seam import Reason, Refusal, ResetPolicy, Rollout, Simulator, knows_advantages


class AdvantageBasedReset(ResetPolicy):
    """A reset policy whose weight is a function of the best advantage max_a A(s, a) alone.

    Its induced reset weight w(s, h) is that function, so a world that knows its advantages as an
    array gets the whole of w from :meth:`weights_at` without sampling.
    """

    __slots__ = ()

    def calibrate(self, coverage: Callable[[float], float]) -> float:
        """Return the one number that the weights need beside the advantage; none by default.

        Args:
            coverage: tau -> p_tau, the on-policy share of states with max_a A >= tau.
        """
        return 0.0

    @abstractmethod
    def weights_at(self, best: Weights, calibration: float) -> Weights:
        """Return weights in [0, 1] for the best advantages `best`, of any shape."""

    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[Weights | Refusal]:
        """Weigh each step by its state's best advantage; an empty rollout is refused.

        Raises:
            InvalidInput: if the simulator does not know its advantages.
        """
        if not knows_advantages(simulator):
            raise InvalidInput(
                "reset",
                self,
                f"{type(simulator).__name__} does not know its advantages",
                "use FirstErrorReset() or UniformReset(), or a world with best_advantages",
            )
        calibration = self.calibrate(simulator.improvable_coverage)
        best = simulator.best_advantages(rollouts)
        return [self.weights_at(b, calibration) if len(b) else EMPTY for b in best]


@dataclass(frozen=True, slots=True)
class ImprovableReset(AdvantageBasedReset):
    """The credit-assignment reset oracle at threshold `tau`: w = 1 on the improvable set I_tau.

    Attributes:
        tau: threshold in reward units, > 0; a state is improvable if max_a A >= tau.

    Source: arXiv 2605.25507 (CPI-CARO); docs/theory.md, Notation.
    """

    tau: float

    def __post_init__(self) -> None:
        check_positive("tau", self.tau)

    def weights_at(self, best: Weights, calibration: float = 0.0) -> Weights:
        """Return 1 where the best advantage reaches tau, else 0."""
        return (best >= self.tau).astype(np.float64)


@dataclass(frozen=True, slots=True)
class ImperfectReset(AdvantageBasedReset):
    """An oracle blurred to a given precision and recall at threshold `tau` (T6).

    An improvable state has weight `recall`, any other f = p recall (1 - precision) /
    (precision (1 - p)) with p the on-policy coverage, so that the selected states are improvable
    with probability `precision`. Precision p with recall 1 is a random reset.

    Attributes:
        precision: P_{nu_w}(I_tau) in (0, 1].
        recall: E_{d^pi}[w | I_tau] in (0, 1].
        tau: threshold in reward units, > 0.

    Source: docs/theory.md, T6.
    """

    precision: float
    recall: float
    tau: float

    def __post_init__(self) -> None:
        for name in ("precision", "recall"):
            check_positive(name, getattr(self, name))
            check_probability(name, getattr(self, name))
        check_positive("tau", self.tau)

    def calibrate(self, coverage: Callable[[float], float]) -> float:
        """Return the weight f of a state that is not improvable.

        Raises:
            InvalidInput: if no weight in [0, 1] gives this precision and recall: the precision
                is below what resetting everywhere else would give.
        """
        p = coverage(self.tau)
        # No state is left to give a false alarm.
        if p >= 1:
            return 0.0
        # q = p r / (p r + (1 - p) f), solved for f.
        f = p * self.recall * (1 - self.precision) / (self.precision * (1 - p))
        if f > 1 + 1e-9:  # more than rounding can do where the precision is just attainable
            raise InvalidInput(
                "precision",
                self.precision,
                f"with recall {self.recall} and coverage {p:.4g} it needs a weight of {f:.4g} > 1",
                f"choose a precision of at least {p * self.recall / (p * self.recall + 1 - p):.4g}",
            )
        return min(f, 1.0)

    def weights_at(self, best: Weights, calibration: float) -> Weights:
        """Return `recall` where the best advantage reaches tau, f elsewhere."""
        return np.where(best >= self.tau, self.recall, calibration)


@dataclass(frozen=True, slots=True)
class AdvantageReset(AdvantageBasedReset):
    """A soft oracle: w proportional to exp(max_a A / temperature), at most 1.

    It needs no threshold tau: a low temperature picks the most improvable states, a high one resets
    at random. Within a rollout the steps are drawn by the softmax of their best advantages.

    Attributes:
        temperature: in reward units, > 0.
    """

    temperature: float

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    def calibrate(self, coverage: Callable[[float], float]) -> float:
        """Return the largest best advantage that the policy visits: it has weight 1."""
        return largest_threshold(coverage)

    def weights_at(self, best: Weights, calibration: float) -> Weights:
        """Return exp((best - calibration) / temperature), cut at 1 for states never visited."""
        # The exponent is never positive, so no temperature is low enough to overflow.
        return np.exp(np.minimum(best - calibration, 0.0) / self.temperature)

    def step_probabilities(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[Weights | Refusal]:
        """Return the softmax over the steps of each rollout.

        Weights relative to the best state of the whole world can all vanish in one rollout; the
        softmax relative to the rollout's own best state cannot.
        """
        if not knows_advantages(simulator):
            # For its error message, which says what to do.
            return ResetPolicy.step_probabilities(self, rollouts, simulator, keys)
        best = simulator.best_advantages(rollouts)
        return [self._softmax(b) if len(b) else EMPTY for b in best]

    def _softmax(self, best: Weights) -> Weights:
        weights = self.weights_at(best, float(best.max()))
        return np.asarray(weights / weights.sum())


def largest_threshold(coverage: Callable[[float], float]) -> float:
    """Find the largest threshold tau still covered, by bisection of the falling p_tau.

    Returns 0 if nothing is improvable. Relative accuracy 1e-15.
    """
    high = 1.0
    # p_tau falls in tau: double until nothing is covered, then halve the bracket. Invariant below:
    # something reaches `low`, nothing reaches `high`.
    while coverage(high) > 0:
        high *= 2
    low = 0.0
    for _ in range(60):  # more halvings than a float has bits
        middle = (low + high) / 2
        low, high = (middle, high) if coverage(middle) > 0 else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class WrongStepReset(ResetPolicy):
    """Weigh every step that made things worse by more than `threshold` alike: an exact judge.

    A step is wrong if A(s, a) < -threshold. A rollout without one is refused. Needs a world that
    knows the advantages of the steps that were taken, as tabular ones do (`step_advantages`).

    Attributes:
        threshold: in reward units, at least 0.
    """

    threshold: float = 1e-9

    def __post_init__(self) -> None:
        check_in_range("threshold", self.threshold, 0, 1e9)

    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[Weights | Refusal]:
        """Put weight 1 on each wrong step, 0 on the others.

        Raises:
            InvalidInput: if the simulator does not know its advantages.
        """
        if not hasattr(simulator, "step_advantages"):
            remedy = "use FirstErrorReset(), or a world with step_advantages"
            raise InvalidInput("judge", self, "this world does not know its advantages", remedy)
        return [
            self._weights(each) if len(each) else EMPTY
            for each in simulator.step_advantages(rollouts)
        ]

    def _weights(self, advantages: Weights) -> Weights | Refusal:
        wrong = advantages < -self.threshold
        return wrong.astype(np.float64) if wrong.any() else Refusal(Reason.NO_ERROR)
