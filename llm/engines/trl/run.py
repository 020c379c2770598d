"""Runs of the TRL engine: which problems an update takes, what it did, and how a run goes on.

TRL owns the loop. A callback is called after each collection has been learned from, and what the
run keeps beside the model, its records for instance, is stored with every checkpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.utils import split_tensor_dict

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Algorithm, Collection, learned
from llm.engines.lean import StepReport, learned_rows, needs_reference
from llm.engines.trl.checks import last_checkpoint
from llm.engines.trl.forward import forward_kept
from llm.engines.trl.settings import TrlSettings, trl_config
from llm.engines.trl.trainer import Outputs, SimulatorTrainer, pad_batch
from llm.simulator import LanguageModelSimulator, driver_of
from llm.task import Problem
from llm.training.rows import TrainingRow, split_by_prompt, training_rows
from llm.training.settings import LossSettings, OptimizerSettings

OnUpdate = Callable[[int, Collection, StepReport], None]
"""Takes the number of a collection, from 1 on, the collection, and what learning from it did."""

_RUN_STATE = "run_state.json"
_OLD_RUN_STATE = "companion.json"
"""The name of that file in older checkpoints."""


class RunState(Protocol):
    """What a run keeps beside the model, such as its records; stored with every checkpoint."""

    def state(self) -> dict[str, Any]:
        """Return all that it needs to go on, as JSON can hold it."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        ...


@dataclass(frozen=True, slots=True)
class TrlReport:
    """How a run went.

    Attributes:
        began: optimiser updates that a checkpoint already held.
        updates: optimiser updates made in all.
        last: of the last collection; None if the checkpoint was of the end.
        checkpoint: the newest on disk, in Hugging Face format; None without any.
    """

    began: int
    updates: int
    last: StepReport | None
    checkpoint: Path | None


def train_with_trl(
    model: Any,
    algorithm: Algorithm,
    simulator: LanguageModelSimulator,
    problems_of: Callable[[int], Sequence[Problem]],
    key: Key,
    optimizer: OptimizerSettings,
    loss: LossSettings,
    settings: TrlSettings,
    folder: Path,
    on_update: OnUpdate | None = None,
    run_state: RunState | None = None,
    resume: bool = True,
) -> TrlReport:
    """Train a model in place, from the newest checkpoint in the folder if there is one.

    Args:
        model: what is trained, the very object that the simulator's sampler samples from.
        algorithm: what collects.
        simulator: the world.
        problems_of: the problems of a collection, by its number from 1 on; it is asked again for
            the same number when a run is resumed.
        key: of all rollouts; those of collection u hang on ``key.child("collect", u)``.
        optimizer: of the updates, as for :class:`~llm.engines.lean.LeanTrainer`, with the same
            result.
        loss: which loss, as there.
        settings: how TRL runs.
        folder: where checkpoints and logs go.
        on_update: called after each collection has been learned from; the model may be sampled
            from in it.
        run_state: stored with every checkpoint, and restored from the one that a run resumes.
        resume: whether to go on from a checkpoint; without it there must be none.

    Raises:
        InvalidInput: if settings contradict each other, a collection has more problems or rows
            than they make room for, or checkpoints are in the way.
        TrainingDiverged: a loss or gradient is not finite; the model keeps its last good weights
            and the folder its checkpoints.
        OutOfMemory: naming the setting to lower.

    Source: https://huggingface.co/docs/trl (its GRPOTrainer); Shao et al. (2024), arXiv 2402.03300.
    """
    _check_minibatches(settings, optimizer)
    found = _checkpoint(folder, resume)
    args = trl_config(settings, optimizer, algorithm, folder, loss.temperature)
    with forward_kept(model):
        trainer = _RunTrainer(
            model, algorithm, simulator, problems_of, args, optimizer, loss, key, run_state
        )
        # Without a progress bar transformers would print every entry of the log.
        trainer.remove_callback(PrinterCallback)
        if on_update is not None:
            trainer.add_callback(_UpdateCallback(trainer, on_update))
        if not settings.save_end:
            trainer.add_callback(_UnsavedEnd())
        if found is not None and run_state is not None:
            run_state.restore(_stored_run_state(found))
        began = trainer.run(found)
    return TrlReport(began, settings.updates, trainer.report, last_checkpoint(folder))


class _RunTrainer(SimulatorTrainer):
    """Takes its problems from a function and reports on each collection.

    Attributes:
        report: of the last collection that was learned from.
        collection: that collection.
    """

    _buffered_inputs: Any

    def __init__(
        self,
        model: Any,
        algorithm: Algorithm,
        simulator: LanguageModelSimulator,
        problems_of: Callable[[int], Sequence[Problem]],
        args: Any,
        optimizer: OptimizerSettings,
        loss: LossSettings,
        key: Key,
        run_state: RunState | None,
    ) -> None:
        self._problems_of, self._run_state = problems_of, run_state
        self.collection: Collection | None = None
        self.report: StepReport | None = None
        self._rows: Sequence[TrainingRow] = ()
        self._losses: list[float] = []
        self._norms: list[float] = []
        self.per_collection = optimizer.minibatches * optimizer.epochs
        args.ignore_data_skip = True  # problems come by number, not by place in a stream
        # TRL's loader only sets the pace: one pass over it is one collection.
        self._pace = args.generation_batch_size // args.num_generations
        # Only their number matters; they repeat where the first collection has fewer.
        prompts = (self._problems(1) * self._pace)[: self._pace]
        super().__init__(model, algorithm, simulator, prompts, args, optimizer, loss, key)

    @property
    def number(self) -> int:
        """Number of the collection that is being learned from, from 1 on."""
        return self.state.global_step // self.per_collection + 1

    def run(self, checkpoint: Path | None) -> int:
        """Train to the end; returns how many updates the checkpoint held."""
        if checkpoint is None:
            self.train()
            return 0
        began = _number(checkpoint)
        # Of a run that has ended only its weights are wanted.
        if began >= self.args.max_steps:
            self._load_from_checkpoint(str(checkpoint))
        else:
            self.train(resume_from_checkpoint=str(checkpoint))
        return began

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Outputs:
        """Rows in the order in which micro-batches take them, each update's prompts together.

        Rows of like length stand together, where little of a micro-batch is padding, and those
        without an advantage, which are not computed, at the end.
        """
        collection = self._collect([])
        self.algorithm = learned(self.algorithm, collection)
        rows = training_rows(collection)
        self._count(collection, rows)
        minibatches = split_by_prompt(rows, self._settings.minibatches)
        places = len(inputs) // len(minibatches)
        ordered = [
            sorted(part, key=lambda row: (not row.informative, len(row))) for part in minibatches
        ]
        # TRL wants equally many rows of each update; real and counted tell it which are made up.
        full = [row for part in ordered for row in pad_batch(part, places)]
        real = [int(i < len(part)) for part in ordered for i in range(places)]
        outputs = self._outputs(full, len(full))
        return outputs | {"counted": torch.tensor(real, device=self.accelerator.device)}

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """Split the rows as TRL does, without its shuffle, which would mix updates' prompts."""
        rounds = self.args.steps_per_generation
        if self._step % (rounds * self.args.num_iterations) == 0 or self._buffered_inputs is None:
            outputs: dict[str, Any] = dict(self._generate_and_score_completions(generation_batch))
            self._buffered_inputs = split_tensor_dict(outputs, rounds)
        return self._buffered_inputs[self._step % rounds]

    def _collect(self, places: list[int]) -> Collection:
        del places  # problems come from the caller's function, not from TRL's data
        self._sync()
        problems = self._problems(self.number)
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        # Dealt out in turn: shares differ by one problem at most.
        ids = list(range(len(problems)))[rank::processes]
        starts = self.simulator.start_states([problems[i] for i in ids])
        key = self.key.child("collect", self.number)
        return driver_of(self.simulator)(self._scheduled(), self.simulator, starts, key, ids)

    def _problems(self, number: int) -> list[Problem]:
        problems = list(self._problems_of(number))
        if not 1 <= len(problems) <= self._pace:
            problem = f"collection {number} has {len(problems)} problems"
            remedy = "set it to the most problems that a collection has, and give at least one"
            raise InvalidInput("prompts", self._pace, problem, remedy)
        return problems

    def _count(self, collection: Collection, rows: Sequence[TrainingRow]) -> None:
        self.collection, self._rows = collection, rows
        self._losses, self._norms = [], []
        self._shared.spared = 0
        super()._count(collection, rows)

    def _compute_loss(self, model: Any, inputs: Outputs) -> Tensor:
        loss = super()._compute_loss(model, inputs)
        # Undo the factor of the trainer's loss, so that the report is that of the lean loop.
        self._losses.append(float(loss.detach()) / self.accelerator.num_processes)
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        clip: Callable[[Any], Any] = super()._clip_grad_norm
        norm = clip(model)
        self._norms.append(float(norm))
        return norm

    def summarise(self) -> StepReport:
        """Return what learning from the collection did, counted as the lean loop counts."""
        updates, epochs = self.per_collection, self._settings.epochs
        informative = learned_rows(self._rows, self.loss)
        # By the start model, once.
        read = sum(map(len, self._rows)) if needs_reference(self._rows, self.loss) else 0
        # Losses of micro-batches add up to that of their update; the report is of the mean update.
        self.report = StepReport(
            sum(self._losses) / updates,
            sum(self._norms) / updates,
            len(self._rows) * epochs,
            len(informative) * epochs,
            sum(len(row.completion) for row in informative) * epochs,
            sum(map(len, informative)) * epochs - self._shared.spared + read,
            updates,
            {**self.notes, **self._shared.gap.take()},
        )
        return self.report

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """The run state first: the trainer's comes last and makes a checkpoint whole."""
        if self._run_state is not None and self.accelerator.is_main_process:
            folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _RUN_STATE).write_text(json.dumps(self._run_state.state()))
        save: Callable[[Any, Any], None] = super()._save_checkpoint
        save(model, trial)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: a card that TRL fills in would speak of a method that was not used."""


class _UpdateCallback(TrainerCallback):
    """Calls `on_update` when a collection has been learned from, before anything is saved."""

    def __init__(self, trainer: _RunTrainer, on_update: OnUpdate) -> None:
        self.trainer, self.on_update = trainer, on_update

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Call `on_update` after the last optimiser update of a collection."""
        del args, control, kwargs  # TRL's signature
        if state.global_step % self.trainer.per_collection == 0:
            assert self.trainer.collection is not None
            number = state.global_step // self.trainer.per_collection
            self.on_update(number, self.trainer.collection, self.trainer.summarise())


class _UnsavedEnd(TrainerCallback):
    """Keeps transformers from saving the last update, optimiser and all, as it would by itself."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take back the wish to save, at the end alone."""
        del args, kwargs  # TRL's signature
        if state.global_step >= state.max_steps:
            control.should_save = False


def _check_minibatches(settings: TrlSettings, optimizer: OptimizerSettings) -> None:
    """Refuse a run that would end within a collection, or updates that differ in size.

    Raises:
        InvalidInput: naming the setting.
    """
    each, share = optimizer.minibatches * optimizer.epochs, settings.prompts // settings.processes
    if settings.updates % each:
        problem = f"a collection is learned from in {each} (minibatches x epochs)"
        raise InvalidInput("updates", settings.updates, problem, "choose a multiple of that")
    if share % optimizer.minibatches:
        problem = f"{share} prompts per process cannot be split so equally"
        raise InvalidInput(
            "minibatches", optimizer.minibatches, problem, "choose a divisor of that"
        )


def _checkpoint(folder: Path, resume: bool) -> Path | None:
    """The checkpoint to go on from, after clearing away what was cut off.

    Raises:
        InvalidInput: if there is one and nothing shall be resumed.
    """
    last = last_checkpoint(folder)
    if last is not None and not resume:
        remedy = "resume, choose another folder, or delete it"
        raise InvalidInput("folder", folder, f"holds {last.name} of a run before", remedy)
    for other in folder.glob("checkpoint-*"):
        # TRL keeps the newest by date, and one that cannot be used would count.
        if last is None or _number(other) > _number(last):
            shutil.rmtree(other)
    return last


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _stored_run_state(checkpoint: Path) -> dict[str, Any]:
    file = checkpoint / _RUN_STATE
    if not file.is_file() and (checkpoint / _OLD_RUN_STATE).is_file():
        file = checkpoint / _OLD_RUN_STATE
    if not file.is_file():
        remedy = "choose another folder, or delete the checkpoint"
        raise InvalidInput("folder", checkpoint, f"holds no {file.name}", remedy)
    state: dict[str, Any] = json.loads(file.read_text())
    return state
