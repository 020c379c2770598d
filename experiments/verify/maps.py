"""What T4w says about classes of maps, checked against exact laws."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from cpi_theory.bounds import pairs, statewise
from cpi_theory.bounds.classes import PolicyClass
from experiments.verify.claims import GAIN, Reading, Readings
from experiments.verify.signs import BOUND, fewest, surprise, trials_needed

Array = NDArray[np.float64]

# A loss that equals the one asked about in exact arithmetic must not fall below it by rounding.
_NOT_LESS = 1 - 1e-12
# A gap at the threshold is not too large; one this much above it is.
_MORE = 1 + 1e-9


def maps_lose_little() -> Readings:
    """T4w: the exact law of the loss at two observations with two actions, outcomes 0 and R."""
    for masses, gaps in (
        ((0.5, 0.5), (0.4, 0.4)),
        ((0.3, 0.1), (0.6, 0.9)),
        ((0.05, 0.9), (0.8, 0.1)),
        ((0.2, 0.2), (0.0, 1.0)),
    ):
        costs = np.array(masses) * gaps
        table = np.array([[0.0, gap] for gap in gaps]) * BOUND
        for samples in (1, 4, 20, 60):
            law = _law_of_losses(samples, masses, gaps)
            for loss in (costs.max(), costs.sum(), costs[costs > 0].min() / 2, costs.sum() * 1.01):
                chance = sum(p for lost, p in law if lost >= loss * _NOT_LESS)
                bound = statewise.statewise_failure(
                    samples, np.array(masses), table, loss * BOUND, BOUND
                )
                yield Reading("T4w", GAIN, 0, surprise(bound), surprise(chance))


@cache
def _law_of_losses(
    samples: int, masses: tuple[float, ...], gaps: tuple[float, ...]
) -> tuple[tuple[float, float], ...]:
    """(loss in units of R, probability) of the four outcomes of choosing at two observations."""
    counts = np.arange(samples + 1)
    wrong = [_share_wrong(counts, gap) for gap in gaps]
    share = min(1.0, masses[1] / (1 - masses[0]))
    joint = binom.pmf(counts, samples, masses[0])[:, None] * binom.pmf(
        counts, samples - counts[:, None], share
    )
    law = []
    for bad in product((False, True), repeat=2):
        sides = [w if b else 1 - w for w, b in zip(wrong, bad, strict=True)]
        lost = sum(m * g for m, g, b in zip(masses, gaps, bad, strict=True) if b)
        law.append((lost, float(sides[0] @ joint @ sides[1])))
    return tuple(law)


def _share_wrong(trials: NDArray[np.int64], gap: float) -> Array:
    """Error of a count of signs that are right with probability (1 + gap) / 2, ties drawn."""
    chance = (1 + gap) / 2
    ties = np.where(trials % 2 == 0, binom.pmf(trials // 2, trials, chance), 0.0)
    return np.asarray(binom.cdf((trials - 1) // 2, trials, chance) + ties / 2)


def maps_of_three_actions_lose_little() -> Readings:
    """T4w: one observation with two rivals, and unions of the two pairs that they are."""
    for mass, gaps in ((1.0, (0.5, 0.5)), (0.6, (0.3, 0.9)), (0.3, (1.0, 0.8))):
        costs = mass * np.array(gaps)
        table = np.array([[0.0, *gaps]]) * BOUND
        exponents = np.array([pairs.error_exponent(cost, 3, 0.5, mass) for cost in costs])
        for loss in (costs.min(), costs.max(), costs.min() / 2):
            shares = np.minimum(1.0, costs / loss)
            for samples in (1, 5, 40):
                chance = _chance_of_loss(samples, mass, gaps, loss)
                bound = statewise.statewise_failure(
                    samples, np.array([mass]), table, loss * BOUND, BOUND
                )
                yield Reading("T4w", "gain, three actions", 0, surprise(bound), surprise(chance))
            for weights in (1.0, shares):
                enough = pairs.union_samples(exponents, 0.2, weights)
                chance = _chance_of_loss(enough, mass, gaps, loss)
                yield Reading("T4w", "a union fails", 0, chance, 0.2)
                union = float((np.exp(-(enough - 1) * exponents) * weights).sum())
                yield Reading("T4w", "a union, no sample too many", 0, 0.2, union)


def _chance_of_loss(samples: int, mass: float, gaps: tuple[float, float], loss: float) -> float:
    chances = chances_of_three(samples, mass, gaps)
    lost = zip(chances, gaps, strict=True)
    return sum(chance for chance, gap in lost if mass * gap >= loss * _NOT_LESS)


@cache
def chances_of_three(samples: int, mass: float, gaps: tuple[float, float]) -> tuple[float, float]:
    """With what probability each of two rivals is chosen at one observation, ties drawn.

    The law of the scores of three actions, outcomes 0 and R, b = R/2.

    Args:
        samples: n.
        mass: of the observation.
        gaps: how much worse than the best action each rival is, in units of R.
    """
    best = (1 + max(gaps)) / 2
    law = np.zeros((2 * samples + 1, 2 * samples + 1))  # of the best's lead over each rival
    law[0, 0] = 1.0
    steps = [((1, 1), best), ((-1, 0), best - gaps[0]), ((0, -1), best - gaps[1])]
    for _ in range(samples):
        after = (1 - mass) * law
        for (x, y), chance in steps:
            after = after + mass / 3 * chance * np.roll(law, (x, y), (0, 1))
            after = after + mass / 3 * (1 - chance) * np.roll(law, (-x, -y), (0, 1))
        law = after
    lead = np.fft.fftfreq(2 * samples + 1, 1 / (2 * samples + 1)).round()
    first, second = np.meshgrid(lead, lead, indexing="ij")
    scores = np.stack([0 * first, -first, -second])
    winners = scores == scores.max(axis=0)
    chosen = (winners / winners.sum(axis=0) * law).sum(axis=(1, 2))
    return float(chosen[1]), float(chosen[2])


def maps_are_planned_for() -> Readings:
    """T4w a priori: as many trials are enough, and hardly fewer than the lower bound are not."""
    cases = ((0.5, 0.4, 0.1), (0.1, 0.3, 0.05), (1.0, 0.2, 0.3), (1.0, 0.5, 0.1))
    for precision, tau, delta in cases:  # in the last one trial tells all
        one = PolicyClass(2, delta, observations=1, wide_gaps=True, reward_bound=BOUND)
        gap = 2 * tau
        needed = trials_needed(precision * (1 + gap) / 2, precision * (1 - gap) / 2, delta)
        fewest = statewise.statewise_lower_bound(precision, tau * BOUND, one)
        yield Reading("T4w", "gain, no fewer samples", 0, fewest, needed)
        # The smallest gap that counts as wide is tau itself.
        slowest = trials_needed(precision * (1 + tau) / 2, precision * (1 - tau) / 2, delta)
        enough = statewise.statewise_bound(precision, tau * BOUND, one)
        yield Reading("T4w", "gain, enough with wide gaps", 0, 1 / enough, 1 / slowest)
        exact = statewise.statewise_samples(
            np.array([precision]), np.array([[0, gap]]) * BOUND, precision * tau, delta, BOUND
        )
        yield Reading("T4w", "gain, enough on the instance", 0, 1 / exact, 1 / needed)
    for wide in (False, True):
        for first in (0.25, 0.45):  # how the mass of I_tau is shared by the two observations
            masses = (first, 0.5 - first) if not wide else (0.25, 0.25)
            pair = PolicyClass(2, 0.2, observations=2, wide_gaps=wide, reward_bound=BOUND)
            samples = floor(statewise.statewise_bound(0.5, 0.5 * BOUND, pair)) + 1
            yield Reading("T4w", "gain, planned", 0, 1 / samples, 1)
            for gaps in ((0.5, 0.5), (1.0, 1.0)):
                law = _law_of_losses(samples, masses, gaps)
                chance = sum(p for lost, p in law if lost > 0.5 * 0.5 / 2)
                yield Reading("T4w", "planned maps fail", 0, chance, 0.2)


def impure_maps_are_planned_for() -> Readings:
    """T4w a priori, purity below 1: one observation, the smallest gap that costs too much there.

    It holds all of I_tau, and other states beside, so that its mass is q / kappa and a gap of
    kappa tau / 2 costs q tau / 2.
    """
    for purity, precision, tau, actions, delta in (
        (0.1, 0.08, 0.9, 2, 0.05),
        (0.25, 0.2, 1.0, 2, 1e-6),
        (0.5, 0.3, 0.8, 5, 0.01),
        (1.0, 0.5, 0.6, 4, 0.1),
    ):
        maps = PolicyClass(actions, delta, observations=1, purity=purity, reward_bound=BOUND)
        enough = statewise.statewise_bound(precision, tau * BOUND, maps)
        mass, gap = precision / purity, purity * tau / 2
        chances = (mass * (1 + gap) / actions, mass * (1 - gap) / actions)
        # Of several rivals one alone is as bad: as many trials are needed at the least.
        fewest_of_all = trials_needed(*chances, delta)
        yield Reading("T4w", "gain, enough at this purity", 0, 1 / enough, 1 / fewest_of_all)


def maps_of_three_actions_are_planned_for() -> Readings:
    """T4w a priori: two rivals at one observation, both at the smallest gap that costs too much."""
    for purity, precision, tau, delta, wide in (
        (0.8, 0.8, 1.0, 0.1, False),
        (1.0, 1.0, 1.0, 0.3, False),
        (1.0, 0.7, 0.8, 0.02, True),
    ):
        said: dict[str, Any] = {"purity": purity, "wide_gaps": wide, "reward_bound": BOUND}
        maps = PolicyClass(3, delta, observations=1, **said)
        samples = floor(statewise.statewise_bound(precision, tau * BOUND, maps)) + 1
        gap = tau if wide else purity * tau / 2 * _MORE
        chance = sum(chances_of_three(samples, precision / purity, (gap, gap)))
        yield Reading("T4w", "planned maps of three actions fail", 0, chance, delta)


def plans_know_what_helps() -> Readings:
    """T4w a priori: what is known of gaps never asks for more, and one action for nothing."""
    for observations, delta in ((40, 1e-6), (3, 0.2)):
        of: dict[str, Any] = {"observations": observations, "reward_bound": BOUND}
        for actions in (2, 6):
            known, unknown = (
                statewise.statewise_bound(0.3, 0.8, PolicyClass(actions, delta, **of, wide_gaps=w))
                for w in (True, False)
            )
            yield Reading("T4w", "wide gaps ask for no more", 0, known, unknown)
        nothing = statewise.statewise_bound(0.3, 0.8, PolicyClass(1, delta, **of))
        yield Reading("T4w", "one action, at least", 0, 0, nothing)
        yield Reading("T4w", "one action, at most", 0, nothing, 0)


def no_map_needs_less() -> Readings:
    """T4w, lower bound: two observations of equal mass, where no choice may be wrong."""
    for precision, tau, actions, delta in ((0.8, 0.4, 2, 0.1), (1.0, 0.3, 4, 0.2)):
        maps = PolicyClass(actions, delta, observations=2, reward_bound=BOUND)
        least = statewise.statewise_lower_bound(precision, tau * BOUND, maps)
        needed = _needed_of_two(precision, tau, actions, delta)
        yield Reading("T4w", "gain, no fewer samples for two", 0, least, needed)


@cache
def _needed_of_two(precision: float, tau: float, actions: int, delta: float) -> int:
    # Trials of the other actions say nothing of the two that the worlds exchange.
    masses = (precision / actions, precision / actions)

    def enough(samples: int) -> bool:
        law = _law_of_losses(samples, masses, (2 * tau, 2 * tau))
        return sum(chance for lost, chance in law if lost > 0) <= delta

    return fewest(enough)


MAP_CLAIMS = (
    maps_lose_little,
    maps_of_three_actions_lose_little,
    maps_are_planned_for,
    impure_maps_are_planned_for,
    maps_of_three_actions_are_planned_for,
    plans_know_what_helps,
    no_map_needs_less,
)
"""What is read of T4w."""
