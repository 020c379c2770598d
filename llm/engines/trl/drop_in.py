"""``ResetTrainer``: what TRL's ``GRPOTrainer`` takes, and an algorithm with resets beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import IterableDataset
from transformers import PreTrainedTokenizerBase
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from cpi_theory.algorithms.reset_grpo import SRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Algorithm, Collection
from llm.engines.lean import check_trainable
from llm.engines.trl.arguments import check_arguments, loss_settings
from llm.engines.trl.checks import check_layout
from llm.engines.trl.rewards import PromptProblem, RewardFunctions, RewardSimulator, ScoredRollout
from llm.engines.trl.trainer import CollectingTrainer, Outputs, UpdateGuard, batch_indices
from llm.localizers.base import Localizer
from llm.localizers.self_localizer import SelfLocalizer
from llm.models.law import check_right_padding
from llm.models.load import context_of
from llm.sampling.base import Sampler, Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.sampling.trl_sampler import TrlSampler
from llm.text.answers import WholeText
from llm.text.boundaries import Boundary, Delimiter, Line
from llm.text.rollouts import TextState
from llm.text.thoughts import ThoughtFormat
from llm.text.vocabulary import Vocabulary
from llm.training.rows import TrainingRow

_LINES = Line()

_FOREIGN = ("tools", "rollout_func", "environment_factory")
"""Arguments of ``GRPOTrainer`` that say how rollouts are made, which the algorithm says here."""


class ResetTrainer(CollectingTrainer):
    """A ``GRPOTrainer`` whose groups are collected by an algorithm object: SRPO by default.

    It takes what ``trl.GRPOTrainer`` takes, with the same meaning, but for what the algorithm
    decides: settings that contradict it are refused by name (:mod:`llm.engines.trl.arguments` has
    the decision about each). Solutions are cut into thoughts at `boundary`; the algorithm resets
    failed ones to the beginning of a thought, and the kept thoughts are part of the prompt, on
    which no loss falls. Reward functions see whole solutions, kept thoughts included.

    Rewards may be any finite numbers, and advantages are made of them as they are. Only which
    rollouts *failed*, and may be reset, needs a level: `success`.

    Attributes:
        rewards: the reward functions, as they judge rollouts.
    """

    simulator: RewardSimulator
    train_dataset: Any
    eval_dataset: Any
    num_generations_eval: int
    chat_template_kwargs: Any
    _logs: Any

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        reward_processing_classes: Any = None,
        callbacks: Any = None,
        optimizers: tuple[Any, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
        tools: Any = None,
        rollout_func: Any = None,
        environment_factory: Any = None,
        *,
        algorithm: Algorithm | None = None,
        boundary: str | Boundary | ThoughtFormat = _LINES,
        success: float | None = None,
        localizer: Callable[[Sampler, Vocabulary], Localizer] | None = None,
    ) -> None:
        """Set up the trainer; all but the last four arguments are those of ``GRPOTrainer``.

        Args:
            model: a name, a folder or a causal language model.
            reward_funcs: one or several, with TRL's signature; they may return None.
            args: settings of TRL.
            train_dataset: with a column "prompt" of texts or conversations; further columns are
                handed to the reward functions.
            eval_dataset: the same, or several by name.
            processing_class: the tokenizer.
            reward_processing_classes: tokenizers of reward functions that are models.
            callbacks: of transformers.
            optimizers: an optimiser and a schedule in place of those in `args`.
            quantization_config: of a model that is loaded by name.
            peft_config: of adapters.
            tools: refused, as the two below: solutions are single turns.
            rollout_func: refused.
            environment_factory: refused.
            algorithm: what collects, by default ``SRPO(on_refusal="fresh")``: eight rows per
                prompt, also where no first error is named.
            boundary: what ends a thought, by default a line (:mod:`llm.text.boundaries` has the
                others); a delimiter may be given as its text. Solutions then end with the
                end-of-sequence token alone, as in TRL. Or a whole format, whose limits hold beside
                ``args.max_completion_length`` and whose answers may end solutions early.
            success: a solution with a lower total reward has failed. By default the sum of the
                positive weights of the functions that applied to it, the best total where each
                function gives at most 1; on another scale give the level that counts as solved.
            localizer: makes what names first errors; by default the model itself is asked, told
                that its solution is wrong.

        Raises:
            InvalidInput: for settings that contradict the algorithm, a model that cannot be trained
                or sampled right, or data without prompts.
        """
        for name, value in zip(_FOREIGN, (tools, rollout_func, environment_factory), strict=True):
            if value is not None:
                remedy = "leave it out: solutions are single turns that the algorithm asks for"
                raise InvalidInput(name, value, "would make rollouts of its own", remedy)
        self.algorithm = SRPO(on_refusal="fresh") if algorithm is None else algorithm
        args = GRPOConfig(_output_folder(model)) if args is None else args
        check_arguments(args, self.algorithm)
        check_layout(args, _length(train_dataset))
        self.loss, self.key = loss_settings(args), Key.of(args.seed)
        args = copy.copy(args)
        # The reference model and the correction of TRL's loss, which is not the one that is used.
        args.beta, args.vllm_importance_sampling_correction = 0.0, False
        self._streamed: Sequence[Mapping[str, Any]] = ()
        GRPOTrainer.__init__(
            self,
            model=model,
            reward_funcs=reward_funcs,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            reward_processing_classes=reward_processing_classes,
            callbacks=[UpdateGuard(self), *(callbacks or ())],
            optimizers=optimizers,
            quantization_config=quantization_config,
            peft_config=peft_config,
        )
        check_trainable([p for p in self.model.parameters() if p.requires_grad])
        self._check_prepared()
        self.rewards = self._reward_functions(success)
        self.simulator = self._world(boundary, localizer)
        self.begin()

    def _check_prepared(self) -> None:
        """Refuse what only shows once TRL has prepared everything.

        Raises:
            InvalidInput: naming it.
        """
        if not isinstance(self.processing_class, PreTrainedTokenizerBase):
            kind = type(self.processing_class).__name__
            remedy = "give the tokenizer of a text model"
            raise InvalidInput("processing_class", kind, "is no tokenizer", remedy)
        if not self.reward_funcs:
            remedy = "give at least one function"
            raise InvalidInput("reward_funcs", None, "nothing judges solutions", remedy)
        if self.aux_loss_enabled:
            remedy = "set args.router_aux_loss_coef = 0.0: the loss has no such term"
            value = self.router_aux_loss_coef
            raise InvalidInput("router_aux_loss_coef", value, "of the model's config", remedy)

    def _reward_functions(self, success: float | None) -> RewardFunctions:
        return RewardFunctions(
            self.reward_funcs,
            self.reward_func_names,
            [float(weight) for weight in self.reward_weights],
            self.reward_processing_classes,
            success,
            lambda: {
                "trainer_state": self.state,
                "log_extra": self._log_completion_extra,
                "log_metric": self._log_metric,
            },
            self.chat_template_kwargs,
        )

    def _world(
        self,
        boundary: str | Boundary | ThoughtFormat,
        localizer: Callable[[Sampler, Vocabulary], Localizer] | None,
    ) -> RewardSimulator:
        vocabulary = Vocabulary(self.processing_class, self.eos_token_ids)
        context = context_of(self.model, vocabulary)
        longest = min(self.args.max_completion_length or context, context)
        if isinstance(boundary, ThoughtFormat):
            form = replace(boundary, max_tokens=min(boundary.max_tokens, longest))
        else:
            ends = Delimiter(boundary) if isinstance(boundary, str) else boundary
            # As many thoughts as there is room for: TRL's completions know no other limit.
            form = ThoughtFormat(
                max_thoughts=longest, max_tokens=longest, boundary=ends, answer=WholeText()
            )
        sampler: Sampler
        if self.use_vllm:
            sampler = TrlSampler(vocabulary, self.args.vllm_max_model_length or context)
        else:
            check_right_padding(self.model, context)
            sampler = TransformersSampler(self.model, vocabulary)
        make = localizer or partial(SelfLocalizer, delimiter=form.ends)
        return RewardSimulator(
            sampler,
            vocabulary,
            self.rewards,
            form,
            Sampling(self.args.temperature, self.args.top_p),
            make(sampler, vocabulary),
            self.chat_template_kwargs,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Outputs:
        """What TRL calls for a batch of prompts; of a stream these are the only ones there are."""
        if isinstance(self.train_dataset, IterableDataset):
            self._streamed = inputs[:: self.args.num_generations]
        return super()._generate_and_score_completions(inputs)

    def _turn(self, prompts: int, number: int) -> list[int]:
        if self._streamed:
            # No other prompt has had these numbers: they are what random numbers hang on.
            return [number * prompts + i for i in range(prompts)]
        known = len(self.train_dataset)
        if self.args.shuffle_dataset:
            return batch_indices(known, prompts, number, self.key)
        first = number % (known // prompts) * prompts
        return list(range(first, first + prompts))

    def _starts(self, places: list[int]) -> list[TextState]:
        examples = self._streamed or [self.train_dataset[place] for place in places]
        pairs = zip(places, examples, strict=True)
        return self.simulator.start_states([PromptProblem.of(i, one) for i, one in pairs])

    def _count(self, collection: Collection, rows: Sequence[TrainingRow]) -> None:
        super()._count(collection, rows)
        samples = [sample for group in collection for sample in group.samples]
        rollouts = [sample.rollout for sample in samples]
        self._log_rewards("train", rollouts)
        for name, values in sorted(self._pending_metrics.items()):
            self._metrics["train"][name].append(sum(values) / len(values))
        self._pending_metrics.clear()
        # Of all that was judged, not of what is learned from: no rows of the table below.
        self._pending_extra_logs.clear()
        if self.log_completions:
            self._log_texts(rollouts, [sample.advantage for sample in samples])

    def _log_rewards(self, mode: str, rollouts: Sequence[Any]) -> dict[str, float]:
        """Add the means under TRL's names, over all processes, and return them."""
        scored = [r for r in rollouts if isinstance(r, ScoredRollout)]
        own = [float(len(scored)), sum(r.reward for r in scored), sum(r.reward**2 for r in scored)]
        own += [float(sum(r.failed for r in scored))]
        own += [float(sum(len(r.start.kept) + len(r.tokens) for r in scored))]
        own += [float(sum(not r.text_ending.complete for r in scored))]
        for i in range(len(self.reward_funcs)):
            given = [one for r in scored if (one := r.scores[i]) is not None]
            own += [float(len(given)), sum(given), sum(one**2 for one in given)]
        tensor = torch.tensor(own, dtype=torch.float64).to(self.accelerator.device)
        total = self.accelerator.reduce(tensor, reduction="sum").tolist()
        count = max(total[0], 1.0)
        means = {
            "reward": total[1] / count,
            "reward_std": _deviation(count, *total[1:3]),
            "failed": total[3] / count,
            "completions/mean_length": total[4] / count,
            "completions/clipped_ratio": total[5] / count,
        }
        for name, place in zip(self.reward_func_names, range(6, len(total), 3), strict=True):
            given, *sums = total[place : place + 3]
            if given:
                means[f"rewards/{name}/mean"] = sums[0] / given
                means[f"rewards/{name}/std"] = _deviation(given, *sums)
        for name, value in means.items():
            if name != "reward" or mode != "train":  # counted with the collection
                self._metrics[mode][name].append(value)
        return means

    def _log_texts(self, rollouts: Sequence[Any], advantages: Sequence[float]) -> None:
        texts = self.simulator.vocabulary
        self._logs["prompt"].extend(
            gather_object([r.start.problem.example["prompt"] for r in rollouts])
        )
        self._logs["completion"].extend(
            gather_object([texts.decode(r.start.kept + r.tokens) for r in rollouts])
        )
        self._logs["advantages"].extend(gather_object(list(advantages)))
        for i, name in enumerate(self.reward_func_names):
            self._logs["rewards"][name].extend(gather_object([r.scores[i] for r in rollouts]))

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Return mean rewards of ``num_generations_eval`` rollouts per prompt, none of them reset.

        Args:
            eval_dataset: prompts, or several sets of them by name; by default the trainer's own.
            ignore_keys: of no meaning here.
            metric_key_prefix: before the names of what is measured.

        Raises:
            InvalidInput: if there are no prompts.
        """
        del ignore_keys
        data = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(data, str):
            data = self.eval_dataset[data]
        if isinstance(data, dict):
            metrics: dict[str, float] = {}
            for name, part in data.items():
                metrics |= self.evaluate(part, None, f"{metric_key_prefix}_{name}")
            return metrics
        problems = [PromptProblem.of(i, one) for i, one in enumerate(data or ())]
        if not problems:
            remedy = "give an eval_dataset"
            raise InvalidInput("eval_dataset", None, "nothing to evaluate on", remedy)
        self._sync()
        self.model.eval()  # what is logged from here on is an evaluation's
        world = self.simulator.with_usage_of_its_own()
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        keys = self.key.child("evaluate", self.state.global_step).integers(
            len(problems) * self.num_generations_eval
        )
        each = np.repeat(np.arange(len(problems)), self.num_generations_eval)
        share = range(rank, len(each), processes)
        states = world.start_states([problems[each[i]] for i in share])
        rollouts = world.rollout(states, keys[list(share)])
        found = self._log_rewards("eval", rollouts)
        self._metrics["eval"].clear()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(dict(metrics))
        self.model.train()
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: a card that TRL fills in would speak of a method that was not used."""


def _output_folder(model: Any) -> str:
    name = model if isinstance(model, str) else str(model.config._name_or_path)
    return f"{name.rstrip('/').rpartition('/')[2]}-resets"


def _length(data: Any) -> int | None:
    return len(data) if hasattr(data, "__len__") else None


def _deviation(count: float, total: float, squares: float) -> float:
    """Standard deviation of a sample, from its sums."""
    if count < 2:
        return 0.0
    return float(np.sqrt(max(squares - total**2 / count, 0.0) / (count - 1)))
