"""The commands of ``cpi-resets``: where each is and what it does, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command: ``run(config, output, execution, console) -> exit code`` of a module.

    Attributes:
        module: where `config` and `run` are.
        config: name of the module's configuration class.
        summary: one line for the overview.
    """

    module: str
    config: str
    summary: str


def _command(module: str, config: str, summary: str) -> Command:
    return Command(f"experiments.{module}", config, summary)


COMMANDS = {
    "verify": _command("verify.command", "VerifyConfig", "check every bound on many MDPs"),
    "compare": _command("compare.command", "CompareConfig", "oracle against random resets"),
    "learn": _command("learn.command", "LearnConfig", "learning curves of all algorithms"),
    "frontier": _command(
        "frontier.command", "FrontierConfig", "frontier resets over localiser accuracies"
    ),
    "warm-start": _command(
        "warm_start", "WarmStartConfig", "train the tiny model that RL starts from"
    ),
    "train": _command("train.command", "TrainConfig", "train a language model with them"),
    "anatomy": _command(
        "anatomy.command", "AnatomyConfig", "what resets of a model's own failures are worth"
    ),
    "diagnose": _command(
        "diagnose.command", "DiagnoseConfig", "are resets worth it for this model and data?"
    ),
    "gpu-check": _command(
        "gpu_check", "GpuCheckConfig", "train and measure speed on this machine's GPU"
    ),
    "figures": _command("report.command", "FiguresConfig", "draw stored records, write a report"),
    "reproduce": _command("reproduce", "ReproduceConfig", "all of the above in order"),
}
