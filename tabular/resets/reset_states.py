"""The law of the states that reset algorithms restart from, exactly.

Not to be confused with the reset weight: that is about a reset policy applied to every rollout,
this is about an algorithm, which resets failures alone, some of them, and draws one step of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike, NDArray

from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.checks import Exact, InvalidInput
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageBasedReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.operators import pull, push
from tabular.mdp.validation import Array, as_numbers
from tabular.resets.first_errors import ErrorWalk, Naming, Returns, success_bar
from tabular.resets.localizer import Localizer
from tabular.resets.weights import exact_weight

MAX_SUMS = 512
"""Most distinct sums of weights per layer for which the recursion is worth its cost."""


@dataclass(frozen=True, eq=False)
class ResetStateLaw:
    """Where an algorithm's suffix groups start; `numpy.asarray` gives the law.

    Attributes:
        values: P(the reset state is s at step h | there is a reset), shape (H, S); sums to one.
        resets: expected number of resets of a prompt that is drawn from the start distribution.
    """

    values: Shaped[np.ndarray, "H S"]
    resets: Exact

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)


def reset_state_law(
    mdp: FiniteHorizonMDP,
    policy: ArrayLike,
    algorithm: ResetGRPO,
    *,
    localizer: Localizer | None = None,
    success: Exact | None = None,
) -> ResetStateLaw:
    r"""Compute the law of the reset states of :class:`~cpi_theory.algorithms.reset_grpo.ResetGRPO`.

    A prompt from start state s0 draws n rollouts and resets at most m of its failures, each at a
    step that the reset policy draws. With u(s0) the probability of a failure that has steps,
    F ~ Bin(n, u) of them, and sigma_h the probability that step h of a rollout is drawn,

        P(s, h)  is proportional to  sum_s0 rho(s0) k(s0) E[1{failure} 1{s_h = s} sigma_h | s0],
        k(s0) = E[min(m, F)] / u(s0),

    which with one parent is k = (1 - v^n) / (1 - v), v the pass rate. From a single start state k
    drops out. With UniformReset (RRPO), rollouts of H steps and outcomes 0 or R that means
    P(s, h) proportional to d(s, h) (1 - V_h(s) / R): of two states visited alike, RRPO resets more
    often to the one that it is worse to be in. Its precision on a set I of (s, h) is therefore
    p - Cov_d(V / R, 1_I) / (1 - J / R) with p = P_d(I).

    Exact fractions on an exact MDP.

    Args:
        mdp: the world; prompts are drawn from its start distribution.
        policy: shape (H, S, A) or (S, A).
        algorithm: with either parent rule; its reset policy is a StartReset, UniformReset,
            FirstErrorReset or any AdvantageBasedReset.
        localizer: how the world names first errors; by default exactly.
        success: a rollout fails if its return is below this; by default `reward_bound` less 1e-9.

    Raises:
        InvalidInput: for another reset policy, if rollouts have too many distinct returns or sums
            of weights for a recursion, or if nothing is ever reset.

    Source: docs/theory.md, "Where RRPO resets to"; the algorithms are those of arXiv 2605.25507.
    """
    laws = _JointLaws.of(mdp, evaluate(mdp, policy), algorithm, localizer or Localizer(), success)
    joint = laws.drawn()
    if algorithm.on_refusal == "uniform":
        joint = joint + laws.drawn_after_refusal()
    total = joint.sum()
    if not total > 0:
        remedy = "give a policy that fails, and a reset policy that names steps of its failures"
        raise InvalidInput("algorithm", algorithm, "never resets here", remedy)
    values = joint / total
    values.setflags(write=False)
    return ResetStateLaw(values, total if mdp.exact else float(total))


def parents_per_failure(algorithm: ResetGRPO, failure_rate: Exact) -> Exact:
    """Return the expected number of parents of a prompt over the probability u of a failure.

    E[parents] / u = sum_j c_j Bin(N, j) u^(j-1) (1-u)^(N-j), the rule "uniform" with
    c_j = min(m, j) of N = n base rollouts, "published" with c_j = m from j = m on, of N = attempts.
    """
    uniform, most = algorithm.parent == "uniform", algorithm.parents
    draws = algorithm.base if uniform else algorithm.attempts
    # The quotient by u is taken term by term, so that a prompt that never fails divides by nothing.
    u = failure_rate
    return sum(
        (min(most, j) if uniform else most * (j >= most))
        * comb(draws, j)
        * (u ** (j - 1) * (1 - u) ** (draws - j))
        for j in range(1, draws + 1)
    )


@dataclass(frozen=True, eq=False)
class _JointLaws:
    """The joint laws of reset steps and states of one algorithm."""

    mdp: FiniteHorizonMDP
    evaluation: Evaluation
    algorithm: ResetGRPO
    localizer: Localizer
    success: Exact | None
    returns: Returns

    @classmethod
    def of(
        cls,
        mdp: FiniteHorizonMDP,
        evaluation: Evaluation,
        algorithm: ResetGRPO,
        localizer: Localizer,
        success: Exact | None,
    ) -> _JointLaws:
        reset = algorithm.reset
        if not isinstance(reset, FirstErrorReset | StartReset | UniformReset | AdvantageBasedReset):
            raise InvalidInput("reset", reset, "its law has no recursion", "simulate collections")
        returns = Returns.of(mdp, success_bar(mdp, success))
        if returns is None:
            raise _too_many("returns")
        return cls(mdp, evaluation, algorithm, localizer, success, returns)

    @cached_property
    def naming(self) -> Naming:
        return Naming.of(self.localizer, self.mdp.exact)

    @cached_property
    def walk(self) -> ErrorWalk:
        """The walk from the start distribution, each state weighted by its parents per failure."""
        mdp, evaluation, returns = self.mdp, self.evaluation, self.returns
        plain = ErrorWalk.of(mdp, evaluation, returns, self.naming, mdp.start)
        rates = plain.failing(self.payout(lambda _: 1))[0][0]
        if not mdp.exact:
            rates = np.clip(rates, 0.0, 1.0)
        weights = np.array([parents_per_failure(self.algorithm, u) for u in rates])
        return ErrorWalk.of(mdp, evaluation, returns, self.naming, mdp.start * weights)

    def payout(self, of_steps: Callable[[int], Any]) -> Callable[[int], Exact]:
        """A function of the number of steps in the MDP's own numbers."""
        number: Callable[[Any], Exact] = Fraction if self.mdp.exact else float
        return lambda steps: number(of_steps(steps))

    @cached_property
    def weight(self) -> Array:
        """w(s, h) of a reset policy that looks at states alone, shape (H, S)."""
        given = (self.mdp, self.evaluation, self.localizer, self.success)
        weight = exact_weight(self.algorithm.reset, *given)
        assert weight is not None  # `of` has refused policies without a recursion
        return weight

    def drawn(self) -> Array:
        """Expected number of resets to each (h, s) that the reset policy draws, shape (H, S)."""
        reset = self.algorithm.reset
        if isinstance(reset, FirstErrorReset):
            return self.walk.named(reset.offset, self.naming)
        return self.shares(self.weight, np.ones_like(self.weight, dtype=bool))

    def drawn_after_refusal(self) -> Array:
        """The same of uniform steps of the failures of which the reset policy names none."""
        acting = np.broadcast_to(~self.mdp.terminal, self.evaluation.values.shape)
        anywhere = as_numbers("weight", acting.astype(np.int64), self.mdp.exact)
        if not isinstance(self.algorithm.reset, FirstErrorReset):
            return self.shares(anywhere, np.asarray(self.weight == 0, dtype=bool))
        every = self.shares(anywhere, np.ones_like(acting, dtype=bool))
        recall = self.naming.recall
        named = self.walk.any_steps(self.payout(lambda steps: recall / steps))
        # All failures less those in which the localizer names a step.
        return every - self.walk.selected(0, *named)

    def shares(self, weight: Array, allowed: NDArray[np.bool_]) -> Array:
        """E[w_h / (sum of w over the rollout); s_h = s, it fails, `allowed` throughout], (H, S)."""
        sums = _Sums.of(weight)
        if sums is None:
            raise _too_many("sums of weights")
        return _ShareWalk(self.walk, sums, weight, allowed).joint()


def _too_many(what: str) -> InvalidInput:
    return InvalidInput("mdp", what, "too many distinct ones for a recursion", "simulate instead")


@dataclass(frozen=True, eq=False)
class _Sums:
    """The distinct sums of weights so far, layer by layer.

    Attributes:
        levels: per layer h = 0..H the sums, shape (m_h,).
        after: per layer h < H the index into levels[h + 1] that follows, shape (m_h, S).
    """

    levels: tuple[Array, ...]
    after: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, weight: Array) -> _Sums | None:
        """Return the sums of weights (H, S), or None if they are too many."""
        levels = [weight[0, :1] * 0]
        after = []
        for row in weight:
            sums = levels[-1][:, None] + row
            if not sums.dtype.hasobject:
                sums = np.round(sums, 12)  # another order of the same weights
            distinct, index = np.unique(sums, return_inverse=True)
            if distinct.size > MAX_SUMS:
                return None
            levels.append(distinct)
            after.append(index.reshape(sums.shape))
        return cls(tuple(levels), tuple(after))


@dataclass(frozen=True, eq=False)
class _ShareWalk:
    """Recursions over one layer at a time with the returns and the sums of weights so far.

    Tables of layer h have shape (n_h, m_h, S): n_h distinct returns, m_h distinct sums.
    """

    walk: ErrorWalk
    sums: _Sums
    weight: Array
    allowed: NDArray[np.bool_]

    def joint(self) -> Array:
        """E[w_h / (sum of w); s_h = s, the rollout fails and is allowed], shape (H, S)."""
        worth = self.worth()
        rows, mass = [], self.zeros(0) + self.walk.start
        for h, weight in enumerate(self.weight):
            rows.append(weight * (mass * worth[h]).sum(axis=(0, 1)))
            if h + 1 < len(self.weight):
                mass = self.forward(h, mass)
        return np.array(rows)

    def worth(self) -> list[Array]:
        """E[1 / (sum of w); failure, allowed from here on], per layer 0..H."""
        horizon = len(self.weight)
        last = self.zeros(horizon)
        sums = self.sums.levels[horizon]
        # A rollout without any weight is not reset: 0 instead of a division by 0.
        inverse = np.array([1 / total if total > 0 else total for total in sums])
        last[self.walk.returns.fails[horizon]] += inverse[:, None]
        found = [last]
        for h in reversed(range(horizon)):
            ahead = pull(self.walk.mdp, h, found[-1])[self.next_index(h)]
            found.append((self.walk.policy[h] * ahead).sum(axis=3) * self.allowed[h])
        return found[::-1]

    def forward(self, step: int, mass: Array) -> Array:
        """Mass of a layer moved to the next one."""
        acting = (mass * self.allowed[step])[..., None] * self.walk.policy[step]
        shape = self.zeros(step + 1).shape
        gathered = np.zeros((*shape, acting.shape[3]), dtype=acting.dtype)
        # Not +=: several returns and sums may be followed by the same ones.
        np.add.at(gathered, self.next_index(step), acting)
        return push(self.walk.mdp, step, gathered)

    def next_index(self, step: int) -> tuple[Any, ...]:
        """Index into the next layer's (n, m, S, A) of each (n, m, S, A) of this one."""
        after = self.walk.returns.after[step][:, None]
        sums = self.sums.after[step][None, :, :, None]
        states, actions = np.ogrid[: after.shape[2], : after.shape[3]]
        return after, sums, states, actions

    def zeros(self, step: int) -> Array:
        """An empty table of layer `step`."""
        returns = self.walk.zeros(step)
        shape = (len(returns), self.sums.levels[step].size, returns.shape[1])
        return np.zeros(shape, dtype=returns.dtype)
