"""Settings under which a run of TRL would go wrong, and checkpoints that are whole."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput
from llm.sampling.trl_sampler import TrlSampler
from llm.simulator import LanguageModelSimulator
from llm.training.settings import LossSettings, OptimizerSettings


def check_layout(args: Any, problems: int | None) -> None:
    """Refuse settings under which a run would stall, change when resumed, or miss rows.

    Args:
        args: TRL's settings.
        problems: how many there are; None: nobody knows.

    Raises:
        InvalidInput: naming the setting.
    """
    accumulated, rounds = args.gradient_accumulation_steps, args.steps_per_generation
    # Averages are over the rows of a whole update, which must all be there at once.
    if rounds % accumulated:
        remedy = f"choose a multiple of gradient_accumulation_steps = {accumulated}"
        raise InvalidInput("steps_per_generation", rounds, "ends within an update", remedy)
    updates = rounds // accumulated * args.num_iterations
    if args.save_strategy == "steps" and args.save_steps % updates:
        remedy = f"choose a multiple of {updates}, the updates from one batch of rollouts"
        problem = "a run resumed from there would roll out anew"
        raise InvalidInput("save_steps", args.save_steps, problem, remedy)
    share = args.per_device_train_batch_size * rounds
    if share % args.num_generations:
        problem = f"{share} rows per process do not hold whole prompts of so many"
        remedy = "choose a divisor, or as many prompts as there are processes"
        raise InvalidInput("num_generations", args.num_generations, problem, remedy)
    prompts = args.generation_batch_size // args.num_generations
    if problems is not None and problems < prompts:
        remedy = f"give at least {prompts}, or train on fewer per update"
        raise InvalidInput("problems", problems, f"an update takes {prompts} of them", remedy)


def check_clipping(args: Any, optimizer: OptimizerSettings) -> None:
    """Refuse two different bounds on the gradient.

    Raises:
        InvalidInput: naming the setting.
    """
    # transformers clips by its own setting, the lean loop by the other.
    if args.max_grad_norm != optimizer.max_norm:
        remedy = f"give {optimizer.max_norm} twice"
        raise InvalidInput("max_grad_norm", args.max_grad_norm, "not optimizer.max_norm", remedy)


def check_one_world(
    model: Any, simulator: LanguageModelSimulator, args: Any, loss: LossSettings
) -> None:
    """Refuse to learn from another law than is sampled from.

    Raises:
        InvalidInput: naming what differs.
    """
    # An engine with a copy of the weights has no `model`; it is synchronised instead.
    if not args.use_vllm and getattr(simulator.sampler, "model", model) is not model:
        remedy = "give both the same object: rollouts must follow what is learned"
        raise InvalidInput("model", type(model).__name__, "not the sampler's", remedy)
    if args.use_vllm and not isinstance(simulator.sampler, TrlSampler):
        remedy = "give the simulator a TrlSampler, or leave TRL's vllm off"
        kind = type(simulator.sampler).__name__
        raise InvalidInput("sampler", kind, "would not use the engine that TRL starts", remedy)
    found = {args.temperature, loss.temperature, simulator.sampling.temperature}
    if len(found) > 1:
        remedy = "set those of sampling, loss and TRL alike"
        raise InvalidInput("temperature", sorted(found), "more than one", remedy)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint in a folder that TRL saved into; None without one.

    The trainer's state is written last: without it a checkpoint was cut off.
    """
    found: list[tuple[int, Path]] = []
    for state in folder.glob("checkpoint-*/trainer_state.json"):
        # A state that breaks off, or a folder without a number, makes no whole checkpoint.
        with contextlib.suppress(json.JSONDecodeError, ValueError):
            json.loads(state.read_text())
            found.append((int(state.parent.name.rpartition("-")[2]), state.parent))
    return max(found)[1] if found else None
