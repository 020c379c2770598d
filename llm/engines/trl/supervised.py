"""Supervised training of any model on examples, with TRL's trainer; resumable and seeded."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.engines.lean import TrainingDiverged
from llm.engines.trl.checks import last_checkpoint
from llm.engines.trl.forward import forward_kept
from llm.models.load import context_of
from llm.models.memory import explain_out_of_memory
from llm.models.randomness import drawing
from llm.text.vocabulary import Vocabulary
from llm.training.supervised import Example, SupervisedSettings

_IGNORED = -100
"""Label of a token that nothing is learnt from, as transformers has it."""

Watch = Callable[[int, float], None]
"""Takes the number of an update, from 1 on, and its loss."""


def fine_tune(
    model: Any,
    vocabulary: Vocabulary,
    examples: Sequence[Example],
    settings: SupervisedSettings,
    key: Key,
    folder: Path,
    save_every: int = 0,
    watch: Watch | None = None,
) -> list[float]:
    """Train a model in place on examples, from the newest checkpoint in the folder if there is one.

    Args:
        model: a causal language model, with or without adapters, float32 where it is trained.
        vocabulary: its tokenizer.
        examples: what it is to reply to what; only replies are learnt from.
        settings: how.
        key: of the order of the examples, and of dropout where a model has any.
        folder: where checkpoints go.
        save_every: updates between checkpoints; 0: none.
        watch: called after every update.

    Returns:
        The loss of every update in nats, those before the checkpoint included: the mean
        cross-entropy over the completion tokens of its batch.

    Raises:
        InvalidInput: too few examples, or one that does not fit into the model's context.
        TrainingDiverged: a loss is not finite; checkpoints stay as they are.
        OutOfMemory: naming the setting to lower.

    Source: https://huggingface.co/docs/trl (its SFTTrainer).
    """
    check_lengths(examples, context_of(model, vocabulary))
    ordered = settings.order(examples, key.child("order"))
    updates = settings.updates(len(examples))
    found = _newest(folder)
    args = _arguments(settings, updates, folder, save_every, int(key.integers(1)[0] >> 33))
    # transformers seeds torch's common stream: here it is one of this run's own.
    with (
        forward_kept(model),
        drawing(key, model.device),
        explain_out_of_memory("recipe.micro_batch", settings.micro_batch),
    ):
        trainer = SFTTrainer(
            model,
            args,
            train_dataset=Dataset.from_list([_row(one) for one in ordered]),
            processing_class=vocabulary.tokenizer,
            callbacks=[_Watch(watch)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=None if found is None else str(found))
    model.eval()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def _row(example: Example) -> dict[str, list[int]]:
    # The ids themselves and not texts: a trainer that tokenised prompts anew, or wrapped them in a
    # template of its own, would teach other prompts than rollouts begin with.
    return {
        "input_ids": [*example.prompt, *example.completion],
        "labels": [_IGNORED] * len(example.prompt) + list(example.completion),
    }


def _newest(folder: Path) -> Path | None:
    """The checkpoint to go on from; those that were cut off are cleared away."""
    last = last_checkpoint(folder)
    for other in folder.glob("checkpoint-*"):
        if other != last:
            shutil.rmtree(other)
    return last


def _arguments(
    settings: SupervisedSettings, updates: int, folder: Path, save_every: int, seed: int
) -> SFTConfig:
    # Micro-batches are all of one size, a divisor of the batch.
    fits = range(1, min(settings.batch, settings.micro_batch) + 1)
    size = max(d for d in fits if settings.batch % d == 0)
    return SFTConfig(
        output_dir=str(folder),
        max_steps=updates,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=settings.batch // size,
        train_sampling_strategy="sequential",  # the order is drawn from our key
        learning_rate=settings.rate,
        lr_scheduler_type="cosine" if settings.decay else "constant_with_warmup",
        warmup_steps=settings.warm_up,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_norm,
        max_length=None,  # nothing is cut off; what does not fit is refused before
        dataset_kwargs={"skip_prepare_dataset": True},
        seed=seed,
        save_strategy="steps" if save_every else "no",
        save_steps=save_every or updates,
        save_total_limit=1,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        bf16=settings.autocast,
        gradient_checkpointing=False,  # the model comes prepared
    )


class _Watch(TrainerCallback):
    """Passes losses on and stops at one that is not finite."""

    def __init__(self, watch: Watch | None) -> None:
        self.watch = watch

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **more: Any
    ) -> None:
        """Called by the trainer after every update, before it saves."""
        del args, control, more  # the trainer's signature
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            remedy = "lower recipe.rate, or hold the weights in float32"
            raise TrainingDiverged("loss", loss, f"in update {state.global_step}", remedy)
        if self.watch is not None:
            self.watch(state.global_step, loss)


def check_lengths(examples: Sequence[Example], context: int) -> None:
    """Refuse examples that are longer than the model's context.

    Raises:
        InvalidInput: naming the example and its length.
    """
    for i, one in enumerate(examples):
        length = len(one.prompt) + len(one.completion)
        if length > context:
            problem = f"{length} tokens, and the model reads {context}"
            raise InvalidInput(f"examples[{i}]", length, problem, "shorten it, or leave it out")
