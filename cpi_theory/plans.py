r"""What one conservative step costs: samples of the policy chooser and plans, theorems T4 to T7.

A *chooser* draws (s, h) from the reset distribution nu_w, an action uniformly, and rolls out pi
from there; it then picks the candidate with the largest importance-weighted mean return. `actions`
is |A|, `policies` the number of candidates, and `confidence` the probability delta with which a
statement may fail (0.05, not 0.95). Rewards-to-go lie in [0, reward_bound].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from cpi_theory.bounds import ResetStep, best_step
from cpi_theory.checks import (
    Exact,
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)

_LARGEST_CONFIDENCE = 0.5
_ROUNDING = 1e-9
_SMALLEST_ROOT = 1e-150


def uniform_accuracy(
    samples: int,
    actions: int,
    policies: int | None,
    confidence: float,
    reward_bound: float = 1.0,
    *,
    log_policies: float | None = None,
) -> float:
    r"""How far the chooser's estimate of any candidate is from the truth.

    Statement (T4):  with l = ln(2 |Pi| / delta), with probability >= 1 - delta every candidate's
    mean of X = |A| pi'(a|s) G over n draws is within
    e(n) = sqrt(2 |A| R^2 l / n) + |A| R l / (3 n)  of its expectation (Bernstein and a union).
    Assumptions:  A1 draws are independent; A2 candidates were fixed before drawing; A3 G in [0, R].

    Args:
        samples: n >= 1.
        actions: |A| >= 1.
        policies: |Pi| >= 1, any size of integer; None when `log_policies` is given.
        confidence: delta in (0, 1/2].
        reward_bound: R; `e` has its unit.
        log_policies: ln |Pi|, for classes too large to write down.

    Raises: InvalidInput naming the argument outside its range.
    """
    check_count("samples", samples)
    slow, fast = _bernstein(
        actions, _log_policies(policies, log_policies), confidence, reward_bound
    )
    return slow / math.sqrt(samples) + fast / samples


def chooser_error(
    samples: int,
    actions: int,
    policies: int | None,
    confidence: float,
    reward_bound: float = 1.0,
    *,
    log_policies: float | None = None,
) -> float:
    """How much reset advantage the chosen candidate may lack compared with the best of its class.

    Statement (T4):  Abar_w(chosen) >= max_Pi Abar_w - 2 e(n) with probability >= 1 - delta; this
    function is 2 e(n). Arguments, unit and refusals as in :func:`uniform_accuracy`.
    """
    return 2 * uniform_accuracy(
        samples, actions, policies, confidence, reward_bound, log_policies=log_policies
    )


def samples_for(
    accuracy: float,
    actions: int,
    policies: int | None,
    confidence: float,
    reward_bound: float = 1.0,
    *,
    log_policies: float | None = None,
) -> int:
    r"""Fewest samples with which the chooser's error is at most `accuracy`.

    Statement (T4):  n = 1 / u^2 with u = (-a + sqrt(a^2 + 2 b eps)) / (2 b),
    a = sqrt(2 |A| R^2 l), b = |A| R l / 3; it grows like 8 |A| R^2 l / eps^2. The inverse of
    :func:`chooser_error` in both directions: ``samples_for(chooser_error(n)) == n``, and the error
    is above `accuracy` with one sample less.

    Args:
        accuracy: eps > 0, in the unit of `reward_bound`. The others as in `uniform_accuracy`.

    Raises: InvalidInput naming the argument outside its range.
    """
    check_positive("accuracy", accuracy)
    log_size = _log_policies(policies, log_policies)
    slow, fast = _bernstein(actions, log_size, confidence, reward_bound)
    # The root of 2 (slow u + fast u^2) = eps, written without a difference of near equals.
    root = accuracy / (slow + math.sqrt(slow * slow + 2 * fast * accuracy))
    if root < _SMALLEST_ROOT:
        raise InvalidInput("accuracy", accuracy, "needs too many samples to count", "raise it")
    samples = max(1, math.floor(root**-2))
    grain = max(1, samples >> 50)  # beyond 2^50 floats no longer tell neighbours apart
    while 2 * (slow / math.sqrt(samples) + fast / samples) > accuracy:
        samples += grain
    while samples > grain:
        fewer = samples - grain
        if 2 * (slow / math.sqrt(fewer) + fast / fewer) > accuracy:
            break
        samples = fewer
    return samples


@dataclass(frozen=True, slots=True)
class Plan:
    """One conservative step, planned: how much to sample, how far to go, what it guarantees.

    Attributes:
        samples: draws of the chooser, the fewest that T4 allows.
        leading_samples: 8 |A| R^2 l / accuracy^2, the leading term of `samples`.
        accuracy: error left to the chooser: half of what the best candidate is known to offer.
        step: inputs of T1 after choosing: advantage is the other half, spread is 2 R_max.
        alpha: step size of T2.
        guaranteed_gain: T2's gain in J; reward units.
        reward_bound: R_max.
    """

    samples: int
    leading_samples: float
    accuracy: Exact
    step: ResetStep
    alpha: Exact
    guaranteed_gain: Exact
    reward_bound: Exact

    @property
    def worst_case_samples(self) -> float:
        """Samples until J can rise no more: R_max / guaranteed_gain such steps at the longest."""
        return self.samples * float(self.reward_bound / self.guaranteed_gain)


@dataclass(frozen=True, slots=True)
class PlanRatios:
    """How one plan compares with a baseline; above 1 is better than the baseline.

    Attributes:
        samples: baseline's samples over the plan's.
        leading_samples: the same of the leading terms, free of rounding and lower order.
        gain: the plan's guaranteed gain over the baseline's.
        total: baseline's worst-case samples over the plan's.
    """

    samples: float
    leading_samples: float
    gain: float
    total: float


def compare_plans(plan: Plan, baseline: Plan) -> PlanRatios:
    """What `plan` saves against `baseline`.

    Statement (T5), oracle against random resets:  leading_samples = 1 / p^2 and
    gain = (H - 1) / (2 p L_I) >= 1 / (2 p), as long as neither step size is capped at 1.
    Statement (T6), precision q and recall rho against random resets:  leading_samples = (q / p)^2
    and gain = (rho q / p) (H - 1) / (2 L_w).
    """
    return PlanRatios(
        samples=baseline.samples / plan.samples,
        leading_samples=baseline.leading_samples / plan.leading_samples,
        gain=float(plan.guaranteed_gain / baseline.guaranteed_gain),
        total=baseline.worst_case_samples / plan.worst_case_samples,
    )


def random_reset_plan(
    coverage: Exact,
    tau: Exact,
    horizon: int,
    actions: int,
    policies: int | None,
    confidence: float,
    reward_bound: Exact = 1.0,
    *,
    log_policies: float | None = None,
) -> Plan:
    r"""Plan of a step with random resets, w = 1.

    Statement (T5):  a candidate with Abar >= tau on I_tau and >= 0 elsewhere has reset advantage
    p tau; samples ~ 32 |A| R^2 l / (p tau)^2, gain >= H (p tau)^2 / (16 R (H - 1)).

    Args:
        coverage: p, the share of visits in I_tau, in (0, 1].
        tau: level of improvement, in (0, reward_bound].
        horizon: H >= 1. The others as in :func:`uniform_accuracy`.

    Raises: InvalidInput naming the argument outside its range.
    """
    return imperfect_oracle_plan(
        coverage,
        _one(coverage),
        coverage,
        tau,
        horizon,
        actions,
        policies,
        confidence,
        reward_bound,
        remaining=(horizon - 1) * _one(coverage) / 2,
        log_policies=log_policies,
    )


def oracle_reset_plan(
    coverage: Exact,
    tau: Exact,
    horizon: int,
    actions: int,
    policies: int | None,
    confidence: float,
    reward_bound: Exact = 1.0,
    remaining: Exact | None = None,
    *,
    log_policies: float | None = None,
) -> Plan:
    r"""Plan of a step with the credit-assignment oracle, w = 1 on I_tau and 0 elsewhere.

    Statement (T5):  reset advantage tau; samples ~ 32 |A| R^2 l / tau^2,
    gain >= H p tau^2 / (32 R L_I).

    Args:
        remaining: L_I, the mean remaining horizon at improvable visits, in [0, H - 1]; H - 1, the
            worst, when None. The others as in :func:`random_reset_plan`.
    """
    return imperfect_oracle_plan(
        _one(coverage),
        _one(coverage),
        coverage,
        tau,
        horizon,
        actions,
        policies,
        confidence,
        reward_bound,
        remaining=remaining,
        log_policies=log_policies,
    )


def imperfect_oracle_plan(
    precision: Exact,
    recall: Exact,
    coverage: Exact,
    tau: Exact,
    horizon: int,
    actions: int,
    policies: int | None,
    confidence: float,
    reward_bound: Exact = 1.0,
    remaining: Exact | None = None,
    *,
    log_policies: float | None = None,
) -> Plan:
    r"""Plan of a step whose reset policy finds improvable states with errors.

    Statement (T6):  with precision q = P_{nu_w}(I_tau) and recall rho = E_d[w | I_tau], coverage
    is p_w = rho p / q and the class offers q tau; samples ~ 32 |A| R^2 l / (q tau)^2,
    gain >= H rho q p tau^2 / (32 R L_w). Random resets are q = p, rho = 1; the oracle q = rho = 1.

    Args:
        precision: q in (0, 1].
        recall: rho in (0, 1].
        coverage: p in (0, 1].
        remaining: L_w in [0, H - 1]; H - 1, the worst, when None. The others as in
            :func:`random_reset_plan`.

    Raises:
        InvalidInput: naming the argument outside its range; also when no reset weight w <= 1 has
            this precision and recall at this coverage.
    """
    check_count("horizon", horizon)
    _check_dials(precision=precision, recall=recall, coverage=coverage)
    _check_level(tau, reward_bound)
    offered = precision * tau
    step = ResetStep(
        horizon=horizon,
        coverage=_reset_coverage(precision, recall, coverage),
        advantage=offered / 2,
        spread=2 * reward_bound,
        remaining=horizon - 1 if remaining is None else remaining,
    )
    accuracy = offered / 2
    log_size = _log_policies(policies, log_policies)
    slow, _ = _bernstein(actions, log_size, confidence, float(reward_bound))
    alpha, gain = best_step(step)
    return Plan(
        samples=samples_for(
            float(accuracy),
            actions,
            policies,
            confidence,
            float(reward_bound),
            log_policies=log_policies,
        ),
        leading_samples=(2 * slow / float(accuracy)) ** 2,
        accuracy=accuracy,
        step=step,
        alpha=alpha,
        guaranteed_gain=gain,
        reward_bound=reward_bound,
    )


def aliased_lower_bound(
    coverage: Exact, tau: float, confidence: float, reward_bound: float = 1.0
) -> float:
    r"""Samples that random resets need at least when improvable states cannot be told apart.

    Statement (T7):  two worlds in which the better of two actions on I_tau differs, with outcomes
    R Bern(1/2 +- tau / R) there and R Bern(1/2) elsewhere, and one observation for all states:
    whatever picks the better action with error probability <= delta in both worlds draws
    n >= ln(1 / (4 delta)) 3 R^2 / (32 p^2 tau^2) samples.
    Assumption:  p tau / R <= 1/4.

    Args:
        coverage: p in (0, 1].
        tau: in (0, reward_bound / 2], so that the outcomes have probabilities.
        confidence: delta in (0, 1/2]; from 1/4 on the statement is empty and 0 is returned.
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range.
    """
    check_positive("reward_bound", reward_bound)
    check_positive("coverage", coverage)
    check_probability("coverage", coverage)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, reward_bound / 2)
    _check_confidence(confidence)
    shift = coverage * tau / reward_bound
    if shift > 1 / 4:
        raise InvalidInput(
            "coverage * tau / reward_bound", shift, "above 1/4", "lower coverage or tau"
        )
    return max(0.0, 3 * math.log(1 / (4 * confidence)) / (32 * shift * shift))


def _bernstein(
    actions: int, log_policies: float, confidence: float, reward_bound: float
) -> tuple[float, float]:
    """(a, b) of e(n) = a / sqrt(n) + b / n."""
    check_count("actions", actions)
    check_positive("reward_bound", reward_bound)
    _check_confidence(confidence)
    log_terms = math.log(2 / confidence) + log_policies
    slow = reward_bound * math.sqrt(2 * actions * log_terms)
    return slow, actions * reward_bound * log_terms / 3


def _log_policies(policies: int | None, log_policies: float | None) -> float:
    """ln |Pi|, from exactly one of the two ways to say it."""
    if (policies is None) == (log_policies is None):
        raise InvalidInput(
            "policies", policies, f"log_policies is {log_policies}", "give exactly one of the two"
        )
    if policies is not None:
        check_count("policies", policies)
        return math.log(policies)
    check_in_range("log_policies", log_policies, 0, math.inf)  # type: ignore[arg-type]
    return float(log_policies)  # type: ignore[arg-type]


def _check_dials(**dials: Exact) -> None:
    for field, value in dials.items():
        check_positive(field, value)
        check_probability(field, value)


def _check_level(tau: Exact, highest: Exact) -> None:
    check_positive("reward_bound", highest)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, highest)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence <= _LARGEST_CONFIDENCE:
        raise InvalidInput(
            "confidence",
            confidence,
            "not a probability of failure in (0, 1/2]",
            "give delta, e.g. 0.05 for statements that hold with probability 0.95",
        )


def _one(model: Exact) -> Exact:
    """One, exact if the model is."""
    return Fraction(1) if isinstance(model, Fraction) else 1.0


def _reset_coverage(precision: Exact, recall: Exact, coverage: Exact) -> Exact:
    """p_w = recall * coverage / precision, if some w <= 1 has it."""
    selected = recall * coverage / precision
    false_alarms = selected - recall * coverage
    if false_alarms > (1 - coverage) * (1 + _ROUNDING) + _ROUNDING:
        raise InvalidInput(
            "precision",
            precision,
            f"recall {recall} at coverage {coverage} would select more than all other states",
            f"raise it to at least {recall * coverage / (recall * coverage + 1 - coverage):.6g}",
        )
    return min(selected, 1)
