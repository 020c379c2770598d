r"""Improvement guarantees in a discounted MDP, theorem T8 and its sharp form.

Notation and units as in :mod:`cpi_theory.bounds.finite_horizon`, with the discounted occupancy
d(s) = (1 - gamma) sum_t gamma^t P(s_t = s) in place of the mean over layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cpi_theory.bounds.rounding import capped, check_within, in_kind_of
from cpi_theory.checks import Exact, InvalidInput, check_probability


@dataclass(frozen=True, slots=True)
class DiscountedResetStep:
    """What T8 needs to know of one update in a discounted MDP.

    Attributes:
        discount: gamma in [0, 1).
        coverage: p_w = E[w] over the discounted occupancy (1 - gamma) sum_t gamma^t P(s_t = s).
        advantage: Abar_w, the mean of Abar over the reset distribution; units of J.
        spread: Delta = max f - min f of f = w * Abar over all states; units of J.

    Raises:
        InvalidInput: naming the field that no update can have.
    """

    discount: Exact
    coverage: Exact
    advantage: Exact
    spread: Exact

    def __post_init__(self) -> None:
        _check_discount(self.discount)
        check_within("coverage", self.coverage, 0, 1)
        check_within("advantage", self.advantage, -math.inf, math.inf)
        check_within("spread", self.spread, 0, math.inf)


def discounted_improvement_lower_bound(step: DiscountedResetStep, alpha: Exact) -> Exact:
    r"""Return the guaranteed gain J(pi_alpha) - J(pi) in a discounted MDP.

    Statement (T8):  :math:`\alpha p_w \bar A_w / (1 - \gamma) - \alpha^2 \Delta p_w \gamma /
    (1 - \gamma)^2`.
    Assumptions: those of T1; J = E sum_t gamma^t r_t, not multiplied by 1 - gamma.

    Returns: in units of J; a negative value is valid and guarantees nothing.
    Raises: InvalidInput if alpha is outside [0, 1].
    Source: T8 of docs/theory.md, for the resets of arXiv 2605.25507; conservative policy
        iteration, w = 1, is due to Kakade and Langford (ICML 2002).
    """
    check_probability("alpha", alpha)
    # Discounted number of selected visits, and discounted time that is left after each.
    visits = step.coverage / (1 - step.discount)
    after = step.discount / (1 - step.discount)
    return alpha * visits * step.advantage - alpha**2 * step.spread * visits * after


def sharp_discounted_improvement_lower_bound(
    step: DiscountedResetStep, alpha: Exact, deviation: Exact
) -> Exact:
    r"""Return the guaranteed gain when the discounted time after a deviation is known.

    Statement (T8, sharp):
    :math:`\alpha p_w \bar A_w / (1 - \gamma) - \alpha \Delta \sum_t \gamma^t P(D_t)`, attained for
    every alpha by the two-state trap.

    Args:
        step: inputs of the bound.
        alpha: step size in [0, 1].
        deviation: sum_t gamma^t P(D_t), in [0, gamma / (1 - gamma)]; an upper bound keeps the
            statement valid.

    Raises: InvalidInput if alpha is outside [0, 1] or `deviation` outside its interval.
    Source: T8 of docs/theory.md, kept sharp as T1s is; resets as in arXiv 2605.25507.
    """
    check_probability("alpha", alpha)
    check_within("deviation", deviation, 0, step.discount / (1 - step.discount))
    return (
        alpha * step.coverage * step.advantage / (1 - step.discount)
        - alpha * step.spread * deviation
    )


def uniform_discounted_deviation(discount: Exact, alpha: Exact) -> Exact:
    r"""Return the discounted time after a deviation: exact for w = 1, an upper bound for any w.

    Formula: :math:`\sum_t \gamma^t (1 - (1 - \alpha)^t) = \gamma \alpha / ((1 - \gamma)
    (1 - \gamma + \gamma \alpha))` (T8 of docs/theory.md).

    Raises: InvalidInput if alpha is outside [0, 1] or discount outside [0, 1).
    """
    check_probability("alpha", alpha)
    _check_discount(discount)
    return discount * alpha / ((1 - discount) * (1 - discount + discount * alpha))


def discounted_best_step(step: DiscountedResetStep) -> tuple[Exact, Exact]:
    r"""Return the step size that maximises T8, and the gain it guarantees.

    Statement (T8):  :math:`\alpha^* = \min(1, (1 - \gamma) \bar A_w / (2 \gamma \Delta))`; when
    alpha* < 1 the guaranteed gain is p_w Abar_w^2 / (4 gamma Delta), at the cap it is
    p_w (Abar_w - gamma Delta / (1 - gamma)) / (1 - gamma). No positive advantage: (0, 0).

    Returns: (alpha, gain), exact for an exact step.
    Source: T8 of docs/theory.md, for the resets of arXiv 2605.25507; conservative policy
        iteration, w = 1, is due to Kakade and Langford (ICML 2002).
    """
    curvature = 2 * step.spread * step.discount / (1 - step.discount)
    return capped(step.advantage, curvature, lambda a: discounted_improvement_lower_bound(step, a))


def sharp_discounted_best_step(step: DiscountedResetStep) -> tuple[Exact, Exact]:
    r"""Return the step size that maximises the sharp T8 with the deviations of w = 1, and its gain.

    Statement (T8, sharp):
    :math:`\alpha^* = (1 - \gamma) (1 / \sqrt{1 - p_w \bar A_w / \Delta} - 1) / \gamma`, capped at
    1, and 1 when p_w Abar_w >= Delta. Valid for every w, since w = 1 deviates most.

    Returns: (alpha, gain); for an exact step a rational near the maximiser, the gain exact there.
    Source: T8 of docs/theory.md, sharp form; resets as in arXiv 2605.25507.
    """

    def bound(alpha: Exact) -> Exact:
        deviation = uniform_discounted_deviation(step.discount, alpha)
        return sharp_discounted_improvement_lower_bound(step, alpha, deviation)

    drift = step.coverage * step.advantage
    if drift <= 0:
        return 0, 0
    # Nothing comes after a deviation, or the slope stays positive: the largest step is best.
    if step.discount == 0 or drift >= step.spread:
        return 1, bound(1)
    # With c = 1 - gamma and u = c + gamma alpha, the slope vanishes where (c / u)^2 = 1 - drift /
    # spread.
    ratio = 1 / math.sqrt(1 - drift / step.spread) - 1
    best = min(1.0, float((1 - step.discount) / step.discount) * ratio)
    # The gain is that of the rounded alpha, so it is guaranteed however alpha was rounded.
    alpha = in_kind_of(step.advantage, best)
    return alpha, bound(alpha)


def _check_discount(discount: Exact) -> None:
    check_probability("discount", discount)
    if discount == 1:
        raise InvalidInput("discount", 1, "J is infinite", "choose one below 1 or a horizon")
