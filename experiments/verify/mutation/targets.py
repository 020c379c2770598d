"""Which functions the battery is run against mutants of, with arguments that tell them apart."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from cpi_theory import bounds
from cpi_theory.bounds import chooser, pairs, plans, rounding, statewise
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.discounted import DiscountedResetStep
from cpi_theory.bounds.finite_horizon import ResetStep
from cpi_theory.bounds.layers import LayeredStep
from experiments.verify import claims, maps, planned, sampling
from experiments.verify.claims import Claim


def _whole(result: Any) -> Any:
    return result


@dataclass(frozen=True)
class Target:
    """A bound whose mutants are judged.

    Attributes:
        function: the bound, or what it is computed from.
        claims: what is read of it on instances; empty for statements about samples.
        inputs: draws admissible arguments, to tell an equivalent mutant from an unlucky one.
        sampling: what is read of it without an instance.
        result: the part of the function's result that is a statement; two steps with the same
            guarantee are equally good.
        pinned: whether extremal instances attain the bound, so that no sharper mutant is true.
    """

    function: Callable[..., Any]
    claims: tuple[Claim, ...]
    inputs: Callable[[random.Random], tuple[Any, ...]]
    sampling: tuple[sampling.SamplingClaim, ...] = ()
    pinned: bool = True
    result: Callable[[Any], Any] = _whole


def _share(draw: random.Random) -> Fraction:
    return Fraction(draw.randint(0, 6), 6)


def _step(draw: random.Random) -> ResetStep:
    horizon = draw.randint(1, 5)
    remaining = _share(draw) * (horizon - 1)
    return ResetStep(horizon, _share(draw), _share(draw) * 2 - 1, _share(draw) * 2, remaining)


def _discounted(draw: random.Random) -> DiscountedResetStep:
    discount = Fraction(draw.randint(0, 9), 10)
    return DiscountedResetStep(discount, _share(draw), _share(draw) * 2 - 1, _share(draw) * 2)


def _with_deviations(draw: random.Random) -> tuple[Any, ...]:
    step = _step(draw)
    return step, _share(draw), [_share(draw) for _ in range(step.horizon)]


def _layered(draw: random.Random) -> LayeredStep:
    layers = range(draw.randint(1, 5))
    return LayeredStep(
        tuple(_share(draw) for _ in layers),
        tuple(_share(draw) * 2 - 1 for _ in layers),
        tuple(_share(draw) * 3 - 1 for _ in layers),
    )


def _with_layers(draw: random.Random) -> tuple[Any, ...]:
    step = _layered(draw)
    return step, _share(draw), [_share(draw) for _ in range(step.horizon)]


def _undeviated(draw: random.Random) -> tuple[Any, ...]:
    layers = range(draw.randint(1, 5))
    gains, chances, least = ([_share(draw) for _ in layers] for _ in range(3))
    return _share(draw), gains, chances, [m * 2 - 1 for m in least]


def _given_or_not(draw: random.Random) -> tuple[Any, ...]:
    step = _step(draw)
    if draw.random() < 0.5:
        return (step,)
    shares = [0, *(_share(draw) for _ in range(step.horizon - 1))]  # at layer 0 none has left
    return step, lambda alpha: [alpha * share for share in shares]


# A property has no name of its own in the class' module; its function has.
_curvature: Any = LayeredStep.curvature.fget  # type: ignore[attr-defined]
_log_size: Any = PolicyClass.log_size.fget  # type: ignore[attr-defined]
_log_rivals: Any = PolicyClass.log_rivals.fget  # type: ignore[attr-defined]


def _visit_law(draw: random.Random) -> tuple[Any, ...]:
    counts = [draw.randint(0, 3) for _ in range(draw.randint(1, 4))] + [1]
    return Fraction(1, 5), [Fraction(c, sum(counts)) for c in counts], _share(draw)


def _with_deviation(draw: random.Random) -> tuple[Any, ...]:
    step = _discounted(draw)
    return step, _share(draw), _share(draw) * step.discount / (1 - step.discount)


def _parabola(draw: random.Random) -> tuple[Any, ...]:
    slope, curvature = _share(draw) - Fraction(1, 6), _share(draw)
    return slope, curvature, lambda a: a * slope - a**2 * curvature / 2


def _policies(draw: random.Random) -> PolicyClass:
    size: Any = draw.choice(
        [
            {"policies": draw.randint(1, 9)},
            {"log_policies": draw.uniform(0.1, 3)},
            {"observations": draw.randint(1, 9)},
        ]
    )
    return PolicyClass(draw.randint(2, 9), draw.uniform(0.01, 0.5), **size, reward_bound=3.0)


def _chooser(draw: random.Random) -> tuple[Any, ...]:
    return draw.randint(1, 99), _policies(draw)


def _accuracy(draw: random.Random) -> tuple[Any, ...]:
    return draw.uniform(0.1, 3), _policies(draw)


def _gap(draw: random.Random) -> tuple[Any, ...]:
    reach, differ = draw.uniform(0.5, 2), draw.uniform(0.1, 1)
    return draw.random() * 2 * differ * reach, draw.randint(2, 9), reach, differ


def _outcomes(draw: random.Random) -> tuple[Any, ...]:
    differ = draw.uniform(0.1, 1)
    better = draw.uniform(0.05, 1) * differ
    return better, draw.uniform(0.01, 0.99) * better, draw.randint(2, 9), differ, 1.3, 3.0


def _law(draw: random.Random) -> tuple[Any, ...]:
    counts = [draw.randint(1, 9) for _ in range(4)]
    values = [-draw.random(), -draw.random(), draw.random() * 3, draw.random() * 3]
    return values, [count / sum(counts) for count in counts]


def _same_trials(draw: random.Random) -> tuple[Any, ...]:
    better, worse, actions, differ, _, bound = _outcomes(draw)
    size = draw.randint(1, 400)
    return size, better, worse, actions, bound * draw.random(), draw.random(), differ, bound


def _tails(draw: random.Random) -> tuple[Any, ...]:
    costs, exponents = (np.array([[0.0, draw.random()], [0.0, draw.random()]]) for _ in range(2))
    return draw.randint(1, 300), costs, exponents, draw.random()


def _planned_maps(draw: random.Random) -> tuple[Any, ...]:
    wide = draw.random() < 0.5
    policies = PolicyClass(
        draw.randint(1, 5),
        0.5 * 10 ** draw.uniform(-6, 0),
        observations=draw.choice([1, 2, 5, 60]),
        purity=1.0 if wide else draw.uniform(0.1, 1),
        wide_gaps=wide,
        reward_bound=3.0,
    )
    return draw.uniform(0.1, 1), draw.uniform(0.1, 1.5), policies


def _oracle(draw: random.Random) -> tuple[Any, ...]:
    recall, p = Fraction(draw.randint(1, 6), 6), Fraction(draw.randint(1, 5), 6)
    least = recall * p / (recall * p + 1 - p)
    return least + (1 - least) * _share(draw), recall, p


def _planned(draw: random.Random) -> tuple[Any, ...]:
    precision, recall, p = _oracle(draw)
    horizon = draw.randint(1, 6)
    remaining = None if draw.random() < 0.5 else _share(draw) * (horizon - 1)
    tau = Fraction(draw.randint(1, 18), 6)
    return precision, recall, p, tau, horizon, _policies(draw), remaining


def _aliased(draw: random.Random) -> tuple[Any, ...]:
    return draw.uniform(0.01, 1), draw.uniform(0.01, 0.25), draw.uniform(0.01, 0.24), 1.0


_TAILS = (sampling.accuracy_fails_rarely,)
_SIZES = (
    sampling.sizes_invert_errors,
    sampling.no_chooser_needs_less,
    sampling.one_of_three_is_chosen,
)
_PAIRS = (
    sampling.worse_candidates_are_rarely_chosen,
    sampling.random_pairs_of_candidates,
    sampling.other_baselines,
)
_MAPS = (maps.maps_lose_little, maps.maps_of_three_actions_lose_little)
_PLANS = (
    maps.maps_are_planned_for,
    maps.impure_maps_are_planned_for,
    maps.maps_of_three_actions_are_planned_for,
    maps.plans_know_what_helps,
    maps.no_map_needs_less,
)
_SIGNS = (sampling.aliased_learners_need_samples,)


def _second(result: Any) -> Any:
    return result[1]


def _promise(plan: plans.Plan) -> Any:
    return plan.samples, plan.leading_samples, plan.accuracy, plan.guaranteed_gain


def _of_steps(
    function: Callable[..., Any],
    claim: Claim,
    inputs: Callable[[random.Random], Any] = _step,
) -> Target:
    """A function from a step to (alpha, gain)."""
    return Target(function, (claim,), lambda draw: (inputs(draw),), result=_second)


TARGETS: dict[str, Target] = {
    "T1": Target(
        bounds.improvement_lower_bound,
        (claims.improvement,),
        lambda draw: (_step(draw), _share(draw)),
    ),
    "T1s": Target(bounds.sharp_improvement_lower_bound, (claims.improvement,), _with_deviations),
    "T1s, w = 1": Target(
        bounds.uniform_deviation_probabilities,
        (claims.improvement,),
        lambda draw: (draw.randint(1, 5), _share(draw)),
    ),
    "T1h": Target(
        bounds.layered_improvement_lower_bound, (claims.layered_improvement,), _with_layers
    ),
    "T1e": Target(
        bounds.undeviated_improvement_lower_bound, (claims.layered_improvement,), _undeviated
    ),
    "T2h": _of_steps(bounds.layered_best_step, claims.layered_best_step, _layered),
    "T2h, penalty": Target(_curvature, (claims.layered_best_step,), lambda draw: (_layered(draw),)),
    "T2": _of_steps(bounds.best_step, claims.best_step),
    "T2 and T8, step": Target(
        rounding.capped,
        (claims.best_step, claims.discounted_best_step),
        _parabola,
        result=_second,
    ),
    "T2s": Target(bounds.sharp_best_step, (claims.sharp_best_step,), _given_or_not, result=_second),
    "T3": Target(bounds.greedy_improvement_lower_bound, (claims.greedy_improvement,), _visit_law),
    "T4": Target(bounds.uniform_accuracy, (), _chooser, _TAILS, pinned=False),
    "T4, terms": Target(
        chooser.bernstein_terms, (), lambda draw: (_policies(draw),), _TAILS, pinned=False
    ),
    "T4, size of a class": Target(
        _log_size, (), lambda draw: (_policies(draw),), _TAILS, pinned=False
    ),
    "T4s, rivals": Target(
        _log_rivals,
        (),
        lambda draw: (_policies(draw),),
        (sampling.one_of_three_is_chosen, sampling.no_chooser_needs_less),
        pinned=False,
    ),
    "T4s": Target(bounds.error_exponent, (), _gap, _PAIRS, pinned=False),
    "T4s, formula": Target(
        pairs._exponent, (), lambda draw: (draw.random(), draw.random()), _PAIRS, pinned=False
    ),
    "T4s, means": Target(bounds.outcome_exponent, (), _outcomes, _PAIRS, pinned=False),
    "T4s, law": Target(bounds.chernoff_exponent, (), _law, _PAIRS, pinned=False),
    "T4s, same trials": Target(
        bounds.same_trials_failure,
        (),
        _same_trials,
        (sampling.means_of_the_same_trials_are_baselines,),
        pinned=False,
    ),
    "T4s, error": Target(bounds.chooser_error, (), _chooser, _SIZES, pinned=False),
    "T4s, size": Target(bounds.samples_for, (), _accuracy, _SIZES, pinned=False),
    "T4s, optimal": Target(
        bounds.samples_lower_bound,
        (),
        lambda draw: (draw.uniform(0.01, 1), draw.uniform(0.01, 0.5)),
        _SIZES,
        pinned=False,
    ),
    "T4w": Target(
        statewise._failure,
        (),
        _tails,
        _MAPS,
        pinned=False,
    ),
    "T4w, plan": Target(bounds.statewise_bound, (), _planned_maps, _PLANS, pinned=False),
    "T4w, floor": Target(bounds.statewise_lower_bound, (), _planned_maps, _PLANS, pinned=False),
    "T6, plan": Target(
        bounds.imperfect_oracle_plan,
        (claims.planned_step,),
        _planned,
        planned.PLAN_CLAIMS,
        pinned=False,
        result=_promise,
    ),
    "T6, coverage": Target(plans._reset_coverage, (claims.planned_step,), _oracle),
    "T7s": Target(bounds.aliased_samples, (), _aliased, _SIGNS),
    "T7s, closed form": Target(bounds.aliased_lower_bound, (), _aliased, _SIGNS, pinned=False),
    "T7s, sequential": Target(bounds.sequential_aliased_lower_bound, (), _aliased, _SIGNS),
    "T8": Target(
        bounds.discounted_improvement_lower_bound,
        (claims.discounted_improvement,),
        lambda draw: (_discounted(draw), _share(draw)),
    ),
    "T8s": Target(
        bounds.sharp_discounted_improvement_lower_bound,
        (claims.discounted_improvement,),
        _with_deviation,
    ),
    "T8e": Target(
        bounds.undeviated_discounted_improvement_lower_bound,
        (claims.discounted_improvement,),
        lambda draw: (_share(draw), _share(draw) * 2 - 1, _share(draw), _share(draw) * 2 - 1),
    ),
    "T8s, w = 1": Target(
        bounds.uniform_discounted_deviation,
        (claims.discounted_improvement,),
        lambda draw: (_discounted(draw).discount, _share(draw)),
    ),
    "T8, step": _of_steps(bounds.discounted_best_step, claims.discounted_best_step, _discounted),
    "T8s, step": _of_steps(
        bounds.sharp_discounted_best_step, claims.sharp_discounted_best_step, _discounted
    ),
}
"""Every bound, and the functions they share, by theorem."""
