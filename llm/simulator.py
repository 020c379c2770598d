"""The simulator seam on a language model: one batched call for any number of rollouts."""

from __future__ import annotations

import copy
import itertools
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.streaming import stream
from cpi_theory.checks import InvalidInput, check_positive, check_probability
from cpi_theory.randomness import Key, Keys, as_keys
from cpi_theory.seam import Collection, Draw, FailedLocalization, Localization, Localize, Reason
from llm.localizers.base import Localizer, asking
from llm.prompts import Prompt, shipped
from llm.sampling.base import Completion, Request, Sampler, Sampling, Work
from llm.sampling.streaming import (
    PATIENCE,
    Questions,
    ask,
    batches_continuously,
    open_stream,
)
from llm.task import Judging, Problem, Task, Verdict, judges_ahead, judges_answers
from llm.text.answers import Box, Span, WholeText
from llm.text.chat import Chat
from llm.text.rollouts import TextRollout, TextState, ThoughtStates
from llm.text.stop_rules import ThoughtStop
from llm.text.thoughts import Segmenter, TextEnding, ThoughtFormat, segment
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
        readings: how often a localiser's reply was read how, lenient readings among them; see
            :class:`llm.localizers.base.Located`.
    """

    rollouts: int = 0
    tokens: int = 0
    localizations: int = 0
    localization_tokens: int = 0
    endings: Counter[TextEnding] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)

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
        chat: what stands around the task's prompts, chat template included.
        streaming: whether trainers collect in a stream; see :func:`driver_of`.
        revision: words that ask for a second attempt, with ``{{question}}`` where the problem is to
            be told again; by default those that the task names as its `revision`, or the package's.
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
        chat: bool | Chat | None = False,
        streaming: bool = False,
        revision: str | None = None,
    ) -> None:
        """Set up the world.

        Arguments are the attributes; `chat` may also say no more than whether prompts are put into
        the tokenizer's chat template, None: where it has one.

        Raises:
            InvalidInput: if the success level is out of range, a chat template is asked for that
                is not there, or the task cannot judge answers such as the format's.
        """
        check_positive("success", success)
        self.sampler, self.vocabulary, self.task = sampler, vocabulary, task
        self.form = ThoughtFormat() if form is None else form
        self.sampling = Sampling() if sampling is None else sampling
        self.localizer, self.success = localizer, success
        self.chat = (chat if isinstance(chat, Chat) else Chat(chat)).settled(vocabulary)
        self.streaming, self.usage = streaming, Usage()
        words = getattr(task, "revision", None) if revision is None else revision
        self.revision: str = shipped("revise").text if words is None else words
        Prompt("revision", self.revision).check((), {"question"})
        self._boundaries = BoundaryWatch(self.form)
        _check_answers(task, self.form)

    def changed(
        self, *, sampling: Sampling | None = None, localizer: Localizer | None = None
    ) -> LanguageModelSimulator:
        """Return the same world with a usage count of its own.

        Args:
            sampling: how it samples; None: as this one.
            localizer: who names first errors; None: as here.
        """
        return LanguageModelSimulator(
            self.sampler,
            self.vocabulary,
            self.task,
            self.form,
            self.sampling if sampling is None else sampling,
            self.localizer if localizer is None else localizer,
            self.success,
            self.chat,
            self.streaming,
            self.revision,
        )

    def start_states(self, problems: Sequence[Problem]) -> list[TextState]:
        """Return the state before the first thought of each problem.

        Raises:
            InvalidInput: if a prompt leaves no room for a thought in the context.
        """
        return [self._start(problem) for problem in problems]

    def _start(self, problem: Problem) -> TextState:
        prompt = self.chat.ids(self.vocabulary, self.task.prompt(problem))
        # One token at least has to fit behind the prompt.
        if len(prompt) >= self.sampler.context:
            raise InvalidInput(
                problem.called,
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
        return ask(self._continuing(states, keys, steps), self.sampler)

    def _continuing(
        self, states: Sequence[Any], keys: Keys, steps: Sequence[int | None]
    ) -> Questions[list[TextRollout]]:
        """Yield what is sampled for rollouts; arguments are those of `rollout_cut`."""
        # One key per state: a rollout does not depend on the batch that it is sampled in.
        keys = as_keys(keys, len(states))
        written = [_Written(state, most) for state, most in zip(states, steps, strict=True)]
        going = list(range(len(written)))
        # Once through, unless an end of sequence ends a thought alone: then the text goes on in
        # another request.
        for turn in itertools.count():
            requests = [self._request(written[i], _key_of_turn(keys[i], turn)) for i in going]
            completions = yield requests, self.sampling
            for i, completion in zip(going, completions, strict=True):
                self._take(written[i], completion)
            going = [i for i in going if written[i].ended is None]
            if not going:
                break
        # Judged side by side; in a stream, other rollouts are written meanwhile.
        judging = [begun for one in written if (begun := self._begin(one)) is not None]
        while not all(begun.done() for begun in judging):
            yield None, self.sampling
        rollouts = [self._as_rollout(one) for one in written]
        self._boundaries.check()
        return rollouts

    def locate_first_error(
        self, rollouts: Sequence[Any], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Ask the localiser about each failure, all of them in one batch.

        Raises:
            InvalidInput: if there is no localiser.
        """
        return ask(self._locating(rollouts, keys), self.sampler)

    def step_logprobs(self, rollouts: Sequence[TextRollout]) -> list[NDArray[np.float64]]:
        """Return the log-probability of each thought's least likely token, in nats.

        At the sampling temperature, before top-p; shape (len(rollout),) per rollout.
        """
        return [
            np.array([rollout.logprobs[a:b].min() for a, b in rollout.spans], np.float64)
            for rollout in rollouts
        ]

    def revise(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[TextState]:
        """Return the state in which each problem is to be solved anew, the attempt in its prompt.

        With a chat template it is a further turn of the conversation; else what was written stays
        as its token ids, and the words of `revision` follow. No loss can fall on any of it.

        Raises:
            InvalidInput: if the first attempt leaves no room for a second one.
        """
        del keys  # nothing is drawn
        states = []
        for rollout in rollouts:
            problem = rollout.start.problem
            words = Prompt("revision", self.revision).fill_some(question=problem.question)
            prompt = self._asked_again(rollout, words)
            if len(prompt) >= self.sampler.context:
                found, room = len(prompt), self.sampler.context
                problem_text = f"a second attempt has a prompt of {found} of {room} tokens"
                remedy = "lower max_tokens of the format, or use a model with a longer context"
                raise InvalidInput(problem.called, len(rollout), problem_text, remedy)
            states.append(TextState(problem, prompt))
        return states

    def _asked_again(self, rollout: TextRollout, words: str) -> tuple[int, ...]:
        """The prompt of a second attempt."""
        if not self.chat.template:
            return self._appended(rollout, words)
        state = rollout.start
        text = self.vocabulary.decode(state.kept + rollout.tokens)
        return self.chat.again(self.vocabulary, self.task.prompt(state.problem), text, words)

    def _appended(self, rollout: TextRollout, words: str) -> tuple[int, ...]:
        """What was read and written, as it is, and words behind it."""
        tokens = rollout.tokens
        # Without the end of the sequence, behind which nothing is read as it was meant.
        if tokens and tokens[-1] in self.vocabulary.eos:
            tokens = tokens[:-1]
        asked = self.vocabulary.encode(f"\n\n{words.strip()}\n\n", special=False)
        return rollout.start.tokens + tokens + asked

    def demonstrate(self, states: Sequence[TextState], keys: Keys) -> list[TextRollout]:
        """Return the task's own solution from the start of each problem, cut and judged.

        Nobody samples it, so that it does not count as generated; its log-probabilities are 0.

        Raises:
            InvalidInput: if the task writes no solutions, or a state keeps thoughts.
        """
        write = getattr(self.task, "demonstration", None)
        if write is None:
            name = type(self.task).__name__
            remedy = "use a task with demonstrations, or prefixes of the model's own successes"
            raise InvalidInput("task", name, "cannot show how it is done", remedy)
        for state in states:
            if state.kept:
                remedy = "ask at the start of a problem"
                raise InvalidInput("states", state.ends, "demonstrations keep no thoughts", remedy)
        pairs = zip(states, keys, strict=True)
        return self.replay(states, [write(s.problem, Key.of(int(k))) for s, k in pairs])

    def replay(self, states: Sequence[TextState], texts: Sequence[str]) -> list[TextRollout]:
        """Return texts as rollouts from states, cut into thoughts and judged as the model's own.

        Args:
            states: where they begin.
            texts: one per state; usage does not change.
        """
        again = copy.copy(self)
        replies = [self.vocabulary.encode(text, special=False) for text in texts]
        ends = (min(self.vocabulary.eos),)
        ours = self.sampler
        again.sampler = _Replay([reply + ends for reply in replies], ours.eos, ours.context)
        again.usage, again._boundaries = Usage(), BoundaryWatch(self.form)
        return again.rollout(states, np.zeros(len(texts), np.uint64))

    def stream(self) -> TextStream:
        """Begin an empty stream of rollouts and localisations.

        With a sampler that batches continuously they are sampled side by side; with any other the
        requests that are open are sampled batch by batch.
        """
        return TextStream(self)

    def _locating(
        self, rollouts: Sequence[Any], keys: Keys
    ) -> Questions[list[Localization | FailedLocalization]]:
        """Yield what the localiser asks the model."""
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
        failed = [rollouts[i] for i in asked]
        located = yield from asking(self.localizer, failed, keys[asked], self.sampler)
        for i, one in zip(asked, located, strict=True):
            answers[i] = one.answer
            self.usage.localization_tokens += one.generated
            if one.reading:
                self.usage.readings[one.reading] += 1
        self.usage.localizations += len(asked)
        return answers

    def _request(self, written: _Written, key: int) -> Request:
        # What was kept counts against the limit, as if it had been sampled here.
        room = self.form.max_tokens - len(written.state.kept) - len(written.tokens)
        return Request(written.state.tokens + written.tokens, room, key, self._stop(written))

    def _stop(self, written: _Written) -> ThoughtStop:
        state, most = written.state, written.most
        # Steps often come from numpy, whose integers JSON does not know.
        most = None if most is None else int(most) - len(written.spans)
        before = ""
        if not self.form.ends.holds_answers:
            # As the tracker of the stream would have read it, piece by piece.
            before = "".join(map(self.vocabulary.piece, state.kept + written.tokens))
        return ThoughtStop(
            self.form,
            len(state.ends) + len(written.spans),
            len(state.kept) + len(written.tokens),
            most,
            before,
        )

    def _take(self, written: _Written, completion: Completion) -> None:
        """Cut a completion into thoughts and add them to what was written before it."""
        # Cut anew rather than by the engine's tracker, which may be in another process.
        segmenter = self._stop(written).segmenter(self.sampler.eos)
        logprobs = completion.logprobs.tolist()
        cut = segment(segmenter, completion.tokens, self.vocabulary.piece, logprobs)
        length = len(written.state.tokens) + len(written.tokens) + len(completion.tokens)
        full = length >= self.sampler.context
        self._boundaries.found += cut.found
        # An end of sequence that ends a thought alone: the text goes on.
        goes_on = (
            not self.form.ends.eos_ends_text and completion.ended == "eos" and cut.ended is None
        )
        # A cut in a full context is none: nothing could go on from there.
        if full and cut.ended in (None, TextEnding.CUT):
            cut.end(TextEnding.TOKEN_LIMIT)
        elif cut.ended is None and not goes_on:
            cut.end(TextEnding.TOKEN_LIMIT)  # the engine ran out of room before the format did
        written.add(completion, cut)

    def _as_rollout(self, written: _Written) -> TextRollout:
        """Have what was written judged."""
        state, tokens, spans, ended = written.state, written.tokens, written.spans, written.ended
        assert ended is not None
        verdict = self._judge(state, tokens, ended)
        states = ThoughtStates(state, tokens, spans)
        self.usage.rollouts += 1
        self.usage.tokens += len(tokens) + written.discarded
        self.usage.endings[ended] += 1
        self._boundaries.rollouts += 1
        return TextRollout(
            states=states,
            actions=tuple(tokens[a:b] for a, b in spans),
            reward=verdict.reward,
            # A reward that is the level but for rounding is a success.
            failed=verdict.reward < self.success - 1e-9,
            ended=ended.ending,
            tokens=tokens,
            logprobs=written.logprobs,
            spans=spans,
            text_ending=ended,
            answer=verdict.answer,
            discarded=written.discarded,
            last=states.after if ended is TextEnding.CUT else None,
        )

    def _begin(self, written: _Written) -> Judging | None:
        """Have what was written judged, where that takes time; None where it does not."""
        task, ended = self.task, written.ended
        if not judges_ahead(task) or ended is None or not ended.complete:
            return None
        return task.begin(written.state.problem, self._text(written.state, written.tokens))

    def _text(self, state: TextState, tokens: tuple[int, ...]) -> str:
        # With the kept thoughts: the solution is judged as a whole, whoever wrote its beginning.
        return self.vocabulary.decode(state.kept + tokens)

    def _judge(self, state: TextState, tokens: tuple[int, ...], ending: TextEnding) -> Verdict:
        """A text that was cut off has not answered, whatever stands in it."""
        if ending is TextEnding.CUT:
            # NaN is below no level of success: what was cut off has not failed, and no localiser is
            # asked.
            return Verdict(math.nan, None)
        if not ending.complete:
            return Verdict(0.0, None)
        text = self._text(state, tokens)
        rule = self.form.answer
        if isinstance(rule, Box) or not judges_answers(self.task):
            verdict = self.task.verify(state.problem, text)
        else:
            answer = rule.read(self.form.ends.unmarked(text))
            verdict = self.task.judge(state.problem, answer, text)
        _check_reward(self.task, state.problem, verdict.reward)
        return verdict


@dataclass(slots=True)
class _Replay:
    """A sampler that gives the completions that it was made with, in their order."""

    replies: Sequence[tuple[int, ...]]
    eos: frozenset[int]
    context: int
    work: Work = field(default_factory=Work)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        del sampling  # there is nothing to draw
        return [
            Completion(
                reply[: request.max_tokens],
                np.zeros(len(reply[: request.max_tokens]), np.float32),
                "eos",
            )
            for request, reply in zip(requests, self.replies, strict=True)
        ]

    def sync(self, model: Any) -> None:
        del model


@dataclass(slots=True)
class _Written:
    """A rollout in the making.

    Attributes:
        state, most: where it started, and its most thoughts.
        tokens, logprobs, spans, discarded: see :class:`llm.text.rollouts.TextRollout`.
        ended: how it ended, None while it goes on.
    """

    state: TextState
    most: int | None
    tokens: tuple[int, ...] = ()
    logprobs: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    spans: tuple[Span, ...] = ()
    discarded: int = 0
    ended: TextEnding | None = None

    def add(self, completion: Completion, cut: Segmenter) -> None:
        """Add the thoughts of a completion."""
        # An engine that cannot stop in time has gone on behind the end: paid for, but of no
        # thought.
        length, before = cut.spans[-1][1], len(self.tokens)
        self.spans += tuple((before + a, before + b) for a, b in cut.spans)
        self.tokens += completion.tokens[:length]
        # Without a copy where there was nothing before, as there almost never is.
        new = completion.logprobs[:length]
        self.logprobs = np.concatenate([self.logprobs, new]) if before else new
        self.discarded += len(completion.tokens) - length
        self.ended = cut.ended


def _key_of_turn(key: np.uint64, turn: int) -> int:
    """The key of a rollout's request number `turn`: its own, then fresh ones that hang on it."""
    return int(key) if turn == 0 else int(Key.of(int(key)).child("turn", turn).integers(1)[0])


WATCHED = 64
"""Rollouts after which a boundary that never occurred is told."""


@dataclass(slots=True)
class BoundaryWatch:
    """Notices early that a model does not write the boundary, so that no reset can happen.

    Attributes:
        form: the format whose boundary is watched.
        rollouts: finished so far.
        found: thoughts so far that the boundary ended.
        told: whether all is known that is to be.
    """

    form: ThoughtFormat
    rollouts: int = 0
    found: int = 0
    told: bool = False

    def check(self) -> None:
        """Warn, once, if the first rollouts hold no boundary."""
        if self.told or (self.rollouts < WATCHED and not self.found):
            return
        self.told = True
        if not self.found:
            warnings.warn(
                f"the boundary of thoughts ({self.form.ends}) occurred in none of the first"
                f" {self.rollouts} rollouts: each is a single thought, and a reset can only start"
                " it anew; choose a boundary that the model writes (Line, Sentence, EveryTokens),"
                " ask for it in the prompt, or warm-start the model on this format",
                stacklevel=3,
            )


def _check_answers(task: Task, form: ThoughtFormat) -> None:
    """Refuse a way to answer that the task does not look at: nothing could earn a reward.

    Raises:
        InvalidInput: naming the rule.
    """
    if isinstance(form.answer, Box | WholeText) or judges_answers(task):
        return
    raise InvalidInput(
        "answer",
        form.answer,
        f"the verify of {type(task).__name__} reads answers by itself and need not see this one",
        "give the task a method judge(problem, answer, text), or let answers stand in a box",
    )


def driver_of(simulator: LanguageModelSimulator) -> Callable[..., Collection]:
    """Return what runs an algorithm's plans: `stream` where the simulator is set to, or `collect`.

    Both give the same groups. Engines that do not batch continuously stay in lock-step, as do those
    of several processes, which have to agree on their calls.
    """
    return stream if simulator.streaming and batches_continuously(simulator.sampler) else collect


class TextStream:
    """Rollouts and localisations of a language model, sampled side by side.

    See :class:`cpi_theory.seam.Stream`.
    """

    def __init__(self, simulator: LanguageModelSimulator) -> None:
        self._simulator = simulator
        self._engine = open_stream(simulator.sampler)
        self._submitted = 0
        # Of each request that is open: what its completions are made into.
        self._open: dict[int, _Pending] = {}
        # Of each completion under way: its request, and its place in it.
        self._places: dict[int, tuple[int, int]] = {}
        # What waits for something else than completions, such as programs that are judged.
        self._waiting: list[tuple[int, Questions[Any]]] = []
        # Answered without sampling anything.
        self._done: list[tuple[int, Sequence[Any]]] = []

    def submit(self, request: Draw | Localize) -> int:
        """Take a request; see :class:`cpi_theory.seam.Stream`.

        Raises:
            InvalidInput: if a state leaves no room, or there is no localiser.
        """
        self._submitted += 1
        if isinstance(request, Draw):
            count = len(request.keys)
            states, cuts = [request.state] * count, [request.steps] * count
            questions: Questions[Any] = self._simulator._continuing(states, request.keys, cuts)
        else:
            questions = self._simulator._locating(request.rollouts, request.keys)
        self._go_on(self._submitted, questions, None)
        return self._submitted

    def finished(self) -> list[tuple[int, Sequence[Any]]]:
        """Work until a request is done; see :class:`cpi_theory.seam.Stream`.

        Raises:
            InvalidInput: if the task gives a reward outside [0, 1].
        """
        while not self._done and (self._places or self._waiting):
            self._ask_again()
            if self._done or not self._places:
                continue
            for ticket, completion in self._engine.finished():
                number, place = self._places.pop(ticket)
                pending = self._open[number]
                pending.completions[place] = completion
                if len(pending.completions) == pending.wanted:
                    del self._open[number]
                    ordered = [pending.completions[i] for i in range(pending.wanted)]
                    self._go_on(number, pending.questions, ordered)
        done, self._done = self._done, []
        return done

    def _ask_again(self) -> None:
        """Go on with what waited for something else than completions."""
        waiting, self._waiting = self._waiting, []
        if waiting and not self._places:
            time.sleep(PATIENCE)  # nothing is written meanwhile
        for number, questions in waiting:
            self._go_on(number, questions, [])

    def close(self) -> None:
        """Drop what is not done."""
        self._engine.close()
        self._open.clear()
        self._places.clear()
        self._waiting.clear()
        self._done.clear()

    def _go_on(self, number: int, questions: Questions[Any], completions: Any) -> None:
        """Submit what comes next of a request, or keep its answer."""
        try:
            requests, sampling = questions.send(completions)
            while requests is not None and not requests:  # nobody has to be asked
                requests, sampling = questions.send([])
        except StopIteration as end:
            self._done.append((number, end.value))
            return
        if requests is None:
            self._waiting.append((number, questions))
            return
        self._open[number] = _Pending(questions, len(requests))
        for place, request in enumerate(requests):
            self._places[self._engine.submit(request, sampling)] = (number, place)


@dataclass(slots=True)
class _Pending:
    """A request under way.

    Attributes:
        questions: goes on with the completions.
        wanted: how many those are.
        completions: so far, by place.
    """

    questions: Questions[Any]
    wanted: int
    completions: dict[int, Completion] = field(default_factory=dict)


def _check_reward(task: Task, problem: Problem, reward: float) -> None:
    """Refuse what is no outcome reward: NaN would pass for a success, being below nothing.

    Raises:
        InvalidInput: naming the task, the problem and the reward.
    """
    try:
        check_probability("reward", reward)
    except InvalidInput as error:
        raise InvalidInput(
            f"reward of {type(task).__name__} for {problem.called}",
            reward,
            error.problem,
            "have the task's verify return a Verdict with a reward from 0 to 1",
        ) from error
