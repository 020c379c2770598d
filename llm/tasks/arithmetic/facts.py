"""The facts of modular arithmetic, which of them are hard, and how writers get them wrong.

A fact is an operation applied to a value. A writer whose slips follow a fixed table is what a
model is warm-started from: it then knows easy facts, and gets hard ones wrong mostly in one
habitual way, which is what reinforcement learning has to turn round.

Two errors must not cancel, or wrong chains would earn the reward. So what slips are off by comes
from a set that multiplications by the operations' factors map to itself and that holds no number
together with its negative, if there is one: a second slip then cannot bring a chain back. (Modulo
23 the factors 2, 3 and 4 generate the 11 squares, and -1 is no square.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput, check_in_range, check_probability
from cpi_theory.randomness import Key

Integers = NDArray[np.int64]


def apply(operation: str, value: int, modulus: int) -> int:
    r"""Return the value after an operation, :math:`(v \circ k) \bmod m`.

    Args:
        operation: a sign +, - or * and an operand k, such as ``*3``.
        value: v, the value before it.
        modulus: m.
    """
    operand = int(operation[1:])
    results = {"+": value + operand, "-": value - operand, "*": value * operand}
    return results[operation[0]] % modulus


def slip_sizes(operations: tuple[str, ...], modulus: int) -> tuple[int, ...]:
    """Return what slips are off by: sizes of which no two cancel; if there are none, all but 0.

    Args:
        operations: as in :func:`apply`.
        modulus: a prime.
    """
    factors = {int(o[1:]) % modulus for o in operations if o[0] == "*"}
    # What the factors generate by multiplication.
    group, new = {1}, {1}
    while new:
        new = {a * b % modulus for a in new for b in factors} - group
        group |= new
    # With -1 in the group every coset holds a number and its negative: all slips can cancel.
    if modulus - 1 in group:
        return tuple(range(1, modulus))
    sizes: set[int] = set()
    for size in range(1, modulus):  # of every two cosets that cancel, the one that is met first
        if size not in sizes and modulus - size not in sizes:
            sizes |= {size * factor % modulus for factor in group}
    return tuple(sorted(sizes))


@dataclass(frozen=True, slots=True)
class Slips:
    """How often a writer of demonstrations is right.

    Attributes:
        right: chance of the right value for a hard fact.
        habit: chance of the fact's own habitual wrong value; what remains falls evenly on the
            other wrong values that are off by a slip's size.
        slip: chance of a wrong value for an easy fact, all that are off by a slip's size alike.
    """

    right: float = 0.3
    habit: float = 0.56
    slip: float = 0.01

    def __post_init__(self) -> None:
        for name in ("right", "habit", "slip"):
            check_probability(name, getattr(self, name))
        # A sum that is 1 but for rounding is let pass.
        if self.right + self.habit > 1 + 1e-9:
            raise InvalidInput(
                "habit", self.habit, f"more than 1 with right = {self.right}", "lower one of them"
            )


@dataclass(frozen=True, eq=False)
class FactTable:
    """All facts of a modulus; axis 0 is the operation, axis 1 the value it is applied to.

    Attributes:
        operations: the operations, in the order of axis 0.
        answers: the right results, shape (operations, modulus).
        hard: which facts are hard, bool, same shape.
        habits: a wrong result for every fact, the habitual one if it is hard, same shape.
        sizes: what wrong results are off by, see :func:`slip_sizes`.
    """

    operations: tuple[str, ...]
    answers: Integers
    hard: NDArray[np.bool_]
    habits: Integers
    sizes: tuple[int, ...]

    @classmethod
    def draw(cls, operations: tuple[str, ...], modulus: int, share: float, key: Key) -> FactTable:
        """Draw which facts are hard, and their habitual wrong results.

        Args:
            operations: the operations.
            modulus: a prime; values are 0 to modulus - 1.
            share: of all facts, in [0, 1]; round(share * facts) of them are hard.
            key: of the draw.

        Raises:
            InvalidInput: if the share is out of range.
        """
        check_in_range("share", share, 0, 1)
        # One stream, hard facts before habits: in another order a seed would give other tables.
        rng = key.generator()
        answers = np.array([[apply(o, v, modulus) for v in range(modulus)] for o in operations])
        hard = np.zeros(answers.size, dtype=bool)
        hard[rng.permutation(answers.size)[: round(share * answers.size)]] = True
        sizes = slip_sizes(operations, modulus)
        habits = (answers + rng.choice(sizes, answers.shape)) % modulus
        return cls(operations, answers, hard.reshape(answers.shape), habits, sizes)

    @property
    def modulus(self) -> int:
        """Number of values."""
        return int(self.answers.shape[1])

    def laws(self, slips: Slips) -> NDArray[np.float64]:
        """Return how a writer with these slips gets facts wrong.

        Args:
            slips: chances of right, habitual and other values.

        Returns:
            P(value written | operation, value before), shape (operations, modulus, modulus).
        """
        # Of a hard fact one size is the habit's, and the rest falls on the others.
        kinds, rest = len(self.sizes), 1 - slips.right - slips.habit
        other = np.where(self.hard, rest / (kinds - 1), slips.slip / kinds)
        law = np.zeros((*self.answers.shape, self.modulus))
        rows = np.indices(self.answers.shape)
        for size in self.sizes:
            law[rows[0], rows[1], (self.answers + size) % self.modulus] = other
        # After the sizes, of which the habit is one and takes the place.
        habit = np.where(self.hard, slips.habit, slips.slip / kinds)
        law[rows[0], rows[1], self.habits] = habit
        law[rows[0], rows[1], self.answers] = np.where(self.hard, slips.right, 1 - slips.slip)
        return law

    def true_values(self, operations: Integers, starts: Integers) -> Integers:
        """Return the right value after each step.

        Args:
            operations: indices of the operations, shape (n, H).
            starts: values before the first, shape (n,).

        Returns:
            Shape (n, H).
        """
        values = np.empty_like(operations)
        now = starts
        for h in range(operations.shape[1]):
            now = self.answers[operations[:, h], now]
            values[:, h] = now
        return values

    def hard_on_path(self, operations: Integers, starts: Integers) -> NDArray[np.bool_]:
        """Return which steps of the right solution ask for a hard fact.

        Args:
            operations: indices of the operations, shape (n, H).
            starts: values before the first, shape (n,).

        Returns:
            bool, shape (n, H).
        """
        before = np.concatenate(
            [starts[:, None], self.true_values(operations, starts)[:, :-1]], axis=1
        )
        return np.asarray(self.hard[operations, before])


def write(
    laws: NDArray[np.float64], operations: Integers, starts: Integers, rng: np.random.Generator
) -> Integers:
    """Draw the values that a writer states, each computed from what it stated before.

    Args:
        laws: of :meth:`FactTable.laws`, shape (operations, modulus, modulus); or one such table
            per step, shape (H, operations, modulus, modulus).
        operations: indices of the operations, shape (n, H).
        starts: values before the first, shape (n,).
        rng: of the draws.

    Returns:
        Shape (n, H).
    """
    # By inverting the distribution function, whose last entry is 1 up to rounding: a draw is scaled
    # by it, or one just below 1 could fall behind the last value.
    totals = np.cumsum(laws, axis=-1)
    values = np.empty_like(operations)
    now = starts
    for h in range(operations.shape[1]):
        rows = (totals if laws.ndim == 3 else totals[h])[operations[:, h], now]
        draws = rng.random(len(now)) * rows[:, -1]
        now = (rows <= draws[:, None]).sum(axis=1)
        values[:, h] = now
    return values
