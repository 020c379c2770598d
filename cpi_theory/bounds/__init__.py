"""Theorems T1 to T8 as functions: improvement bounds, chooser samples and plans."""

from cpi_theory.bounds.aliased import (
    aliased_lower_bound,
    aliased_samples,
    sequential_aliased_lower_bound,
)
from cpi_theory.bounds.chooser import chooser_error, samples_for, uniform_accuracy
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.discounted import (
    DiscountedResetStep,
    discounted_best_step,
    discounted_improvement_lower_bound,
    sharp_discounted_best_step,
    sharp_discounted_improvement_lower_bound,
    uniform_discounted_deviation,
)
from cpi_theory.bounds.finite_horizon import (
    ResetStep,
    best_step,
    greedy_improvement_lower_bound,
    improvement_lower_bound,
    sharp_best_step,
    sharp_improvement_lower_bound,
    uniform_deviation_probabilities,
)
from cpi_theory.bounds.layers import (
    LayeredStep,
    layered_best_step,
    layered_improvement_lower_bound,
    undeviated_discounted_improvement_lower_bound,
    undeviated_improvement_lower_bound,
)
from cpi_theory.bounds.pairs import (
    chernoff_exponent,
    error_exponent,
    outcome_exponent,
    same_trials_failure,
    samples_lower_bound,
    union_samples,
)
from cpi_theory.bounds.plans import (
    Plan,
    PlanRatios,
    compare_plans,
    imperfect_oracle_plan,
    oracle_reset_plan,
    random_reset_plan,
)
from cpi_theory.bounds.statewise import (
    statewise_bound,
    statewise_failure,
    statewise_lower_bound,
    statewise_samples,
)

__all__ = [
    "DiscountedResetStep",
    "LayeredStep",
    "Plan",
    "PlanRatios",
    "PolicyClass",
    "ResetStep",
    "aliased_lower_bound",
    "aliased_samples",
    "best_step",
    "chernoff_exponent",
    "chooser_error",
    "compare_plans",
    "discounted_best_step",
    "discounted_improvement_lower_bound",
    "error_exponent",
    "greedy_improvement_lower_bound",
    "imperfect_oracle_plan",
    "improvement_lower_bound",
    "layered_best_step",
    "layered_improvement_lower_bound",
    "oracle_reset_plan",
    "outcome_exponent",
    "random_reset_plan",
    "same_trials_failure",
    "samples_for",
    "samples_lower_bound",
    "sequential_aliased_lower_bound",
    "sharp_best_step",
    "sharp_discounted_best_step",
    "sharp_discounted_improvement_lower_bound",
    "sharp_improvement_lower_bound",
    "statewise_bound",
    "statewise_failure",
    "statewise_lower_bound",
    "statewise_samples",
    "undeviated_discounted_improvement_lower_bound",
    "undeviated_improvement_lower_bound",
    "uniform_accuracy",
    "uniform_deviation_probabilities",
    "uniform_discounted_deviation",
    "union_samples",
]
