"""The commands of ``cpi-resets``: where each is and what it does, as data.

A command is a folder of this package with ``config.py``, whose frozen class holds its options, and
``command.py``, whose ``run(config, output, execution, console)`` returns the exit code.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        folder: its folder, as a package.
        config: name of the configuration class.
        summary: one line for the overview.
    """

    folder: str
    config: str
    summary: str


COMMANDS = {
    "verify": Command("experiments.verify", "VerifyConfig", "check every bound on many MDPs"),
    "compare": Command("experiments.compare", "CompareConfig", "oracle against random resets"),
    "audit": Command(
        "experiments.audit", "AuditConfig", "what objective does an estimator follow?"
    ),
    "learn": Command("experiments.learn", "LearnConfig", "learning curves of all algorithms"),
    "frontier": Command(
        "experiments.frontier", "FrontierConfig", "frontier resets over localiser accuracies"
    ),
    "league": Command(
        "experiments.league", "LeagueConfig", "methods of credit at equal generated steps or tokens"
    ),
    "data": Command("experiments.data", "DataConfig", "list, show and prepare benchmarks"),
    "model": Command(
        "experiments.model", "ModelConfig", "write a pretrained model as a plain folder"
    ),
    "warm-start": Command(
        "experiments.warm_start", "WarmStartConfig", "teach a model the format of a task"
    ),
    "tiny-model": Command(
        "experiments.tiny_model", "TinyModelConfig", "train the tiny model from nothing"
    ),
    "plan": Command("experiments.plan", "PlanConfig", "what will a training take on a device?"),
    "train": Command("experiments.train", "TrainConfig", "train a language model with them"),
    "anatomy": Command(
        "experiments.anatomy", "AnatomyConfig", "what resets of a model's own failures are worth"
    ),
    "diagnose": Command(
        "experiments.diagnose", "DiagnoseConfig", "are resets worth it for this model and data?"
    ),
    "evaluate": Command(
        "experiments.evaluate", "EvaluateConfig", "compare models on held-out problems"
    ),
    "localize": Command(
        "experiments.localize", "LocalizeConfig", "who finds first errors that are known?"
    ),
    "export": Command(
        "experiments.export", "ExportConfig", "write a trained model as a plain folder"
    ),
    "gpu-check": Command(
        "experiments.gpu_check", "GpuCheckConfig", "train and measure speed on this machine's GPU"
    ),
    "figures": Command(
        "experiments.report", "FiguresConfig", "draw stored records, write a report"
    ),
    "reproduce": Command("experiments.reproduce", "ReproduceConfig", "all of the above in order"),
}
