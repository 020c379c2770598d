"""Which failed rollout to reset, when the world names first errors with a known accuracy.

All of a prompt's n rollouts failed and a world named a step of each; m more rollouts are to be
spent. The *expected signal* of spending them from a state is the probability that they form a
group whose rewards differ, times the share of the steps that such a group can still teach (those
behind the state). From the start, together with the n failures, it is 1 - (1 - v0)^m with v0 the
pass rate; from before step k of a rollout of L steps it is

    P(no error before k | named steps) * (1 - (1 - v)^m - v^m) * (1 - k / L),

v the success probability from a clean prefix of k steps. The model behind it has one unknown, v0:
every step fails alike, so a rollout is clean before step k with probability S(k) = v0^(k / L) and
v = v0 / S(k); a world names the first error with probability `accuracy` and else a uniform step.

A deep parent has a large v, but a deep *named* step is where the wrong answers are: the deepest
of several noisy answers is the one most likely to be too late. See docs/theory.md, "Which parent".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_probability

Floats = NDArray[np.float64]

# Points of the prior. A thousand would move an expected signal by less than 0.02 (see the tests);
# the laws of each rollout length take this many rows.
_GRID = 32


@dataclass(frozen=True, slots=True)
class FirstErrorModel:
    """What is believed of a prompt before anything is drawn, and of the world's answers.

    Attributes:
        accuracy: the assumed accuracy, the probability that the world names the first error;
            otherwise its answer is a uniform step. See :func:`accuracy_of` for what a measured
            share of exact answers means.
        easiest, hardest: pass rates of a prompt, in (0, 1). In between, the logarithm of
            ln(1 / pass rate) is uniform; equal ones stand for a known pass rate.
    """

    accuracy: float = 1.0
    easiest: float = 0.1
    hardest: float = 1e-8

    def __post_init__(self) -> None:
        check_probability("accuracy", self.accuracy)
        for name in ("easiest", "hardest"):
            # Away from 0 and 1: ln(1 / rate) is to be finite and positive, and so is 1 - rate.
            check_in_range(name, getattr(self, name), 1e-12, 1 - 1e-9)
        if self.hardest > self.easiest:
            raise InvalidInput("hardest", self.hardest, "above easiest", "exchange the two")

    def pass_rates(self) -> Floats:
        """Return the pass rates that are weighed alike, shape (g,)."""
        if self.easiest == self.hardest:
            return np.array([self.easiest])
        # A geometric grid of ln(1 / rate): every point has the same prior weight.
        return np.exp(-np.geomspace(-np.log(self.easiest), -np.log(self.hardest), _GRID))


def accuracy_of(exact: float, length: int) -> float:
    """Return the accuracy of a world that names the first error in a share `exact` of cases.

    Uniform answers among `length` steps hit it by chance in 1 / length of cases, so that a share
    of accuracy + (1 - accuracy) / length is right. A share below chance counts as accuracy 0.

    Args:
        exact: e.g. measured by `localizer_quality` or a step checker, in [0, 1].
        length: steps of a typical rollout.
    """
    check_probability("exact", exact)
    check_count("length", length, minimum=2)
    # exact = c + (1 - c) / length, solved for the accuracy c.
    return max(0.0, (exact - 1 / length) / (1 - 1 / length))


def informative_probability(success: Floats, count: int, known_failure: bool = False) -> Floats:
    """Return P(rewards differ) in a group whose rollouts succeed with probability `success`.

    1 - (1 - v)^m - v^m; with one more rollout in the group that is known to have failed, all
    others succeeding differs too: 1 - (1 - v)^m.
    """
    mixed = 1 - (1 - success) ** count
    return mixed if known_failure else mixed - success**count


@dataclass(frozen=True, slots=True)
class FirstErrorLaws:
    """Laws of a rollout of L steps at each pass rate.

    Attributes:
        first: P(first error at k | failed), shape (g, L).
        later: P(first error at k or later | failed), shape (g, L).
        value: success probability from a clean prefix of k steps, shape (g, L).
    """

    first: Floats
    later: Floats
    value: Floats

    @classmethod
    def of(cls, rates: Floats, length: int) -> FirstErrorLaws:
        """Return the laws of rollouts of `length` steps at pass rates in (0, 1), shape (g,)."""
        # S(0), ..., S(L): what survives the last step is a success, S(L) the pass rate.
        survival = rates[:, None] ** (np.arange(length + 1) / length)
        failed = 1 - rates[:, None]
        return cls(
            # f(k) = (S(k) - S(k + 1)) / (1 - v0).
            (survival[:, :-1] - survival[:, 1:]) / failed,
            # F(k) = (S(k) - v0) / (1 - v0).
            (survival[:, :-1] - rates[:, None]) / failed,
            # v(k) = v0 / S(k).
            rates[:, None] / survival[:, :-1],
        )

    def named(self, accuracy: float) -> Floats:
        """P(step k is named), shape (g, L)."""
        law: Floats = accuracy * self.first + (1 - accuracy) / self.first.shape[1]
        return law

    def clean(self, accuracy: float) -> Floats:
        """P(no error before k | step k is named), shape (g, L)."""
        chance = (1 - accuracy) / self.first.shape[1]
        # q(k): the named step is the first error, or a guess that fell no later than it.
        clean: Floats = (accuracy * self.first + chance * self.later) / self.named(accuracy)
        return clean

    def signal(self, accuracy: float, count: int, known_failure: bool) -> Floats:
        """Expected signal of `count` rollouts from before a named step k, shape (g, L)."""
        length = self.first.shape[1]
        informative = informative_probability(self.value, count, known_failure)
        ahead = 1 - np.arange(length) / length
        return np.asarray(self.clean(accuracy) * informative * ahead)


@lru_cache(maxsize=1 << 16)
def parent_signals(
    model: FirstErrorModel,
    named: tuple[tuple[int, int], ...],
    failures: int,
    count: int,
    known_failure: bool = False,
) -> tuple[float, ...]:
    """Return the expected signal of each choice given the steps that the world named.

    The named steps say two things: where an error may be, and, all of them together with the
    number of failures, how hard the prompt is.

    Args:
        model: beliefs.
        named: (step, steps of the rollout) of each failure that the world named a step of.
        failures: how many rollouts failed, those that it named no step of included.
        count: rollouts to spend.
        known_failure: whether the parent's own continuation joins the group.

    Returns:
        The signal of fresh rollouts first, then of each named step, in order.
    """
    rates = model.pass_rates()
    # Posterior over the grid, on which the prior is uniform: the likelihood of so many failures,
    # times that of each named step.
    laws = [(_laws(model, length), step) for step, length in named]
    belief = (1 - rates) ** failures
    for law, step in laws:
        belief = belief * law.named(model.accuracy)[:, step]
    belief = belief / belief.sum()
    signals = [1 - (1 - rates) ** count]
    for law, step in laws:
        signals.append(law.signal(model.accuracy, count, known_failure)[:, step])
    return tuple(float(belief @ signal) for signal in signals)


@lru_cache(maxsize=256)
def _laws(model: FirstErrorModel, length: int) -> FirstErrorLaws:
    return FirstErrorLaws.of(model.pass_rates(), length)


def rank_signals(
    model: FirstErrorModel, length: int, failures: int, count: int, known_failure: bool = False
) -> Floats:
    """Return the expected signal of each depth rank, before the named steps are looked at.

    Args:
        model: beliefs.
        length: steps of each rollout.
        failures: how many rollouts failed, each with a named step.
        count: rollouts to spend.
        known_failure: whether the parent's own continuation joins the group.

    Returns:
        Shape (failures + 1,): entry 0 for fresh rollouts, entry r for the r-th deepest named step.
    """
    for field, value in (("length", length), ("failures", failures), ("count", count)):
        check_count(field, value)
    rates = model.pass_rates()
    laws = FirstErrorLaws.of(rates, length)
    signal = laws.signal(model.accuracy, count, known_failure)
    # The posterior after the failures alone: named steps are averaged over and not yet seen.
    belief = (1 - rates) ** failures
    belief = belief / belief.sum()
    ranked = [
        belief @ (_order_statistic(laws.named(model.accuracy), rank, failures) * signal).sum(axis=1)
        for rank in range(1, failures + 1)
    ]
    return np.array([belief @ (1 - (1 - rates) ** count), *ranked])


def _order_statistic(named: Floats, rank: int, draws: int) -> Floats:
    """Law of the rank-th largest of independent draws from each row of `named`, shape (g, L)."""
    from scipy.stats import binom  # slow to import

    # Cumulative sums may exceed one by rounding, which scipy answers with NaN.
    at_least = np.minimum(np.cumsum(named[:, ::-1], axis=1)[:, ::-1], 1.0)
    # The rank-th largest is k or more if `rank` draws or more are.
    reached = binom.sf(rank - 1, draws, at_least)
    deeper = np.append(reached[:, 1:], np.zeros((len(named), 1)), axis=1)
    return np.asarray(reached - deeper)


@lru_cache(maxsize=1 << 12)
def best_rank(
    model: FirstErrorModel, length: int, failures: int, count: int, known_failure: bool = False
) -> int:
    """Return the depth rank with the largest expected signal: 1 the deepest, 0 for fresh rollouts.

    With 4 failures of 10 steps, 4 rollouts to spend and a known pass rate of 1 %, it is 1 at an
    accuracy of 0.9 or more, 2 at 0.7, 3 at 0.4 and 0 at 0.1.
    """
    return int(np.argmax(rank_signals(model, length, failures, count, known_failure)))


def deepest(steps: Sequence[int], rank: int) -> int | None:
    """Return the index of the rank-th largest step, the earlier of a tie first, or None.

    Args:
        steps: named steps.
        rank: 1 for the deepest.
    """
    check_count("rank", rank)
    order = sorted(range(len(steps)), key=lambda i: (-steps[i], i))
    return order[rank - 1] if rank <= len(order) else None
