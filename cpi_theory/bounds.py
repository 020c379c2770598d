r"""Improvement guarantees of the localised conservative update, theorems T1, T1s, T2, T3 and T8.

Notation. A policy pi is mixed towards a candidate pi' where a reset policy looks:
pi_alpha = (1 - alpha w) pi + alpha w pi' with a reset weight w(s, h) in [0, 1]. J is the expected
return from the start distribution, not divided by the horizon H. Abar(s, h) = E_{a ~ pi'} A^pi.

Every function computes on plain arithmetic alone, so that `fractions.Fraction` inputs give exact
results and floats give floats. All quantities share the unit of the reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real

from cpi_theory.checks import Exact, InvalidInput, check_count, check_in_range, check_probability

DeviationProbabilities = Callable[[Exact], Iterable[Exact]]
"""Maps a step size alpha to P(D_0), ..., P(D_{H-1})."""

_ROUNDING = 1e-9
_RESOLUTION = 1 << 20


@dataclass(frozen=True, slots=True)
class ResetStep:
    """What T1, T1s and T2 need to know of one update towards a candidate at a reset weight w.

    A bound stays valid when `advantage` is a lower and `spread` and `remaining` are upper
    confidence bounds; `coverage` must then be exact (or multiply out, as in T2's step size).

    Attributes:
        horizon: H, the number of layers.
        coverage: p_w = E[w] over the occupancy of pi, in [0, 1].
        advantage: Abar_w, the mean of Abar over the reset distribution nu_w; reward units.
        spread: Delta = max f - min f of f = w * Abar over all states and layers; reward units.
        remaining: L_w, the mean of H - 1 - h over the reset distribution, in [0, H - 1].

    Raises:
        InvalidInput: naming the field that no update can have.
    """

    horizon: int
    coverage: Exact
    advantage: Exact
    spread: Exact
    remaining: Exact

    def __post_init__(self) -> None:
        check_count("horizon", self.horizon)
        _check_within("coverage", self.coverage, 0, 1)
        _check_within("advantage", self.advantage, -math.inf, math.inf)
        _check_within("spread", self.spread, 0, math.inf)
        _check_within("remaining", self.remaining, 0, self.horizon - 1)


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
        _check_within("coverage", self.coverage, 0, 1)
        _check_within("advantage", self.advantage, -math.inf, math.inf)
        _check_within("spread", self.spread, 0, math.inf)


def improvement_lower_bound(step: ResetStep, alpha: Exact) -> Exact:
    r"""Guaranteed gain J(pi_alpha) - J(pi) of the localised conservative update.

    Statement (T1):  alpha H p_w Abar_w - alpha^2 Delta H p_w L_w.
    Assumptions:  A1 `step` describes pi, the candidate and w as :class:`ResetStep` says;
                  A2 pi_alpha mixes at every state and layer with weight alpha w(s, h).
    Attained at H = 2; for w = 1 it is the finite-horizon bound of conservative policy iteration.

    Returns: in reward units; a negative value is valid and guarantees nothing.
    Raises: InvalidInput if alpha is outside [0, 1].
    """
    check_probability("alpha", alpha)
    visits = step.horizon * step.coverage
    return alpha * visits * step.advantage - alpha**2 * step.spread * visits * step.remaining


def sharp_improvement_lower_bound(
    step: ResetStep, alpha: Exact, deviation_probabilities: Iterable[Exact]
) -> Exact:
    r"""Guaranteed gain J(pi_alpha) - J(pi) when the probability of deviating is known.

    Statement (T1s):  alpha H p_w Abar_w - alpha Delta sum_h P(D_h), where D_h is "pi_alpha took
    the candidate's side before layer h" and P(D_h) = 1 - E_pi[prod_{k<h} (1 - alpha w(s_k, k))].
    Never below T1, and attained for every H and alpha by the two-state trap.

    Args:
        step: inputs of the bound; `remaining` is not used.
        alpha: step size in [0, 1].
        deviation_probabilities: P(D_h) for h = 0..H-1 (upper bounds keep the statement valid).

    Returns: in reward units; a negative value is valid and guarantees nothing.
    Raises: InvalidInput if alpha or a probability is outside [0, 1] or their number is not H.
    """
    check_probability("alpha", alpha)
    deviations = tuple(deviation_probabilities)
    if len(deviations) != step.horizon:
        raise InvalidInput(
            "deviation_probabilities",
            len(deviations),
            f"{step.horizon} layers",
            "give one probability per layer",
        )
    for probability in deviations:
        _check_within("deviation probability", probability, 0, 1)
    return alpha * step.horizon * step.coverage * step.advantage - alpha * step.spread * sum(
        deviations
    )


def uniform_deviation_probabilities(horizon: int, alpha: Exact) -> tuple[Exact, ...]:
    """P(D_h) = 1 - (1 - alpha)^h for h = 0..H-1: exact for w = 1, an upper bound for any w.

    Raises: InvalidInput if horizon < 1 or alpha is outside [0, 1].
    """
    check_count("horizon", horizon)
    check_probability("alpha", alpha)
    return tuple(1 - (1 - alpha) ** layer for layer in range(horizon))


def best_step(step: ResetStep) -> tuple[Exact, Exact]:
    """Step size that maximises T1, and the gain it guarantees.

    Statement (T2):  alpha* = min(1, Abar_w / (2 Delta L_w)); when alpha* < 1 the guaranteed gain
    is H p_w Abar_w^2 / (4 Delta L_w). With Delta <= 2 R_max that is at least
    H p_w Abar_w^2 / (8 R_max L_w). An update without positive advantage gets (0, 0).

    Returns: (alpha, gain), exact for an exact step.
    """
    curvature = 2 * step.spread * step.remaining
    return _capped(step.advantage, curvature, lambda a: improvement_lower_bound(step, a))


def sharp_best_step(
    step: ResetStep, deviation_probabilities: DeviationProbabilities | None = None
) -> tuple[Exact, Exact]:
    """Step size that maximises T1s, and the gain it guarantees.

    Statement (T2, sharp):  with P(D_h) = 1 - (1 - alpha)^h the maximiser is
    alpha* = 1 - (1 - p_w Abar_w / Delta)^(1/(H-1)), or 1 when p_w Abar_w >= Delta. For other
    deviation probabilities T1s need not be concave in alpha, and a grid search narrows alpha down
    to 1e-9; whatever alpha it returns, the gain is T1s there and therefore guaranteed.

    Args:
        step: inputs of the bound; `remaining` is not used.
        deviation_probabilities: alpha -> P(D_0..D_{H-1}); by default those of w = 1, which are an
            upper bound for every w.

    Returns: (alpha, gain). For an exact step alpha is a rational near the (irrational) maximiser
        and the gain is exact at that alpha.
    """

    def bound(alpha: Exact) -> Exact:
        deviations = (
            uniform_deviation_probabilities(step.horizon, alpha)
            if deviation_probabilities is None
            else deviation_probabilities(alpha)
        )
        return sharp_improvement_lower_bound(step, alpha, deviations)

    drift = step.coverage * step.advantage
    if drift <= 0:
        return 0, 0
    if step.horizon == 1:
        return 1, bound(1)
    if deviation_probabilities is not None:
        best = _maximiser(lambda a: float(bound(a)))
    elif drift >= step.spread:
        return 1, bound(1)
    else:
        best = 1 - float(1 - drift / step.spread) ** (1 / (step.horizon - 1))
    alpha = _in_kind_of(step.advantage, best)
    return alpha, bound(alpha)


def greedy_improvement_lower_bound(
    tau: Exact, visit_probabilities: Iterable[Exact], alpha: Exact = 1
) -> Exact:
    r"""Guaranteed gain of acting greedily for the exact advantages, on the improvable set alone.

    Statement (T3):  J(pi_alpha) - J(pi) >= tau E_pi[1 - (1 - alpha)^N] for every alpha, where N
    counts a rollout's visits to I_tau = {(s, h): max_a A(s, a) >= tau} under pi. At alpha = 1 it
    is tau P(N >= 1).
    Assumptions:  A1 the candidate is greedy for the exact advantages; A2 w is 1 on I_tau, else 0.

    Args:
        tau: level of the improvable set; reward units, positive.
        visit_probabilities: P(N = n) for n = 0, 1, ...; must sum to 1.
        alpha: step size in [0, 1].

    Raises: InvalidInput if tau is not positive, alpha is outside [0, 1] or P(N = .) is no law.
    """
    if not tau > 0:
        raise InvalidInput("tau", tau, "not a positive level", "choose one above 0")
    check_probability("alpha", alpha)
    law = tuple(visit_probabilities)
    for probability in law:
        _check_within("visit probability", probability, 0, 1)
    _check_within("sum of visit_probabilities", sum(law), 1, 1)
    return tau * sum(share * (1 - (1 - alpha) ** count) for count, share in enumerate(law))


def discounted_improvement_lower_bound(step: DiscountedResetStep, alpha: Exact) -> Exact:
    r"""Guaranteed gain J(pi_alpha) - J(pi) in a discounted MDP.

    Statement (T8):  alpha p_w Abar_w / (1 - gamma) - alpha^2 Delta p_w gamma / (1 - gamma)^2.
    Assumptions: those of T1; J = E sum_t gamma^t r_t, not multiplied by 1 - gamma.

    Returns: in units of J; a negative value is valid and guarantees nothing.
    Raises: InvalidInput if alpha is outside [0, 1].
    """
    check_probability("alpha", alpha)
    visits = step.coverage / (1 - step.discount)
    after = step.discount / (1 - step.discount)
    return alpha * visits * step.advantage - alpha**2 * step.spread * visits * after


def sharp_discounted_improvement_lower_bound(
    step: DiscountedResetStep, alpha: Exact, deviation: Exact
) -> Exact:
    r"""Guaranteed gain J(pi_alpha) - J(pi) when the discounted time after a deviation is known.

    Statement (T8, sharp):  alpha p_w Abar_w / (1 - gamma) - alpha Delta sum_t gamma^t P(D_t),
    attained for every alpha by the two-state trap.

    Args:
        step: inputs of the bound.
        alpha: step size in [0, 1].
        deviation: sum_t gamma^t P(D_t), in [0, gamma / (1 - gamma)]; an upper bound keeps the
            statement valid.

    Raises: InvalidInput if alpha is outside [0, 1] or `deviation` outside its interval.
    """
    check_probability("alpha", alpha)
    _check_within("deviation", deviation, 0, step.discount / (1 - step.discount))
    return (
        alpha * step.coverage * step.advantage / (1 - step.discount)
        - alpha * step.spread * deviation
    )


def uniform_discounted_deviation(discount: Exact, alpha: Exact) -> Exact:
    """sum_t gamma^t (1 - (1 - alpha)^t): exact for w = 1, an upper bound for any w.

    Closed form gamma alpha / ((1 - gamma) (1 - gamma + gamma alpha)).

    Raises: InvalidInput if alpha is outside [0, 1] or discount outside [0, 1).
    """
    check_probability("alpha", alpha)
    _check_discount(discount)
    return discount * alpha / ((1 - discount) * (1 - discount + discount * alpha))


def discounted_best_step(step: DiscountedResetStep) -> tuple[Exact, Exact]:
    """Step size that maximises T8, and the gain it guarantees.

    Statement (T8):  alpha* = min(1, (1 - gamma) Abar_w / (2 gamma Delta)); when alpha* < 1 the
    guaranteed gain is p_w Abar_w^2 / (4 gamma Delta). No positive advantage: (0, 0).

    Returns: (alpha, gain), exact for an exact step.
    """
    curvature = 2 * step.spread * step.discount / (1 - step.discount)
    return _capped(step.advantage, curvature, lambda a: discounted_improvement_lower_bound(step, a))


def sharp_discounted_best_step(step: DiscountedResetStep) -> tuple[Exact, Exact]:
    """Step size that maximises the sharp T8 with the deviations of w = 1, and its gain.

    Statement (T8, sharp):  alpha* = (1 - gamma) (1 / sqrt(1 - p_w Abar_w / Delta) - 1) / gamma,
    capped at 1, and 1 when p_w Abar_w >= Delta. Valid for every w, since w = 1 deviates most.

    Returns: (alpha, gain); for an exact step a rational near the maximiser, the gain exact there.
    """

    def bound(alpha: Exact) -> Exact:
        deviation = uniform_discounted_deviation(step.discount, alpha)
        return sharp_discounted_improvement_lower_bound(step, alpha, deviation)

    drift = step.coverage * step.advantage
    if drift <= 0:
        return 0, 0
    if step.discount == 0 or drift >= step.spread:
        return 1, bound(1)
    ratio = 1 / math.sqrt(1 - drift / step.spread) - 1
    best = min(1.0, float((1 - step.discount) / step.discount) * ratio)
    alpha = _in_kind_of(step.advantage, best)
    return alpha, bound(alpha)


def _capped(
    advantage: Exact, curvature: Exact, bound: Callable[[Exact], Exact]
) -> tuple[Exact, Exact]:
    """Maximiser on [0, 1] of a concave parabola through 0, its slope : curvature given."""
    if advantage <= 0:
        return 0, 0
    alpha = 1 if advantage >= curvature else advantage / curvature
    return alpha, bound(alpha)


def _maximiser(function: Callable[[float], float], cells: int = 64, rounds: int = 6) -> float:
    """Where `function` is largest on [0, 1]: a grid, refined around its best point."""
    low, high = 0.0, 1.0
    best = 0.0
    for _ in range(rounds):
        width = (high - low) / cells
        best = max((low + width * cell for cell in range(cells + 1)), key=function)
        low, high = max(0.0, best - width), min(1.0, best + width)
    return best


def _in_kind_of(model: Exact, alpha: float) -> Exact:
    """`alpha` as a rational of moderate size when the model is exact."""
    if isinstance(model, Fraction):
        return Fraction(alpha).limit_denominator(_RESOLUTION)
    return alpha


def _check_discount(discount: Exact) -> None:
    check_probability("discount", discount)
    if discount == 1:
        raise InvalidInput("discount", 1, "J is infinite", "choose one below 1 or a horizon")


def _check_within(field: str, value: Exact, low: Exact, high: Exact) -> None:
    """Refuse a value outside [low, high]; a float may exceed it by rounding, a rational may not."""
    if not isinstance(value, Real) or not math.isfinite(value):
        check_in_range(field, value, low, high)
    slack = 0 if isinstance(value, (int, Fraction)) else _ROUNDING * max(1, abs(value))
    if not low - slack <= value <= high + slack:
        check_in_range(field, value, low, high)
