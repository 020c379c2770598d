"""What T4 and T7 say about samples, checked against exact binomial laws and by simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from cpi_theory.bounds import chooser
from cpi_theory.randomness import Key
from experiments.verify.claims import GAIN, Reading, Readings
from experiments.verify.families import make_instance
from experiments.verify.instances import EPSILON, BoundInstance

_ACTIONS = (1, 2, 20, 200)
_SAMPLES = (1, 10, 300, 20_000)
_DELTAS = (0.5, 0.05, 1e-6)
_POLICIES = (1, 50)
_BOUND = 2.0
# A simulation contradicts a statement when it had less than this chance if the statement held.
_UNLIKELY = 1e-9


def accuracy_fails_rarely() -> Readings:
    """T4: the estimate of the roughest candidate misses by e(n) with probability <= delta / |Pi|.

    X is |A| R with probability q / |A| and 0 otherwise: of all laws on [0, |A| R] with that mean
    the one with the largest variance, and its tails are binomial.
    """
    for actions in _ACTIONS:
        for samples in _SAMPLES:
            for delta in _DELTAS:
                for policies in _POLICIES:
                    radius = chooser.uniform_accuracy(samples, actions, policies, delta, _BOUND)
                    worst = _worst_tails(samples, actions, radius / (_BOUND * actions))
                    yield Reading("T4", GAIN, 0, worst, delta / policies)


def _worst_tails(samples: int, actions: int, radius: float) -> float:
    """Largest probability that a mean of `samples` indicators is `radius` or more off its own."""
    chances = np.linspace(0, 1, 33) / actions
    slack = 16 * EPSILON * samples  # a miss by rounding alone is none
    low = np.ceil(samples * (chances - radius) - slack) - 1
    high = np.floor(samples * (chances + radius) + slack)
    tails = binom.cdf(low, samples, chances) + binom.sf(high, samples, chances)
    return float(tails.max())


def sizes_invert_accuracies() -> Readings:
    """Check T4: `samples_for` is the least number whose chooser error is small enough.

    Source: docs/theory.md, theorem 4.
    """
    for actions in _ACTIONS:
        for delta in _DELTAS:
            for policies in _POLICIES:
                arguments = (actions, policies, delta, _BOUND)
                for accuracy in (1.7, 0.3, 0.011):
                    enough = chooser.samples_for(accuracy, *arguments)
                    reached = chooser.chooser_error(enough, *arguments)
                    yield Reading("T4", "enough samples", 0, reached, accuracy)
                    if enough > 1:
                        before = chooser.chooser_error(enough - 1, *arguments)
                        yield Reading("T4", "no sample too many", 0, accuracy, before)
                error = chooser.chooser_error(100, *arguments)
                twice = 2 * chooser.uniform_accuracy(100, *arguments)
                yield Reading("T4", "error is twice the accuracy, at least", 0, twice, error)
                yield Reading("T4", "error is twice the accuracy, at most", 0, error, twice)


def chooser_covers(seed: int, index: int, trials: int = 300, policies: int = 12) -> Readings:
    """T4 by simulation: how often any of a class of candidates is misjudged by more than e(n).

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
    chosen = rng.integers(right.shape[-1], size=(policies, *right.shape[:-1]))
    candidates = np.eye(right.shape[-1])[chosen].reshape(policies, -1)
    wins = rng.multinomial(samples, mass, size=trials)[:, : mass.size // 2]
    estimates = right.shape[-1] * (wins @ candidates.T) / samples
    truths = candidates @ mass[: mass.size // 2] * right.shape[-1]
    misses = np.abs(estimates - truths)
    accuracy = chooser.uniform_accuracy(samples, right.shape[-1], policies, delta)
    failures = int((misses.max(axis=1) > accuracy).sum())
    picked = truths[estimates.argmax(axis=1)]
    error = chooser.chooser_error(samples, right.shape[-1], policies, delta)
    shortfalls = int((truths.max() - picked > error).sum())
    most = float(binom.isf(_UNLIKELY, trials, delta))
    yield Reading("T4", "simulated misses", 0, failures, most)
    yield Reading("T4", "simulated shortfalls", 0, shortfalls, most)


def _cells(instance: BoundInstance) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Probability of each (s, h, a, outcome), wins first, and Q; None if w selects nothing."""
    selected = instance.evaluation.occupancy * instance.weight
    if not selected.sum() > 0:
        return None
    reset = selected / selected.sum()
    right = np.clip(instance.evaluation.q_values / float(instance.mdp.reward_bound), 0, 1)
    tried = np.repeat(reset[..., None], right.shape[-1], axis=-1) / right.shape[-1]
    mass = np.concatenate([(tried * right).ravel(), (tried * (1 - right)).ravel()])
    return mass / mass.sum(), right


def aliased_learners_need_samples() -> Readings:
    """Check T7: even the best test of the two worlds needs as many samples as it says.

    Source: docs/theory.md, theorem 7.
    """
    for coverage in (1.0, 0.5, 0.1, 0.02):
        for tau in (0.25, 0.1, 0.02):
            for delta in (0.24, 0.1, 0.01, 1e-6):
                bound = chooser.aliased_lower_bound(coverage, tau * _BOUND, delta, _BOUND)
                needed = _samples_needed(coverage * tau, delta)
                yield Reading("T7", GAIN, 0, bound, needed)


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


SamplingClaim = Callable[[], Iterator[Reading]]

EXACT_CLAIMS: tuple[SamplingClaim, ...] = (
    accuracy_fails_rarely,
    sizes_invert_accuracies,
    aliased_learners_need_samples,
)


def contradicted(reading: Reading) -> bool:
    """Whether the inequality fails by more than the rounding of a binomial law."""
    size = max(abs(float(reading.bound)), abs(float(reading.truth)))
    return float(reading.slack) < -1e-9 * size
