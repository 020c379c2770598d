"""The simulator seam on language models whose law is a script."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Ending, Numbered, Outcome, Reason
from llm.localizers.oracle import OracleLocalizer
from llm.sampling.base import Request, Sampling
from llm.sampling.scripted import ScriptedSampler
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, Verdict
from llm.tasks.dataset import DatasetTask
from llm.text.stop_rules import StopRule, ThoughtStop, describe_stop, read_stop
from llm.text.thoughts import Segmenter, TextEnding, ThoughtFormat, segment
from tests.llm.canned import CannedSampler, byte_vocabulary
from tests.llm.words import END, Boxes, vocabulary

WORDS = vocabulary("q", "a", "b", END, "\\boxed{1}", "\\boxed{2}")
Q, A, B, STOP, ONE, TWO = (
    WORDS.encode(w)[0] for w in ("q", "a", "b", END, "\\boxed{1}", "\\boxed{2}")
)
(EOS,) = WORDS.eos
LAW = {
    Q: {A: 0.6, B: 0.4},
    A: {STOP: 0.7, A: 0.2, EOS: 0.1},
    B: {STOP: 0.5, ONE: 0.3, TWO: 0.2},
    STOP: {A: 0.5, B: 0.5},
    ONE: {STOP: 0.5, EOS: 0.5},
    TWO: {STOP: 0.5, EOS: 0.5},
    EOS: {A: 1.0},
}
PROBLEM = Problem("0", "q", "1")


class Deaf(ScriptedSampler):
    """An engine that cannot be stopped while it samples."""

    def generate(self, requests, sampling):
        return super().generate([dataclasses.replace(r, stop=None) for r in requests], sampling)


def world(engine=ScriptedSampler, law=None, sampling=None, **limits):
    table = LAW if law is None else law
    task = Boxes()
    return LanguageModelSimulator(
        engine(lambda tokens: table[tokens[-1]], WORDS),
        WORDS,
        task,
        ThoughtFormat(**{"max_thoughts": 4, "max_tokens": 12, **limits}),
        sampling,
        OracleLocalizer(task, WORDS),
    )


def begin(simulator, count=1):
    return simulator.start_states([PROBLEM]) * count


def chain(*tokens):
    """A law that can only write these tokens after the question."""
    following = dict(zip((Q, *tokens), (*tokens, EOS), strict=True))
    return {token: {after: 1.0} for token, after in following.items()}


@pytest.mark.parametrize(
    ("written", "limits", "outcome"),
    [
        ((B, ONE), {}, Outcome.SUCCESS),
        ((B, TWO), {}, Outcome.WRONG),
        ((A,), {}, Outcome.NO_ANSWER),
        ((A, STOP, B), {"max_thoughts": 1}, Outcome.STEP_LIMIT),
        ((A, B), {"max_tokens": 2}, Outcome.TOKEN_LIMIT),
    ],
)
def test_a_rollout_tells_why_it_failed(written, limits, outcome):
    simulator = world(law=chain(*written), **limits)
    (rollout,) = simulator.rollout(begin(simulator), Key.of(0).integers(1))
    assert rollout.outcome is outcome
    if len(rollout) > 1:
        assert rollout.cut(0, 1).outcome is Outcome.UNFINISHED
        assert rollout.cut(1).outcome is outcome


def test_a_changed_world_is_the_same_but_for_what_was_changed():
    """All that says what a rollout is and when it passes is kept; what it takes is counted anew."""
    ours = world(law=chain(A, B))
    ours.success, ours.streaming = 0.5, True
    ours.rollout(begin(ours), Key.of(0).integers(1))
    greedy = Sampling(0.0)
    judge = ours.changed(sampling=greedy)
    assert (judge.sampling, judge.usage) == (greedy, type(ours.usage)())
    assert ours.usage != judge.usage
    same = ("sampler", "vocabulary", "task", "form", "localizer", "success", "chat", "streaming")
    for name in (*same, "revision"):
        assert getattr(judge, name) == getattr(ours, name), name
    other = OracleLocalizer(ours.task, WORDS)
    assert ours.changed(localizer=other).localizer is other
    assert ours.changed(localizer=other).sampling == ours.sampling


@dataclasses.dataclass(frozen=True)
class OneThought(StopRule):
    """Ends a completion with its first thought after those that were read."""

    form: ThoughtFormat
    read: tuple[int, ...]

    def begin(self, piece, eos):
        segmenter = segment(Segmenter(self.form, eos), self.read, piece)
        thoughts = len(segmenter.spans)
        return lambda token, logprob: (
            segmenter.push(token, piece(token)) or len(segmenter.spans) > thoughts
        )


def thought_by_thought(simulator, state, key):
    """The published way: one request per thought, the whole context every time."""
    form, sampler = simulator.form, simulator.sampler
    tokens: tuple[int, ...] = ()
    while True:
        done = segment(Segmenter(form, WORDS.eos), tokens, WORDS.piece)
        if done.ended is not None:
            return tokens, done.ended
        most = form.max_tokens - len(tokens)
        stop = OneThought(form, tokens)
        part = Request(state.tokens + tokens, most, int(key.integers(1)[0]), stop)
        tokens += sampler.generate([part], simulator.sampling)[0].tokens
        key = key.child("next")


@pytest.mark.parametrize("cap", [None, 2])
def test_one_request_has_the_law_of_a_request_per_thought(cap):
    simulator = world(thought_tokens=cap)
    (state,) = begin(simulator)
    whole = simulator.rollout([state] * 4000, Key.of(1).integers(4000))
    ours = Counter((r.tokens, r.text_ending) for r in whole)
    parts = Counter(thought_by_thought(simulator, state, Key.of(2).child(i)) for i in range(4000))
    common = [k for k in ours if ours[k] + parts[k] >= 20]
    table = np.array([[counts[k] for k in common] for counts in (ours, parts)])
    rest = 4000 - table.sum(axis=1, keepdims=True)
    assert len(common) > 20
    assert stats.chi2_contingency(np.hstack([table, rest])).pvalue > 1e-3


@pytest.mark.parametrize(
    ("tokens", "limits", "ending", "reward"),
    [
        ((A, STOP, ONE), {}, TextEnding.ANSWERED, 1.0),
        ((A, STOP, TWO), {}, TextEnding.ANSWERED, 0.0),
        ((A, STOP), {}, TextEnding.EOS, 0.0),
        ((A, STOP, ONE), {"max_tokens": 2}, TextEnding.TOKEN_LIMIT, 0.0),
        ((A, STOP, ONE), {"max_thoughts": 1}, TextEnding.THOUGHT_LIMIT, 0.0),
        ((A, STOP, ONE), {"max_tokens": 3}, TextEnding.ANSWERED, 1.0),
    ],
)
@pytest.mark.parametrize("engine", [ScriptedSampler, Deaf])
def test_endings_and_rewards(engine, tokens, limits, ending, reward):
    simulator = world(engine, chain(*tokens), **limits)
    (rollout,) = Numbered(simulator).rollout(begin(simulator))
    assert (rollout.text_ending, rollout.reward, rollout.failed) == (ending, reward, reward < 1)
    assert rollout.ended is (Ending.TERMINAL if ending.complete else Ending.HORIZON)
    assert simulator.usage.endings == {ending: 1}
    assert len(rollout.logprobs) == len(rollout.tokens) == rollout.spans[-1][1]


def test_a_truncated_text_earns_nothing_even_with_an_answer_in_sight():
    """A task that pays for any text must not pay for one that was cut off."""
    simulator = world(law=chain(A, STOP, B), max_tokens=2)
    simulator.task.verify = lambda problem, text: Verdict(1.0, text)
    (rollout,) = Numbered(simulator).rollout(begin(simulator))
    assert (rollout.text_ending, rollout.reward) == (TextEnding.TOKEN_LIMIT, 0.0)


def test_what_an_engine_samples_too_much_is_cut_off_and_counted():
    heard, deaf = world(), world(Deaf)
    keys = Key.of(5).integers(300)
    ours, theirs = heard.rollout(begin(heard, 300), keys), deaf.rollout(begin(deaf, 300), keys)
    assert [r.tokens for r in ours] == [r.tokens for r in theirs]
    assert all(r.discarded == 0 for r in ours)
    assert sum(r.discarded for r in theirs) > 50
    assert deaf.usage.tokens == sum(len(r.tokens) + r.discarded for r in theirs)
    assert heard.usage.tokens == heard.sampler.work.decoded


def test_states_keep_ids_and_a_reset_has_what_its_parent_had_left():
    simulator = world()
    rollouts = simulator.rollout(begin(simulator, 200), Key.of(3).integers(200))
    picks = [(r, k) for r in rollouts for k in range(len(r))]
    suffixes = simulator.rollout([r.states[k] for r, k in picks], Key.of(4).integers(len(picks)))
    for (parent, k), suffix in zip(picks, suffixes, strict=True):
        state = suffix.states[0]
        assert state == parent.states[k]
        assert state.tokens == (Q, *parent.tokens[: parent.spans[k][0]])
        assert state.thoughts == parent.thoughts[:k]
        assert len(state.ends) + len(suffix) <= 4
        assert len(state.kept) + len(suffix.tokens) <= 12
        assert suffix.states[-1].thoughts == state.thoughts + suffix.thoughts[:-1]
    assert parent.states[-1] == parent.states[len(parent) - 1]
    assert list(parent.states) == list(parent.states[:])


def test_a_tail_is_the_rollout_from_its_later_state():
    simulator = world()
    rollouts = simulator.rollout(begin(simulator, 40), Key.of(3).integers(40))
    for rollout in rollouts:
        for step in range(len(rollout)):
            tail = rollout.cut(step)
            assert tail.start == tail.states[0] == rollout.states[step]
            assert list(tail.states) == list(rollout.states)[step:]
            assert tail.thoughts == rollout.thoughts[step:] == tail.actions
            assert tail.start.tokens + tail.tokens == rollout.start.tokens + rollout.tokens
            assert (tail.logprobs == rollout.logprobs[-len(tail.tokens) :]).all()
            assert (tail.reward, tail.text_ending) == (rollout.reward, rollout.text_ending)
    with pytest.raises(InvalidInput, match="step"):
        rollout.cut(len(rollout))


def test_no_more_is_asked_for_than_a_state_has_left():
    simulator = world(Deaf)
    parents = simulator.rollout(begin(simulator, 100), Key.of(3).integers(100))
    states = [r.states[-1] for r in parents]
    suffixes = simulator.rollout(states, Key.of(4).integers(100))
    for state, suffix in zip(states, suffixes, strict=True):
        assert len(state.kept) + len(suffix.tokens) + suffix.discarded <= 12


def test_logprobs_are_those_of_the_script():
    simulator = world(sampling=Sampling(0.5))
    for rollout in simulator.rollout(begin(simulator, 50), Key.of(3).integers(50)):
        context = (Q, *rollout.tokens)
        for read, token, logprob in zip(context, rollout.tokens, rollout.logprobs, strict=False):
            squares = {t: p**2 for t, p in LAW[read].items()}
            assert logprob == pytest.approx(np.log(squares[token] / sum(squares.values())))


def test_all_failures_are_localised_in_one_call_and_successes_refused():
    simulator = world()
    rollouts = simulator.rollout(begin(simulator, 100), Key.of(3).integers(100))
    answers = simulator.locate_first_error(rollouts, Key.of(4).integers(100))
    assert simulator.usage.localizations == sum(r.failed for r in rollouts)
    for rollout, answer in zip(rollouts, answers, strict=True):
        wrong = [i for i, thought in enumerate(rollout.thoughts) if B in thought]
        if not rollout.failed:
            assert answer.reason is Reason.NOT_FAILED
        elif wrong:
            assert answer.step == wrong[0]
        else:
            assert answer.reason is Reason.NO_ERROR


def test_a_batch_is_one_call():
    simulator = world()
    simulator.rollout(begin(simulator, 40), Key.of(3).integers(40))
    assert simulator.sampler.work.calls == 1


def test_bad_input_is_named():
    simulator = world()
    simulator.sampler.context = 2
    with pytest.raises(InvalidInput, match=r"problem '7'.*context"):
        simulator.start_states([Problem("7", "q a b", "1")])
    with pytest.raises(InvalidInput, match="keys"):
        simulator.rollout(begin(world(), 2), Key.of(0).integers(3))
    simulator.localizer = None
    with pytest.raises(InvalidInput, match="localizer"):
        Numbered(simulator).locate_first_error([])
    with pytest.raises(InvalidInput, match="answer"):
        Problem("7", "q", " ")


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), -0.25, 1.5, None, "1"])
def test_what_is_no_reward_is_refused_with_its_origin(reward):
    simulator = world(law=chain(A, STOP, ONE))
    simulator.task.verify = lambda problem, text: Verdict(reward, text)
    told = (
        r"reward of Boxes for problem '0' .*= .*: not a number in \[0, 1\]; have the task's verify"
    )
    with pytest.raises(InvalidInput, match=told):
        Numbered(simulator).rollout(begin(simulator))


@pytest.mark.parametrize(
    ("text", "thoughts", "ending", "answer"),
    [
        (r"I shall fill \boxed{}.</thought>It is \boxed{8}, so", 2, TextEnding.ANSWERED, "8"),
        (r"In \boxed{ } or \boxed{\text{}} or \boxed{8} or", 1, TextEnding.ANSWERED, "8"),
        (r"It is \boxed {8} and", 1, TextEnding.ANSWERED, "8"),
        (r"I shall fill \boxed{}.", 1, TextEnding.EOS, None),
    ],
)
@pytest.mark.parametrize("obedient", [True, False])
def test_an_empty_box_does_not_end_a_rollout(text, thoughts, ending, answer, obedient):
    words = byte_vocabulary()
    sampler = CannedSampler(words, lambda prompt, key: text, obedient)
    problem = Problem("0", "What is 2 + 6?", "8")
    simulator = LanguageModelSimulator(sampler, words, DatasetTask((problem,)), ThoughtFormat())
    (rollout,) = Numbered(simulator).rollout(simulator.start_states([problem]))
    assert (len(rollout), rollout.text_ending, rollout.answer) == (thoughts, ending, answer)
    assert rollout.failed == (answer is None)


def test_stop_rules_of_requests_can_be_written_as_json():
    simulator, asked = world(), []
    generate = simulator.sampler.generate
    simulator.sampler.generate = lambda requests, sampling: (
        asked.extend(requests) or generate(requests, sampling)
    )
    simulator.rollout_cut(begin(simulator, 2), np.arange(2, dtype=np.uint64), [None, np.int64(1)])
    for request, most in zip(asked, (None, 1), strict=True):
        assert request.stop == ThoughtStop(simulator.form, most=most)
        assert read_stop(json.loads(json.dumps(describe_stop(request.stop)))) == request.stop
