"""What a diagnosis of a reasoning tree should say: every number of it, exactly.

A rollout of a tree takes all H steps and is worth 0 or 1, and the state says which problem it
belongs to. So all that a diagnosis estimates is a sum over (h, s) of visits times something known,
and what depends on how many of a prompt's rollouts failed is a sum over binomial outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from cpi_theory.resets.first_error import FirstErrorReset
from tabular.mdp.operators import push
from tabular.simulation.simulator import TabularSimulator

Array = NDArray[np.float64]
Names = tuple[str, str]

# Half of the 8 rollouts per prompt: a base group, where a reset group takes the other half.
_HALF = 4


@dataclass(frozen=True, eq=False)
class Truth:
    """Exact values for the standard methods with 8 rollouts per prompt.

    Attributes:
        simulator: a reasoning tree under its policy.
        tau: level of improvability, in reward units.
        bins: equal parts of a rollout in which corrections are counted.
    """

    simulator: TabularSimulator
    tau: float
    bins: int = 4

    @property
    def horizon(self) -> int:
        """The horizon H, in steps."""
        return self.simulator.horizon

    @cached_property
    def values(self) -> Array:
        """P(success | s_h = s), shape (H, S)."""
        return np.asarray(self.simulator.evaluation.values, np.float64)

    @cached_property
    def visits(self) -> Array:
        """P(s_h = s), shape (H, S)."""
        return np.asarray(self.simulator.evaluation.visits, np.float64)

    @cached_property
    def improvable(self) -> NDArray[np.bool_]:
        """Whether max_a A >= tau, shape (H, S)."""
        return np.asarray(self.simulator.evaluation.best_advantages >= self.tau)

    @cached_property
    def named(self) -> Array:
        """P(s_h = s, the rollout fails and step h is named), shape (H, S)."""
        return np.asarray(self.visits * self.simulator.reset_weight(FirstErrorReset()))

    @cached_property
    def failing(self) -> Array:
        """P(s_h = s and the rollout fails) / H: a uniform step of a failure, shape (H, S)."""
        return self.visits * (1 - self.values) / self.horizon

    @cached_property
    def problems(self) -> Array:
        """Probability of each problem."""
        return self.visits[0, ::2]

    @cached_property
    def passes(self) -> Array:
        """P(success | problem)."""
        return self.values[0, ::2]

    def by_problem(self, table: Array) -> Array:
        """Sum of an (H, S) table over the steps and states of each problem."""
        return np.asarray(table.sum(axis=0).reshape(-1, 2).sum(axis=1))

    def estimates(self) -> Iterator[tuple[Names, float]]:
        """Every number that :meth:`cpi_theory.Diagnosis.estimates` lists, by the same names."""
        yield ("rollouts", "success"), float(self.problems @ self.passes)
        yield ("states", "coverage"), float((self.visits * self.improvable).sum() / self.horizon)
        for h, share in enumerate(self.first_improvable()):
            yield ("first improvable step", f"at most {h}"), share
        yield from self.selection("localiser", self.named)
        yield from self.selection("random", self.failing)
        answered = float(self.named.sum() / (self.problems @ (1 - self.passes)))
        yield ("localiser", "answered"), answered
        yield ("refusals", "no error found"), 1 - answered
        yield from self.corrections()
        for method, law in (("GRPO", None), ("RRPO", self.failing), ("SRPO", self.named)):
            for name, value in self.groups(law).items():
                yield ("methods", f"{method}, {name}"), value

    def first_improvable(self) -> Iterator[float]:
        """P(the first improvable step is at most h), h = 0..H-1."""
        mdp, policy = self.simulator.mdp, self.simulator.layered_policy
        spared = np.asarray(mdp.start, np.float64)
        for h in range(self.horizon):
            spared = np.where(self.improvable[h], 0.0, spared)
            yield 1 - float(spared.sum())
            spared = push(mdp, h, spared[:, None] * policy[h % len(policy)])

    def selection(self, name: str, mass: Array) -> Iterator[tuple[Names, float]]:
        """Precision, recall, weight and remaining steps, and what T5 and T6 make of them."""
        hits, total = float((mass * self.improvable).sum()), float(mass.sum())
        visited = float((self.visits * self.improvable).sum())
        ahead = self.horizon - 1 - np.arange(self.horizon)
        remaining = float(ahead @ mass.sum(axis=1) / total)
        selected = total / self.horizon
        yield (name, "precision"), hits / total
        yield (name, "recall"), hits / visited
        yield (name, "selected"), selected
        yield (name, "remaining"), remaining
        ratio = (hits / total) / (visited / self.horizon)
        label = "random failures" if name == "random" else name
        yield ("theory", f"{label}, samples"), ratio**2
        nearer = float(ahead.mean()) / remaining
        yield ("theory", f"{label}, gain"), ratio**2 * selected * nearer

    def corrections(self) -> Iterator[tuple[Names, float]]:
        """Success after named steps and after the same steps of other failures."""
        depth = np.arange(self.horizon) * self.bins // self.horizon
        parts = {"all all": np.ones(self.horizon, dtype=bool)}
        for part in range(self.bins):
            parts[f"depth {part + 1} of {self.bins}"] = depth == part
        paired, control = self._paired(), self._control()
        for label, chosen in parts.items():
            named, matched = self.named[chosen], paired[chosen]
            if named.sum() == 0:
                continue
            values, other = self.values[chosen], control[chosen]
            own = float((named * values).sum() / named.sum())
            yield ("correction", f"{label}, own"), own
            pair = float((matched * values).sum() / matched.sum())
            yield ("correction", f"{label}, matched"), pair
            beside = float((matched * other).sum() / matched.sum())
            yield ("correction", f"{label}, control"), beside
            yield ("correction", f"{label}, difference"), pair - beside

    def _paired(self) -> Array:
        """Mass of named states whose prompt has another failure among its 8 rollouts."""
        another = 1 - self.passes ** (2 * _HALF - 1)
        return self.named * np.repeat(another, 2)

    def _control(self) -> Array:
        """P(success | state h of a failure of the problem), for each (h, s) of the problem."""
        failed = (self.visits * (1 - self.values)).reshape(self.horizon, -1, 2)
        rescued = failed * self.values.reshape(self.horizon, -1, 2)
        mean = rescued.sum(axis=2) / np.maximum(failed.sum(axis=2), 1e-300)
        return np.repeat(mean, 2, axis=1)

    def groups(self, law: Array | None) -> dict[str, float]:
        """Shares of informative groups and the signal of a method that resets by `law`.

        Args:
            law: P(s_h = s, the rollout fails and is reset to h), shape (H, S), a uniform step of
                a failure or a named one; None for one plain group of 8.
        """
        if law is None:
            whole = self._whole(self.passes)
            informative = float(self.problems @ whole[0])
            signal = float(self.problems @ whole[1]) * self.horizon / (2 * _HALF)
            return {
                "informative": informative,
                "base": informative,
                "used": informative,
                "signal": signal,
            }
        return self._split(law)

    def _whole(self, passes: Array) -> tuple[Array, Array]:
        """P(informative) and E[k std] of a group of 8."""
        size = 2 * _HALF
        counts = np.arange(size + 1)
        law = binom.pmf(counts[:, None], size, passes)
        return 1 - passes**size - (1 - passes) ** size, _mass(counts, size) @ law

    def _split(self, law: Array) -> dict[str, float]:
        size, s = _HALF, self.passes
        failed = 1 - s**size
        reset = self.by_problem(law) / (self.problems * (1 - s))  # a failure is reset at all
        two = failed * reset
        base = np.stack([1 - s**size - (1 - s) ** size, _spread(size, s)])
        lucky, refused = self._first_half_right(), self._first_half_not_right()
        length = self.horizon - np.arange(self.horizon)
        v = self.values
        told = self._mean(law, 1 - v**size - (1 - v) ** size)
        mass = self._mean(law, _spread(size, v) * length[:, None])
        # Of base groups: halves where there is a suffix group, wholes where there is none. A
        # base group of a prompt with a parent that is reset has at least one failure.
        rest = lucky + (1 - reset) * refused
        one = s**size + failed * (1 - reset)
        mean = self.problems
        base_told = mean @ (reset * base[0] + rest[0])
        suffix_told = mean @ (two * told)
        return {
            "informative": float((base_told + suffix_told) / (mean @ (one + 2 * two))),
            "base": float(base_told),
            "suffix": float(suffix_told / (mean @ two)),
            "used": float(mean @ (reset * base[0] / 2 + rest[0] + two * told / 2)),
            "corrected": float(mean @ (two * self._mean(law, v)) / (mean @ two)),
            "signal": float(
                mean @ ((reset * base[1] + rest[1]) * self.horizon + two * mass) / (2 * size)
            ),
        }

    def _mean(self, law: Array, table: Array) -> Array:
        """Mean of an (H, S) table over the reset states of each problem."""
        return self.by_problem(law * table) / self.by_problem(law)

    def _first_half_right(self) -> Array:
        """P and E[k std] of an informative group of 8 whose first 4 are right, and no parent."""
        return self._given_first_half([_HALF])

    def _first_half_not_right(self) -> Array:
        return self._given_first_half(range(_HALF))

    def _given_first_half(self, firsts: object) -> Array:
        counts = np.arange(_HALF + 1)
        chance = binom.pmf(counts[:, None], _HALF, self.passes)
        total = np.zeros((2, len(self.passes)))
        for first in firsts:  # type: ignore[attr-defined]
            masses = _mass(first + counts, 2 * _HALF)
            total += chance[first] * np.stack([(masses > 0) @ chance, masses @ chance])
        return total


def _mass(counts: NDArray[np.int64], size: int) -> Array:
    """k std of a group of `size` with so many successes."""
    share = counts / size
    return np.asarray(size * np.sqrt(share * (1 - share)))


def _spread(size: int, success: Array) -> Array:
    """E[k std] of a group with this success rate, any shape."""
    counts = np.arange(size + 1)
    law = binom.pmf(counts.reshape(-1, *[1] * success.ndim), size, success)
    return np.tensordot(_mass(counts, size), law, axes=1)
