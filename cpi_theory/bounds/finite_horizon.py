r"""Improvement guarantees of the localised conservative update, theorems T1, T1s, T2 and T3.

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

from cpi_theory.bounds.rounding import DeviationProbabilities, capped, check_within, in_kind_of
from cpi_theory.checks import Exact, InvalidInput, check_count, check_probability


@dataclass(frozen=True, slots=True)
class ResetStep:
    """What T1, T1s and T2 need to know of one update towards a candidate at a reset weight w.

    A bound stays valid when `advantage` is a lower and `spread` and `remaining` are upper
    confidence limits; `coverage` must then be exact (or multiply out, as in T2's step size).

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
        check_within("coverage", self.coverage, 0, 1)
        check_within("advantage", self.advantage, -math.inf, math.inf)
        check_within("spread", self.spread, 0, math.inf)
        check_within("remaining", self.remaining, 0, self.horizon - 1)


def improvement_lower_bound(step: ResetStep, alpha: Exact) -> Exact:
    r"""Return the guaranteed gain J(pi_alpha) - J(pi) of the localised conservative update.

    Statement (T1):
    :math:`\alpha H p_w \bar A_w - \alpha^2 \Delta H p_w L_w`.
    Assumptions:  A1 `step` describes pi, the candidate and w as :class:`ResetStep` says;
                  A2 pi_alpha mixes at every state and layer with weight alpha w(s, h).
    Attained at H = 2; for w = 1 it is the finite-horizon bound of conservative policy iteration.

    Returns: in reward units; a negative value is valid and guarantees nothing.
    Raises: InvalidInput if alpha is outside [0, 1].
    Source: T1 of docs/theory.md, for the resets of arXiv 2605.25507; conservative policy
        iteration, w = 1, is due to Kakade and Langford (ICML 2002).
    """
    check_probability("alpha", alpha)
    visits = step.horizon * step.coverage
    return alpha * visits * step.advantage - alpha**2 * step.spread * visits * step.remaining


def sharp_improvement_lower_bound(
    step: ResetStep, alpha: Exact, deviation_probabilities: Iterable[Exact]
) -> Exact:
    r"""Return the guaranteed gain J(pi_alpha) - J(pi) when the probability of deviating is known.

    Statement (T1s):
    :math:`\alpha H p_w \bar A_w - \alpha \Delta \sum_h P(D_h)`, where D_h is "pi_alpha took the
    candidate's side before layer h" and P(D_h) = 1 - E_pi[prod_{k<h} (1 - alpha w(s_k, k))].
    Never below T1, and attained for every H and alpha by the two-state trap.

    Args:
        step: inputs of the bound; `remaining` is not used.
        alpha: step size in [0, 1].
        deviation_probabilities: P(D_h) for h = 0..H-1 (upper bounds keep the statement valid).

    Returns: in reward units; a negative value is valid and guarantees nothing.
    Raises: InvalidInput if alpha or a probability is outside [0, 1] or their number is not H.
    Source: T1s of docs/theory.md, which sharpens T1; resets as in arXiv 2605.25507.
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
        check_within("deviation probability", probability, 0, 1)
    return alpha * step.horizon * step.coverage * step.advantage - alpha * step.spread * sum(
        deviations
    )


def uniform_deviation_probabilities(horizon: int, alpha: Exact) -> tuple[Exact, ...]:
    r"""Return P(D_h) for h = 0..H-1: exact for w = 1, an upper bound for any w.

    Formula: :math:`P(D_h) = 1 - (1 - \alpha)^h`, the probability that a coin of bias alpha came up
    in one of h layers (T1s of docs/theory.md).

    Raises: InvalidInput if horizon < 1 or alpha is outside [0, 1].
    """
    check_count("horizon", horizon)
    check_probability("alpha", alpha)
    return tuple(1 - (1 - alpha) ** layer for layer in range(horizon))


def best_step(step: ResetStep) -> tuple[Exact, Exact]:
    r"""Return the step size that maximises T1, and the gain it guarantees.

    Statement (T2):  :math:`\alpha^* = \min(1, \bar A_w / (2 c))` with c = Delta L_w. The guaranteed
    gain is H p_w Abar_w^2 / (4 c) when c > Abar_w / 2; with Delta <= 2 R_max that is at least
    H p_w Abar_w^2 / (8 R_max L_w). At the cap, c <= Abar_w / 2, it is H p_w Abar_w (1 - c / Abar_w)
    with alpha* = 1, which is less than the quotient. Either is at least
    H p_w Abar_w min(1/2, Abar_w / (4 c)). An update without positive advantage gets (0, 0).

    Returns: (alpha, gain), exact for an exact step.
    Source: T2 of docs/theory.md, for the resets of arXiv 2605.25507; conservative policy
        iteration, w = 1, is due to Kakade and Langford (ICML 2002).
    """
    curvature = 2 * step.spread * step.remaining
    return capped(step.advantage, curvature, lambda a: improvement_lower_bound(step, a))


def sharp_best_step(
    step: ResetStep, deviation_probabilities: DeviationProbabilities | None = None
) -> tuple[Exact, Exact]:
    r"""Return the step size that maximises T1s, and the gain it guarantees.

    Statement (T2, sharp):  with P(D_h) = 1 - (1 - alpha)^h the maximiser is
    :math:`\alpha^* = 1 - (1 - p_w \bar A_w / \Delta)^{1/(H-1)}`, or 1 when p_w Abar_w >= Delta. For
    other deviation probabilities T1s need not be concave in alpha, and a grid search narrows alpha
    down to 1e-9; whatever alpha it returns, the gain is T1s there and therefore guaranteed.

    Args:
        step: inputs of the bound; `remaining` is not used.
        deviation_probabilities: alpha -> P(D_0..D_{H-1}); by default those of w = 1, which are an
            upper bound for every w.

    Returns: (alpha, gain). For an exact step alpha is a rational near the (irrational) maximiser
        and the gain is exact at that alpha.
    Source: T2 of docs/theory.md, from T1s; resets as in arXiv 2605.25507.
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
    # P(D_0) = 0: with no later layer to spoil, T1s is linear in alpha.
    if step.horizon == 1:
        return 1, bound(1)
    if deviation_probabilities is not None:
        best = _maximiser(lambda a: float(bound(a)))
    elif drift >= step.spread:
        return 1, bound(1)
    else:
        # T1s is alpha H (drift - spread) + spread (1 - (1 - alpha)^H) here; its slope vanishes
        # where (1 - alpha)^(H-1) = 1 - drift / spread.
        best = 1 - float(1 - drift / step.spread) ** (1 / (step.horizon - 1))
    # The gain is that of the rounded alpha, so it is guaranteed however alpha was rounded.
    alpha = in_kind_of(step.advantage, best)
    return alpha, bound(alpha)


def greedy_improvement_lower_bound(
    tau: Exact, visit_probabilities: Iterable[Exact], alpha: Exact = 1
) -> Exact:
    r"""Return the guaranteed gain of acting greedily on the improvable set alone.

    Statement (T3):  :math:`J(\pi_\alpha) - J(\pi) \ge \tau E_\pi[1 - (1 - \alpha)^N]` for every
    alpha, where N counts a rollout's visits to I_tau = {(s, h): max_a A(s, a) >= tau} under pi. At
    alpha = 1 it is tau P(N >= 1).
    Assumptions:  A1 the candidate is greedy for the exact advantages; A2 w is 1 on I_tau, else 0.

    Args:
        tau: threshold of the improvable set, positive; reward units.
        visit_probabilities: P(N = n) for n = 0, 1, ...; must sum to 1.
        alpha: step size in [0, 1].

    Raises: InvalidInput if tau is not positive, alpha is outside [0, 1] or P(N = .) is no law.
    Source: T3 of docs/theory.md; the improvable set and its oracle are those of arXiv 2605.25507.
    """
    if not tau > 0:
        raise InvalidInput("tau", tau, "not a positive threshold", "choose one above 0")
    check_probability("alpha", alpha)
    law = tuple(visit_probabilities)
    for probability in law:
        check_within("visit probability", probability, 0, 1)
    check_within("sum of visit_probabilities", sum(law), 1, 1)
    return tau * sum(share * (1 - (1 - alpha) ** count) for count, share in enumerate(law))


def _maximiser(function: Callable[[float], float], cells: int = 64, rounds: int = 6) -> float:
    """Find where `function` is largest on [0, 1]: a grid, refined around its best point."""
    # Each round keeps two of 64 cells, a 32nd of the interval: after six a cell is 5e-10 wide. A
    # grid and no golden-section search, as the function need not be concave.
    low, high = 0.0, 1.0
    best = 0.0
    for _ in range(rounds):
        width = (high - low) / cells
        best = max((low + width * cell for cell in range(cells + 1)), key=function)
        low, high = max(0.0, best - width), min(1.0, best + width)
    return best
