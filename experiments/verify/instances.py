"""What `verify` checks the bounds on: one update of one policy in one world, prepared once."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.bounds.discounted import DiscountedResetStep
from cpi_theory.bounds.finite_horizon import ResetStep
from cpi_theory.bounds.layers import LayeredStep
from cpi_theory.checks import Exact
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.operators import push
from tabular.mdp.policies import as_weight
from tabular.resets.deviations import deviation_probabilities, discounted_deviation, visit_counts
from tabular.resets.layers import layered_step, least_deviated_gains, undeviated_gains
from tabular.resets.updates import greedy_on, improvable, mix, reset_step

Array = NDArray[Any]

EPSILON = float(np.finfo(np.float64).eps)
# Tolerance of float checks, per layer and unit of what is compared.
_ROUNDING = 64 * EPSILON


@dataclass(frozen=True, eq=False)
class BoundInstance:
    """A world, a policy, a candidate, a reset weight and step sizes to try.

    Everything derived is computed at most once, so that many bounds (or many mutants of one) can
    be asked about the same update.

    Attributes:
        label: human-readable label: where it comes from.
        mdp: finite-horizon or discounted.
        policy: pi, shape (H, S, A), or (S, A) when discounted.
        candidate: pi', the same shape.
        weight: w, shape (H, S) or (S,).
        alphas: step sizes.
        share: level of the improvable set as a share of the best advantage of any state.
    """

    label: str
    mdp: FiniteHorizonMDP | DiscountedMDP
    policy: Array
    candidate: Array
    weight: Array
    alphas: tuple[Exact, ...]
    share: Exact
    _gains: dict[Any, Exact] = field(default_factory=dict, repr=False, init=False)
    _laws: dict[Any, Any] = field(default_factory=dict, repr=False, init=False)

    @property
    def exact(self) -> bool:
        """Whether it is held in fractions, so that checks have no tolerance."""
        return self.mdp.exact

    @property
    def discounted(self) -> bool:
        """Whether its world is discounted."""
        return isinstance(self.mdp, DiscountedMDP)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Exact evaluation of the policy."""
        return evaluate(self.mdp, self.policy)

    @cached_property
    def step(self) -> ResetStep | DiscountedResetStep:
        """The bound's inputs for the update towards the candidate at the weight."""
        return reset_step(self.evaluation, self.candidate, self.weight)

    @cached_property
    def tau(self) -> Exact:
        """Level of the improvable set; zero when no action improves on the policy anywhere."""
        best: Exact = self.evaluation.best_advantages.max()
        rounding = 0 if self.exact else _ROUNDING * float(self.mdp.reward_bound)
        return best * self.share if best > rounding else best * 0

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """The improvable set at threshold tau, shape (H, S)."""
        return improvable(self.evaluation, self.tau)

    @cached_property
    def greedy(self) -> Array:
        """The candidate that is greedy for the exact advantages wherever that improves."""
        return greedy_on(self.evaluation)

    def update(self, which: str) -> tuple[Array, Array]:
        """(candidate, weight) of a named update.

        "given" is the instance's own; "greedy" is greedy on the improvable set alone; "half" goes
        half way to greedy at the instance's weight, "random half" everywhere and "oracle half" on
        the improvable set.
        """
        if which == "given":
            return self.candidate, self.weight
        if which == "greedy":
            return greedy_on(self.evaluation, self.mask), self.mask
        half = Fraction(1, 2) if self.exact else 0.5
        weights = {
            "half": self.weight,
            "random half": np.ones(self.policy.shape[:-1], np.int64),
            "oracle half": self.mask,
        }
        return half * self.greedy + half * self.policy, weights[which]

    def gain(self, alpha: Exact, which: str = "given") -> Exact:
        """J(pi_alpha) - J(pi) of a named update, exact on exact instances."""
        key = (alpha, which)
        if key not in self._gains:
            candidate, weight = self.update(which)
            mixed = mix(self.policy, candidate, weight, alpha)
            self._gains[key] = evaluate(self.mdp, mixed).value - self.evaluation.value
        return self._gains[key]

    def deviations(self, alpha: Exact, which: str = "given") -> Any:
        """P(D_h) for h = 0..H-1 of a named update; when discounted, sum_t gamma^t P(D_t)."""
        key = (alpha, which)
        if key not in self._laws:
            measure: Any = discounted_deviation if self.discounted else deviation_probabilities
            law = measure(self.mdp, self.policy, self.update(which)[1], alpha)
            self._laws[key] = law if self.discounted else tuple(law)
        return self._laws[key]

    @cached_property
    def switch_counts(self) -> Array:
        """P(n of the coins of bias w before layer h came up) along rollouts of pi, shape (H, H).

        A coin of bias alpha w is one of bias w and one of bias alpha, so that
        P(D_h) = 1 - E (1 - alpha)^n for every alpha.
        """
        assert isinstance(self.mdp, FiniteHorizonMDP)
        weight = as_weight(self.weight, self.policy.shape[:-1], self.exact)
        mass = np.zeros((self.mdp.horizon, self.mdp.states), dtype=self.policy.dtype)
        mass[0] = self.mdp.start
        counts = [mass.sum(axis=1)]
        for h in range(self.mdp.horizon - 1):
            moved = mass * (1 - weight[h])
            moved[1:] += (mass * weight[h])[:-1]
            mass = push(self.mdp, h, moved[:, :, None] * self.policy[h])
            counts.append(mass.sum(axis=1))
        return np.array(counts)

    def deviations_at(self, alpha: Exact) -> Any:
        """P(D_h) by :attr:`switch_counts`: a few products for each of many step sizes."""
        exact = self.exact and isinstance(alpha, int | Fraction)
        counts = self.switch_counts if exact else self._float_counts
        # One by one: a fraction to the power of an array would be a float.
        found = 1 - counts @ np.array([(1 - alpha) ** n for n in range(len(counts))])
        return tuple(found) if exact else tuple(found.clip(0.0, 1.0).tolist())

    @cached_property
    def _float_counts(self) -> NDArray[np.float64]:
        return np.asarray(self.switch_counts, np.float64)

    @cached_property
    def layers(self) -> LayeredStep:
        """The inputs of T1h for the update towards the candidate at the weight."""
        assert isinstance(self.mdp, FiniteHorizonMDP)
        return layered_step(self.mdp, self.evaluation, self.candidate, self.weight)

    def undeviated_gains(self, alpha: Exact, which: str = "given") -> tuple[Exact, ...]:
        """E_pi[f Lambda_h] of a named update, by layer; discounted, its sum over time."""
        key = ("undeviated", alpha, which)
        if key not in self._laws:
            update = self.update(which)
            self._laws[key] = undeviated_gains(self.mdp, self.evaluation, *update, alpha)
        return tuple(self._laws[key])

    def least_gains(self, which: str = "given") -> tuple[Exact, ...]:
        """The least f after a deviation of a named update, by layer; discounted, one number."""
        key = ("least", which)
        if key not in self._laws:
            self._laws[key] = least_deviated_gains(self.mdp, self.evaluation, *self.update(which))
        return tuple(self._laws[key])

    @cached_property
    def visits(self) -> tuple[Exact, ...]:
        """P(N = n) of the number of visits to the improvable set."""
        return tuple(visit_counts(self.mdp, self.policy, self.mask))  # type: ignore[arg-type]

    def tolerance(self, *values: Exact) -> float:
        """How far rounding may push a comparison of these values: nothing when exact."""
        if self.exact:
            return 0
        size = max(float(self.mdp.reward_bound), *(abs(float(v)) for v in values))
        if isinstance(self.mdp, FiniteHorizonMDP):
            return _ROUNDING * self.mdp.horizon * size
        return _ROUNDING * size / (1 - float(self.mdp.discount)) ** 2
