"""The theory of resets and the algorithm objects: numpy and scipy only.

Bounds T1 to T8 (`bounds`, `plans`), the seam between algorithms and worlds (`seam`), reset
policies (`resets`), group-relative and conservative algorithms (`group_relative`,
`conservative`), and what can be estimated from rollouts alone (`estimators`, `statistics`).
"""

from cpi_theory.algorithms.advantages import Normalization, group_advantages
from cpi_theory.algorithms.conservative import (
    ConservativePolicyIteration,
    ConservativeStep,
    Decision,
    EmpiricalChooser,
    iteration_confidence,
)
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.parent_choice import (
    FirstErrorModel,
    accuracy_of,
    best_rank,
    parent_lessons,
)
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO, ResetGRPO
from cpi_theory.algorithms.trials import Candidate, ConservativeWorld, Trials
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
from cpi_theory.bounds.plans import (
    Plan,
    PlanRatios,
    compare_plans,
    imperfect_oracle_plan,
    oracle_reset_plan,
    random_reset_plan,
)
from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.branching import best_advantage_lower_bounds
from cpi_theory.diagnosis.localizers import (
    ExactJudge,
    LocalizerQuality,
    SampledJudge,
    estimate_coverage,
    localizer_quality,
)
from cpi_theory.randomness import Key, Keys
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import (
    AdvantageBasedReset,
    AdvantageReset,
    ImperfectReset,
    ImprovableReset,
)
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import (
    Algorithm,
    Collection,
    Ending,
    FailedLocalization,
    Group,
    Localization,
    OracleSimulator,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
    Simulator,
    State,
)
from cpi_theory.statistics.bootstrap import (
    bootstrap_interval,
    interquartile_mean,
    log_log_slope,
    paired_difference,
)
from cpi_theory.statistics.intervals import (
    Interval,
    bernstein_interval,
    chernoff_interval,
    clustered_proportion,
    wilson_interval,
)

__all__ = [
    "GRPO",
    "RRPO",
    "SRPO",
    "AdvantageBasedReset",
    "AdvantageReset",
    "Algorithm",
    "Candidate",
    "Collection",
    "ConservativePolicyIteration",
    "ConservativeStep",
    "ConservativeWorld",
    "Decision",
    "DiscountedResetStep",
    "EmpiricalChooser",
    "Ending",
    "ExactJudge",
    "FailedLocalization",
    "FirstErrorModel",
    "FirstErrorReset",
    "FrontierGRPO",
    "Group",
    "ImperfectReset",
    "ImprovableReset",
    "Interval",
    "InvalidInput",
    "Key",
    "Keys",
    "Localization",
    "LocalizerQuality",
    "Normalization",
    "OracleSimulator",
    "Plan",
    "PlanRatios",
    "Reason",
    "Refusal",
    "ResetGRPO",
    "ResetPolicy",
    "ResetStep",
    "Rollout",
    "SampledJudge",
    "Simulator",
    "StartReset",
    "State",
    "Trials",
    "UniformReset",
    "accuracy_of",
    "aliased_lower_bound",
    "bernstein_interval",
    "best_advantage_lower_bounds",
    "best_rank",
    "best_step",
    "bootstrap_interval",
    "chernoff_interval",
    "chooser_error",
    "clustered_proportion",
    "compare_plans",
    "discounted_best_step",
    "discounted_improvement_lower_bound",
    "estimate_coverage",
    "greedy_improvement_lower_bound",
    "group_advantages",
    "imperfect_oracle_plan",
    "improvement_lower_bound",
    "interquartile_mean",
    "iteration_confidence",
    "localizer_quality",
    "log_log_slope",
    "oracle_reset_plan",
    "paired_difference",
    "parent_lessons",
    "random_reset_plan",
    "samples_for",
    "sharp_best_step",
    "sharp_discounted_best_step",
    "sharp_discounted_improvement_lower_bound",
    "sharp_improvement_lower_bound",
    "uniform_accuracy",
    "uniform_deviation_probabilities",
    "uniform_discounted_deviation",
    "wilson_interval",
]
