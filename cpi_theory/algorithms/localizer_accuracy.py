"""How good the localiser is, from what its resets lead to: an estimate, and a bound.

The estimate weighs accuracies by how well they explain where named steps lie and what follows from
them, and it forgets, as the localiser drifts. The bound asks for no model of the world, holds at
all times at once, and is about the average over a stretch of training.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.parent_choice import FirstErrorLaws
from cpi_theory.algorithms.reset_record import PromptRecord
from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_probability
from cpi_theory.statistics.running_sum import RunningSum

Floats = NDArray[np.float64]

ACCURACIES: Floats = np.linspace(0, 1, 21)
"""Those that are weighed against each other."""

PASS_RATES: Floats = np.exp(-np.geomspace(-np.log(0.95), -np.log(1e-8), 40))
"""Pass rates of prompts that are weighed against each other, from easy to hopeless."""


@dataclass(frozen=True, slots=True)
class AccuracyBelief:
    r"""What is believed of the localiser's accuracy, on a grid, with a memory that fades.

    Formula: after each prompt whose base failed ln p(c) becomes memory ln p(c) + (1 - memory)
    ln prior(c) + ln L(c), where with the laws of :mod:`cpi_theory.algorithms.parent_choice`

    L(c) = sum over pass rates of rates (1 - v)^n prod_j P(k_j named | c)^depths
    (q(k) Bin(s; m, v(k)) + (1 - q(k)) 1{s = 0}),

    n failures with steps k_j named, and s of m suffixes from before step k successful; without a
    reset the last factor is missing. So there are two witnesses: what the resets lead to, and how
    deep the named steps lie, which guesses do not know. The second is sooner heard where success is
    rare, but takes the word of a model in which every step fails alike, hence `depths`.

    The control is the prompts' own pass rate: how pass rates are spread is learned from rollouts
    from the start, `rates` becoming .95 rates + .05 P(rate | outcomes of a prompt).
    Without it every success late in training, when failures are bad luck, would be credited to the
    localiser. The prior, trusting (1 + trust) c^trust + 1 - trusting, fades in again, so that a
    localiser that has recovered is tried.

    The defaults were chosen on trees and seeds that docs/measurements/frontier.md names, and what
    others did stands there.

    Attributes:
        memory: in (0, 1); about the last 1 / (1 - memory) prompts count.
        trust, trusting: of the prior.
        depths: weight of the second witness, in [0, 1].
        log_weights: of each of `ACCURACIES`, shape (21,), the largest 0; empty for the prior.
        rates: weight of each of `PASS_RATES`, shape (40,), adding up to 1; empty: all alike.
    """

    memory: float = 0.98
    trust: float = 6.0
    trusting: float = 0.8
    depths: float = 0.5
    log_weights: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_in_range("memory", self.memory, 1e-9, 1 - 1e-9)
        check_in_range("trust", self.trust, 0, 1000)
        check_in_range("trusting", self.trusting, 0, 1 - 1e-9)
        check_probability("depths", self.depths)
        for name, grid in (("log_weights", ACCURACIES), ("rates", PASS_RATES)):
            given = getattr(self, name)
            if len(given) not in (0, len(grid)) or not np.isfinite(given).all():
                problem = f"not {len(grid)} numbers"
                raise InvalidInput(name, given, problem, "leave it out")

    @property
    def accuracy(self) -> float:
        """Its mean, in [0, 1]."""
        weights = np.exp(self._weights())
        return float(weights @ ACCURACIES / weights.sum())

    def _weights(self) -> Floats:
        return np.array(self.log_weights) if self.log_weights else self._prior()

    def _prior(self) -> Floats:
        trusted = (1 + self.trust) * ACCURACIES**self.trust
        return np.asarray(np.log(self.trusting * trusted + 1 - self.trusting))

    def _rates(self) -> Floats:
        return np.array(self.rates) if self.rates else np.full(len(PASS_RATES), _EVEN)

    def after(self, record: PromptRecord) -> AccuracyBelief:
        """Return the belief after one more prompt."""
        rates, weights = self._rates(), self._weights()
        if record.named:
            before = rates * _chance(record.solved, record.base - record.solved)
            news = log_likelihood(record, before, self.depths)
            weights = self.memory * weights + (1 - self.memory) * self._prior() + news
        solved, drawn = record.solved + record.rest_solved, record.base + record.rest
        seen = rates * _chance(solved, drawn - solved)
        kept = min(self.memory, _RATES_MEMORY)
        rates = kept * rates + (1 - kept) * seen / seen.sum()
        # A little of all: a pass rate without any weight could never come back.
        rates = (1 - _LEAST) * rates + _LEAST * _EVEN
        return replace(
            self,
            log_weights=tuple((weights - weights.max()).tolist()),
            rates=tuple(rates.tolist()),
        )


_EVEN = 1 / len(PASS_RATES)
_LEAST = 0.001
# Every prompt says something of pass rates, and they move faster than the localiser.
_RATES_MEMORY = 0.95


def _chance(solved: int, missed: int) -> Floats:
    """P(such outcomes) at each of `PASS_RATES`, up to a factor; shape (40,)."""
    return np.asarray(PASS_RATES**solved * (1 - PASS_RATES) ** missed)


def log_likelihood(record: PromptRecord, rates: Floats, depths: float) -> Floats:
    """Return ln L(c) of each accuracy up to a constant, shape (21,).

    See :class:`AccuracyBelief` for the formula.

    Args:
        record: of a prompt of which the world named steps.
        rates: weight of each of `PASS_RATES` given the base's outcomes, shape (40,).
        depths: weight of the named steps' own likelihood.
    """
    depth = sum(np.log(_laws(length).named[step]) for step, length in record.named)
    seen = np.exp(depths * depth) * rates
    if record.suffixes is None:
        return _log(seen.sum(axis=1) / rates.sum())
    k, m, s = record.suffixes.step, record.suffixes.count, record.suffixes.successes
    laws = _laws(record.suffixes.length)
    value = laws.value[:, k]
    hit = comb(m, s) * value**s * (1 - value) ** (m - s)
    clean = laws.clean[k]
    return _log((seen * (clean * hit + (1 - clean) * (s == 0))).sum(axis=1) / rates.sum())


def _log(likelihood: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(likelihood, 1e-300)))


@dataclass(frozen=True, slots=True)
class _Laws:
    """Laws of a rollout of L steps.

    Attributes:
        named: P(step named), shape (L, 21, 40).
        clean: P(no error before it | step named), shape (L, 21, 40).
        value: success probability from a clean prefix, shape (40, L).
    """

    named: Floats
    clean: Floats
    value: Floats


@lru_cache(maxsize=256)
def _laws(length: int) -> _Laws:
    laws = FirstErrorLaws.of(PASS_RATES, length)
    named = np.stack([laws.named(c) for c in ACCURACIES.tolist()])
    clean = np.stack([laws.clean(c) for c in ACCURACIES.tolist()])
    # The step first: one of them is asked for at a time.
    return _Laws(named.transpose(2, 0, 1).copy(), clean.transpose(2, 0, 1).copy(), laws.value)


@dataclass(frozen=True, slots=True)
class AccuracyBound:
    r"""A lower bound on the localiser's accuracy over a stretch of training, at all times at once.

    Statement (T10): let c be the mean probability, over the resets of this block, that the named
    step was the localiser's knowledge and no guess. With probability >= 1 - delta,
    c >= :math:`(\sum E[X - C])_+^2 / (\sum E[P] \sum E[A])` with each sum at the adverse end of its
    :class:`~cpi_theory.statistics.running_sum.RunningSum` (delta / 3 each, over blocks delta times
    1 / (j (j + 1)) for the j-th), at every moment of every block at once. A is 1 for a reset, X the
    share of its suffixes that succeed, P that of pairs that both do, and C the control: what fresh
    rollouts would have done in the same prompts, as prompts without a reset tell. No step of a
    failed rollout that was chosen without looking at it does better than the start.

    Assumptions: A1 outcomes are successes or failures, and rollouts from one state independent.
    A2 where the localiser does not know, its step does not depend on the rollout, given the prompt
    and that the rollout failed. Nothing is assumed of the world, of how steps fail, or of drift.

    Attributes:
        block: prompts after which the sums begin anew.
        number: of the block, from 1 on.
        excess: of X - C, at least -1/2 as a base has two rollouts or more.
        pairs: of P.
        resets: of A.

    Source: the second-moment method (Paley and Zygmund 1932). Proof: docs/theory.md, T10.
    """

    block: int = 1000
    number: int = 1
    excess: RunningSum = field(default_factory=lambda: RunningSum(-0.5, 1.0))
    pairs: RunningSum = field(default_factory=RunningSum)
    resets: RunningSum = field(default_factory=RunningSum)

    def __post_init__(self) -> None:
        check_count("block", self.block)

    def after(self, record: PromptRecord, count: int) -> AccuracyBound:
        """Return the bound after one more prompt, whatever became of it.

        Args:
            record: of the prompt.
            count: rollouts that are drawn beside the base.
        """
        if self.resets.count == self.block:
            return AccuracyBound(self.block, self.number + 1).after(record, count)
        control, reset = record.pass_rate_behind_failures(count), record.suffixes
        share = reset.successes / reset.count if reset else 0.0
        return replace(
            self,
            excess=self.excess.add(share - control),
            pairs=self.pairs.add(reset.pairs if reset else 0.0),
            resets=self.resets.add(float(reset is not None)),
        )

    def lower(self, delta: float) -> float:
        """Return the bound, in [0, 1]; 0 where nothing is shown.

        Args:
            delta: probability that it is ever too high, in (0, 1].
        """
        each = delta / (3 * self.number * (self.number + 1))
        excess = self.excess.lower(each)
        if excess <= 0:
            return 0.0
        return min(1.0, excess**2 / (self.pairs.upper(each) * self.resets.upper(each)))
