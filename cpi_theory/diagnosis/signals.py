r"""How much a method's groups teach: a prediction of the order of methods, per rollout.

Let success from a state s need certain decisions f ahead, each taken rightly with probability
rho_f, and let V = V(s). A group of k rollouts from s with c successes has advantages whose positive
part sums to k std, std = sqrt(c / k (1 - c / k)). The score of decision f, d log pi / d logit of
the right action, is 1 - rho_f in a success and -V (1 - rho_f) / (1 - V) on average in a failure, so
the group's expected gradient at f is k std (1 - rho_f) / (1 - V). One step along the gradients of
all groups hence raises log J, at first order and but for the factors 1 / (1 - V), in proportion to

    sum over groups of  k std D(s),      D(s) = sum over decisions f ahead of s of (1 - rho_f)^2.

A suffix group has more successes than a group from the start, but fewer decisions ahead: what is
before its reset state is not trained. D is not known; decisions that are spread evenly over the
steps make it proportional to the number of steps that are trained. The *signal* is therefore the
mass of advantages over trained steps: half the sum of |A_i| times the length of rollout i, per
rollout generated. Constant groups contribute nothing.

That is a prediction of the short run, at equal normalisation, optimiser and rollouts.

How sure it is has two answers. A bootstrap over prompts asks how the order would vary among samples
of the prompts that were drawn; it is blind to prompts of a kind that was not, and overrates what
a few prompts say. The *confidence* of a comparison allows for one more prompt, as adverse as any
can be (:func:`~cpi_theory.statistics.bounded_mean.positive_mean_confidence`): it is at most
1 - 2^-m where the methods differ on m prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cpi_theory.randomness import Key
from cpi_theory.seam import Collection, equal_mean
from cpi_theory.statistics.bounded_mean import positive_mean_confidence
from cpi_theory.statistics.by_prompt import Array, Counts, Resampling
from cpi_theory.statistics.intervals import Interval, scaled

LEAST_PROMPTS = 6
"""Prompts on which two methods must differ before anything is said of their order: no test at the
one-sided level of 2.5 % can reject on fewer, as 2^-5 is 3.1 %."""


@dataclass(frozen=True, eq=False)
class Signals:
    """Totals per prompt, shape (prompts,) each.

    Attributes:
        signal: half the sum of |advantage| over the steps of all rollouts.
        rollouts: in all groups.
        most: most signal that a rollout can have.
    """

    signal: Array
    rollouts: Array
    most: float

    def interval(self, level: float) -> Interval:
        """Return the signal per rollout; it counts as a share of the most that it could be."""
        share = Counts(self.signal, self.rollouts * self.most).share(level)
        return scaled(share, self.most)

    def per_rollout(self, resampling: Resampling) -> Array:
        """Return the signal per rollout in every resample."""
        return resampling.ratio(self.signal, self.rollouts)

    def by_prompt(self) -> Array:
        """Return what each prompt adds to the mean signal per rollout, shape (prompts,)."""
        mean = self.rollouts.mean()
        return self.signal / mean if mean else self.signal


def group_signals(collection: Collection, prompts: int) -> Signals:
    """Return the signals of a collection's groups."""
    signal, rollouts, longest = np.zeros(prompts), np.zeros(prompts), 1.0
    for group in collection:
        lengths = np.array([len(r) for r in group.rollouts], dtype=np.float64)
        credit = np.array([equal_mean(np.abs(sample.advantages)) for sample in group.samples])
        signal[group.prompt] += float(credit @ lengths) / 2
        rollouts[group.prompt] += len(group.rollouts)
        longest = max(longest, float(lengths.max()))
    # Half of the absolute advantages of k rollouts is k std under "std", at most k / 2.
    seen = float(np.max(signal / np.maximum(rollouts, 1)))
    return Signals(signal, rollouts, max(longest / 2, seen))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the prompts say of two methods.

    Attributes:
        first, second: the methods.
        differing: prompts on which their signals differ; all others say nothing.
        ahead: confidence that the expected signal of `first` is the larger one.
        behind: that it is the smaller one. The rest, 1 - ahead - behind, is undecided.
    """

    first: str
    second: str
    differing: int
    ahead: float
    behind: float


@dataclass(frozen=True, slots=True)
class Ordering:
    """Methods by their predicted short-run gain per rollout.

    Attributes:
        methods: best first.
        ahead: (first, second, share of resamples in which the first is ahead) of each pair.
        comparisons: what the prompts say of each pair, those that were not drawn allowed for.
    """

    methods: tuple[str, ...]
    ahead: tuple[tuple[str, str, float], ...]
    comparisons: tuple[Comparison, ...] = ()

    def certainty(self, first: str, second: str) -> float:
        """Return the share of resamples in which `first` is ahead of `second`; ties count half.

        It speaks of the drawn prompts alone; see :meth:`confidence`.
        """
        for one, other, share in self.ahead:
            if (one, other) == (first, second):
                return share
            if (other, one) == (first, second):
                return 1 - share
        raise KeyError((first, second))

    def confidence(self, first: str, second: str) -> float:
        """Return the confidence that `first` is ahead of `second`.

        Statement: if it is not, this is at least 1 - a with probability at most a.
        """
        pair = self.comparison(first, second)
        return pair.ahead if pair.first == first else pair.behind

    def comparison(self, first: str, second: str) -> Comparison:
        """Return what the prompts say of two methods, named in either order."""
        for pair in self.comparisons:
            if {pair.first, pair.second} == {first, second}:
                return pair
        raise KeyError((first, second))


def order_methods(
    signals: Mapping[str, Signals], resampling: Resampling, key: Key | int = 0
) -> Ordering:
    """Order methods by signal per rollout; say how sure the order of each pair is.

    Args:
        signals: of each method by name, on the same prompts.
        resampling: of the bootstrap over prompts.
        key: of the random weights of :func:`positive_mean_confidence`.
    """
    # Shape (resamples + 1,) each; entry 0 is the sample itself.
    drawn = {name: np.nan_to_num(one.per_rollout(resampling)) for name, one in signals.items()}
    names = sorted(drawn, key=lambda name: -drawn[name][0])
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return Ordering(
        tuple(names),
        tuple((a, b, _share_ahead(drawn[a][1:], drawn[b][1:])) for a, b in pairs),
        tuple(_compare(a, b, signals, Key.of(key)) for a, b in pairs),
    )


def _compare(first: str, second: str, signals: Mapping[str, Signals], key: Key) -> Comparison:
    one, other = signals[first], signals[second]
    gaps = one.by_prompt() - other.by_prompt()
    # Signals that agree but for rounding are no difference.
    bound = max(one.most, other.most)
    gaps[abs(gaps) < 1e-9 * bound] = 0.0
    # Groups of unequal size may exceed what rollouts of the usual group can have.
    bound = max(bound, float(abs(gaps).max(initial=0.0)))
    ahead, behind = (
        positive_mean_confidence(sign * gaps, bound, key.child(first, second)) for sign in (1, -1)
    )
    return Comparison(first, second, int(np.count_nonzero(gaps)), ahead, behind)


def _share_ahead(first: Array, second: Array) -> float:
    return float((first > second).mean() + (first == second).mean() / 2)
