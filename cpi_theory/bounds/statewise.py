r"""How many samples a chooser needs that decides each observation by itself, theorem T4w.

The class holds all maps from observations to actions. The chooser with b = R/2 then picks at each
observation the action with the largest sum of G - b. Write nu_o for the mass of an observation
under the reset distribution, gamma_{o,a} for how much smaller the mean return of action a is than
that of the best one, g = nu_o gamma for what choosing a costs in reset advantage, and
e_{o,a} for the :func:`~cpi_theory.bounds.pairs.error_exponent` of g with differ = nu_o.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.pairs import error_exponent, least_count, samples_lower_bound
from cpi_theory.checks import (
    Exact,
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)

Array = NDArray[np.float64]

# Probabilities below it are as good as 0; its square is still a float.
_SMALLEST = 1e-120


def statewise_failure(
    samples: int, masses: Array, gaps: Array, loss: float, reward_bound: float = 1.0
) -> float:
    r"""Bound the probability that the chosen map loses `loss` or more of the best reset advantage.

    Statement (T4w):  for every t > 0
    :math:`P(loss \ge t) \le \min\{ \sum_{o,a} \min(1, g/t) e^{-n e},\;
    \inf_{\lambda > 0} e^{-\lambda t} \prod_o (1 + \sum_a (e^{\lambda g} - 1) e^{-n e}) \}`, e the
    exponent of each (o, a) with a positive gap.
    Assumptions:  A1 trials are independent; A2 G in [0, R]; A3 b = R/2.

    Args:
        samples: n >= 1.
        masses: nu_o, shape (O,), positive with sum <= 1.
        gaps: gamma_{o,a} in [0, R], shape (O, A); 0 at a best action of each row.
        loss: t > 0.
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4w of docs/theory.md; counts of a multinomial law are negatively associated, Joag-Dev
        and Proschan (1983).
    """
    check_count("samples", samples)
    check_positive("loss", loss)
    costs, exponents = _costs(masses, gaps, reward_bound)
    return _failure(samples, costs, exponents, loss)


def statewise_samples(
    masses: Array, gaps: Array, loss: float, delta: float, reward_bound: float = 1.0
) -> int:
    r"""Return the fewest samples at which :func:`statewise_failure` is at most `delta`.

    Args:
        masses: nu_o, shape (O,), positive with sum <= 1.
        gaps: gamma_{o,a} in [0, R], shape (O, A); 0 at a best action of each row.
        loss: t > 0.
        delta: in (0, 1/2].
        reward_bound: R > 0.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4w of docs/theory.md, on an instance.
    """
    check_positive("loss", loss)
    check_positive("delta", delta)
    costs, exponents = _costs(masses, gaps, reward_bound)
    return least_count(lambda n: _failure(n, costs, exponents, loss) <= delta)


def _costs(masses: Array, gaps: Array, reward_bound: float) -> tuple[Array, Array]:
    """g and e of every (o, a), both of shape (O, A); a best action has g = e = 0."""
    shares, table = np.asarray(masses, np.float64), np.asarray(gaps, np.float64)
    check_positive("reward_bound", reward_bound)
    if table.ndim != 2 or shares.shape != table.shape[:1]:
        raise InvalidInput("gaps", table.shape, f"masses are {shares.shape}", "give (O, A)")
    if not (shares > 0).all() or shares.sum() > 1 + 1e-9:
        raise InvalidInput("masses", float(shares.sum()), "no masses", "give shares above 0")
    for row in table.ravel():
        check_in_range("gaps", row, 0, reward_bound * (1 + 1e-9))
    if (table.min(axis=1) > 0).any():
        raise InvalidInput("gaps", table.min(axis=1), "a row has no best action", "subtract it")
    shares = np.minimum(shares, 1.0)  # rounding may have lifted the only one
    costs = shares[:, None] * np.minimum(table, reward_bound)
    exponents = [
        [error_exponent(g, table.shape[1], reward_bound / 2, mass) for g in row]
        for mass, row in zip(shares.tolist(), costs.tolist(), strict=True)
    ]
    return costs, np.array(exponents)


def _failure(samples: int, costs: Array, exponents: Array, loss: float) -> float:
    # Loading it takes long, and every world imports the bounds.
    from scipy.optimize import minimize_scalar

    if costs.max(axis=1).sum() < loss:  # more there is not to lose
        return 0.0
    chances = np.where(costs > 0, np.exp(-samples * exponents), 0.0)
    markov = float((np.minimum(1.0, costs / loss) * chances).sum())

    def log_tail(tilt: float) -> float:
        factors = 1 + (np.expm1(tilt * costs / loss) * chances).sum(axis=1)
        return float(np.log(factors).sum() - tilt)

    # Convex in the tilt, and every tilt gives a bound. An observation that costs most gains nothing
    # to speak of from a tilt beyond this end.
    end = 2 * (1 - math.log(max(float(chances.max()), _SMALLEST))) * loss / float(costs.max())
    found = minimize_scalar(log_tail, bounds=(0.0, end), method="bounded")
    return min(1.0, markov, math.exp(min(0.0, float(found.fun))))


def statewise_bound(precision: Exact, tau: Exact, policies: PolicyClass) -> float:
    r"""Return the number of trials that suffices for a class of maps, whatever the gaps.

    Statement (T4w, a priori):  the chosen map loses at most q tau / 2 of the best reset advantage
    with probability >= 1 - delta once
    :math:`n \ge 4 |A| R^2 K / (\kappa q \tau^2)`, kappa the purity, q the mass of I_tau, and
    K the smaller of :math:`m \ln(m (|A| - 1) / \delta)` and
    :math:`m (1 + \ln(|A| - 1)) + \sqrt{2 m \ln(1 / \delta)} + \ln(1 / \delta)`. With `wide_gaps`
    also once :math:`n \ge |A| m R^2 \ln(2 (|A| - 1) / \delta) / (q \tau^2)`, without the 2 if
    m = 1. So n grows as 1/q and not as its square.

    Args:
        precision: q, the share of reset states in I_tau, in (0, 1].
        tau: threshold of improvable states, in (0, R].
        policies: a class with `observations`.

    Returns: the right-hand side, before rounding up.
    Raises: InvalidInput naming the argument outside its range.
    Source: T4w of docs/theory.md.
    """
    check_positive("precision", precision)
    check_probability("precision", precision)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, policies.reward_bound)
    m, rivals = policies.observations, policies.actions - 1
    if m is None:
        raise InvalidInput("policies", policies, "no class of maps", "give observations")
    if rivals == 0:
        return 0.0
    surely = math.log(1 / policies.delta)
    least = min(
        m * (math.log(m * rivals) + surely),
        m * (1 + math.log(rivals)) + math.sqrt(2 * m * surely) + surely,
    )
    scale = policies.actions * float(policies.reward_bound / tau) ** 2 / float(precision)
    found = 4 * scale * least / float(policies.purity)
    if policies.wide_gaps:
        found = min(found, scale * m * (math.log(rivals if m == 1 else 2 * rivals) + surely))
    return found


def statewise_lower_bound(precision: Exact, tau: Exact, policies: PolicyClass) -> float:
    r"""Return the samples that any chooser needs for a class of maps of purity 1, uniform actions.

    Statement (T4w, lower bound):  the larger of
    :math:`n \ge \ln(1 / (4 d (1 - d))) / (-\ln(1 - 8 q \tau^2 / (m |A| R^2)))` with m := 1 and
    d = delta, and with d = 1/4 + 3 delta / 4: of order |A| R^2 (m + ln(1/delta)) / (q tau^2). A map
    that loses at most q tau / 2 in all 2^m worlds with equal masses needs as many.

    Args:
        precision: q, the share of reset states in I_tau, in (0, 1].
        tau: in (0, R / 2].
        policies: a class with `observations`.

    Raises: InvalidInput naming the argument outside its range.
    Source: T4w of docs/theory.md.
    """
    check_positive("precision", precision)
    check_probability("precision", precision)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, policies.reward_bound / 2)
    if policies.observations is None:
        raise InvalidInput("policies", policies, "no class of maps", "give observations")
    share = float(precision) * float(tau / policies.reward_bound) ** 2 * 8 / policies.actions

    def needed(observations: int, error: float) -> float:
        # An affinity c per trial has the exponent -ln c, half of what is written here.
        rate = -math.log1p(-share / observations) if share < observations else math.inf
        return samples_lower_bound(rate / 2, error)

    # Maps that are wrong at more than a quarter of the observations lose too much.
    most = 0.25 + 0.75 * policies.delta
    return max(needed(1, policies.delta), needed(policies.observations, min(most, 0.5)))
