"""The TRL engine: its trainer, with rollouts, advantages and loss of this project.

TRL's ``GRPOTrainer`` brings data loading, distribution, adapters, checkpoints and logging. What it
would generate and how it would score it is replaced: an algorithm object collects groups from a
simulator, and its advantages are the only ones there are. A kept prefix is part of the prompt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import (
    Algorithm,
    Collection,
    Reason,
    learned,
    memory_of,
    needs_start,
    recalling,
    scheduled,
)
from llm.engines.lean import (
    check_trainable,
    computing,
    diverged,
    first_ratio,
    needs_reference,
    renews_logprobs,
    with_logprobs,
    with_reference,
)
from llm.engines.trl.checks import (
    check_clipping,
    check_layout,
    check_one_world,
    last_checkpoint,
)
from llm.engines.trl.sharing import FLOAT16, PROCESSES, SharedUpdates
from llm.models.law import Difference, evaluating, other_law, probe_rows
from llm.models.load import context_of
from llm.models.memory import explain_out_of_memory
from llm.models.randomness import drawing
from llm.sampling.trl_sampler import TrlSampler
from llm.simulator import LanguageModelSimulator, driver_of
from llm.task import Problem
from llm.text.rollouts import TextState
from llm.training.losses import Totals, policy_loss
from llm.training.optimizer import adamw
from llm.training.reference import StartWeights
from llm.training.rows import TrainingRow, training_rows
from llm.training.settings import LossSettings, OptimizerSettings

__all__ = ["CollectingTrainer", "Outputs", "SimulatorTrainer", "batch_indices", "last_checkpoint"]

Outputs = dict[str, Tensor]

_MEMORY = "algorithm.json"
"""What an algorithm has concluded, in a checkpoint."""

_GENERATED = "generated.json"
"""What has been generated until a checkpoint, there."""

_COUNTS = ("generated_rollouts", "generated_tokens", "localizations")

_OF_COMPLETIONS = {
    "completion_ids",
    "completion_mask",
    "old_per_token_logps",
    "advantages",
    "reference",
}


class CollectingTrainer(GRPOTrainer):
    """What its subclasses share: groups are collected by an algorithm and learned from.

    Attributes:
        algorithm: what collects; what it has concluded so far is stored with every checkpoint.
        simulator: the world; its sampler holds the model that is trained, or a copy that it
            brings up to date before each collection, or uses TRL's own engine
            (:class:`llm.sampling.trl_sampler.TrlSampler`).
        loss: which loss.
        notes: numbers for the log that were measured since the last collection.
        key: of all randomness; what is drawn for a batch hangs on it and the number of updates
            made, so a resumed run draws the same.
    """

    args: Any
    model: Any
    optimizer: torch.optim.Optimizer | None
    lr_scheduler: Any
    algorithm: Algorithm
    simulator: LanguageModelSimulator
    loss: LossSettings
    key: Key
    notes: dict[str, float]
    _buffered_inputs: Any
    _shared: SharedUpdates
    # Where TRL's own settings say how to optimise, these say how gradients are computed.
    _settings: OptimizerSettings = OptimizerSettings()
    # No update has this number, so the first collection synchronises.
    _synced: int = -1
    _start: StartWeights | None = None
    # Of the simulator before the collection that is counted next.
    _used: tuple[int, ...] = (0, 0, 0)
    # Over all updates and processes, those before a checkpoint included.
    _generated: tuple[int, ...] = (0, 0, 0)

    def begin(self) -> None:
        """Set up what needs the model as TRL has prepared it; once, before anything is trained.

        Raises:
            InvalidInput: if TRL gets the model's log-probabilities wrong, or its weights are spread
                over processes and a KL term asks for a copy of them.
        """
        if self.use_vllm:
            assert isinstance(self.simulator.sampler, TrlSampler)
            self.simulator.sampler.attach(self.vllm_generation)
        self._check_law()
        if memory_of(self.algorithm) is not None and self.accelerator.num_processes > 1:
            problem, remedy = "draws conclusions from all groups", "train it in one process"
            raise InvalidInput("algorithm", self.algorithm, problem, remedy)
        if self.loss.kl or needs_start(self.algorithm):
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                problem = "needs the start weights, which no process holds whole"
                raise InvalidInput("kl", self.loss.kl, problem, "set it to 0, or train without")
            self._start = StartWeights(self.model)
        inner = self.accelerator.unwrap_model(self.model)
        self._shared = SharedUpdates(inner, self._settings, self.loss, self._unshared())
        self.notes = {}

    def _unshared(self) -> str | None:
        """Why prefixes cannot be shared, if they cannot."""
        if self.accelerator.num_processes > 1 or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            # Weights that are spread over processes are gathered in TRL's own passes as well.
            return PROCESSES
        return FLOAT16 if self.args.fp16 else None

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Run the training; see ``transformers.Trainer.train``.

        Raises:
            TrainingDiverged: a loss or gradient is not finite; the model keeps the weights of the
                last update and what was saved stays as it is.
            OutOfMemory: naming the setting to lower.
        """
        with explain_out_of_memory(
            "per_device_train_batch_size", self.args.per_device_train_batch_size
        ):
            return super().train(*args, **kwargs)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Outputs:
        """What TRL calls for a batch of prompts: collect groups and hand their rows over.

        Which prompts is not left to TRL's sampler: its order is lost when a run is resumed in a
        later epoch.
        """
        self._used = self._usage()
        collection = self._collect(self._places(len(inputs) // self.args.num_generations))
        self.algorithm = learned(self.algorithm, collection)
        rows = training_rows(collection)
        self._count(collection, rows)
        return self._outputs(pad_batch(rows, len(inputs)), len(rows))

    def _usage(self) -> tuple[int, ...]:
        """What the simulator has generated so far, in the order of :data:`_COUNTS`."""
        usage = self.simulator.usage
        return usage.rollouts, usage.generated, usage.localizations

    def _places(self, own: int) -> list[int]:
        """This process's share of the prompts whose turn it is, as many as `own`."""
        args, processes = self.args, self.accelerator.num_processes
        # From the number of updates alone, which a checkpoint holds: a resumed run takes the same
        # prompts.
        updates = args.steps_per_generation // args.gradient_accumulation_steps
        number = self.state.global_step // (updates * args.num_iterations)
        turn = self._turn(own * processes, number)
        first = own * self.accelerator.process_index
        return turn[first : first + own]

    def _turn(self, prompts: int, number: int) -> list[int]:
        """The prompts of a collection, over all processes."""
        raise NotImplementedError

    def _starts(self, places: list[int]) -> list[TextState]:
        """The states before the first thought of these prompts."""
        raise NotImplementedError

    def _collect(self, places: list[int]) -> Collection:
        self._sync()
        key = self.key.child("collect", self.state.global_step)
        driver = driver_of(self.simulator)
        return driver(self._scheduled(), self.simulator, self._starts(places), key, places)

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        load: Callable[[str, Any], None] = super()._load_from_checkpoint
        load(checkpoint, model)
        file = Path(checkpoint) / _MEMORY
        if file.is_file():
            self.algorithm = recalling(self.algorithm, json.loads(file.read_text()))
        file = Path(checkpoint) / _GENERATED
        if file.is_file():  # checkpoints of earlier versions have none
            self._generated = tuple(json.loads(file.read_text()))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """The memory first: the trainer's own state comes last and makes a checkpoint whole."""
        memory = memory_of(self.algorithm)
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        folder.mkdir(parents=True, exist_ok=True)
        if memory is not None:
            (folder / _MEMORY).write_text(json.dumps(memory))
        if self.args.should_save:
            (folder / _GENERATED).write_text(json.dumps(self._generated))
        save: Callable[[Any, Any], None] = super()._save_checkpoint
        save(model, trial)

    def _scheduled(self) -> Algorithm:
        """The algorithm as it is at this update."""
        most = max(int(self.state.max_steps), 1)
        return scheduled(self.algorithm, min(self.state.global_step / most, 1.0))

    def _sync(self) -> None:
        """Bring an engine with weights of its own up to date."""
        if self._synced == self.state.global_step:
            return
        self.simulator.sampler.sync(self.accelerator.unwrap_model(self.model))
        self._synced = self.state.global_step

    def _outputs(self, rows: Sequence[TrainingRow], real: int) -> Outputs:
        """TRL's tensors: prompts padded on the left, completions on the right.

        `counted` is 1 for rows that the algorithm returned, and 0 for those that fill up.
        """
        pad, device = self.simulator.vocabulary.pad, self.accelerator.device
        model, size = (
            self.accelerator.unwrap_model(self.model),
            self.args.per_device_train_batch_size,
        )
        with computing(model, self._settings):
            every = renews_logprobs(self._settings, self.loss)
            rows = with_logprobs(model, rows, self.loss.temperature, size, every)
            if self._start is not None and needs_reference(rows, self.loss):
                with self.accelerator.autocast():  # as the loss works out its own
                    rows = with_reference(model, rows, self._start, self.loss.temperature, size)
        prompts = [torch.tensor(row.prompt) for row in rows]
        completions = [torch.tensor(row.completion) for row in rows]
        old = [torch.as_tensor(row.logprobs, dtype=torch.float32) for row in rows]
        gains = [torch.as_tensor(row.advantages, dtype=torch.float32) for row in rows]
        outputs = {
            "prompt_ids": _padded(prompts, pad, left=True),
            "prompt_mask": _padded([torch.ones_like(p) for p in prompts], 0, left=True),
            "completion_ids": _padded(completions, pad),
            "completion_mask": _padded([torch.ones_like(c) for c in completions], 0),
            "old_per_token_logps": _padded(old, 0.0),
            "sampling_per_token_logps": _padded(old, 0.0),
            "advantages": _padded(gains, 0.0),
            "counted": torch.tensor([int(i < real) for i in range(len(rows))]),
            "shaping": torch.tensor([[row.shaping] for row in rows]),
            "kl": torch.tensor([[row.kl] for row in rows]),
        }
        if all(row.reference is not None for row in rows):
            known = [torch.as_tensor(row.reference, dtype=torch.float32) for row in rows]
            outputs["reference"] = _padded(known, 0.0)
        return {name: tensor.to(device) for name, tensor in outputs.items()}

    def _compute_loss(self, model: Any, inputs: Outputs) -> Tensor:
        """The project's loss of one micro-batch, with averages over its whole update."""
        totals = self._totals()
        micro_batch = self._step % self.args.gradient_accumulation_steps
        with self.accelerator.autocast(), computing(self.model, self._settings):
            size = self.args.per_device_train_batch_size
            if micro_batch == 0:
                self.notes |= self._shared.notes(self._window(), size)
            shared = self._shared.learn(self._window(), micro_batch, totals, size)
        if shared is not None:
            if not math.isfinite(float(shared.detach())):
                self.model.zero_grad(set_to_none=True)
                raise diverged("loss", float(shared.detach()), self.state.global_step)
            return shared
        part = self._informative_rows(inputs)
        key = self.key.child("dropout", self.state.global_step, micro_batch)
        with drawing(key, self.accelerator.device):
            logprobs = self._logprobs(model, part)
        # Rows that fill up have no advantage, but would have a KL term.
        mask = part["completion_mask"].bool() & part["counted"].bool()[:, None]
        old, gains = part["old_per_token_logps"], part["advantages"]
        self._shared.gap.add(logprobs, old, mask)
        if first_ratio(self._settings, self.loss):
            old = logprobs.detach()
        # Processes average their gradients, while each of these is a share of one sum.
        processes = int(self.accelerator.num_processes)
        reference = part.get("reference")
        held = part["kl"] if bool(part["kl"].any()) else None
        loss = policy_loss(
            logprobs, old, gains, mask, totals, self.loss, reference, part["shaping"], held
        )
        loss = loss * processes
        # Of several processes one alone must not raise, or the others would wait for it in their
        # next exchange; the guard sees the gradient that they share.
        if processes == 1 and not math.isfinite(float(loss.detach())):
            raise diverged("loss", float(loss.detach()), self.state.global_step)
        return loss

    def _totals(self) -> Totals:
        """Rows and tokens of the update that the current micro-batch belongs to."""
        window = self._window()
        counted = [part["counted"] for part in window]
        lengths = [part["completion_mask"].sum(dim=1) for part in window]
        # Rows that only fill up count neither as rows nor with their tokens.
        own = torch.stack(
            [
                sum(c.sum() for c in counted),
                sum((n * c).sum() for n, c in zip(lengths, counted, strict=True)),
            ]
        )
        rows, tokens = self.accelerator.reduce(own, reduction="sum").tolist()
        return Totals(rows, tokens)

    def _window(self) -> list[Any]:
        """The micro-batches of the update that the current one belongs to."""
        assert self._buffered_inputs is not None
        # A collection is buffered whole; the micro-batches of one update follow one another in it.
        size = self.args.gradient_accumulation_steps
        first = self._step % self.args.steps_per_generation // size * size
        window: list[Any] = self._buffered_inputs[first : first + size]
        return window

    def _informative_rows(self, inputs: Outputs) -> Outputs:
        """The rows of a micro-batch that have a gradient, or one that has none; no margins."""
        informative = (inputs["advantages"] != 0).any(dim=1)
        if self.loss.kl:
            informative |= inputs["counted"].bool()
        informative |= (inputs["kl"][:, 0] > 0) & inputs["counted"].bool()
        informative[0] |= not informative.any()  # backward needs a graph
        # Padding that no remaining row needs goes too: it would be read for nothing.
        part = {name: t[informative] for name, t in inputs.items() if t.ndim}
        prompt = int(part["prompt_mask"].sum(dim=1).max())
        longest = int(part["completion_mask"].sum(dim=1).max())
        for name in ("prompt_ids", "prompt_mask"):
            part[name] = part[name][:, -prompt:]
        for name in _OF_COMPLETIONS & part.keys():
            part[name] = part[name][:, :longest]
        return part

    def _logprobs(self, model: Any, part: Outputs) -> Tensor:
        """Log-probabilities of the completions, (n, T), without ever holding all logits.

        Not every architecture stands padding on the left, where TRL has it for prompts, so each
        row is moved to the left end: what fills up then comes last, where no token can see it.
        """
        ids = torch.cat([part["prompt_ids"], part["completion_ids"]], dim=1)
        mask = torch.cat([part["prompt_mask"], part["completion_mask"]], dim=1)
        length = part["completion_ids"].shape[1]
        labels = ids.masked_fill(mask == 0, -100)
        # -100 marks what is not predicted, in transformers as in torch.
        labels[:, :-length] = -100
        margins = (part["prompt_mask"] == 0).sum(dim=1, keepdim=True)
        places = torch.arange(ids.shape[1], device=ids.device)
        # Each row is turned left by its margin, and what comes out is turned back below.
        moved = (places + margins) % ids.shape[1]
        with self.accelerator.autocast(), computing(self.model, self._settings):
            output = model(
                input_ids=ids.gather(1, moved),
                attention_mask=mask.gather(1, moved),
                labels=labels.gather(1, moved),
                fused_lm_head=True,
            )
        logprobs = torch.nn.functional.pad(output.log_probs, (1, 0))  # of each place's own token
        return logprobs.gather(1, (places - margins) % ids.shape[1])[:, -length:]

    def _check_law(self) -> None:
        """Refuse a model that TRL's forward pass, with an output layer of its own, gets wrong."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return  # its weights are spread over processes, and whole only within a step
        rows = probe_rows(self.model, context_of(self.model, self.simulator.vocabulary))
        probes = [
            TrainingRow(p, c, np.zeros(len(c), np.float32), np.ones(len(c)), 0, 0) for p, c in rows
        ]
        with evaluating(self.model), torch.no_grad():
            found = self._logprobs(self.model, self._outputs(probes, len(probes)))
        own = [line[: len(row.completion)] for line, row in zip(found, probes, strict=True)]
        coarse = self.args.bf16 or self._settings.precision == "autocast"
        precision = torch.bfloat16 if coarse else None
        difference = Difference.of(self.model, rows, own, precision)
        if not difference.may_be_rounding:
            raise other_law(
                self.model, difference, "as TRL works them out", "train in the lean loop, or "
            )

    def _count(self, collection: Collection, rows: Sequence[TrainingRow]) -> None:
        """Add to what is logged at the next logging step, over all processes.

        Counts are of one update, and their means over updates if not each of them is logged.
        """
        rewards = [r.reward for group in collection for r in group.rollouts]
        own = [sum(rewards), len(rewards), sum(g.informative for g in collection), len(collection)]
        own += [now - before for now, before in zip(self._usage(), self._used, strict=True)]
        own += [sum(row.informative for row in rows)]
        own += [collection.refusals[reason] for reason in Reason]
        tensor = torch.tensor(own, dtype=torch.float32, device=self.accelerator.device)
        total = self.accelerator.reduce(tensor, reduction="sum").tolist()
        metrics = {
            "reward": total[0] / max(total[1], 1),
            "informative_groups": total[2] / max(total[3], 1),
            **dict(zip(_COUNTS, total[4:7], strict=True)),
            "informative_rows": total[7],
        }
        refused = zip(Reason, total[8:], strict=True)
        metrics |= {f"refusals/{reason.value}": number for reason, number in refused}
        metrics |= self._shared.gap.take()  # of what was learned since the last collection
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)
        self._generated = tuple(
            before + round(new) for before, new in zip(self._generated, total[4:7], strict=True)
        )
        for name, number in zip(_COUNTS, self._generated, strict=True):
            self._metrics["train"][f"total/{name}"] = [number]  # no mean of several
        self.notes = {}


class SimulatorTrainer(CollectingTrainer):
    """Trains the model of a simulator with an algorithm object, on problems of its task.

    Attributes:
        problems: what is trained on; the id of a prompt is its place here.
        held_out: what is evaluated on.
    """

    def __init__(
        self,
        model: Any,
        algorithm: Algorithm,
        simulator: LanguageModelSimulator,
        problems: Sequence[Problem],
        args: GRPOConfig,
        optimizer: OptimizerSettings,
        loss: LossSettings,
        key: Key,
        held_out: Sequence[Problem] = (),
        **options: Any,
    ) -> None:
        """Set up the trainer.

        Args:
            model: what is trained; see `simulator`.
            algorithm: what collects.
            simulator: the world; see the class for what its sampler may hold.
            problems: what is trained on.
            args: how TRL runs; see :func:`llm.engines.trl.settings.trl_config`. Its seed is set
                from `key`.
            optimizer: takes the place of the optimiser and schedule in `args`.
            loss: which loss.
            key: of all randomness.
            held_out: what is evaluated on.
            options: further arguments of ``GRPOTrainer``, such as callbacks.

        Raises:
            InvalidInput: if the settings contradict each other or the number of problems, the
                model cannot be trained or TRL gets its log-probabilities wrong, or vLLM is asked
                for and not installed.
        """
        check_layout(args, len(problems))
        check_clipping(args, optimizer)
        check_trainable([p for p in model.parameters() if p.requires_grad])
        check_one_world(model, simulator, args, loss)
        self.algorithm, self.simulator, self.loss = algorithm, simulator, loss
        self.problems, self.held_out = list(problems), list(held_out)
        self.key, self._settings = key, optimizer
        args.seed = int(key.child("trl").integers(1)[0] >> 33)  # numpy takes 32 bits
        callbacks = [UpdateGuard(self), *options.pop("callbacks", ())]
        super().__init__(
            model=model,
            # TRL asks for one, although its own scoring is replaced.
            reward_funcs=_no_reward,
            args=args,
            train_dataset=_as_dataset(problems, simulator),
            eval_dataset=_as_dataset(held_out, simulator) if held_out else None,
            processing_class=simulator.vocabulary.tokenizer,
            callbacks=callbacks,
            **options,
        )
        self.begin()

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return the optimiser of the project's settings."""
        if self.optimizer is None:
            parameters = (self.model if model is None else model).parameters()
            self.optimizer = adamw(self._settings, (p for p in parameters if p.requires_grad))
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """Return the learning rates of the project's settings."""
        del num_training_steps  # the settings say when the rate has fallen to 0
        if self.lr_scheduler is None:
            # LambdaLR multiplies the optimiser's first rate.
            first = self._settings.rate_at(0)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.create_optimizer(),
                lambda update: self._settings.rate_at(update) / first,
            )
        return self.lr_scheduler

    def _turn(self, prompts: int, number: int) -> list[int]:
        return batch_indices(len(self.problems), prompts, number, self.key)

    def _starts(self, places: list[int]) -> list[TextState]:
        return self.simulator.start_states([self.problems[i] for i in places])

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Return the mean reward of one rollout per held-out problem, not counted in the budget.

        Raises:
            InvalidInput: if there are none.
        """
        del eval_dataset, ignore_keys  # what TRL would evaluate on and leave out of its outputs
        if not self.held_out:
            raise InvalidInput("held_out", 0, "nothing to evaluate on", "give some problems")
        self._sync()
        self.model.eval()  # what is logged from here on is an evaluation's
        judge = self.simulator.changed()  # what it samples is not counted
        keys = self.key.child("evaluate", self.state.global_step).integers(len(self.held_out))
        rollouts = judge.rollout(judge.start_states(self.held_out), keys)
        metrics = {f"{metric_key_prefix}_reward": sum(r.reward for r in rollouts) / len(rollouts)}
        self.log(dict(metrics))
        self.model.train()
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class UpdateGuard(TrainerCallback):
    """Looks at each gradient before it is applied."""

    def __init__(self, trainer: CollectingTrainer) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop at a gradient that is not finite; leave all as it is where there is none."""
        del args, control  # the signature of TRL's callbacks
        gradients = [p.grad for p in kwargs["model"].parameters() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0
        if not math.isfinite(norm):
            self.trainer.model.zero_grad(set_to_none=True)
            raise diverged("gradient_norm", norm, state.global_step)
        if norm == 0:  # no advantage in the whole update: averages of the optimiser stay too
            # Without a gradient AdamW leaves a weight alone; one of 0 would still decay it and its
            # averages.
            self.trainer.model.zero_grad(set_to_none=True)


def batch_indices(problems: int, prompts: int, number: int, key: Key) -> list[int]:
    """Return the indices of a collection's problems; each pass through all is in a new order.

    Args:
        problems: how many there are.
        prompts: how many a collection takes; what is left over at the end of a pass sits out.
        number: of the collection, 0-based.
        key: of the run.

    Returns:
        `prompts` different indices from 0 to ``problems - 1``.
    """
    a_pass, turn = divmod(number, problems // prompts)
    order = key.child("order", a_pass).generator().permutation(problems)
    return [int(place) for place in order[turn * prompts : (turn + 1) * prompts]]


def _as_dataset(problems: Sequence[Problem], simulator: LanguageModelSimulator) -> Dataset:
    """What TRL counts epochs by."""
    return Dataset.from_dict({"prompt": [simulator.task.prompt(p) for p in problems]})


def pad_batch(rows: Sequence[TrainingRow], places: int) -> list[TrainingRow]:
    """Pad a batch to as many rows as TRL expects, with rows of advantage 0.

    Raises:
        InvalidInput: if there are none, or too many.
    """
    if not rows or len(rows) > places:
        problem = f"the algorithm returned {len(rows)} rows for {places} places"
        remedy = "set num_generations to the rows per prompt that the algorithm trains on"
        raise InvalidInput("num_generations", places, problem, remedy)
    return [
        *rows,
        # A copy of a real row adds no length, and with an advantage of 0 no gradient.
        *(
            replace(rows[0], advantages=0 * rows[0].advantages, kl=0.0)
            for _ in range(places - len(rows))
        ),
    ]


def _padded(parts: Sequence[Tensor], value: float, left: bool = False) -> Tensor:
    side = "left" if left else "right"
    return torch.nn.utils.rnn.pad_sequence(
        list(parts), batch_first=True, padding_value=value, padding_side=side
    )


def _no_reward(**_: Any) -> list[float | None]:
    raise RuntimeError("rewards come with rollouts; TRL has no business asking for them")
