"""The commands of ``cpi-resets``: where each is and what it does, as data.

A command is a folder of this package with ``config.py``, whose frozen class holds its options, and
``command.py``, whose ``run(config, output, execution, console)`` returns the exit code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

OF_LANGUAGE_MODELS = frozenset(
    {"torch", "transformers", "tokenizers", "trl", "peft", "datasets", "sympy"}
)
"""Packages of the extra ``llm``, which only commands on language models need."""

Group = Literal["theory", "learn", "language models", "project"]

GROUPS: tuple[Group, ...] = get_args(Group)
"""What commands are about, in the order in which the overview shows them."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        folder: its folder, as a package.
        config: name of the configuration class.
        summary: one line for the overview.
        group: what it is about.
        example: what follows ``cpi-resets`` and the command's name in a first use of it.
    """

    folder: str
    config: str
    summary: str
    group: Group
    example: str


COMMANDS = {
    "verify": Command(
        "experiments.verify",
        "VerifyConfig",
        "check every bound on many MDPs",
        "theory",
        "--quick",
    ),
    "compare": Command(
        "experiments.compare",
        "CompareConfig",
        "oracle against random resets",
        "theory",
        "--quick",
    ),
    "audit": Command(
        "experiments.audit",
        "AuditConfig",
        "what objective does an estimator follow?",
        "theory",
        "--estimators grpo rloo",
    ),
    "learn": Command(
        "experiments.learn",
        "LearnConfig",
        "learning curves of all algorithms",
        "learn",
        "--worlds tree-sparse --seeds 5",
    ),
    "frontier": Command(
        "experiments.frontier",
        "FrontierConfig",
        "frontier resets over localiser accuracies",
        "learn",
        "--worlds 'one hard' --seeds 5",
    ),
    "league": Command(
        "experiments.league",
        "LeagueConfig",
        "methods of credit at equal generated budgets",
        "learn",
        "--worlds lock --seeds 5",
    ),
    "diagnose": Command(
        "experiments.diagnose",
        "DiagnoseConfig",
        "are resets worth it for this model and data?",
        "learn",
        "--world tree-natural",
    ),
    "data": Command(
        "experiments.data",
        "DataConfig",
        "list, show and prepare benchmarks",
        "language models",
        "show gsm8k",
    ),
    "model": Command(
        "experiments.model",
        "ModelConfig",
        "write a pretrained model as a plain folder",
        "language models",
        "smollm2",
    ),
    "warm-start": Command(
        "experiments.warm_start",
        "WarmStartConfig",
        "teach a model the format of a task",
        "language models",
        "--model smollm2 --world sums",
    ),
    "tiny-model": Command(
        "experiments.tiny_model",
        "TinyModelConfig",
        "train the tiny model from nothing",
        "language models",
        "--regimes natural",
    ),
    "plan": Command(
        "experiments.plan",
        "PlanConfig",
        "what will a training take on a device?",
        "language models",
        "experiments/configs/train/full.toml --device H100",
    ),
    "train": Command(
        "experiments.train",
        "TrainConfig",
        "train a language model with them",
        "language models",
        "--worlds natural --methods GRPO SRPO",
    ),
    "anatomy": Command(
        "experiments.anatomy",
        "AnatomyConfig",
        "what resets of a model's own failures are worth",
        "language models",
        "--worlds natural --prompts 50",
    ),
    "evaluate": Command(
        "experiments.evaluate",
        "EvaluateConfig",
        "compare models on held-out problems",
        "language models",
        "--trained results/train",
    ),
    "localize": Command(
        "experiments.localize",
        "LocalizeConfig",
        "who finds first errors that are known?",
        "language models",
        "--worlds natural --localizers self checker",
    ),
    "explore": Command(
        "experiments.explore",
        "ExploreConfig",
        "look into the rollouts of a run in a browser",
        "project",
        "results/train",
    ),
    "export": Command(
        "experiments.export",
        "ExportConfig",
        "write a trained model as a plain folder",
        "language models",
        "results/train/models/sparse-SRPO-0 --to my-model",
    ),
    "gpu-check": Command(
        "experiments.gpu_check",
        "GpuCheckConfig",
        "train and measure speed on this machine's GPU",
        "language models",
        "--device cuda",
    ),
    "report": Command(
        "experiments.report",
        "ReportConfig",
        "one page and all figures of what is stored",
        "project",
        "--output results/quick",
    ),
    "reproduce": Command(
        "experiments.reproduce",
        "ReproduceConfig",
        "all that measure, in order, and the report",
        "project",
        "--profile quick",
    ),
    "doctor": Command(
        "experiments.doctor",
        "DoctorConfig",
        "what of this environment is there, and what the rest would enable",
        "project",
        "",
    ),
    "new": Command(
        "experiments.new",
        "NewConfig",
        "a starting file for a method, reset, world or task of yours",
        "project",
        "method HalfwayCredit",
    ),
    "completion": Command(
        "experiments.completion",
        "CompletionConfig",
        "a script that completes options and names in your shell",
        "project",
        "bash > ~/.cpi-resets.bash",
    ),
}
