"""What T5 and T6 say about plans and their ratios, on plans rather than on instances."""

from __future__ import annotations

from itertools import product
from math import log
from typing import Any

from cpi_theory.bounds import chooser, plans, statewise
from cpi_theory.bounds.classes import PolicyClass
from experiments.verify.claims import Reading, Readings
from experiments.verify.signs import BOUND

_HORIZON = 9


def plans_compare_as_said() -> Readings:
    """T5 and T6: samples and gains against random resets, below the cap of the step size.

    Source: docs/theory.md, theorems 5 and 6.
    """
    # The power of 1 / p by which samples differ: T4w plans a class of wide gaps, T4s the others.
    classes = (
        (PolicyClass(3, 0.1, policies=20, reward_bound=BOUND), 2),
        (PolicyClass(3, 0.1, log_policies=log(20), reward_bound=BOUND), 2),
        (PolicyClass(3, 0.1, observations=5, wide_gaps=True, reward_bound=BOUND), 1),
    )
    for (policies, power), p, tau in product(classes, (0.3, 0.05), (1.0, 0.2)):
        rest = (p, tau, _HORIZON, policies)
        random = plans.random_reset_plan(*rest)
        closed = _HORIZON * (p * tau) ** 2 / (16 * BOUND * (_HORIZON - 1))
        yield from _same("T5", "gain of random resets", float(random.guaranteed_gain), closed)
        if not random.guaranteed_gain > 0:  # of a bound that is wrong: there is no ratio
            continue
        for remaining in (None, 0.4 * _HORIZON):
            after = _HORIZON - 1 if remaining is None else remaining
            oracle = plans.oracle_reset_plan(*rest, remaining=remaining)
            found = plans.compare_plans(oracle, random)
            gain = (_HORIZON - 1) / (2 * p * after)
            yield from _same("T5", "fewer samples", found.leading_samples, p**-power)
            yield from _same("T5", "more gain", found.gain, gain)
            for precision, recall in ((0.6, 0.7), (0.9, 0.2)):
                some = plans.imperfect_oracle_plan(precision, recall, *rest, remaining=remaining)
                found = plans.compare_plans(some, random)
                share = precision / p
                yield from _same("T6", "fewer samples", found.leading_samples, share**power)
                yield from _same("T6", "more gain", found.gain, gain * recall * precision)
                total = found.samples * found.gain
                yield from _same("T6", "samples until no gain is left", found.total, total)


def plans_draw_enough() -> Readings:
    """T5 and T6: a plan draws what T4s or T4w asks for, the fewer of the two, and no more."""
    sizes: tuple[dict[str, Any], ...] = (
        {"policies": 50},
        {"observations": 12, "purity": 0.5},
        {"observations": 1},
    )
    for actions, size in product((4, 1), sizes):
        policies = PolicyClass(actions, 0.05, **size, reward_bound=BOUND)
        for precision, tau in product((0.9, 0.2), (1.5, 0.3)):
            plan = plans.imperfect_oracle_plan(precision, 0.8, 0.1, tau, _HORIZON, policies)
            wanted = precision * tau / 2
            yield from _same("T6", "accuracy", float(plan.accuracy), wanted)
            counts = [float(chooser.samples_for(wanted, policies))]
            leading = [chooser.leading_samples(wanted, policies)]
            if policies.observations is not None:
                by_maps = statewise.statewise_bound(precision, tau, policies)
                counts, leading = [*counts, by_maps], [*leading, by_maps]
            yield Reading("T6", "samples, at least", 0, max(1, min(counts)), plan.samples)
            yield Reading("T6", "samples, at most", 0, plan.samples, min(counts) + 1)
            yield from _same("T6", "leading samples", plan.leading_samples, min(leading))


def _same(theorem: str, says: str, one: float, other: float) -> Readings:
    yield Reading(theorem, f"{says}, at least", 0, one, other)
    yield Reading(theorem, f"{says}, at most", 0, other, one)


PLAN_CLAIMS = (plans_compare_as_said, plans_draw_enough)
"""What is read of plans."""
