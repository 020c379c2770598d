"""What T4, T4s and T7s say about samples, checked against exact laws and by simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from math import factorial, isinf, log, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from cpi_theory.bounds import aliased, chooser, pairs
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.randomness import Key
from experiments.verify.claims import GAIN, Reading, Readings
from experiments.verify.families import make_instance
from experiments.verify.instances import EPSILON, BoundInstance
from experiments.verify.maps import MAP_CLAIMS, chances_of_three
from experiments.verify.planned import PLAN_CLAIMS
from experiments.verify.signs import BOUND, TINY, fewest, sign_tails, surprise, trials_needed

Array = NDArray[np.float64]

_ACTIONS = (1, 2, 20, 200)
_SAMPLES = (1, 10, 300, 20_000)
_DELTAS = (0.5, 0.05, 1e-6)
# A simulation contradicts a statement when it had less than this chance if the statement held.
_UNLIKELY = 1e-9


def _classes() -> Iterator[tuple[PolicyClass, int]]:
    """Classes and how many candidates they have, their size said in each of its three ways."""
    for actions, delta in product(_ACTIONS, _DELTAS):
        for size, said in (
            (1, {"policies": 1}),
            (50, {"policies": 50}),
            (7, {"log_policies": log(7)}),
            (actions**3, {"observations": 3}),
        ):
            yield PolicyClass(actions, delta, **said, reward_bound=BOUND), size


def accuracy_fails_rarely() -> Readings:
    """T4: the estimate of the roughest candidate misses by e(n) with probability <= delta / |Pi|.

    X is |A| R with probability q / |A| and 0 otherwise: of all laws on [0, |A| R] with that mean
    the one with the largest variance, and its tails are binomial.
    """
    for policies, size in _classes():
        for samples in _SAMPLES:
            radius = chooser.uniform_accuracy(samples, policies)
            worst = _worst_tails(samples, policies.actions, radius / (BOUND * policies.actions))
            yield Reading("T4", GAIN, 0, worst, policies.delta / size)


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
    for policies, size in _classes():
        if policies.actions == 1 or size == 1:  # nothing to choose
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
            closed = pairs.error_exponent(gap * BOUND, actions, reach * BOUND, differ)
            sharp = pairs.outcome_exponent(better, worse, actions, differ, b * BOUND, BOUND)
            yield Reading("T4s", "means say more than the gap", 0, closed, sharp + TINY)
            for samples in (1, 2, 7, 60, 400):
                wrong, tie = sign_tails(samples, plus, minus)
                # With fair ties even twice the error is below exp(-n e).
                fair = surprise(2 * wrong + tie) / samples
                yield Reading("T4s", GAIN, 0, sharp, fair + TINY)
                yield Reading("T4s", "gain, closed form", 0, closed, fair + TINY)
                yield Reading("T4s", "any ties", 0, sharp, surprise(wrong + tie) / samples + TINY)


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
        yield Reading("T4s", "a law says more than its gap", 0, closed, sharp + TINY)
        for rate in pair.rates:
            yield Reading("T4s", "gain, any law", 0, sharp, rate + TINY)
            yield Reading("T4s", "gain, any law, closed form", 0, closed, rate + TINY)


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
        rates.append(surprise(float(total[: samples * middle + 1].sum())) / samples)
    return _Pair(law, reach, max(differ, 1e-9), actions, tuple(rates))


def _quarters(rng: np.random.Generator, actions: int) -> NDArray[np.int64]:
    """Probabilities of actions, in quarters."""
    return np.bincount(rng.integers(actions, size=4), minlength=actions)


def other_baselines() -> Readings:
    """T4s from means, b neither 0 nor R/2: outcomes 0 and R, the sum of D on a lattice of R/4."""
    for (actions, differ, better, worse), quarters in product(_pairs_of_means(), (1, 3, 4)):
        sharp = pairs.outcome_exponent(better, worse, actions, differ, quarters / 4 * BOUND, BOUND)
        law = np.zeros(9)  # of D / |A|, in quarters of R
        for chance, sign in ((better, 1), (worse, -1)):
            law[4 + sign * (4 - quarters)] += chance / actions
            law[4 - sign * quarters] += (differ - chance) / actions
        law[4] += 1 - 2 * differ / actions
        total = law
        for samples in range(2, 8):
            total = np.convolve(total, law)
            rate = surprise(float(total[: 4 * samples + 1].sum())) / samples
            yield Reading("T4s", "gain, any baseline", 0, sharp, rate + TINY)


def means_of_the_same_trials_are_baselines() -> Readings:
    """T4s: outcomes 0 and R, b the trials' own mean; all counts are enumerated.

    With two actions every trial speaks for one candidate; with three, or where the candidates
    agree on half of the reset distribution, the others move the baseline alone.
    """
    cases = [(pair, 2, 1.0, 0.0) for pair in ((0.8, 0.3), (0.95, 0.6), (0.4, 0.05))]
    cases += [((0.9, 0.2), 3, 1.0, 0.7), ((0.45, 0.05), 2, 0.5, 0.1)]
    for (better, worse), actions, differ, other in cases:
        mean = (better + worse + (actions - 2 * differ) * other) / actions
        for samples in (3, 9, 16):
            wrong = _errors_of_means(samples, better, worse, actions, differ, other)
            for miss in (0.3, 0.02):
                bound = pairs.same_trials_failure(
                    samples, better, worse, actions, BOUND * mean, miss, differ, BOUND
                )
                told = surprise(bound), surprise(wrong)
                yield Reading("T4s", "gain, mean of the same trials", 0, *told)


@cache
def _errors_of_means(
    samples: int, better: float, worse: float, actions: int, differ: float, other: float
) -> float:
    """P(sum of D <= 0) of candidates with these successes, b the trials' mean.

    `other` is the share of successes among trials that speak for neither.
    """
    rest = actions - 2 * differ
    cells = np.array([better, differ - better, worse, differ - worse])
    cells = np.append(cells, [rest * other, rest * (1 - other)]) / actions
    wrong = 0.0
    for counts in _counts(samples, len(cells) if rest > 0 else 4):
        won, lost, rival, failed = counts[:4]
        mean = (won + rival + sum(counts[4:5])) / samples
        score = won - rival - mean * (won + lost - rival - failed)
        if score <= 1e-12:
            ways = factorial(samples) // prod(map(factorial, counts))
            wrong += ways * prod(float(c) ** n for c, n in zip(cells, counts, strict=False))
    return wrong


def _counts(total: int, kinds: int) -> Iterator[tuple[int, ...]]:
    """Every way to share `total` trials among kinds."""
    if kinds == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for others in _counts(total - first, kinds - 1):
            yield (first, *others)


def no_chooser_needs_less() -> Readings:
    """T4s: in two worlds that exchange two actions even the best test needs as many trials."""
    for actions, slant, delta in product((2, 4), (0.6, 0.2, 0.06), (0.3, 0.1, 1e-4)):
        needed = trials_needed((1 + slant) / actions, (1 - slant) / actions, delta)
        exponent = pairs.error_exponent(slant * BOUND, actions, BOUND / 2)
        fewest = pairs.samples_lower_bound(exponent, delta)
        yield Reading("T4s", "gain, no fewer samples", 0, fewest, needed)
        policies = PolicyClass(actions, delta, policies=2, reward_bound=BOUND)
        enough = chooser.samples_for(slant * BOUND, policies)
        # The fewer trials are asked for, the more is claimed.
        yield Reading("T4s", "gain, as many are enough", 0, 1 / enough, 1 / needed)
        yield Reading("T4s", "a union of one", 0, pairs.union_samples(exponent, delta), enough)


def one_of_three_is_chosen() -> Readings:
    """T4s: a class of three candidates, its size said in three ways; the exact law of a choice."""
    for gap, delta in ((0.6, 0.1), (0.9, 1e-3)):
        needed = _needed_of_three(gap, delta)
        for said in ({"policies": 3}, {"log_policies": log(3)}, {"observations": 1}):
            policies = PolicyClass(3, delta, **said, reward_bound=BOUND)
            enough = chooser.samples_for(gap * BOUND, policies)
            yield Reading("T4s", "gain, enough for three", 0, 1 / enough, 1 / needed)
            accuracy = chooser.chooser_error(needed, policies)
            yield Reading("T4s", "an error that is reached", 0, gap * BOUND, accuracy)

    alone = PolicyClass(3, 0.1, policies=1, reward_bound=BOUND)
    yield Reading("T4s", "nothing to choose", 0, chooser.samples_for(0.1, alone), 1)
    yield Reading("T4s", "no error to make", 0, chooser.chooser_error(1, alone), 0)


@cache
def _needed_of_three(gap: float, delta: float) -> int:
    """Fewest trials with which two actions, each worse by gap, are chosen rarely enough."""
    return fewest(lambda n: sum(chances_of_three(n, 1.0, (gap, gap))) <= delta)


def aliased_learners_need_samples() -> Readings:
    """Check T7s: the number itself, its closed form below it, and the mean of a sequential test.

    Source: docs/theory.md, theorem 7.
    """
    for coverage in (1.0, 0.5, 0.1, 0.02):
        for tau in (0.25, 0.1, 0.02):
            for delta in (0.24, 0.1, 0.01, 1e-6):
                where = (coverage, tau * BOUND, delta, BOUND)
                needed = _samples_needed(coverage * tau, delta)
                exact, closed = aliased.aliased_samples(*where), aliased.aliased_lower_bound(*where)
                yield Reading("T7s", GAIN, 0, closed, needed)
                yield Reading("T7s", "exact, at least", 0, needed, exact)
                yield Reading("T7s", "exact, at most", 0, exact, needed)
            ratio = (1 + 2 * coverage * tau) / (1 - 2 * coverage * tau)
            for wins in (1, 2, 5):  # stop once one side is so far ahead
                delta = 1 / (1 + ratio**wins)
                mean = wins * (1 - 2 * delta) / (2 * coverage * tau)
                bound = aliased.sequential_aliased_lower_bound(coverage, tau * BOUND, delta, BOUND)
                yield Reading("T7s", "sequential, at least", 0, bound, mean)
                yield Reading("T7s", "sequential, at most", 0, mean, bound)


@cache
def _samples_needed(shift: float, delta: float) -> int:
    """Fewest draws of Bern(1/2 +- shift) from which the sign is told with this error probability.

    Counting successes is the best test, and its error falls with every odd number of draws.
    """

    def enough(halves: int) -> bool:
        draws = 2 * halves - 1
        return float(binom.cdf(halves - 1, draws, 0.5 + shift)) <= delta

    return 2 * fewest(enough) - 1


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
"""A claim of no instance."""

EXACT_CLAIMS: tuple[SamplingClaim, ...] = (
    accuracy_fails_rarely,
    sizes_invert_errors,
    worse_candidates_are_rarely_chosen,
    random_pairs_of_candidates,
    other_baselines,
    means_of_the_same_trials_are_baselines,
    no_chooser_needs_less,
    one_of_three_is_chosen,
    *MAP_CLAIMS,
    *PLAN_CLAIMS,
    aliased_learners_need_samples,
)


def contradicted(reading: Reading) -> bool:
    """Whether the inequality fails by more than the rounding of a binomial law."""
    bound, truth = float(reading.bound), float(reading.truth)
    if isinf(bound) or isinf(truth):
        return bound > truth
    return truth - bound < -1e-9 * max(abs(bound), abs(truth))
