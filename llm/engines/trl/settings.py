"""How TRL is to run, from a few settings and an algorithm's own layout."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from trl.trainer.grpo_config import GRPOConfig

from cpi_theory.checks import InvalidInput, check_choice, check_count
from cpi_theory.seam import Algorithm
from llm.training.settings import OptimizerSettings

Tracker = Literal["tensorboard", "wandb", "trackio"]
VllmMode = Literal["colocate", "server"]


@dataclass(frozen=True)
class TrlSettings:
    """A run of the TRL engine.

    Attributes:
        updates: optimiser updates in all.
        prompts: problems per collection, over all processes.
        processes: how many share the work; as many as were launched.
        log_every, evaluate_every, save_every: in updates; 0: never.
        save_end: whether the end is saved where anything is; without it the caller keeps the model.
        keep: newest checkpoints that are kept, besides the best one.
        trackers: where metrics are logged besides the console; none by default.
        bf16: compute in bfloat16, on a GPU.
        vllm: sample with vLLM on the same GPU, or on a server of its own; None: transformers.
        quiet: without a progress bar.
        more: further arguments of ``trl.GRPOConfig``, such as vllm_gpu_memory_utilization.
    """

    updates: int = 100
    prompts: int = 8
    processes: int = 1
    log_every: int = 1
    evaluate_every: int = 0
    save_every: int = 0
    save_end: bool = True
    keep: int = 2
    trackers: tuple[Tracker, ...] = ()
    bf16: bool = False
    vllm: VllmMode | None = None
    quiet: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("updates", "prompts", "processes", "log_every", "keep"):
            check_count(name, getattr(self, name))
        for name in ("evaluate_every", "save_every"):
            check_count(name, getattr(self, name), minimum=0)
        for tracker in self.trackers:
            check_choice("trackers", tracker, get_args(Tracker))
        if self.prompts % self.processes:
            remedy = f"choose a multiple of processes = {self.processes}"
            raise InvalidInput("prompts", self.prompts, "cannot be shared equally", remedy)
        if self.vllm is not None:
            check_vllm(self.vllm)


def check_vllm(mode: str) -> None:
    """Refuse to sample with vLLM where it cannot run.

    Raises:
        InvalidInput: if the mode is unknown, vLLM is not installed, or there is no GPU for it.
    """
    check_choice("vllm", mode, get_args(VllmMode))
    if importlib.util.find_spec("vllm") is None:
        remedy = "install it (pip install 'cpi-resets[vllm]'), or sample with transformers"
        raise InvalidInput("vllm", mode, "vLLM is not installed", remedy)
    if mode == "colocate" and not torch.cuda.is_available():
        remedy = "run it as a server where there is one, or sample with transformers"
        raise InvalidInput("vllm", mode, "torch sees no GPU to share", remedy)


def trl_config(
    settings: TrlSettings,
    optimizer: OptimizerSettings,
    algorithm: Algorithm,
    folder: Path,
    temperature: float = 1.0,
) -> GRPOConfig:
    """Make TRL's settings: one batch of rollouts per collection, shared equally among updates.

    Args:
        settings: of the run.
        optimizer: minibatches, epochs and micro-batches.
        algorithm: what collects.
        folder: where checkpoints and logs go.
        temperature: of sampling and loss.

    Raises:
        InvalidInput: if the rows cannot be divided so or are fewer than the algorithm trains on, if
            there is no GPU for bfloat16, or not as many processes as said.
    """
    if settings.bf16 and not torch.cuda.is_available():
        raise InvalidInput("bf16", True, "torch sees no GPU", "leave it off on a CPU")
    more = dict(settings.more)
    count = _count(algorithm, more.pop("num_generations", None))
    rows = settings.prompts * count // settings.processes
    if rows % optimizer.minibatches:
        problem = f"{rows} rows per process cannot be split so"
        raise InvalidInput("minibatches", optimizer.minibatches, problem, "choose a divisor")
    arguments = _arguments(settings, optimizer, folder, count, rows, temperature)
    try:
        config = GRPOConfig(**arguments | more)
    except (ValueError, TypeError) as error:
        raise InvalidInput("more", more, str(error), "take it out or change it") from error
    if config.world_size != settings.processes:
        # A launcher that falls back to one process says nothing.
        problem = f"{config.world_size} were launched"
        raise InvalidInput("processes", settings.processes, problem, "launch as many: torchrun")
    return config


def _count(algorithm: Algorithm, given: int | None) -> int:
    """Rows per prompt that TRL is to expect."""
    known = algorithm.rows_per_prompt
    if given is not None and given < known:
        problem = f"the algorithm trains on up to {known} rows per prompt"
        raise InvalidInput("num_generations", given, problem, f"choose {known}, or leave it out")
    return known if given is None else given


def _arguments(
    settings: TrlSettings,
    optimizer: OptimizerSettings,
    folder: Path,
    count: int,
    rows: int,
    temperature: float,
) -> dict[str, Any]:
    """What is told to TRL, for `count` rows per prompt and `rows` per process and collection."""
    # TRL's micro-batches are all of one size.
    size = _largest_divisor(rows // optimizer.minibatches, optimizer.micro_batch)
    return {
        "output_dir": str(folder),
        "num_generations": count,
        "per_device_train_batch_size": size,
        # TRL refuses a size that does not hold whole groups.
        "per_device_eval_batch_size": count,
        "gradient_accumulation_steps": rows // optimizer.minibatches // size,
        "steps_per_generation": rows // size,
        # GRPO's mu (Shao et al. 2024): how often one batch of rollouts is learned from.
        "num_iterations": optimizer.epochs,
        "max_grad_norm": optimizer.max_norm,
        "max_steps": settings.updates,
        "temperature": temperature,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": settings.bf16,
        "gradient_checkpointing": False,  # the model comes prepared
        "disable_tqdm": settings.quiet,
        "report_to": list(settings.trackers) or "none",
        "logging_steps": settings.log_every,
        **_schedule(settings),
        **_vllm(settings),
    }


def _schedule(settings: TrlSettings) -> dict[str, Any]:
    """When TRL evaluates and saves; the best checkpoint is the one of the highest reward."""
    evaluates, saves = settings.evaluate_every > 0, settings.save_every > 0
    return {
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": settings.evaluate_every or None,
        "save_strategy": "steps" if saves else "no",
        "save_steps": settings.save_every or settings.updates,
        "save_total_limit": settings.keep + evaluates,  # the best one counts as well
        "metric_for_best_model": "eval_reward" if evaluates else None,
        "greater_is_better": True if evaluates else None,
    }


def _vllm(settings: TrlSettings) -> dict[str, Any]:
    if settings.vllm is None:
        return {}
    return {
        "use_vllm": True,
        "vllm_mode": settings.vllm,
        "vllm_importance_sampling_correction": False,  # the loss has its own ratio
    }


def _largest_divisor(number: int, limit: int) -> int:
    return max(d for d in range(1, min(number, limit) + 1) if number % d == 0)
