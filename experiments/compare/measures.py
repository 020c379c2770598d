"""Measuring along a line of settings: samples of the chooser, gain of a step, and exponents."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from cpi_theory.bounds.aliased import aliased_lower_bound, aliased_samples
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.finite_horizon import ResetStep, best_step, sharp_improvement_lower_bound
from cpi_theory.bounds.plans import Plan, imperfect_oracle_plan
from cpi_theory.bounds.statewise import statewise_samples
from cpi_theory.randomness import Key
from experiments.compare.chooser_samples import (
    SamplesToReach,
    TrialLaw,
    fit_exponent,
    samples_to_reach,
)
from experiments.compare.settings import (
    Line,
    Setting,
    expected_gain_exponent,
    expected_samples_exponent,
    samples_factor,
)
from experiments.compare.worlds import PolicyUpdate, policy_update
from experiments.runs.files import Row
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.resets.deviations import deviation_probabilities
from tabular.resets.updates import mix, reset_step
from tabular.simulation.reset_weight import reset_weight


@dataclass(frozen=True)
class SamplesSpec:
    """Measure along `line` how many trials the chooser needs.

    Attributes:
        line: the settings.
        accuracy: wanted probability of a right choice.
        replications: experiments per n.
        bootstraps: replicates behind the intervals.
        seed: of all of them.
    """

    line: Line
    accuracy: float
    replications: int
    bootstraps: int
    seed: int


def measure_samples(spec: SamplesSpec) -> list[Row]:
    """One row of kind "point" per setting and two of kind "exponent" for the line.

    A choice is right if its reset advantage is at least half of the best in the class, T5's
    target. `bound` is what a plan by T4s or T4w asks for to guarantee that, `bound_wide_gaps` the
    same if it is known that wrong actions are worse by tau, `on_instance` what the same theorems
    ask for where the law of the trials is known, `exact` T7s' exact number and `floor` its closed
    form, which is proved necessary.
    `rollouts` is what the samples cost when each reset state has a roll-in of its own and roll-ins
    that meet none are thrown away: samples * (1 + 1 / p_w). Its exponent has no entry in T7s.
    """
    settings = spec.line.settings()
    estimates = [_samples_of(setting, spec) for setting in settings]
    rows = [_samples_row(s, e, spec) for s, e in zip(settings, estimates, strict=True)]
    factor = np.array(spec.line.values, float)
    inverse = samples_factor(spec.line.parameter).startswith("1/")
    x = 1 / factor if inverse else factor
    common = _labels(spec.line.setting, spec.line) | {
        "kind": "exponent",
        "versus": samples_factor(spec.line.parameter),
    }
    costs = np.array([rollouts_per_sample(setting) for setting in settings])
    fits = {
        "samples": fit_exponent(x, [e.draws for e in estimates], [e.samples for e in estimates]),
        "rollouts": fit_exponent(
            x,
            [e.draws * c for e, c in zip(estimates, costs, strict=True)],
            [e.samples * c for e, c in zip(estimates, costs, strict=True)],
        ),
    }
    expected = {"samples": expected_samples_exponent(spec.line), "rollouts": None}
    return rows + [
        common
        | {"quantity": q, "exponent": fit[0], "lower": fit[1], "upper": fit[2]}
        | {"expected": expected[q]}
        for q, fit in fits.items()
    ]


def rollouts_per_sample(setting: Setting) -> float:
    """Rollouts behind one trial: itself, and the roll-ins until one is selected, 1 / p_w."""
    return 1 + 1 / setting.selected


def _labels(setting: Setting, line: Line) -> Row:
    return asdict(setting) | {"dial": line.parameter, "base": line.base}


def _samples_of(setting: Setting, spec: SamplesSpec) -> SamplesToReach:
    law = trial_law(policy_update(setting), setting)
    key = Key.of(spec.seed).child("samples", repr(setting))
    return samples_to_reach(
        law.share_right, spec.accuracy, spec.replications, key, bootstraps=spec.bootstraps
    )


def trial_law(update: PolicyUpdate, setting: Setting) -> TrialLaw:
    """Law of the chooser's trials in a setting, from exact evaluation."""
    evaluation = evaluate(update.mdp, update.policy)
    return TrialLaw.of(
        evaluation.visits,
        reset_weight(update.mdp, update.policy, setting.reset).values,
        evaluation.q_values,
        evaluation.advantages,
        update.mdp.observations,
    )


def _samples_row(setting: Setting, found: SamplesToReach, spec: SamplesSpec) -> Row:
    delta = 1 - spec.accuracy
    law = trial_law(policy_update(setting), setting)
    row = _labels(setting, spec.line) | _signs(setting, delta)
    return row | {
        "kind": "point",
        "samples": found.samples,
        "rollouts": found.samples * rollouts_per_sample(setting),
        "lower": found.lower,
        "upper": found.upper,
        "bound": plan(setting, delta).samples,
        "bound_wide_gaps": plan(setting, delta, wide_gaps=True).samples,
        "on_instance": samples_on_instance(law, delta),
        "accuracy": spec.accuracy,
        "replications": spec.replications,
    }


def samples_on_instance(law: TrialLaw, delta: float) -> int:
    """Samples that T4s (one observation) or T4w prove sufficient, knowing the law of the trials.

    Args:
        law: of the trials; R_max = 1.
        delta: probability with which a choice may be wrong, that is lose half of the best.

    Source: docs/theory.md, theorem 4.
    """
    visited = law.masses > 0
    masses = law.masses[visited]
    # Of one observation the advantages are in units of its mass: dividing gives gaps of means.
    gaps = (law.advantage.max(axis=1, keepdims=True) - law.advantage)[visited] / masses[:, None]
    return statewise_samples(masses, gaps, law.best_advantage / 2, delta)


def plan(setting: Setting, delta: float, wide_gaps: bool = False) -> Plan:
    """Plan by T4s, T4w, T5 and T6 for a setting, knowing p, tau, precision and recall alone.

    Args:
        setting: world, class and reset policy.
        delta: probability with which the guarantee may fail.
        wide_gaps: of a statewise class, whether it is known, too, that every wrong action is worse
            than the right one by tau.

    Source: docs/theory.md, theorem 6.
    """
    # Of the states of a statewise learner one is improvable: elsewhere actions do nothing.
    policies = (
        PolicyClass(setting.actions, delta, policies=setting.actions)
        if setting.learner == "aliased"
        else PolicyClass(setting.actions, delta, observations=1, wide_gaps=wide_gaps)
    )
    return imperfect_oracle_plan(
        setting.reset_precision,
        setting.recall,
        setting.coverage,
        setting.tau,
        setting.horizon,
        policies,
    )


def _signs(setting: Setting, delta: float) -> Row:
    """T7s' numbers, where its two worlds are this one: random resets, aliased, two actions."""
    if (setting.learner, setting.resets, setting.actions) != ("aliased", "random", 2):
        return {"exact": None, "floor": None}
    where = (setting.coverage, setting.tau, delta)
    return {"exact": aliased_samples(*where), "floor": aliased_lower_bound(*where)}


@dataclass(frozen=True)
class GainSpec:
    """Measure along `line` what one step at the theory's step size gains.

    Attributes:
        line: the settings.
        bootstraps: replicates behind the exponents' intervals (over the points of the line).
        seed: of the bootstrap.
    """

    line: Line
    bootstraps: int
    seed: int


def measure_gains(spec: GainSpec) -> list[Row]:
    """Per setting and rule for Delta a row of kind "point"; per rule and gain an "exponent".

    The rule "exact" takes Delta from exact evaluation, "worst" takes 2 R_max, as a learner must
    that knows nothing better. Everything is exact; no sampling is involved.
    """
    rows = [
        _labels(setting, spec.line) | {"kind": "point", "spread_rule": rule} | measured
        for setting in spec.line.settings()
        for rule, measured in _both_rules(setting).items()
    ]
    for rule in ("exact", "worst"):
        line = [r for r in rows if r["spread_rule"] == rule and r["kind"] == "point"]
        rows += [
            _labels(spec.line.setting, spec.line)
            | {"kind": "exponent", "spread_rule": rule, "quantity": quantity}
            | _gain_fit(spec, line, quantity, rule == "exact")
            for quantity in ("gain", "guaranteed")
        ]
    return rows


def _both_rules(setting: Setting) -> dict[str, Row]:
    update = policy_update(setting)
    evaluation = evaluate(update.mdp, update.policy)
    weight = reset_weight(update.mdp, update.policy, setting.reset).values
    planned = float(plan(setting, 0.1).guaranteed_gain)
    return {
        rule: one_step(update.mdp, evaluation, update.candidate, weight, bound)
        | {"planned": planned}
        for rule, bound in (("exact", None), ("worst", 2 * float(update.mdp.reward_bound)))
    }


def one_step(
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    candidate: np.ndarray,
    weight: np.ndarray,
    spread: float | None = None,
) -> Row:
    """What T2 guarantees of a step towards `candidate`, and what it really gains.

    Source: docs/theory.md, theorem 2 (the step) and theorem 1 (`sharp`).

    Args:
        mdp: the world.
        evaluation: of the policy that is improved.
        candidate: pi', shape (H, S, A) or (S, A).
        weight: w, shape (H, S) or (S,).
        spread: Delta to use, by default the exact one.

    Returns:
        The step's inputs, `alpha` = alpha*, `guaranteed` (T2), `sharp` (T1s at the same alpha),
        `gain` = J(pi_alpha) - J(pi) and `full_gain`, the gain at alpha = 1.

    Raises:
        TypeError: for a discounted evaluation.
    """
    exact = reset_step(evaluation, candidate, weight)
    if not isinstance(exact, ResetStep):
        raise TypeError("steps of discounted worlds have no remaining horizon")
    step = (
        exact
        if spread is None
        else ResetStep(exact.horizon, exact.coverage, exact.advantage, spread, exact.remaining)
    )
    alpha, guaranteed = best_step(step)
    deviations = deviation_probabilities(mdp, evaluation.policy, weight, alpha)
    return {
        "selected": float(step.coverage),
        "advantage": float(step.advantage),
        "spread": float(step.spread),
        "remaining": float(step.remaining),
        "alpha": float(alpha),
        "guaranteed": float(guaranteed),
        "sharp": float(sharp_improvement_lower_bound(exact, alpha, deviations.tolist())),
        "gain": _gain(mdp, evaluation, candidate, weight, float(alpha)),
        "full_gain": _gain(mdp, evaluation, candidate, weight, 1.0),
        "value": float(evaluation.value),
    }


def _gain(
    mdp: FiniteHorizonMDP,
    evaluation: Evaluation,
    candidate: np.ndarray,
    weight: np.ndarray,
    alpha: float,
) -> float:
    updated = evaluate(mdp, mix(evaluation.policy, candidate, weight, alpha))
    return float(updated.value) - float(evaluation.value)


def _gain_fit(spec: GainSpec, rows: list[Row], quantity: str, exact_spread: bool) -> Row:
    x = np.log([r[spec.line.parameter] for r in rows])
    y = np.log([r[quantity] for r in rows])
    lower, upper = _slope_interval(x, y, spec.bootstraps, Key.of(spec.seed).child("gain"))
    return {
        "versus": spec.line.parameter,
        "exponent": _slope(x, y),
        "lower": lower,
        "upper": upper,
        "expected": expected_gain_exponent(spec.line, exact_spread),
    }


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    centred = x - x.mean()
    return float(centred @ y / (centred @ centred))


def _slope_interval(x: np.ndarray, y: np.ndarray, bootstraps: int, key: Key) -> tuple[float, float]:
    """95 % interval of the slope by resampling points: how far the line is from a power law."""
    draws = key.generator().integers(len(x), size=(bootstraps, len(x)))
    slopes = [_slope(x[d], y[d]) for d in draws if len(set(d.tolist())) > 1]
    lower, upper = np.quantile(slopes, [0.025, 0.975])
    return float(lower), float(upper)
