"""Some updates of TRL's trainer with resets, with vLLM beside the model where it is installed."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from llm.models.load import find_device
from llm.models.tiny import tokenizer
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.throughput.models import Workload

_ROLLOUTS = 8
"""Per prompt, as the default algorithm has them."""


def measure_drop_in(work: Workload, device: str, steps: int = 2) -> dict[str, Any]:
    """Train an untrained model with :class:`llm.ResetTrainer`.

    On a GPU vLLM samples from a colocated copy that follows the weights, if it is installed.

    Args:
        work: its shape and precision, and how many prompts an update has.
        device: where.
        steps: updates.

    Returns:
        `vllm` (whether it sampled), `steps`, `seconds_per_step`; of all steps `tokens`,
        `localizations` (failures whose first error was asked for) and `refusals` (resets that were
        not made, for whatever reason); and the last `reward`; or `left_out`, why nothing was
        measured.
    """
    if importlib.util.find_spec("trl") is None:
        return {"left_out": "TRL is not installed"}
    place = find_device(device)
    beside = place.type == "cuda" and importlib.util.find_spec("vllm") is not None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model"
        work.shape.build(torch.device("cpu"), work.precision).save_pretrained(source)
        tokenizer(ArithmeticTask()).save_pretrained(source)
        return {"vllm": beside, **_train(str(source), work, place, steps, beside, folder)}


def _train(
    source: str, work: Workload, device: torch.device, steps: int, beside: bool, folder: str
) -> dict[str, Any]:
    # TRL may be missing where this is imported.
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig

    from llm.engines.trl.drop_in import ResetTrainer

    task = ArithmeticTask(horizon=4)
    prompts = [task.prompt(problem) for problem in task.problems("train", work.prompts, seed=0)]
    args = GRPOConfig(
        output_dir=f"{folder}/trained",
        max_steps=steps,
        per_device_train_batch_size=work.prompts * _ROLLOUTS,
        num_generations=_ROLLOUTS,
        max_completion_length=work.completion_tokens,
        bf16=work.precision == "bfloat16",
        use_cpu=device.type == "cpu",
        use_vllm=beside,
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=0.3,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
    )
    trainer = ResetTrainer(
        model=source,
        reward_funcs=_even,
        args=args,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
    )
    begin = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begin
    logs: list[dict[str, Any]] = [line for line in trainer.state.log_history if "reward" in line]
    return {
        "steps": steps,
        "seconds_per_step": round(seconds / steps, 4),
        "tokens": round(sum(line["generated_tokens"] for line in logs)),
        "localizations": round(sum(line["localizations"] for line in logs)),
        "refusals": round(
            sum(n for line in logs for name, n in line.items() if name.startswith("refusals/"))
        ),
        "reward": logs[-1]["reward"],
    }


def _even(completions: list[str], **_: Any) -> list[float]:
    """1 for texts of an even length, so that groups tell rollouts apart without any skill."""
    return [float(len(text) % 2 == 0) for text in completions]
