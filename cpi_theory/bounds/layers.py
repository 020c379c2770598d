r"""Improvement guarantees that look at each layer apart, theorems T1e, T1h and T8e.

T1s charges every layer the same spread Delta. A known world says more: before a deviation pi_alpha
is at states of pi, and after one at states that a deviation can lead to. With f = w * Abar, write
R_h for the states that pi reaches at layer h and T_h for those reached there *after a deviation*:
an action of the candidate at an earlier layer where w > 0, then actions of either policy. T_h may
hold states that neither policy reaches alone: the spread over the states of pi is too small. m_h is
the least f on T_h, and 0 where T_h is empty.

Notation and units as in :mod:`cpi_theory.bounds.finite_horizon`. These bounds are for worlds that
are known: without one Delta_h is at most twice the largest return-to-go from layer h on, which for
rewards that are paid at the end is T1s' 2 R_max again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from cpi_theory.bounds.rounding import capped, check_within
from cpi_theory.checks import Exact, InvalidInput, check_probability


@dataclass(frozen=True, slots=True)
class LayeredStep:
    """What T1h needs to know of one update towards a candidate, layer by layer.

    Attributes:
        coverages: E_pi[w(s_h, h)] for h = 0..H-1, each in [0, 1]; their mean is p_w.
        gains: E_pi[f(s_h, h)] of f = w * Abar; their sum is H p_w Abar_w. Reward units.
        spreads: Delta_h = max f on R_h - min f on T_h, the latter 0 where T_h is empty. Negative
            where even the worst state after a deviation offers more than the best of pi.

    Raises:
        InvalidInput: naming the field that no update can have.
    """

    coverages: tuple[Exact, ...]
    gains: tuple[Exact, ...]
    spreads: tuple[Exact, ...]

    def __post_init__(self) -> None:
        if not self.coverages:
            raise InvalidInput("coverages", self.coverages, "no layers", "give one per layer")
        for coverage in self.coverages:
            check_within("coverages", coverage, 0, 1)
        for field, values in (("gains", self.gains), ("spreads", self.spreads)):
            if len(values) != self.horizon:
                raise InvalidInput(
                    field, len(values), f"{self.horizon} layers", "give one number per layer"
                )
            for value in values:
                check_within(field, value, -math.inf, math.inf)

    @property
    def horizon(self) -> int:
        """H, the number of layers."""
        return len(self.coverages)

    @property
    def curvature(self) -> Exact:
        """C = sum_h max(Delta_h, 0) sum_{k<h} E_pi[w(s_k, k)], the penalty at alpha = 1."""
        # P(D_h) <= alpha times the coverage of the layers before h, of which layer 0 has none.
        before = (0, *accumulate(self.coverages))
        return sum(max(d, 0) * c for d, c in zip(self.spreads, before, strict=False))


def layered_improvement_lower_bound(
    step: LayeredStep, alpha: Exact, deviation_probabilities: Iterable[Exact]
) -> Exact:
    r"""Return the guaranteed gain J(pi_alpha) - J(pi) with a spread for each layer.

    Statement (T1h):
    :math:`\alpha H p_w \bar A_w - \alpha \sum_h P(D_h) \Delta_h`, with D_h and P(D_h) as in T1s.
    Never below T1s, and attained for every H and alpha by the two-state trap.

    Args:
        step: inputs of the bound.
        alpha: step size in [0, 1].
        deviation_probabilities: P(D_h) for h = 0..H-1; upper bounds keep the statement valid where
            `spreads` are not negative.

    Returns: in reward units; a negative value is valid and guarantees nothing.
    Raises: InvalidInput if alpha or a probability is outside [0, 1] or their number is not H.
    Source: T1h of docs/theory.md, which sharpens T1s; resets as in arXiv 2605.25507.
    """
    check_probability("alpha", alpha)
    deviations = _one_per_layer(step.horizon, deviation_probabilities)
    lost = sum(p * d for p, d in zip(deviations, step.spreads, strict=True))
    return alpha * (sum(step.gains) - lost)


def layered_best_step(step: LayeredStep) -> tuple[Exact, Exact]:
    r"""Return the step size that maximises T1h's parabola, and the gain it guarantees.

    Statement (T2, layer by layer):  as P(D_h) <= alpha sum_{k<h} E w(s_k, k), T1h is at least
    :math:`\alpha H p_w \bar A_w - \alpha^2 C` with C as in :attr:`LayeredStep.curvature`, which
    :math:`\alpha^* = \min(1, H p_w \bar A_w / (2 C))` maximises. No positive advantage: (0, 0).

    Returns: (alpha, gain), exact for an exact step.
    Source: T1h and T2 of docs/theory.md; resets as in arXiv 2605.25507.
    """
    slope, curvature = sum(step.gains), step.curvature
    return capped(slope, 2 * curvature, lambda a: a * slope - a * a * curvature)


def undeviated_improvement_lower_bound(
    alpha: Exact,
    undeviated_gains: Iterable[Exact],
    deviation_probabilities: Iterable[Exact],
    least_gains: Iterable[Exact],
) -> Exact:
    r"""Return the guaranteed gain when the law of the paths without a deviation is known.

    Statement (T1e):
    :math:`\alpha \sum_h (E_\pi[f(s_h, h) \Lambda_h] + P(D_h) m_h)`, with
    :math:`\Lambda_h = \prod_{k<h} (1 - \alpha w(s_k, k))` the share that has not deviated. Never
    below T1h; contains T3, where no f is negative. Attained for every H and alpha by the two-state
    trap, and wherever f is the same at all states of each T_h.

    Args:
        alpha: step size in [0, 1].
        undeviated_gains: E_pi[f Lambda_h] for h = 0..H-1; reward units.
        deviation_probabilities: P(D_h) for h = 0..H-1, exact ones.
        least_gains: m_h = min f on T_h for h = 0..H-1, 0 where T_h is empty; reward units.

    Returns: in reward units; a negative value is valid and guarantees nothing.
    Raises: InvalidInput if alpha or a probability is outside [0, 1] or numbers of layers differ.
    Source: T1e of docs/theory.md; resets as in arXiv 2605.25507.
    """
    check_probability("alpha", alpha)
    gains, least = tuple(undeviated_gains), tuple(least_gains)
    deviations = _one_per_layer(len(gains), deviation_probabilities)
    if len(least) != len(gains):
        raise InvalidInput("least_gains", len(least), f"{len(gains)} layers", "give one per layer")
    return alpha * (sum(gains) + sum(p * m for p, m in zip(deviations, least, strict=True)))


def undeviated_discounted_improvement_lower_bound(
    alpha: Exact, undeviated_gain: Exact, deviation: Exact, least_gain: Exact
) -> Exact:
    r"""Return the guaranteed gain in a discounted MDP when the paths without deviation are known.

    Statement (T8e):  :math:`\alpha (\langle \ell, f \rangle + m \sum_t \gamma^t P(D_t))`, with
    :math:`\ell = (I - \gamma\, \mathrm{diag}(1 - \alpha w) P_\pi)^{-T} \rho` the discounted visits
    before a deviation and m the least f after one. Never below T8s, attained by the two-state trap.

    Args:
        alpha: step size in [0, 1].
        undeviated_gain: <l, f>, in units of J.
        deviation: sum_t gamma^t P(D_t) >= 0, exact.
        least_gain: m, the least f over states reachable after a deviation, 0 if there are none.

    Raises: InvalidInput if alpha is outside [0, 1] or `deviation` is negative.
    Source: T8 and T1e of docs/theory.md; resets as in arXiv 2605.25507.
    """
    check_probability("alpha", alpha)
    check_within("deviation", deviation, 0, math.inf)
    return alpha * (undeviated_gain + deviation * least_gain)


def _one_per_layer(horizon: int, probabilities: Iterable[Exact]) -> tuple[Exact, ...]:
    found = tuple(probabilities)
    if len(found) != horizon:
        raise InvalidInput(
            "deviation_probabilities", len(found), f"{horizon} layers", "give one per layer"
        )
    for probability in found:
        check_within("deviation probability", probability, 0, 1)
    return found
