"""Theorems T1 to T8 as functions: improvement bounds, chooser samples and plans."""

from cpi_theory.bounds.chooser import (
    aliased_lower_bound,
    chooser_error,
    samples_for,
    uniform_accuracy,
)
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
from cpi_theory.bounds.plans import (
    Plan,
    PlanRatios,
    compare_plans,
    imperfect_oracle_plan,
    oracle_reset_plan,
    random_reset_plan,
)

__all__ = [
    "DiscountedResetStep",
    "LayeredStep",
    "Plan",
    "PlanRatios",
    "ResetStep",
    "aliased_lower_bound",
    "best_step",
    "chooser_error",
    "compare_plans",
    "discounted_best_step",
    "discounted_improvement_lower_bound",
    "greedy_improvement_lower_bound",
    "imperfect_oracle_plan",
    "improvement_lower_bound",
    "layered_best_step",
    "layered_improvement_lower_bound",
    "oracle_reset_plan",
    "random_reset_plan",
    "samples_for",
    "sharp_best_step",
    "sharp_discounted_best_step",
    "sharp_discounted_improvement_lower_bound",
    "sharp_improvement_lower_bound",
    "undeviated_discounted_improvement_lower_bound",
    "undeviated_improvement_lower_bound",
    "uniform_accuracy",
    "uniform_deviation_probabilities",
    "uniform_discounted_deviation",
]
