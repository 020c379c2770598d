"""What a subject does in expectation on one world: exactly, or from drawn updates."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cpi_theory.audit.batch import remembers
from cpi_theory.audit.branching import Branch, TooMany, every_run
from cpi_theory.audit.forest import Forest
from cpi_theory.audit.subject import (
    Subject,
    Update,
    drawn_update,
    listed_update,
    summed,
    vector,
)
from cpi_theory.checks import Exact, InvalidInput
from cpi_theory.randomness import Key

How = Literal["fractions", "sums", "draws"]
"""How expectations were taken: over every branch in fractions, over every branch in float sums that
round once, or over drawn updates."""

# The first so many branches are asked twice: an estimator with a memory shows it at once.
_ASKED_TWICE = 16


@dataclass(frozen=True)
class Credit:
    """The advantages that one action of one state is given.

    Attributes:
        visits: expected number of times that it is learned from in an update.
        mean, variance: of its advantage over those times, in float sums that round once.
        wrong: share of those times in which the sign is against the true advantage; 0 where that
            is zero.
    """

    visits: float
    mean: float
    variance: float
    wrong: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How far from its expectation the drawn update from one start may be.

    With n samples from start s in an update, g(s) the gradient of V(s) and c the factor with the
    least distance of E U_s to c E[n] g(s), both are standard errors of U_s - c n g(s): entries of
    an update and its number of samples vary together, and what they share does not blur c.

    Attributes:
        scale: of c; 0 where g(s) is.
        residual: of the length of E U_s - c E[n] g(s), root of the sum over its entries.
    """

    scale: float = 0.0
    residual: float = 0.0

    @classmethod
    def of(
        cls,
        updates: NDArray[np.float64],
        samples: NDArray[np.float64],
        gradient: NDArray[np.float64],
        draws: int,
    ) -> Spread:
        """The spread of drawn updates.

        Args:
            updates: from the start, those with samples from it, shape (k, parameters).
            samples: of each, shape (k,).
            gradient: of the start's value, shape (parameters,).
            draws: all of them, k or more.
        """
        size = float(gradient @ gradient)
        error, left = 0.0, updates
        if size:
            along = updates @ gradient / size
            scale = along.sum() / samples.sum()
            error = float(np.linalg.norm(along - scale * samples) / samples.sum())
            left = updates - scale * samples[:, None] * gradient
        # Updates without samples from the start are zeros there.
        square = float((left**2).sum() - (left.sum(axis=0) ** 2).sum() / draws)
        return cls(error, math.sqrt(max(square, 0.0)) / draws)


@dataclass(frozen=True, eq=False)
class Law:
    """Moments of the update of a subject on a world; an update is a sum over all samples.

    Attributes:
        forest: the world.
        how: expectations were taken.
        branches: listed or drawn.
        pushes: E of the summed advantages of each (start, state, action).
        samples: expected number of samples that start in each state.
        rewards: expected sum of the rewards of the samples that start in each state.
        rollouts, steps: expected number generated for an update.
        square: E |U|^2 of the update U.
        wrong: of each parameter, the probability that an update moves it against the gradient of J.
        credits: of each (state, action).
        errors: standard errors of the update, shape (parameters,); zeros where everything was
            listed.
        spreads: by start, where updates were drawn.
    """

    forest: Forest
    how: How
    branches: int
    pushes: Mapping[tuple[int, int, int], Exact]
    samples: Mapping[int, Exact]
    rewards: Mapping[int, Exact]
    rollouts: Exact
    steps: Exact
    square: float
    wrong: NDArray[np.float64]
    credits: Mapping[tuple[int, int], Credit]
    errors: NDArray[np.float64]
    spreads: Mapping[int, Spread] = field(default_factory=dict)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """States in which samples start, in order."""
        return tuple(sorted(self.samples))

    def update_from(self, start: int) -> NDArray[Any]:
        """E of the part of the update that comes from samples with this start, (parameters,)."""
        total = np.full(len(self.forest.parameters), Fraction(0), dtype=object)
        for (begin, state, action), advantage in self.pushes.items():
            if begin == start and advantage:
                total = total + advantage * self.forest.score(state, action)
        return total

    @cached_property
    def update(self) -> NDArray[Any]:
        """E U, shape (parameters,)."""
        zero = np.full(len(self.forest.parameters), Fraction(0), dtype=object)
        return sum(map(self.update_from, self.starts), zero)

    @property
    def variance(self) -> float:
        """E |U - E U|^2."""
        return max(self.square - float((self.update.astype(np.float64) ** 2).sum()), 0.0)

    @property
    def signal_to_noise(self) -> float:
        """|E U|^2 / E |U - E U|^2 of one update; infinite without noise."""
        signal = float((self.update.astype(np.float64) ** 2).sum())
        return signal / self.variance if self.variance > 0 else math.inf


def law(
    subject: Subject, forest: Forest, most: int = 20_000, draws: int = 20_000, seed: int = 0
) -> Law:
    """Find what a subject does in expectation on a world.

    Everything that can happen is listed if that is at most `most` branches and the algorithm takes
    nothing else from its keys: the listings of two keys agree. Otherwise updates are drawn.

    Raises:
        InvalidInput: whatever the estimator does that none may, see
            :func:`~cpi_theory.audit.batch.advantages_of`.
    """
    try:
        found = listed(subject, forest, most, seed)
        # A credit function sees no key, and whole groups from the starts need none.
        again = listed(subject, forest, most, seed + 1) if subject.credit is None else found
    except TooMany:
        return drawn(subject, forest, draws, seed)
    return found if _agree(found, again) else drawn(subject, forest, draws, seed)


def _agree(one: Law, other: Law) -> bool:
    gap = (one.update - other.update).astype(np.float64)
    scale = max(1.0, float(np.abs(one.update.astype(np.float64)).max()))
    return bool(np.abs(gap).max() <= 1e-12 * scale) and one.steps == other.steps


def listed(subject: Subject, forest: Forest, most: int, seed: int = 0) -> Law:
    """The law from every branch.

    Raises:
        TooMany: if there are more than `most`.
    """
    paths: list[Sequence[int]] = []

    def run(branch: Branch) -> Update:
        update = listed_update(subject, forest, branch, seed, twice=len(paths) < _ASKED_TWICE)
        paths.append(tuple(branch.path))
        return update

    moments, updates = _Moments(forest), []
    for probability, update in every_run(run, most):
        updates.append(update)
        moments.add(probability, update)
    _check_forgetful(
        subject, updates, lambda i: listed_update(subject, forest, Branch(paths[i]), seed)
    )
    return moments.law("sums")


def drawn(subject: Subject, forest: Forest, draws: int, seed: int = 0) -> Law:
    """The law from so many drawn updates, with standard errors."""
    moments = _Moments(forest, keep=True)
    key = Key.of(seed).child("audit", subject.name, forest.name)
    updates = []
    for i in range(draws):
        updates.append(drawn_update(subject, forest, key.child(i)))
        moments.add(1 / draws, updates[-1])
    _check_forgetful(
        subject, updates, lambda i: drawn_update(subject, forest, key.child(i % draws))
    )
    return moments.law("draws")


def _check_forgetful(
    subject: Subject, updates: Sequence[Update], again: Callable[[int], Update]
) -> None:
    """Refuse a function that answers the first or the last batch otherwise after others."""
    if subject.credit is not None:
        for i in (0, -1):
            if again(i).pushes != updates[i].pushes:
                raise remembers(subject.credit)


class _Moments:
    """Sums over branches; each is added up once, at the end."""

    def __init__(self, forest: Forest, keep: bool = False) -> None:
        self.forest, self.keep, self.count = forest, keep, 0
        self.terms: defaultdict[tuple[Any, ...], list[Exact]] = defaultdict(list)
        self.gradient = forest.gradient.astype(np.float64)
        self.wrong = np.zeros(len(self.gradient))
        self.squares: list[float] = []
        self.wholes: list[NDArray[np.float64]] = []
        self.parts: defaultdict[int, list[NDArray[np.float64]]] = defaultdict(list)
        self.numbers: defaultdict[int, list[int]] = defaultdict(list)
        self.credits: defaultdict[tuple[int, int], tuple[list[float], ...]]
        self.credits = defaultdict(lambda: ([], [], [], []))
        self._scores: dict[Any, Any] = {}
        self._truth: dict[tuple[int, int], float] = {}

    def add(self, p: Exact, update: Update) -> None:
        """Add a branch of probability p."""
        self.count += 1
        weight = float(p)
        sums = summed(update)
        for place, advantage in sums.items():
            # A float makes the product one, and exact products with fractions are slow.
            product = p * advantage if isinstance(advantage, Fraction) else weight * advantage
            self.terms["push", *place].append(product)
        for start, reward in update.samples:
            self.terms["samples", start].append(p)
            self.terms["rewards", start].append(p * _exactly(reward))
        self.terms["rollouts",].append(p * update.rollouts)
        self.terms["steps",].append(p * update.steps)
        for _, state, action, advantage in update.pushes:
            self._add_credit(weight, state, action, float(advantage))
        whole = vector(sums, self.forest, self._scores)
        self.squares.append(weight * float(whole @ whole))
        self.wrong += weight * (whole * self.gradient < 0)
        if self.keep:
            self.wholes.append(whole)
            self._keep_parts(sums, Counter(start for start, _ in update.samples))

    def _add_credit(self, p: float, state: int, action: int, advantage: float) -> None:
        truth = self._truth.get((state, action))
        if truth is None:
            truth = self._truth[state, action] = float(self.forest.advantage(state, action))
        terms = self.credits[state, action]
        terms[0].append(p)
        terms[1].append(p * advantage)
        terms[2].append(p * advantage * advantage)
        terms[3].append(p if truth * advantage < 0 else 0.0)

    def _keep_parts(
        self, sums: Mapping[tuple[int, int, int], Exact], samples: Mapping[int, int]
    ) -> None:
        for start, number in samples.items():
            mine = {place: a for place, a in sums.items() if place[0] == start}
            self.parts[start].append(vector(mine, self.forest, self._scores))
            self.numbers[start].append(number)

    def law(self, how: How) -> Law:
        """The law once all branches are added."""
        sums = {place: _total(terms) for place, terms in self.terms.items()}
        pushes = {place[1:]: v for place, v in sums.items() if place[0] == "push"}
        if not pushes:
            raise InvalidInput("algorithm", self.forest.name, "no samples", "give it more rollouts")
        if how == "sums" and all(isinstance(v, Fraction) for v in pushes.values()):
            how = "fractions"
        return Law(
            self.forest,
            how,
            self.count,
            pushes,
            {place[1]: v for place, v in sums.items() if place[0] == "samples"},
            {place[1]: v for place, v in sums.items() if place[0] == "rewards"},
            sums["rollouts",],
            sums["steps",],
            math.fsum(self.squares),
            self.wrong,
            {place: _credit(terms) for place, terms in self.credits.items()},
            self._errors(),
            {start: self._spread(start) for start in self.parts},
        )

    def _errors(self) -> NDArray[np.float64]:
        if not self.wholes:
            return np.zeros_like(self.gradient)
        return np.asarray(np.std(self.wholes, axis=0) / math.sqrt(self.count))

    def _spread(self, start: int) -> Spread:
        gradient = self.forest.gradient_at(start).astype(np.float64)
        samples = np.array(self.numbers[start], np.float64)
        return Spread.of(np.array(self.parts[start]), samples, gradient, self.count)


def _credit(terms: Sequence[Sequence[float]]) -> Credit:
    visits, total, square, wrong = map(math.fsum, terms)
    mean = total / visits
    return Credit(visits, mean, max(square / visits - mean**2, 0.0), wrong / visits)


def _exactly(number: float) -> Exact:
    """A whole number as a fraction, so that it does not make its products floats."""
    return Fraction(int(number)) if float(number).is_integer() else number


def _total(terms: Iterable[Exact]) -> Exact:
    """Exact sum of fractions; of floats the sum that is rounded once."""
    listed = list(terms)
    if all(isinstance(term, Fraction | int) for term in listed):
        return sum((Fraction(term) for term in listed), Fraction(0))
    return math.fsum(map(float, listed))
