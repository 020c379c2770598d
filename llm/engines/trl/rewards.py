"""Reward functions in TRL's signature as the judge of rollouts.

TRL calls them once per batch of whole completions; so does this simulator, which hands them whole
solutions, kept thoughts included. Unlike a task's verdict a reward may be any finite number, and a
solution that was cut off is judged like any other.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from trl.data_utils import apply_chat_template, is_conversational

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Keys
from llm.localizers.base import Localizer
from llm.sampling.base import Sampler, Sampling
from llm.sampling.streaming import Questions
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, Verdict
from llm.text.rollouts import TextRollout, TextState
from llm.text.thoughts import TextEnding, ThoughtFormat
from llm.text.vocabulary import Vocabulary

Example = Mapping[str, Any]
"""A record of a data set with a column "prompt"; further columns go to the reward functions."""


@dataclass(frozen=True, slots=True)
class PromptProblem(Problem):
    """A record of a TRL data set as a problem.

    Attributes:
        example: the record.
    """

    example: Example = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, number: int | str, example: Example) -> PromptProblem:
        """Make a problem of a record.

        Localisers are shown its column "question", or without one the prompt, or of a conversation
        what the user said last. Its answer is known to the reward functions alone.

        Raises:
            InvalidInput: if the record has no prompt, or an empty one.
        """
        if "prompt" not in example:
            remedy = "give the data set a column 'prompt'"
            raise InvalidInput("train_dataset", sorted(example), "has no prompts", remedy)
        question = example.get("question") or _question(example["prompt"])
        return cls(str(number), question, "(judged by reward functions)", example=example)


def _question(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    said = [message["content"] for message in prompt if message["role"] == "user"]
    return str(said[-1] if said else prompt[-1]["content"])


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRollout(TextRollout):
    """A rollout with what each reward function said.

    Attributes:
        scores: one per function, before weights; None where it did not apply.
        extra: what reward functions logged of it beside their rewards.
    """

    scores: tuple[float | None, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RewardFunctions:
    """Reward functions with their weights.

    Attributes:
        functions: callables, synchronous or not, or sequence classification models.
        names: of each.
        weights: of each.
        tokenizers: of those that are models, else None.
        success: a solution with a total below it has failed; None: below the sum of the positive
            weights of the functions that applied, which is the best total where rewards lie in
            [0, 1].
        more: further keyword arguments of each call, made anew for each.
        template: keyword arguments of chat templates.
    """

    functions: Sequence[Any]
    names: Sequence[str]
    weights: Sequence[float]
    tokenizers: Sequence[Any]
    success: float | None = None
    more: Callable[[], Mapping[str, Any]] = dict
    template: Mapping[str, Any] = field(default_factory=dict)

    def scores(
        self, examples: Sequence[Example], completions: Sequence[Any], ids: Sequence[list[int]]
    ) -> list[tuple[float | None, ...]]:
        """Call each function once on all completions.

        Args:
            examples: n records.
            completions: n texts, or conversations of one message where prompts are conversations.
            ids: token ids of each.

        Returns:
            n tuples with one entry per function.

        Raises:
            InvalidInput: if a function returns another number of rewards, or one that is neither
                None nor a finite number.
        """
        prompts = [example["prompt"] for example in examples]
        columns = [key for key in examples[0] if key not in ("prompt", "completion")]
        given: dict[str, Any]
        given = {key: [example[key] for example in examples] for key in columns}
        given |= {"prompts": prompts, "completions": completions, "completion_ids": ids}
        given |= self.more()
        returned = [
            self._model_scores(function, tokenizer, prompts, completions)
            if isinstance(function, torch.nn.Module)
            else function(**given)
            for function, tokenizer in zip(self.functions, self.tokenizers, strict=True)
        ]
        # Those that wait, for a server for instance, wait at the same time.
        waiting = [i for i, one in enumerate(returned) if inspect.isawaitable(one)]
        if waiting:
            answers = asyncio.run(_together([returned[i] for i in waiting]))
            for i, answer in zip(waiting, answers, strict=True):
                returned[i] = answer
        checked = [
            _checked(name, answer, len(examples))
            for name, answer in zip(self.names, returned, strict=True)
        ]
        return list(zip(*checked, strict=True))

    def _model_scores(
        self, model: Any, tokenizer: Any, prompts: Sequence[Any], completions: Sequence[Any]
    ) -> list[float]:
        pairs = list(zip(prompts, completions, strict=True))
        if is_conversational({"prompt": prompts[0]}):
            texts = [
                apply_chat_template({"messages": [*p, *c]}, tokenizer, **self.template)["text"]
                for p, c in pairs
            ]
        else:
            texts = [p + c for p, c in pairs]
        device = next(model.parameters()).device
        inputs = tokenizer(
            text=texts,
            return_tensors="pt",
            padding=True,
            padding_side="right",
            add_special_tokens=False,
        ).to(device)
        with torch.inference_mode():
            logits = model(**inputs).logits[:, 0]
        return [float(value) for value in logits.float().cpu()]

    def total(self, scores: Sequence[float | None], prompt: str) -> tuple[float, bool]:
        """Return the weighted sum of the scores that there are, and whether it is a failure.

        Raises:
            InvalidInput: if no function applied.
        """
        there = [(w, s) for w, s in zip(self.weights, scores, strict=True) if s is not None]
        if not there:
            remedy = "have at least one function return a number for each solution"
            raise InvalidInput("reward_funcs", prompt, "all returned None for this prompt", remedy)
        total = sum(w * s for w, s in there)
        level = sum(max(w, 0.0) for w, _ in there) if self.success is None else self.success
        # A reward that is the level but for rounding is a success; weights are float32 in TRL.
        return total, total < level - 1e-6


async def _together(answers: Sequence[Any]) -> list[Any]:
    return list(await asyncio.gather(*answers))


def _checked(name: str, answer: Any, count: int) -> list[float | None]:
    if not hasattr(answer, "__len__") or len(answer) != count:
        found = len(answer) if hasattr(answer, "__len__") else type(answer).__name__
        remedy = "return a list with one reward per completion"
        raise InvalidInput(f"reward_funcs ({name})", found, f"{count} rewards expected", remedy)
    rewards: list[float | None] = []
    for one in answer:
        if one is not None and not math.isfinite(one):
            remedy = "return a finite number, or None where the function does not apply"
            raise InvalidInput(f"reward_funcs ({name})", one, "not a finite reward", remedy)
        rewards.append(None if one is None else float(one))
    return rewards


class _NoTask:
    """In place of a task: problems come from data sets and verdicts from reward functions."""

    def problems(self, split: str, count: int, seed: int) -> list[Problem]:
        """There are none."""
        raise InvalidInput("split", split, f"no {count} problems (seed {seed})", "use a data set")

    def prompt(self, problem: Problem) -> str:
        """The text of the prompt."""
        return problem.question

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Nothing: whole batches are judged at once."""
        del problem, text
        return Verdict(math.nan, None)

    def judge(self, problem: Problem, answer: str | None, text: str) -> Verdict:
        """Nothing, as in :meth:`verify`."""
        del problem, answer, text
        return Verdict(math.nan, None)


class RewardSimulator(LanguageModelSimulator):
    """A language model whose solutions are judged by reward functions.

    Attributes:
        rewards: the functions.
        template: keyword arguments of the chat template.
    """

    def __init__(
        self,
        sampler: Sampler,
        vocabulary: Vocabulary,
        rewards: RewardFunctions,
        form: ThoughtFormat,
        sampling: Sampling,
        localizer: Localizer | None,
        template: Mapping[str, Any],
    ) -> None:
        """Set up the world; see :class:`~llm.simulator.LanguageModelSimulator`."""
        # Whether a prompt is a conversation is told by the prompt itself, see `_start`.
        super().__init__(sampler, vocabulary, _NoTask(), form, sampling, localizer, chat=None)
        self.rewards, self.template = rewards, template

    def with_usage_of_its_own(self) -> RewardSimulator:
        """Return the same world, whose rollouts count for nothing here."""
        return RewardSimulator(
            self.sampler,
            self.vocabulary,
            self.rewards,
            self.form,
            self.sampling,
            self.localizer,
            self.template,
        )

    def _asked_again(self, rollout: TextRollout, words: str) -> tuple[int, ...]:
        problem = rollout.start.problem
        assert isinstance(problem, PromptProblem)
        prompt = problem.example["prompt"]
        if not is_conversational({"prompt": prompt}):
            return self._appended(rollout, words)
        text = self.vocabulary.decode(rollout.start.kept + rollout.tokens)
        turns = [{"role": "assistant", "content": text}, {"role": "user", "content": words}]
        return self.vocabulary.chat([*prompt, *turns], self.template)

    def _start(self, problem: Problem) -> TextState:
        assert isinstance(problem, PromptProblem)
        prompt, tokenizer = problem.example["prompt"], self.vocabulary.tokenizer
        if is_conversational({"prompt": prompt}):
            if tokenizer.chat_template is None:
                remedy = "give a processing_class with one, or prompts that are texts"
                raise InvalidInput("train_dataset", prompt, "there is no chat template", remedy)
            ids = tokenizer.apply_chat_template(
                prompt, add_generation_prompt=True, tokenize=True, return_dict=True, **self.template
            )["input_ids"]
        else:
            ids = tokenizer(text=prompt)["input_ids"]
        if len(ids) >= self.sampler.context:
            raise InvalidInput(
                f"prompt {problem.id}",
                problem.question,
                f"takes {len(ids)} tokens of a context of {self.sampler.context}",
                "leave it out, or use a model with a longer context",
            )
        return TextState(problem, tuple(int(i) for i in ids))

    def _continuing(
        self, states: Sequence[Any], keys: Keys, steps: Sequence[int | None]
    ) -> Questions[list[TextRollout]]:
        """Continue from each state and judge what has ended, all of it in one call.

        Raises:
            InvalidInput: whatever states or rewards are refused for.
        """
        rollouts = yield from super()._continuing(states, keys, steps)
        ended = [i for i, r in enumerate(rollouts) if r.text_ending is not TextEnding.CUT]
        if ended:
            scored = self._scored([rollouts[i] for i in ended])
            for i, rollout in zip(ended, scored, strict=True):
                rollouts[i] = rollout
        return rollouts

    def _judge(self, state: TextState, tokens: tuple[int, ...], ending: TextEnding) -> Verdict:
        del state, tokens, ending  # judged with all others once they are there
        return Verdict(math.nan, None)

    def _scored(self, rollouts: Sequence[TextRollout]) -> list[ScoredRollout]:
        examples, completions, ids = [], [], []
        for rollout in rollouts:
            problem = rollout.start.problem
            assert isinstance(problem, PromptProblem)
            examples.append(problem.example)
            tokens = rollout.start.kept + rollout.tokens
            ids.append(list(tokens))
            text = self.vocabulary.decode(tokens)
            spoken = is_conversational({"prompt": problem.example["prompt"]})
            completions.append([{"role": "assistant", "content": text}] if spoken else text)
        scores = self.rewards.scores(examples, completions, ids)
        return [
            self._with_scores(rollout, one) for rollout, one in zip(rollouts, scores, strict=True)
        ]

    def _with_scores(self, rollout: TextRollout, scores: tuple[float | None, ...]) -> ScoredRollout:
        reward, failed = self.rewards.total(scores, rollout.start.problem.question)
        fields = {name: getattr(rollout, name) for name in _FIELDS}
        return ScoredRollout(**fields | {"reward": reward, "failed": failed}, scores=scores)


_FIELDS = [
    "states",
    "actions",
    "reward",
    "failed",
    "ended",
    "tokens",
    "logprobs",
    "spans",
    "text_ending",
    "answer",
    "discarded",
    "last",
]
