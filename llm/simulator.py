"""The simulator seam on a language model: one batched call for any number of rollouts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cpi_theory.checks import InvalidInput, check_positive, check_probability
from cpi_theory.randomness import Keys, as_keys
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.localizers.base import Localizer
from llm.sampling.base import Completion, Request, Sampler, Sampling
from llm.task import Problem, Task, Verdict
from llm.text.rollouts import TextRollout, TextState, ThoughtStates
from llm.text.stop_rules import ThoughtStop
from llm.text.thoughts import TextEnding, ThoughtFormat, segment
from llm.text.vocabulary import Vocabulary


@dataclass(slots=True)
class Usage:
    """What a simulator has generated so far.

    Attributes:
        rollouts: continuations sampled.
        tokens: ids sampled for them, those thrown away after an end included.
        localizations: rollouts that the localiser was asked about.
        localization_tokens: ids sampled for its answers.
        endings: how often a rollout ended how.
    """

    rollouts: int = 0
    tokens: int = 0
    localizations: int = 0
    localization_tokens: int = 0
    endings: Counter[TextEnding] = field(default_factory=Counter)

    @property
    def generated(self) -> int:
        """All ids sampled, localisation included."""
        return self.tokens + self.localization_tokens


class LanguageModelSimulator:
    """A language model and its task, as the algorithms see worlds.

    A state is a :class:`~llm.text.rollouts.TextState`. Rollouts follow whatever weights the
    sampler's model has at the time of the call.

    Attributes:
        sampler: the engine.
        vocabulary: the model's tokenizer.
        task: prompts and verifier.
        form: how thoughts are cut and how many there may be.
        sampling: temperature and top-p of rollouts.
        localizer: names first errors; None: nothing can, and asking is an error.
        success: a rollout fails if its reward is below this.
        chat: whether prompts are put into the tokenizer's chat template.
        usage: what was generated so far.
    """

    def __init__(
        self,
        sampler: Sampler,
        vocabulary: Vocabulary,
        task: Task,
        form: ThoughtFormat | None = None,
        sampling: Sampling | None = None,
        localizer: Localizer | None = None,
        success: float = 1.0,
        chat: bool = False,
    ) -> None:
        """Set up the world.

        Raises:
            InvalidInput: if the success level is out of range.
        """
        check_positive("success", success)
        self.sampler, self.vocabulary, self.task = sampler, vocabulary, task
        self.form = ThoughtFormat() if form is None else form
        self.sampling = Sampling() if sampling is None else sampling
        self.localizer, self.success, self.chat = localizer, success, chat
        self.usage = Usage()

    def start_states(self, problems: Sequence[Problem]) -> list[TextState]:
        """Return the state before the first thought of each problem.

        Raises:
            InvalidInput: if a prompt leaves no room for a thought in the context.
        """
        return [self._start(problem) for problem in problems]

    def _start(self, problem: Problem) -> TextState:
        text = self.task.prompt(problem)
        if self.chat:
            prompt = self.vocabulary.chat([{"role": "user", "content": text}])
        else:
            prompt = self.vocabulary.encode(text)
        # One token at least has to fit behind the prompt.
        if len(prompt) >= self.sampler.context:
            raise InvalidInput(
                f"problem {problem.id!r}",
                problem.question,
                f"its prompt takes {len(prompt)} tokens of a context of {self.sampler.context}",
                "leave the problem out, or use a model with a longer context",
            )
        return TextState(problem, prompt)

    def rollout(self, states: Sequence[Any], keys: Keys) -> list[TextRollout]:
        """Sample one continuation of the current policy per text state, in one batched call.

        Raises:
            InvalidInput: if there is not one key per state, a state leaves no room, or the task
                gives a reward outside [0, 1].
        """
        return self.rollout_cut(states, keys, [None] * len(states))

    def rollout_cut(
        self, states: Sequence[Any], keys: Keys, steps: Sequence[int | None]
    ) -> list[TextRollout]:
        """Continue as `rollout` does, each cut after so many thoughts; no more is sampled.

        Args:
            states: to continue from.
            keys: the randomness of each, uint64 (len(states),).
            steps: most thoughts of each; None: as many as the format allows.
        """
        # One key per state: a rollout does not depend on the batch that it is sampled in.
        keys = as_keys(keys, len(states))
        rows = list(zip(states, steps, strict=True))
        requests = [
            self._request(state, most, int(key))
            for (state, most), key in zip(rows, keys, strict=True)
        ]
        completions = self.sampler.generate(requests, self.sampling)
        return [
            self._as_rollout(state, most, completion)
            for (state, most), completion in zip(rows, completions, strict=True)
        ]

    def locate_first_error(
        self, rollouts: Sequence[Any], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Ask the localiser about each failure, all of them in one batch.

        Raises:
            InvalidInput: if there is no localiser.
        """
        if self.localizer is None:
            raise InvalidInput(
                "localizer", None, "this world cannot name errors", "give the simulator a localizer"
            )
        keys = as_keys(keys, len(rollouts))
        answers: list[Localization | FailedLocalization]
        answers = [FailedLocalization(Reason.NOT_FAILED)] * len(rollouts)
        # Of a success the answer is known, and asking would cost tokens.
        asked = [i for i, rollout in enumerate(rollouts) if rollout.failed]
        # Keys go by place among all rollouts: who else failed does not change what is drawn for
        # one.
        located = self.localizer.locate([rollouts[i] for i in asked], keys[asked])
        for i, one in zip(asked, located, strict=True):
            answers[i] = one.answer
            self.usage.localization_tokens += one.generated
        self.usage.localizations += len(asked)
        return answers

    def _request(self, state: TextState, most: int | None, key: int) -> Request:
        # What was kept counts against the limit, as if it had been sampled here.
        room = self.form.max_tokens - len(state.kept)
        return Request(state.tokens, room, key, self._stop(state, most))

    def _stop(self, state: TextState, most: int | None) -> ThoughtStop:
        # Steps often come from numpy, whose integers JSON does not know.
        most = None if most is None else int(most)
        return ThoughtStop(self.form, len(state.ends), len(state.kept), most)

    def _as_rollout(
        self, state: TextState, most: int | None, completion: Completion
    ) -> TextRollout:
        """Cut a completion into thoughts and have it judged."""
        # Cut anew rather than by the engine's tracker, which may be in another process.
        segmenter = self._stop(state, most).segmenter(self.sampler.eos)
        cut = segment(segmenter, completion.tokens, self.vocabulary.piece)
        full = len(state.tokens) + len(completion.tokens) >= self.sampler.context
        # A cut in a full context is none: nothing could go on from there.
        if cut.ended is None or (cut.ended is TextEnding.CUT and full):
            cut.end(TextEnding.TOKEN_LIMIT)  # the engine ran out of room before the format did
        assert cut.ended is not None
        # An engine that cannot stop in time has gone on behind the end: paid for, but of no
        # thought.
        length = cut.spans[-1][1]
        tokens, spans = completion.tokens[:length], tuple(cut.spans)
        verdict = self._judge(state, tokens, cut.ended)
        states = ThoughtStates(state, tokens, spans)
        self.usage.rollouts += 1
        self.usage.tokens += len(completion.tokens)
        self.usage.endings[cut.ended] += 1
        return TextRollout(
            states=states,
            actions=tuple(tokens[a:b] for a, b in spans),
            reward=verdict.reward,
            # A reward that is the level but for rounding is a success.
            failed=verdict.reward < self.success - 1e-9,
            ended=cut.ended.ending,
            tokens=tokens,
            logprobs=completion.logprobs[:length],
            spans=spans,
            text_ending=cut.ended,
            answer=verdict.answer,
            discarded=len(completion.tokens) - length,
            last=states.after if cut.ended is TextEnding.CUT else None,
        )

    def _judge(self, state: TextState, tokens: tuple[int, ...], ending: TextEnding) -> Verdict:
        """A text that was cut off has not answered, whatever stands in it."""
        if ending is TextEnding.CUT:
            # NaN is below no level of success: what was cut off has not failed, and no localiser is
            # asked.
            return Verdict(math.nan, None)
        if not ending.complete:
            return Verdict(0.0, None)
        # With the kept thoughts: the solution is judged as a whole, whoever wrote its beginning.
        verdict = self.task.verify(state.problem, self.vocabulary.decode(state.kept + tokens))
        _check_reward(self.task, state.problem, verdict.reward)
        return verdict


def _check_reward(task: Task, problem: Problem, reward: float) -> None:
    """Refuse what is no outcome reward: NaN would pass for a success, being below nothing.

    Raises:
        InvalidInput: naming the task, the problem and the reward.
    """
    try:
        check_probability("reward", reward)
    except InvalidInput as error:
        raise InvalidInput(
            f"reward of {type(task).__name__} for problem {problem.id!r}",
            reward,
            error.problem,
            "have the task's verify return a Verdict with a reward from 0 to 1",
        ) from error
