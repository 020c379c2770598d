r"""What one conservative step costs and guarantees under a reset policy, theorems T5 and T6.

What the chooser chooses from is a :class:`~cpi_theory.bounds.classes.PolicyClass`, and its baseline
is R/2. A plan's gain is guaranteed if the chooser is as close as it promises, that is with
probability at least 1 - delta.

Samples are the fewer of T4s, about 4 |A| R^2 l / (q tau)^2 with l = ln((|Pi| - 1) / delta), and of
T4w where the class is one of maps from observations: as 1/q there instead of 1/q^2.

The step size is capped at 1. With Abar_w = q tau / 2 left to the update and c = 2 R L_w, the gain
is

    H p_w Abar_w (1 - c / Abar_w)  if  c <= Abar_w / 2  (alpha* = 1),  else  H p_w Abar_w^2 / (4 c),

which are H rho p tau (1/2) (1 - 4 R L_w / (q tau)) for L_w <= q tau / (8 R), else
H rho q p tau^2 / (32 R L_w). Both are at least H rho p tau min(1/4, q tau / (32 R L_w)). Random
resets have L_w = (H - 1) / 2 and never reach the cap from H = 2 on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from cpi_theory.bounds.chooser import leading_samples, samples_for
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.finite_horizon import ResetStep, best_step
from cpi_theory.bounds.statewise import statewise_bound
from cpi_theory.checks import (
    Exact,
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)

# Relative and absolute slack for a float's rounding at the boundary of what a weight can do.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Plan:
    """One conservative step, planned: how much to sample, how far to go, what it guarantees.

    Attributes:
        samples: draws of the chooser, the fewest that T4s or T4w allows.
        leading_samples: `samples` to leading order and before rounding up: |A| R^2 l / accuracy^2,
            or T4w's number where that is smaller.
        accuracy: error left to the chooser: half of what the best candidate is known to offer.
        step: inputs of T1 after choosing: advantage is the other half, spread is 2 R_max.
        alpha: step size of T2, at most 1.
        guaranteed_gain: T2's gain in J with probability 1 - delta; reward units.
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
    """Compare what two plans cost and guarantee.

    Statement (T5), oracle against random resets:  leading_samples = 1 / p^2 by T4s and 1 / p by
    T4w, and gain = (H - 1) / (2 p L_I) >= 1 / (2 p).
    Statement (T6), precision q and recall rho against random resets:  leading_samples = (q / p)^2
    by T4s and q / p by T4w, and gain = (rho q / p) (H - 1) / (2 L_w).
    Both gains as long as neither step size is capped at 1 (see the module), which for random
    resets takes H = 1; a capped plan gains less than its formula.

    Source: T5 and T6 of docs/theory.md, on the two kinds of resets of arXiv 2605.25507.
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
    policies: PolicyClass,
) -> Plan:
    r"""Plan a step with random resets, w = 1.

    Statement (T5):  a candidate with Abar >= tau on I_tau and >= 0 elsewhere has reset advantage
    p tau; samples ~ 4 |A| R^2 l / (p tau)^2, and with probability >= 1 - delta the gain is at
    least H (p tau)^2 / (16 R (H - 1)); with H = 1, where the step is capped, p tau / 2.

    Args:
        coverage: p, the share of visits in I_tau, in (0, 1].
        tau: threshold of improvable states, in (0, R_max].
        horizon: H >= 1.
        policies: what the chooser chooses from, with |A|, delta and R_max.

    Raises: InvalidInput naming the argument outside its range.
    Source: T5 of docs/theory.md; random resets (CPI-RR) are those of arXiv 2605.25507.
    """
    return imperfect_oracle_plan(
        coverage,
        _one(coverage),
        coverage,
        tau,
        horizon,
        policies,
        # w = 1 selects all layers alike, and H - 1 - h is (H - 1) / 2 on average.
        remaining=(horizon - 1) * _one(coverage) / 2,
    )


def oracle_reset_plan(
    coverage: Exact,
    tau: Exact,
    horizon: int,
    policies: PolicyClass,
    remaining: Exact | None = None,
) -> Plan:
    r"""Plan a step with the credit-assignment oracle, w = 1 on I_tau and 0 elsewhere.

    Statement (T5):  reset advantage tau; samples ~ 4 |A| R^2 l / tau^2, and with probability
    >= 1 - delta the gain is at least H p tau^2 / (32 R L_I) if L_I >= tau / (8 R), else, where the
    step is capped at 1, H p tau (1/2) (1 - 4 R L_I / tau).

    Args:
        coverage: p, the share of visits in I_tau, in (0, 1].
        tau: threshold of improvable states, in (0, R_max].
        horizon: H >= 1.
        policies: what the chooser chooses from, with |A|, delta and R_max.
        remaining: L_I, the mean remaining horizon at improvable visits, in [0, H - 1]; H - 1, the
            worst, when None.

    Raises: InvalidInput naming the argument outside its range.
    Source: T5 of docs/theory.md; the oracle (CPI-CARO) is that of arXiv 2605.25507.
    """
    return imperfect_oracle_plan(
        _one(coverage),
        _one(coverage),
        coverage,
        tau,
        horizon,
        policies,
        remaining=remaining,
    )


def imperfect_oracle_plan(
    precision: Exact,
    recall: Exact,
    coverage: Exact,
    tau: Exact,
    horizon: int,
    policies: PolicyClass,
    remaining: Exact | None = None,
) -> Plan:
    r"""Plan a step whose reset policy finds improvable states with errors.

    Statement (T6):  with precision q = P_{nu_w}(I_tau) and recall rho = E_d[w | I_tau], coverage
    is p_w = rho p / q and the class offers q tau; samples ~ 4 |A| R^2 l / (q tau)^2, and with
    probability >= 1 - delta the gain is at least H rho q p tau^2 / (32 R L_w) if
    L_w >= q tau / (8 R), else, where the step is capped at 1, H rho p tau (1/2)
    (1 - 4 R L_w / (q tau)). Random resets are q = p, rho = 1; the oracle q = rho = 1.

    Args:
        precision: q in (0, 1].
        recall: rho in (0, 1].
        coverage: p, the share of visits in I_tau, in (0, 1].
        tau: threshold of improvable states, in (0, R_max].
        horizon: H >= 1.
        policies: what the chooser chooses from, with |A|, delta and R_max.
        remaining: L_w in [0, H - 1]; H - 1, the worst, when None.

    Raises:
        InvalidInput: naming the argument outside its range; also when no reset weight w <= 1 has
            this precision and recall at this coverage.

    Source: T6 of docs/theory.md, on imperfect localisers for the oracle of arXiv 2605.25507.
    """
    check_count("horizon", horizon)
    _check_shares(precision=precision, recall=recall, coverage=coverage)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, policies.reward_bound)
    # The chooser's error gets half of what the class offers: a share x of it takes samples as 1 /
    # x^2 and leaves, below the cap, a gain as (1 - x)^2, so samples per gain are fewest at x = 1/2.
    offered = precision * tau
    step = ResetStep(
        horizon=horizon,
        coverage=_reset_coverage(precision, recall, coverage),
        advantage=offered / 2,
        spread=2 * policies.reward_bound,
        remaining=horizon - 1 if remaining is None else remaining,
    )
    accuracy = offered / 2
    samples, leading = samples_for(accuracy, policies), leading_samples(accuracy, policies)
    if policies.observations is not None:
        by_maps = statewise_bound(precision, tau, policies)
        samples, leading = min(samples, max(1, math.ceil(by_maps))), min(leading, by_maps)
    alpha, gain = best_step(step)
    return Plan(
        samples=samples,
        leading_samples=leading,
        accuracy=accuracy,
        step=step,
        alpha=alpha,
        guaranteed_gain=gain,
        reward_bound=policies.reward_bound,
    )


def _check_shares(**shares: Exact) -> None:
    for field, value in shares.items():
        check_positive(field, value)
        check_probability(field, value)


def _one(model: Exact) -> Exact:
    """One, exact if the model is."""
    return Fraction(1) if isinstance(model, Fraction) else 1.0


def _reset_coverage(precision: Exact, recall: Exact, coverage: Exact) -> Exact:
    """p_w = recall * coverage / precision, if some w <= 1 has it."""
    selected = recall * coverage / precision
    # What falls on states outside I_tau; as w <= 1, they can take 1 - p at most.
    false_alarms = selected - recall * coverage
    if false_alarms > (1 - coverage) * (1 + _ROUNDING) + _ROUNDING:
        raise InvalidInput(
            "precision",
            precision,
            f"recall {recall} at coverage {coverage} would select more than all other states",
            f"raise it to at least {recall * coverage / (recall * coverage + 1 - coverage):.6g}",
        )
    return min(selected, 1)
