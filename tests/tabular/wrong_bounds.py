"""Wrong variants of the bounds T1, T1s, T2, T3 and T8, and the property test of each bound.

A variant is *false* if it claims too much somewhere: a property test can notice it. It is *loose*
if it claims too little: then it holds wherever the bound does, and no test of that kind can.
"""

from __future__ import annotations

from fractions import Fraction

from cpi_theory import bounds
from tabular.evaluation.evaluate import evaluate
from tabular.resets.deviations import deviation_probabilities, visit_counts
from tabular.resets.updates import greedy_on, improvable, mix, reset_step


def gain(instance, alpha, candidate=None, weight=None):
    mdp, policy = instance.mdp, instance.policy
    candidate = instance.candidate if candidate is None else candidate
    weight = instance.weight if weight is None else weight
    return evaluate(mdp, mix(policy, candidate, weight, alpha)).value - evaluate(mdp, policy).value


def step_of(instance):
    evaluation = evaluate(instance.mdp, instance.policy)
    return reset_step(evaluation, instance.candidate, instance.weight)


def check_t1(bound, instance, alpha):
    assert gain(instance, alpha) >= bound(step_of(instance), alpha)


def check_t1s(bound, instance, alpha):
    deviations = deviation_probabilities(instance.mdp, instance.policy, instance.weight, alpha)
    assert gain(instance, alpha) >= bound(step_of(instance), alpha, deviations.tolist())


def check_t2(bound, instance, alpha):
    best, guaranteed = bound(step_of(instance))
    assert gain(instance, best) >= guaranteed


def check_t3(bound, instance, alpha):
    evaluation = evaluate(instance.mdp, instance.policy)
    tau = evaluation.best_advantages[evaluation.visits > 0].max()
    if tau <= 0:
        return
    mask = improvable(evaluation, tau)
    law = visit_counts(instance.mdp, instance.policy, mask).tolist()
    greedy = greedy_on(evaluation, mask)
    assert gain(instance, alpha, greedy, mask) >= bound(tau, law, alpha)


CHECKS = {"T1": check_t1, "T1s": check_t1s, "T2": check_t2, "T3": check_t3, "T8": check_t1}


def parts(s):
    """The slope H p A and the penalty Delta H p L of T1."""
    return s.horizon * s.coverage * s.advantage, s.spread * s.horizon * s.coverage * s.remaining


def t1(slope, penalty, slope_power=1, penalty_power=2):
    """A variant of T1 with another slope and penalty, functions of (step, slope, penalty)."""

    def bound(step, alpha):
        own = parts(step)
        first, second = slope(step, *own), penalty(step, *own)
        return alpha**slope_power * first - alpha**penalty_power * second

    return bound


def slope(step, first, second):
    return first


def penalty(step, first, second):
    return second


T1_FALSE = {
    "penalty halved": t1(slope, lambda s, g, c: c / 2),
    "penalty dropped": t1(slope, lambda s, g, c: 0),
    "penalty with the wrong sign": t1(slope, lambda s, g, c: -c),
    "penalty in alpha cubed": t1(slope, penalty, penalty_power=3),
    "penalty without the horizon": t1(slope, lambda s, g, c: c / s.horizon),
    "penalty with the coverage squared": t1(slope, lambda s, g, c: c * s.coverage),
    "penalty without the spread": t1(slope, lambda s, g, c: s.horizon * s.coverage * s.remaining),
    "penalty without the remaining horizon": t1(
        slope, lambda s, g, c: s.spread * s.horizon * s.coverage
    ),
    "slope doubled": t1(lambda s, g, c: 2 * g, penalty),
    "slope halved": t1(lambda s, g, c: g / 2, penalty),
    "slope without the coverage": t1(lambda s, g, c: s.horizon * s.advantage, penalty),
    "slope without the horizon": t1(lambda s, g, c: s.coverage * s.advantage, penalty),
    "slope with the wrong sign": t1(lambda s, g, c: -g, penalty),
    "slope in alpha squared": t1(slope, penalty, slope_power=2),
}
T1_LOOSE = {
    "T1": bounds.improvement_lower_bound,
    "penalty doubled": t1(slope, lambda s, g, c: 2 * c),
    "penalty linear in alpha": t1(slope, penalty, penalty_power=1),
    "penalty without the coverage": t1(
        slope, lambda s, g, c: s.spread * s.horizon * (s.horizon - 1)
    ),
}


def t1s(slope, away, penalty_power=1):
    """A variant of T1s with another slope and another sum over P(D_h)."""

    def bound(step, alpha, deviations):
        loss = step.spread * away(step, alpha, deviations)
        return alpha * slope(step, *parts(step)) - alpha**penalty_power * loss

    return bound


def time_away(step, alpha, deviations):
    return sum(deviations)


T1S_FALSE = {
    "penalty halved": t1s(slope, lambda s, a, d: sum(d) / 2),
    "penalty dropped": t1s(slope, lambda s, a, d: 0),
    "penalty with the wrong sign": t1s(slope, lambda s, a, d: -sum(d)),
    "penalty in alpha squared": t1s(slope, time_away, penalty_power=2),
    "penalty without the last layer": t1s(slope, lambda s, a, d: sum(d[:-1])),
    "penalty of the last layer alone": t1s(slope, lambda s, a, d: d[-1]),
    "penalty without the spread": lambda s, a, d: a * parts(s)[0] - a * sum(d),
    "slope doubled": t1s(lambda s, g, c: 2 * g, time_away),
    "slope halved": t1s(lambda s, g, c: g / 2, time_away),
    "slope without the coverage": t1s(lambda s, g, c: s.horizon * s.advantage, time_away),
    "slope without the horizon": t1s(lambda s, g, c: s.coverage * s.advantage, time_away),
}
T1S_LOOSE = {
    "T1s": bounds.sharp_improvement_lower_bound,
    "penalty doubled": t1s(slope, lambda s, a, d: 2 * sum(d)),
    "deviations of w = 1": t1s(
        slope, lambda s, a, d: sum(bounds.uniform_deviation_probabilities(s.horizon, a))
    ),
}


def t2(guaranteed, curvature=2):
    """A variant of T2: the step that a parabola of that curvature has, and what it promises."""

    def bound(step):
        if step.advantage <= 0:
            return 0, 0
        steep = curvature * step.spread * step.remaining
        alpha = 1 if step.advantage >= steep else step.advantage / steep
        return alpha, guaranteed(step, alpha)

    return bound


def closed(step, alpha):
    """H p A^2 / (4 Delta L) below the cap, T1 at it."""
    if alpha == 1:
        return bounds.improvement_lower_bound(step, 1)
    square = step.horizon * step.coverage * step.advantage**2
    return square / (4 * step.spread * step.remaining)


def uncapped(step, alpha):
    square = step.horizon * step.coverage * step.advantage**2
    steep = 4 * step.spread * step.remaining
    return square / steep if steep > 0 else bounds.improvement_lower_bound(step, alpha)


T2_FALSE = {
    "guarantee doubled": t2(lambda s, a: 2 * closed(s, a)),
    "without the cap": t2(uncapped),
    "step twice as long": t2(
        lambda s, a: s.horizon * s.coverage * s.advantage * a / 2, curvature=1
    ),
    "step half as long": t2(
        lambda s, a: closed(s, min(1, 2 * a)) if a < Fraction(1, 2) else 0, curvature=4
    ),
    "without the coverage": t2(lambda s, a: closed(s, a) / s.coverage if s.coverage else 0),
    "with the horizon squared": t2(lambda s, a: s.horizon * closed(s, a)),
    "without the square": t2(lambda s, a: closed(s, a) if a == 1 else closed(s, a) / s.advantage),
    "slope alone": t2(lambda s, a: a * parts(s)[0]),
}
T2_LOOSE = {
    "T2": bounds.best_step,
    "closed form": t2(closed),
    "guarantee halved": t2(lambda s, a: closed(s, a) / 2),
    "coverage squared": t2(lambda s, a: closed(s, a) * s.coverage),
}


def t3(of_visits):
    """A variant of T3: tau times the mean of another function of alpha and N."""
    return lambda tau, law, alpha: tau * sum(p * of_visits(alpha, n) for n, p in enumerate(law))


T3_FALSE = {
    "level doubled": t3(lambda a, n: 2 * (1 - (1 - a) ** n)),
    "as if alpha were 1": t3(lambda a, n: min(n, 1)),
    "every visit counted": t3(lambda a, n: a * n),
    "one visit more": t3(lambda a, n: 1 - (1 - a) ** (n + 1)),
    "visits doubled": t3(lambda a, n: 1 - (1 - a) ** (2 * n)),
    "alpha doubled": t3(lambda a, n: 1 - (1 - min(1, 2 * a)) ** n),
    "as if every rollout came by": t3(lambda a, n: 1 - (1 - a) ** max(n, 1)),
}
T3_LOOSE = {
    "T3": bounds.greedy_improvement_lower_bound,
    "level halved": t3(lambda a, n: (1 - (1 - a) ** n) / 2),
    "first visit alone": t3(lambda a, n: a * min(n, 1)),
}


def t8(slope, penalty, penalty_power=2):
    """A variant of T8 with another slope and penalty, functions of a DiscountedResetStep."""
    return lambda s, a: a * slope(s) - a**penalty_power * penalty(s)


def slope8(s):
    return s.coverage * s.advantage / (1 - s.discount)


def penalty8(s):
    return s.spread * s.coverage * s.discount / (1 - s.discount) ** 2


T8_FALSE = {
    "penalty halved": t8(slope8, lambda s: penalty8(s) / 2),
    "penalty dropped": t8(slope8, lambda s: 0),
    "penalty with the wrong sign": t8(slope8, lambda s: -penalty8(s)),
    "penalty in alpha cubed": t8(slope8, penalty8, penalty_power=3),
    "penalty over 1 - gamma alone": t8(slope8, lambda s: penalty8(s) * (1 - s.discount)),
    "penalty with gamma squared": t8(slope8, lambda s: penalty8(s) * s.discount),
    "penalty with the coverage squared": t8(slope8, lambda s: penalty8(s) * s.coverage),
    "slope doubled": t8(lambda s: 2 * slope8(s), penalty8),
    "slope halved": t8(lambda s: slope8(s) / 2, penalty8),
    "slope without the coverage": t8(lambda s: s.advantage / (1 - s.discount), penalty8),
    "slope per step": t8(lambda s: s.coverage * s.advantage, penalty8),
}
T8_LOOSE = {
    "T8": bounds.discounted_improvement_lower_bound,
    "penalty doubled": t8(slope8, lambda s: 2 * penalty8(s)),
    "penalty without gamma": t8(slope8, lambda s: s.spread * s.coverage / (1 - s.discount) ** 2),
    "penalty linear in alpha": t8(slope8, penalty8, penalty_power=1),
}

FALSE = {"T1": T1_FALSE, "T1s": T1S_FALSE, "T2": T2_FALSE, "T3": T3_FALSE, "T8": T8_FALSE}
LOOSE = {"T1": T1_LOOSE, "T1s": T1S_LOOSE, "T2": T2_LOOSE, "T3": T3_LOOSE, "T8": T8_LOOSE}
