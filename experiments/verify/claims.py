"""What the theorems say about one instance, as inequalities between two numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from cpi_theory import bounds
from cpi_theory.bounds.discounted import DiscountedResetStep
from cpi_theory.bounds.finite_horizon import ResetStep
from cpi_theory.checks import Exact
from experiments.verify.instances import BoundInstance


class Reading(NamedTuple):
    """One inequality, ``bound <= truth``, on one instance.

    Attributes:
        theorem: whose statement it is.
        says: which part of the statement.
        alpha: step size it was read at.
        bound: the smaller side if the theorem is right.
        truth: the larger side.
        first_order: alpha times the slope of the gain at 0, where the bound subtracts a penalty
            from it; None elsewhere.
        coarser: the same of T1s, where the statement sharpens it.
    """

    theorem: str
    says: str
    alpha: Exact
    bound: Exact
    truth: Exact
    first_order: Exact | None = None
    coarser: Exact | None = None

    @property
    def slack(self) -> Exact:
        """How much room is left; negative if the statement is violated."""
        return self.truth - self.bound

    @property
    def ratio(self) -> float | None:
        """Bound over truth, when both are positive and the truth is finite: 1 is attained."""
        if self.bound > 0 and 0 < self.truth < math.inf:
            return float(self.bound / self.truth)
        return None

    @property
    def penalty_used(self) -> float | None:
        """Share of the bound's penalty that the update really costs: 1 is attained."""
        if self.first_order is None or not self.first_order > self.bound:
            return None
        return float((self.first_order - self.truth) / (self.first_order - self.bound))

    def penalty_share(self, least: float) -> float | None:
        """Penalty over that of the coarser bound; None where that one is `least` or less."""
        if self.first_order is None or self.coarser is None:
            return None
        penalty = self.first_order - self.coarser
        return float((self.first_order - self.bound) / penalty) if penalty > least else None


Readings = Iterator[Reading]

GAIN = "gain"
"""The statement that a bound on the gain is one; the statements whose tightness is reported."""


def improvement(instance: BoundInstance) -> Readings:
    r"""Check that every step size gains at least what T1 and T1s say, and that T1s says more.

    T1: :math:`J(\pi_\alpha) - J(\pi) \ge \alpha H p_w \bar A_w - \alpha^2 \Delta H p_w L_w`.

    Source: docs/theory.md, theorem 1.
    """
    step = instance.step
    assert isinstance(step, ResetStep)
    slope = step.horizon * step.coverage * step.advantage
    for alpha in instance.alphas:
        gain, deviations = instance.gain(alpha), instance.deviations(alpha)
        plain = bounds.improvement_lower_bound(step, alpha)
        sharp = bounds.sharp_improvement_lower_bound(step, alpha, deviations)
        uniform = bounds.uniform_deviation_probabilities(step.horizon, alpha)
        weak = bounds.sharp_improvement_lower_bound(step, alpha, uniform)
        yield Reading("T1", GAIN, alpha, plain, gain, alpha * slope)
        yield Reading("T1s", GAIN, alpha, sharp, gain, alpha * slope)
        yield Reading("T1s", "above T1", alpha, plain, sharp)
        yield Reading("T1s", "gain, any weight", alpha, weak, gain, alpha * slope)
        for ours, most in zip(deviations, uniform, strict=True):
            yield Reading("T1s", "w = 1 deviates most", alpha, ours, most)
            if step.coverage == 1:  # w = 1 wherever the policy goes
                yield Reading("T1s", "deviations of w = 1", alpha, most, ours)


def layered_improvement(instance: BoundInstance) -> Readings:
    r"""Check T1e and T1h: the gain is at least both, in the order T1e, T1h, T1s; T1e contains T3.

    T1e: :math:`J(\pi_\alpha) - J(\pi) \ge \alpha \sum_h (E_\pi[f \Lambda_h] + P(D_h) m_h)`.

    Source: docs/theory.md, theorem 1, layer by layer.
    """
    step, layers = instance.step, instance.layers
    assert isinstance(step, ResetStep)
    slope = sum(layers.gains)
    for alpha in instance.alphas:
        gain, deviations = instance.gain(alpha), instance.deviations(alpha)
        sharp = bounds.sharp_improvement_lower_bound(step, alpha, deviations)
        layered = bounds.layered_improvement_lower_bound(layers, alpha, deviations)
        undeviated = bounds.undeviated_improvement_lower_bound(
            alpha, instance.undeviated_gains(alpha), deviations, instance.least_gains()
        )
        yield Reading("T1e", GAIN, alpha, undeviated, gain, alpha * slope, sharp)
        yield Reading("T1h", GAIN, alpha, layered, gain, alpha * slope, sharp)
        yield Reading("T1e", "above T1h", alpha, layered, undeviated)
        yield Reading("T1h", "above T1s", alpha, sharp, layered)
        if instance.tau > 0:
            local = bounds.undeviated_improvement_lower_bound(
                alpha,
                instance.undeviated_gains(alpha, "greedy"),
                instance.deviations(alpha, "greedy"),
                instance.least_gains("greedy"),
            )
            greedy = bounds.greedy_improvement_lower_bound(instance.tau, instance.visits, alpha)
            yield Reading("T1e", "gain, greedy", alpha, local, instance.gain(alpha, "greedy"))
            yield Reading("T1e", "above T3", alpha, greedy, local)


def layered_best_step(instance: BoundInstance) -> Readings:
    r"""Check the best step of T1h's parabola: its guarantee, and that no other guarantees more.

    The parabola is :math:`\alpha H p_w \bar A_w - \alpha^2 C`.

    Source: docs/theory.md, theorem 2, layer by layer.
    """
    layers = instance.layers
    slope = sum(layers.gains)
    alpha, guaranteed = bounds.layered_best_step(layers)
    yield Reading("T2h", GAIN, alpha, guaranteed, instance.gain(alpha), alpha * slope)
    sharper = bounds.layered_improvement_lower_bound(layers, alpha, instance.deviations(alpha))
    yield Reading("T2h", "below T1h", alpha, guaranteed, sharper)
    assert isinstance(instance.step, ResetStep)
    yield Reading("T2h", "above T2", alpha, bounds.best_step(instance.step)[1], guaranteed)
    for other in instance.alphas:
        there = other * slope - other * other * layers.curvature
        yield Reading("T2h", "best step size", other, there, guaranteed)


def best_step(instance: BoundInstance) -> Readings:
    r"""Check T2: its guarantee holds, no other step size guarantees more, and its closed form.

    Where :math:`\alpha^* < 1` the guarantee is :math:`H p_w \bar A_w^2 / (4 \Delta L_w)`.

    Source: docs/theory.md, theorem 2.
    """
    step = instance.step
    assert isinstance(step, ResetStep)
    alpha, guaranteed = bounds.best_step(step)
    slope = alpha * step.horizon * step.coverage * step.advantage
    yield Reading("T2", GAIN, alpha, guaranteed, instance.gain(alpha), slope)
    for other in instance.alphas:
        there = bounds.improvement_lower_bound(step, other)
        yield Reading("T2", "best step size", other, there, guaranteed)
    if 0 < alpha < 1:
        product = step.horizon * step.coverage * step.advantage * step.advantage
        closed = product / (4 * step.spread * step.remaining)
        yield Reading("T2", "closed form, at least", alpha, closed, guaranteed)
        yield Reading("T2", "closed form, at most", alpha, guaranteed, closed)
        widest = 8 * instance.mdp.reward_bound * step.remaining
        yield Reading("T2", "with Delta <= 2 R", alpha, product / widest, guaranteed)


def sharp_best_step(instance: BoundInstance) -> Readings:
    """Check the sharp T2, the same of the step that maximises T1s with the deviations of w = 1.

    Source: docs/theory.md, theorem 2.
    """
    step = instance.step
    assert isinstance(step, ResetStep)
    alpha, guaranteed = bounds.sharp_best_step(step)
    slope = alpha * step.horizon * step.coverage * step.advantage
    yield Reading("T2s", GAIN, alpha, guaranteed, instance.gain(alpha), slope)
    near = _SEARCHED * step.horizon * instance.mdp.reward_bound
    for other in instance.alphas:
        uniform = bounds.uniform_deviation_probabilities(step.horizon, other)
        there = bounds.sharp_improvement_lower_bound(step, other, uniform)
        yield Reading("T2s", "best step size", other, there - near, guaranteed)
    # The grid takes longer than all else: of worlds in floats only small ones are asked.
    if instance.exact or instance.weight.size <= _SMALL:
        yield from _given_deviations(instance, step, guaranteed - near, near)


def _given_deviations(
    instance: BoundInstance, step: ResetStep, uniform: Exact, near: Exact
) -> Readings:
    """The step for the update's own deviations: never below that for those of w = 1."""
    alpha, guaranteed = bounds.sharp_best_step(step, instance.deviations_at)
    slope = alpha * step.horizon * step.coverage * step.advantage
    yield Reading("T2s", GAIN, alpha, guaranteed, instance.gain(alpha), slope)
    yield Reading("T2s", "above the step for any weight", alpha, uniform, guaranteed)
    for other in instance.alphas:
        own, counted = instance.deviations(other), sum(instance.deviations_at(other))
        there = bounds.sharp_improvement_lower_bound(step, other, own)
        yield Reading("T2s", "best step size, given", other, there - near, guaranteed)
        yield Reading("T2s", "deviations, at least", other, sum(own), counted)
        yield Reading("T2s", "deviations, at most", other, counted, sum(own))


# States times layers: as many as those of an adversarial search, three layers of two.
_SMALL = 6

# An irrational maximiser is given as a nearby number; its value is worse by no more than this.
_SEARCHED = 1 / (1 << 30)


def greedy_improvement(instance: BoundInstance) -> Readings:
    """Check T3: acting greedily on the improvable set gains what it says at every step size.

    Source: docs/theory.md, theorem 3.
    """
    if not instance.tau > 0:
        return
    for alpha in instance.alphas:
        bound = bounds.greedy_improvement_lower_bound(instance.tau, instance.visits, alpha)
        yield Reading("T3", GAIN, alpha, bound, instance.gain(alpha, "greedy"))


def planned_step(instance: BoundInstance) -> Readings:
    r"""Check T5 and T6: what precision and recall offer, and that a plan's step gains what it says.

    Resets of precision q and recall :math:`\rho` have coverage :math:`p_w = \rho p / q`.

    Source: docs/theory.md, theorem 6.
    """
    step, tau = instance.step, instance.tau
    assert isinstance(step, ResetStep)
    if not tau > 0 or not (instance.evaluation.occupancy * instance.weight)[instance.mask].any():
        return
    yield from _offers(instance)
    p, precision, recall = _theory_parameters(instance)
    bound = instance.mdp.reward_bound
    candidates = bounds.PolicyClass(instance.mdp.actions, 0.05, policies=2, reward_bound=bound)
    rest = (precision, recall, p, tau, step.horizon, candidates)
    plan = bounds.imperfect_oracle_plan(*rest, remaining=step.remaining)
    alpha, gain = plan.alpha, plan.guaranteed_gain
    yield Reading("T6", "p_w = rho p / q, at least", alpha, plan.step.coverage, step.coverage)
    yield Reading("T6", "p_w = rho p / q, at most", alpha, step.coverage, plan.step.coverage)
    yield Reading("T6", GAIN, alpha, gain, instance.gain(alpha, "half"))
    if step.advantage >= plan.step.advantage:  # then the plan's step suits the candidate as well
        yield Reading("T6", "gain, any candidate", alpha, gain, instance.gain(alpha))
    yield from _two_plans(instance, p)
    if 0 < alpha < 1:
        closed = step.horizon * recall * precision * p * tau * tau / (32 * bound * step.remaining)
        yield Reading("T6", "closed form, at least", alpha, closed, gain)
        yield Reading("T6", "closed form, at most", alpha, gain, closed)


def _two_plans(instance: BoundInstance, p: Exact) -> Readings:
    """T5: what random resets and the oracle guarantee, with and without knowing L_I."""
    step, occupancy = instance.step, instance.evaluation.occupancy
    assert isinstance(step, ResetStep)
    rivals = bounds.PolicyClass(
        instance.mdp.actions, 0.05, policies=2, reward_bound=instance.mdp.reward_bound
    )
    after = np.arange(step.horizon - 1, -1, -1)
    remaining = (occupancy * instance.mask).sum(axis=1) @ after / occupancy[instance.mask].sum()
    rest = (p, instance.tau, step.horizon, rivals)
    for which, plan in (
        ("random half", bounds.random_reset_plan(*rest)),
        (
            "oracle half",
            bounds.oracle_reset_plan(*rest, remaining=min(remaining, step.horizon - 1)),
        ),
        ("oracle half", bounds.oracle_reset_plan(*rest)),
    ):
        gain = instance.gain(plan.alpha, which)
        yield Reading("T5", GAIN, plan.alpha, plan.guaranteed_gain, gain)


def _theory_parameters(instance: BoundInstance) -> tuple[Exact, Exact, Exact]:
    """Coverage p of the improvable set, and precision and recall of the weight."""
    occupancy = instance.evaluation.occupancy
    p = occupancy[instance.mask].sum()
    selected = (occupancy * instance.weight)[instance.mask].sum()
    parameters = p, selected / instance.step.coverage, selected / p
    if instance.exact:
        return parameters
    # Sums of shares may exceed one by rounding.
    return (min(float(p), 1.0), min(float(parameters[1]), 1.0), min(float(parameters[2]), 1.0))


def _offers(instance: BoundInstance) -> Readings:
    """What the best candidate has: q tau at the weight, p tau everywhere, tau on the set itself."""
    occupancy, best = instance.evaluation.occupancy, instance.evaluation.best_advantages
    p, precision, _ = _theory_parameters(instance)
    tau = instance.tau
    offered = (occupancy * instance.weight * best).sum() / instance.step.coverage
    yield Reading("T6", "a candidate offers q tau", 0, precision * tau, offered)
    yield Reading("T5", "a candidate offers p tau", 0, p * tau, (occupancy * best).sum())
    on_mask = (occupancy * best)[instance.mask].sum()
    yield Reading("T5", "the oracle offers tau", 0, p * tau, on_mask)


def discounted_improvement(instance: BoundInstance) -> Readings:
    r"""Check T8 and its sharper forms T8s and T8e, and that w = 1 deviates most.

    T8: the gain is at least
    :math:`\alpha p_w \bar A_w / (1 - \gamma) - \alpha^2 \Delta p_w \gamma / (1 - \gamma)^2`.

    Source: docs/theory.md, theorem 8.
    """
    step = instance.step
    assert isinstance(step, DiscountedResetStep)
    slope = step.coverage * step.advantage / (1 - step.discount)
    for alpha in instance.alphas:
        gain, deviation = instance.gain(alpha), instance.deviations(alpha)
        plain = bounds.discounted_improvement_lower_bound(step, alpha)
        sharp = bounds.sharp_discounted_improvement_lower_bound(step, alpha, deviation)
        uniform = bounds.uniform_discounted_deviation(step.discount, alpha)
        weak = bounds.sharp_discounted_improvement_lower_bound(step, alpha, uniform)
        yield Reading("T8", GAIN, alpha, plain, gain, alpha * slope)
        yield Reading("T8s", GAIN, alpha, sharp, gain, alpha * slope)
        yield Reading("T8s", "above T8", alpha, plain, sharp)
        yield Reading("T8s", "gain, any weight", alpha, weak, gain, alpha * slope)
        (own,), (least,) = instance.undeviated_gains(alpha), instance.least_gains()
        undeviated = bounds.undeviated_discounted_improvement_lower_bound(
            alpha, own, deviation, least
        )
        yield Reading("T8e", GAIN, alpha, undeviated, gain, alpha * slope)
        yield Reading("T8e", "above T8s", alpha, sharp, undeviated)
        yield Reading("T8s", "w = 1 deviates most", alpha, deviation, uniform)
        if step.coverage == 1:
            yield Reading("T8s", "deviations of w = 1", alpha, uniform, deviation)


def discounted_best_step(instance: BoundInstance) -> Readings:
    """Check T8's best step: its guarantee, that none is better, and its closed form.

    Source: docs/theory.md, theorem 8.
    """
    step = instance.step
    assert isinstance(step, DiscountedResetStep)
    alpha, guaranteed = bounds.discounted_best_step(step)
    slope = alpha * step.coverage * step.advantage / (1 - step.discount)
    yield Reading("T8 step", GAIN, alpha, guaranteed, instance.gain(alpha), slope)
    for other in instance.alphas:
        there = bounds.discounted_improvement_lower_bound(step, other)
        yield Reading("T8 step", "best step size", other, there, guaranteed)
    if 0 < alpha < 1:
        product = step.coverage * step.advantage * step.advantage
        closed = product / (4 * step.discount * step.spread)
        yield Reading("T8 step", "closed form, at least", alpha, closed, guaranteed)
        yield Reading("T8 step", "closed form, at most", alpha, guaranteed, closed)


def sharp_discounted_best_step(instance: BoundInstance) -> Readings:
    """Check the best step of the sharp T8: its guarantee, and that none is better.

    Source: docs/theory.md, theorem 8.
    """
    step = instance.step
    assert isinstance(step, DiscountedResetStep)
    alpha, guaranteed = bounds.sharp_discounted_best_step(step)
    slope = alpha * step.coverage * step.advantage / (1 - step.discount)
    yield Reading("T8s step", GAIN, alpha, guaranteed, instance.gain(alpha), slope)
    near = _SEARCHED * instance.mdp.reward_bound / (1 - step.discount) ** 3
    for other in instance.alphas:
        uniform = bounds.uniform_discounted_deviation(step.discount, other)
        there = bounds.sharp_discounted_improvement_lower_bound(step, other, uniform)
        yield Reading("T8s step", "best step size", other, there - near, guaranteed)


TELLING_ALPHA = 0.25
"""Below it bound over gain says little: every bound is exact to first order in alpha."""

Claim = Callable[[BoundInstance], Readings]

FINITE: tuple[Claim, ...] = (
    improvement,
    layered_improvement,
    best_step,
    layered_best_step,
    sharp_best_step,
    greedy_improvement,
    planned_step,
)
DISCOUNTED: tuple[Claim, ...] = (
    discounted_improvement,
    discounted_best_step,
    sharp_discounted_best_step,
)


def readings(instance: BoundInstance) -> Readings:
    """Every inequality that the theorems state about an instance."""
    for claim in DISCOUNTED if instance.discounted else FINITE:
        yield from claim(instance)


def violated(instance: BoundInstance, reading: Reading) -> bool:
    """Whether the inequality fails by more than rounding; not at all when exact."""
    sides = (reading.bound, reading.truth, reading.first_order or 0)
    return reading.slack < -instance.tolerance(*sides)
