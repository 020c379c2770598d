"""What T4, T4s, T4w and T7s say about samples, checked against exact laws and by simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from math import comb, floor, inf, isinf, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from cpi_theory.bounds import aliased, chooser, pairs, statewise
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.randomness import Key
from experiments.verify.claims import GAIN, Reading, Readings
from experiments.verify.families import make_instance
from experiments.verify.instances import EPSILON, BoundInstance

Array = NDArray[np.float64]

_ACTIONS = (1, 2, 20, 200)
_SAMPLES = (1, 10, 300, 20_000)
_DELTAS = (0.5, 0.05, 1e-6)
_POLICIES = (1, 50)
_BOUND = 2.0
# A simulation contradicts a statement when it had less than this chance if the statement held.
_UNLIKELY = 1e-9


def _classes() -> Iterator[PolicyClass]:
    for actions, delta, policies in product(_ACTIONS, _DELTAS, _POLICIES):
        yield PolicyClass(actions, delta, policies=policies, reward_bound=_BOUND)


def accuracy_fails_rarely() -> Readings:
    """T4: the estimate of the roughest candidate misses by e(n) with probability <= delta / |Pi|.

    X is |A| R with probability q / |A| and 0 otherwise: of all laws on [0, |A| R] with that mean
    the one with the largest variance, and its tails are binomial.
    """
    for policies in _classes():
        for samples in _SAMPLES:
            radius = chooser.uniform_accuracy(samples, policies)
            worst = _worst_tails(samples, policies.actions, radius / (_BOUND * policies.actions))
            yield Reading("T4", GAIN, 0, worst, policies.delta / (policies.policies or 1))


def _worst_tails(samples: int, actions: int, radius: float) -> float:
    """Largest probability that a mean of `samples` indicators is `radius` or more off its own."""
    chances = np.linspace(0, 1, 33) / actions
    slack = 16 * EPSILON * samples  # a miss by rounding alone is none
    low = np.ceil(samples * (chances - radius) - slack) - 1
    high = np.floor(samples * (chances + radius) + slack)
    tails = binom.cdf(low, samples, chances) + binom.sf(high, samples, chances)
    return float(tails.max())


def sizes_invert_errors() -> Readings:
    """Check T4s: `samples_for` is the least number whose chooser error is small enough.

    Source: docs/theory.md, theorem 4.
    """
    for policies in _classes():
        if policies.actions == 1 or policies.policies == 1:  # nothing to choose
            continue
        for accuracy in (1.7, 0.3, 0.011):
            enough = chooser.samples_for(accuracy, policies)
            reached = chooser.chooser_error(enough, policies)
            yield Reading("T4s", "enough samples", 0, reached, accuracy)
            if enough > 1:
                before = chooser.chooser_error(enough - 1, policies)
                yield Reading("T4s", "no sample too many", 0, accuracy, before)
            most = chooser.leading_samples(accuracy, policies)
            yield Reading("T4s", "leading term, at least", 0, enough - 1, most)


def sign_error(samples: int, plus: float, minus: float) -> float:
    """P(more of n trials speak for the wrong side) + P(as many do) / 2.

    Args:
        samples: n.
        plus: with what probability one trial speaks for the right side.
        minus: with what probability one speaks for the wrong side.
    """
    found, tie = _sign_tails(samples, plus, minus)
    return found + tie / 2


def _surprise(probability: float) -> float:
    """-ln of a probability: the smaller it claims a failure to be, the more a bound says."""
    return -log(probability) if probability > 0 else inf


@cache
def _sign_tails(samples: int, plus: float, minus: float) -> tuple[float, float]:
    """P(fewer for than against) and P(as many for as against)."""
    k = np.arange(samples + 1)
    chance = binom.pmf(k, samples, plus)
    rest = min(1.0, minus / (1 - plus)) if plus < 1 else 0.0
    against = binom.sf(k, samples - k, rest)
    return float(chance @ against), float(chance @ binom.pmf(k, samples - k, rest))


def _pairs_of_means() -> Iterator[tuple[int, float, float, float]]:
    """(actions, differ, better, worse) of two deterministic candidates, in units of R."""
    for actions, differ in product((2, 3, 8), (1.0, 0.4)):
        for better, worse in ((0.52, 0.5), (0.9, 0.1), (0.3, 0.1), (0.01, 0.002), (0.7, 0.0)):
            yield actions, differ, better * differ, worse * differ


def worse_candidates_are_rarely_chosen() -> Readings:
    """T4s: outcomes 0 and R, where sums of D are counts of signs with b = R/2 and with b = 0."""
    for actions, differ, better, worse in _pairs_of_means():
        gap = better - worse
        # (b, sup |G - b|, chance of a sign for, of one against): with b = 0 successes alone count,
        # with b = R/2 a failure speaks against its action.
        centred = (0.5, 0.5, (differ + gap) / actions, (differ - gap) / actions)
        for b, reach, plus, minus in (centred, (0.0, 1.0, better / actions, worse / actions)):
            closed = pairs.error_exponent(gap * _BOUND, actions, reach * _BOUND, differ)
            sharp = pairs.outcome_exponent(better, worse, actions, differ, b * _BOUND, _BOUND)
            yield Reading("T4s", "means say more than the gap", 0, closed, sharp + _TINY)
            for samples in (1, 2, 7, 60, 400):
                wrong, tie = _sign_tails(samples, plus, minus)
                # With fair ties even twice the error is below exp(-n e).
                fair = _surprise(2 * wrong + tie) / samples
                yield Reading("T4s", GAIN, 0, sharp, fair + _TINY)
                yield Reading("T4s", "gain, closed form", 0, closed, fair + _TINY)
                yield Reading("T4s", "any ties", 0, sharp, _surprise(wrong + tie) / samples + _TINY)


# Rounding of an exponent that is found by a search.
_TINY = 1e-12


def random_pairs_of_candidates(seed: int = 0, count: int = 150) -> Readings:
    """T4s on random lattice laws: stochastic candidates, any returns, baselines of each state.

    Returns are quarters of R and probabilities of actions quarters, so that the law of the sum of D
    is a repeated convolution.
    """
    for index in range(count):
        pair = _random_pair(seed, index)
        law, middle = pair.law, len(pair.law) // 2
        values = (np.arange(len(law)) - middle) / _LATTICE
        gap = float(law @ values)
        if gap < 1e-6:
            continue
        closed = pairs.error_exponent(gap, pair.actions, pair.reach, pair.differ)
        sharp = pairs.chernoff_exponent(values, law)
        yield Reading("T4s", "a law says more than its gap", 0, closed, sharp + _TINY)
        for rate in pair.rates:
            yield Reading("T4s", "gain, any law", 0, sharp, rate + _TINY)
            yield Reading("T4s", "gain, any law, closed form", 0, closed, rate + _TINY)


# D is a multiple of 1 / 16: a difference of quarters times one of returns and baselines.
_LATTICE = 16


class _Pair(NamedTuple):
    """Two candidates at R = 1.

    Attributes:
        law: of D, on multiples of 1/16, centred.
        reach: sup |G - b|.
        differ: their TV distance.
        actions: |A|.
        rates: -ln P(sum of n draws <= 0) / n, for n = 2..7.
    """

    law: Array
    reach: float
    differ: float
    actions: int
    rates: tuple[float, ...]


@cache
def _random_pair(seed: int, index: int) -> _Pair:
    rng = Key.of(seed).child("verify pairs", index).generator()
    states, actions = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    masses = rng.dirichlet(np.ones(states))
    law = np.zeros(2 * _LATTICE * actions + 1)
    middle, differ, reach = len(law) // 2, 0.0, 0.0
    for mass in masses:
        first, second = (_quarters(rng, actions) for _ in range(2))
        baseline = int(rng.integers(0, 5))
        differ += mass * np.abs(first - second).sum() / 8
        for a in range(actions):
            returns = rng.dirichlet(np.full(5, 0.3))
            # Good returns where the better candidate goes, so that most laws have a gap.
            if first[a] > second[a]:
                returns = returns[np.argsort(rng.random(5) + np.arange(5))]
            for level, chance in enumerate(returns):
                step = actions * (first[a] - second[a]) * (level - baseline)
                law[middle + step] += mass * chance / actions
        reach = max(reach, max(baseline, 4 - baseline) / 4)
    total, rates = law, []
    for samples in range(2, 8):
        total = np.convolve(total, law)
        rates.append(_surprise(float(total[: samples * middle + 1].sum())) / samples)
    return _Pair(law, reach, max(differ, 1e-9), actions, tuple(rates))


def _quarters(rng: np.random.Generator, actions: int) -> NDArray[np.int64]:
    """Probabilities of actions, in quarters."""
    return np.bincount(rng.integers(actions, size=4), minlength=actions)


def means_of_the_same_trials_are_baselines() -> Readings:
    """T4s: two actions, outcomes 0 and R, b the trials' own mean; all counts are enumerated."""
    for better, worse in ((0.8, 0.3), (0.95, 0.6), (0.4, 0.05)):
        for samples in (3, 9, 16):
            wrong = _errors_of_means(samples, better, worse)
            for miss in (0.3, 0.02):
                bound = pairs.same_trials_failure(
                    samples, better, worse, 2, _BOUND * (better + worse) / 2, miss, 1.0, _BOUND
                )
                surprise = _surprise(bound), _surprise(wrong)
                yield Reading("T4s", "gain, mean of the same trials", 0, *surprise)


@cache
def _errors_of_means(samples: int, better: float, worse: float) -> float:
    """P(sum of D <= 0) of two actions with these shares of successes, b the trials' mean."""
    wrong = 0.0
    cells = np.array([better, 1 - better, worse, 1 - worse]) / 2
    for won, lost, rival in product(range(samples + 1), repeat=3):
        other = samples - won - lost - rival
        if other < 0:
            continue
        mean = (won + rival) / samples
        score = won - rival - mean * (won + lost - rival - other)
        ways = comb(samples, won) * comb(samples - won, lost)
        ways *= comb(samples - won - lost, rival)
        chance = ways * float(np.prod(cells ** [won, lost, rival, other]))
        wrong += chance * (score <= 1e-12)
    return wrong


@cache
def _needed(plus: float, minus: float, delta: float) -> int:
    """Fewest trials at which :func:`sign_error` is at most delta; it falls with every trial."""
    high = 1
    while sign_error(high, plus, minus) > delta:
        high *= 2
    low = high // 2 + 1 if high > 1 else 1
    while low < high:
        middle = (low + high) // 2
        right = sign_error(middle, plus, minus) <= delta
        low, high = (low, middle) if right else (middle + 1, high)
    return low


def no_chooser_needs_less() -> Readings:
    """T4s: in two worlds that exchange two actions even the best test needs as many trials."""
    for actions, slant, delta in product((2, 4), (0.6, 0.2, 0.06), (0.3, 0.1, 1e-4)):
        needed = _needed((1 + slant) / actions, (1 - slant) / actions, delta)
        exponent = pairs.error_exponent(slant * _BOUND, actions, _BOUND / 2)
        fewest = pairs.samples_lower_bound(exponent, delta)
        yield Reading("T4s", "gain, no fewer samples", 0, fewest, needed)
        policies = PolicyClass(actions, delta, policies=2, reward_bound=_BOUND)
        enough = chooser.samples_for(slant * _BOUND, policies)
        # The fewer trials are asked for, the more is claimed.
        yield Reading("T4s", "gain, as many are enough", 0, 1 / enough, 1 / needed)
        yield Reading("T4s", "a union of one", 0, pairs.union_samples(exponent, delta), enough)


def maps_lose_little() -> Readings:
    """T4w: the exact law of the loss at two observations with two actions, outcomes 0 and R."""
    for masses, gaps in (
        ((0.5, 0.5), (0.4, 0.4)),
        ((0.3, 0.1), (0.6, 0.9)),
        ((0.05, 0.9), (0.8, 0.1)),
        ((0.2, 0.2), (0.0, 1.0)),
    ):
        costs = np.array(masses) * gaps
        table = np.array([[0.0, gap] for gap in gaps]) * _BOUND
        for samples in (1, 4, 20, 60):
            law = _law_of_losses(samples, masses, gaps)
            for loss in (costs.max(), costs.sum(), costs[costs > 0].min() / 2, costs.sum() * 1.01):
                chance = sum(p for lost, p in law if lost >= loss * (1 - 1e-12))
                bound = statewise.statewise_failure(
                    samples, np.array(masses), table, loss * _BOUND, _BOUND
                )
                yield Reading("T4w", GAIN, 0, _surprise(bound), _surprise(chance))


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


def maps_are_planned_for() -> Readings:
    """T4w a priori: as many trials are enough, and hardly fewer than the lower bound are not."""
    for precision, tau, delta in ((0.5, 0.4, 0.1), (0.1, 0.3, 0.05), (1.0, 0.2, 0.3)):
        one = PolicyClass(2, delta, observations=1, wide_gaps=True, reward_bound=_BOUND)
        gap = 2 * tau
        needed = _needed(precision * (1 + gap) / 2, precision * (1 - gap) / 2, delta)
        fewest = statewise.statewise_lower_bound(precision, tau * _BOUND, one)
        yield Reading("T4w", "gain, no fewer samples", 0, fewest, needed)
        # The smallest gap that counts as wide is tau itself.
        slowest = _needed(precision * (1 + tau) / 2, precision * (1 - tau) / 2, delta)
        enough = statewise.statewise_bound(precision, tau * _BOUND, one)
        yield Reading("T4w", "gain, enough with wide gaps", 0, 1 / enough, 1 / slowest)
        exact = statewise.statewise_samples(
            np.array([precision]), np.array([[0, gap]]) * _BOUND, precision * tau, delta, _BOUND
        )
        yield Reading("T4w", "gain, enough on the instance", 0, 1 / exact, 1 / needed)
    for wide in (False, True):
        for first in (0.25, 0.45):  # how the mass of I_tau is shared by the two observations
            masses = (first, 0.5 - first) if not wide else (0.25, 0.25)
            pair = PolicyClass(2, 0.2, observations=2, wide_gaps=wide, reward_bound=_BOUND)
            samples = floor(statewise.statewise_bound(0.5, 0.5 * _BOUND, pair)) + 1
            yield Reading("T4w", "gain, planned", 0, 1 / samples, 1)
            for gaps in ((0.5, 0.5), (1.0, 1.0)):
                law = _law_of_losses(samples, masses, gaps)
                chance = sum(p for lost, p in law if lost > 0.5 * 0.5 / 2)
                yield Reading("T4w", "planned maps fail", 0, chance, 0.2)


def aliased_learners_need_samples() -> Readings:
    """Check T7s: the number itself, its closed form below it, and the mean of a sequential test.

    Source: docs/theory.md, theorem 7.
    """
    for coverage in (1.0, 0.5, 0.1, 0.02):
        for tau in (0.25, 0.1, 0.02):
            for delta in (0.24, 0.1, 0.01, 1e-6):
                where = (coverage, tau * _BOUND, delta, _BOUND)
                needed = _samples_needed(coverage * tau, delta)
                exact, closed = aliased.aliased_samples(*where), aliased.aliased_lower_bound(*where)
                yield Reading("T7s", GAIN, 0, closed, needed)
                yield Reading("T7s", "exact, at least", 0, needed, exact)
                yield Reading("T7s", "exact, at most", 0, exact, needed)
            ratio = (1 + 2 * coverage * tau) / (1 - 2 * coverage * tau)
            for wins in (1, 2, 5):  # stop once one side is so far ahead
                delta = 1 / (1 + ratio**wins)
                mean = wins * (1 - 2 * delta) / (2 * coverage * tau)
                bound = aliased.sequential_aliased_lower_bound(
                    coverage, tau * _BOUND, delta, _BOUND
                )
                yield Reading("T7s", "sequential, at least", 0, bound, mean)
                yield Reading("T7s", "sequential, at most", 0, mean, bound)


@cache
def _samples_needed(shift: float, delta: float) -> int:
    """Fewest draws of Bern(1/2 +- shift) from which the sign is told with this error probability.

    Counting successes is the best test, and its error falls with every odd number of draws.
    """

    def error(half: int) -> float:
        draws = 2 * half + 1
        return float(binom.cdf(half, draws, 0.5 + shift))

    high = 1
    while error(high) > delta:
        high *= 2
    low = 0 if error(0) <= delta else high // 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if error(middle) <= delta else (middle + 1, high)
    return 2 * low + 1


def chooser_covers(seed: int, index: int, trials: int = 300, policies: int = 12) -> Readings:
    """T4 and T4s by simulation: how often any candidate is misjudged, or a bad one is chosen.

    Draws are (s, h) ~ nu_w, a uniform, and an outcome R Bern(Q / R), the most variable return that
    has this mean.
    """
    instance = make_instance("layered", seed, index)
    rng = Key.of(seed).child("verify chooser", index).generator()
    samples, delta = int(rng.choice([20, 200, 2000])), float(rng.choice([0.3, 0.1, 0.03]))
    cells = _cells(instance)
    if cells is None:
        return
    mass, right = cells
    actions = right.shape[-1]
    chosen = rng.integers(actions, size=(policies, *right.shape[:-1]))
    candidates = np.eye(actions)[chosen].reshape(policies, -1)
    counts, size = rng.multinomial(samples, mass, size=trials), mass.size // 2
    estimates = actions * (counts[:, :size] @ candidates.T) / samples
    truths = candidates @ mass[:size] * actions
    of = PolicyClass(actions, delta, policies=policies)
    misses = np.abs(estimates - truths).max(axis=1) > chooser.uniform_accuracy(samples, of)
    # With b = 1/2 a success counts one half and a failure minus one half.
    scores = (counts[:, :size] - counts[:, size:]) @ candidates.T
    lacking = truths.max() - truths[scores.argmax(axis=1)]
    shortfalls = lacking > chooser.chooser_error(samples, of)
    most = float(binom.isf(_UNLIKELY, trials, delta))
    yield Reading("T4", "simulated misses", 0, int(misses.sum()), most)
    yield Reading("T4s", "simulated shortfalls", 0, int(shortfalls.sum()), most)


def _cells(instance: BoundInstance) -> tuple[Array, Array] | None:
    """Probability of each (s, h, a, outcome), wins first, and Q; None if w selects nothing."""
    selected = instance.evaluation.occupancy * instance.weight
    if not selected.sum() > 0:
        return None
    reset = selected / selected.sum()
    right = np.clip(instance.evaluation.q_values / float(instance.mdp.reward_bound), 0, 1)
    tried = np.repeat(reset[..., None], right.shape[-1], axis=-1) / right.shape[-1]
    mass = np.concatenate([(tried * right).ravel(), (tried * (1 - right)).ravel()])
    return mass / mass.sum(), right


SamplingClaim = Callable[[], Iterator[Reading]]

EXACT_CLAIMS: tuple[SamplingClaim, ...] = (
    accuracy_fails_rarely,
    sizes_invert_errors,
    worse_candidates_are_rarely_chosen,
    random_pairs_of_candidates,
    means_of_the_same_trials_are_baselines,
    no_chooser_needs_less,
    maps_lose_little,
    maps_are_planned_for,
    aliased_learners_need_samples,
)


def contradicted(reading: Reading) -> bool:
    """Whether the inequality fails by more than the rounding of a binomial law."""
    bound, truth = float(reading.bound), float(reading.truth)
    if isinf(bound) or isinf(truth):
        return bound > truth
    return truth - bound < -1e-9 * max(abs(bound), abs(truth))
