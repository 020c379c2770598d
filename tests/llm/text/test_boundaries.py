"""Boundaries of thoughts: where each falls in texts read by hand, and the laws that all keep."""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Ending
from llm.sampling.base import GREEDY, Request
from llm.sampling.scripted import ScriptedSampler
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, Verdict
from llm.text.answers import AnswerLine, AnswerPattern, Box, WholeText
from llm.text.boundaries import (
    BlankLine,
    CutPoints,
    Delimiter,
    EveryTokens,
    Line,
    Pattern,
    Published,
    Sentence,
)
from llm.text.rollouts import TextState
from llm.text.stop_rules import ThoughtStop, describe_stop, read_stop
from llm.text.thoughts import Segmenter, TextEnding, ThoughtFormat, segment
from llm.text.vocabulary import Vocabulary
from tests.llm.canned import byte_vocabulary
from tests.llm.words import random_model

BOUNDARIES = (
    Delimiter("</t>"),
    Published("</t>"),
    Line(),
    BlankLine(),
    Sentence(),
    Pattern(),
    EveryTokens(3),
    CutPoints(0.3, 2),
)
NAMES = [boundary.kind for boundary in BOUNDARIES]


def cut(boundary, text, logprobs=None, answer=None):
    """The thoughts of a text whose tokens are its characters."""
    form = ThoughtFormat(boundary=boundary, max_tokens=1000, answer=answer or WholeText())
    tokens = [ord(c) for c in text]
    done = segment(Segmenter(form, frozenset({0})), tokens, chr, logprobs)
    if done.ended is None:
        done.end(TextEnding.TOKEN_LIMIT)
    return [text[a:b] for a, b in done.spans]


@pytest.mark.parametrize(
    ("boundary", "thoughts"),
    [
        (Delimiter("</t>"), ["a</t>", "</t>", "b"]),
        (Line(), ["\n  first\n", "\nsecond\n", "third"]),
        (BlankLine(), ["\n\na\nb\n \n", "\nc\n\n", "d"]),
        (Pattern(), ["Step 1: a\nStep 2:", " b\n**Step 10:", "** c"]),
        (Pattern(r"so\b|hence"), ["well, hence", " x and so", " y"]),
        (Sentence(), ["It is 3.14, i.e. about 3.\n", "Is it?", ' "Yes.', '" 2. Next (a)!', " No"]),
        (Sentence(), ["It is 12. ", "Then 7! is less.", " Dr. No, vs. Mr. X: x = 5.\n", "1. End."]),
        (EveryTokens(3), ["abc", "def", "g"]),
    ],
)
def test_thoughts_read_by_hand(boundary, thoughts):
    assert cut(boundary, "".join(thoughts)) == thoughts


def test_cut_points_are_tokens_that_were_unlikely():
    logprobs = np.log([0.9, 0.2, 0.29, 0.3, 0.1, 1.0, 0.1, 0.5])
    assert cut(CutPoints(0.3, 1), "abcdefgh", logprobs) == ["ab", "c", "de", "fg", "h"]
    assert cut(CutPoints(0.3, 2), "abcdefgh", logprobs) == ["abc", "defg", "h"]
    with pytest.raises(InvalidInput, match="a cut point needs it"):
        cut(CutPoints(), "ab")


@pytest.mark.parametrize(
    ("boundary", "text", "shown"),
    [
        (Delimiter("</t>"), " a</t>", "a"),
        (Pattern(), "Step 1: a\nStep 2:", "Step 1: a"),
        (Line(), "\n a\n", "a"),
    ],
)
def test_readers_are_shown_no_marks(boundary, text, shown):
    assert boundary.shown(text) == shown


@pytest.mark.parametrize(
    ("answer", "text", "over", "found"),
    [
        (Box(), r"so \boxed{4} or \boxed{5}", r"so \boxed{4}", "5"),
        (Box(stops=False), r"so \boxed{4} or", None, "4"),
        (AnswerLine(), "The answer:\n**answer: 7**\nx", "The answer:\n**answer: 7**\n", "7"),
        (AnswerLine(), "Answer:\nAnswer: 7", None, "7"),
        (AnswerLine("Result:"), "Answer: 3\n", None, None),
        (AnswerPattern(r"#### (.+)\n"), "#### 8 \n9", "#### 8 \n", "8"),
        (AnswerPattern(r"is \d"), "it is 4 and is 5", "it is 4", "is 5"),
        (WholeText(), " 12\n", None, "12"),
        (WholeText(), " \n", None, None),
    ],
)
@pytest.mark.parametrize("boundary", [EveryTokens(2), Line(), Delimiter("</t>")])
def test_where_answers_end_a_text_and_what_is_read(boundary, answer, text, over, found):
    """Answers may be spread over thoughts, but for those between delimiters."""
    written = "".join(cut(boundary, text, answer=answer))
    assert written == (text if over is None else over)
    assert answer.read(text) == found


def test_a_delimiter_ends_the_line_of_an_answer():
    form = ThoughtFormat("</t>", answer=AnswerLine())
    done = segment(Segmenter(form, frozenset()), [ord(c) for c in "x</t>Answer: 7</t>y"], chr)
    assert (done.ended, done.spans) == (TextEnding.ANSWERED, [(0, 5), (5, 18)])


# The laws. Ids 1 and up are these pieces; 0 ends a sequence.
PIECES = (
    "",
    "a",
    " b",
    "3",
    ".",
    "\n",
    "\n\n",
    "</",
    "t>",
    "Step 2:",
    "\\boxed{",
    "}",
    "Answer: 1",
)
SIZE = len(PIECES)


class Words(Vocabulary):
    """A vocabulary of these pieces."""

    def __init__(self):
        self.eos, self.pad, self._pieces = frozenset({0}), 0, dict(enumerate(PIECES))

    has_template = False

    def decode(self, tokens):
        return "".join(PIECES[t] for t in tokens)

    def encode(self, text, special=True):
        del special
        return (1,) * len(text)


class Pays:
    """A task that pays for texts of an even length, and judges any answer."""

    def problems(self, split, count, seed):
        return [Problem(str(i), "q", "1") for i in range(count)]

    def prompt(self, problem):
        return problem.question

    def verify(self, problem, text):
        return Verdict(float(len(text) % 2 == 0), None)

    def judge(self, problem, answer, text):
        return Verdict(float(answer is not None), answer)


def script(seed):
    """Next-token probabilities that hang on the last two ids, far from uniform."""

    def law(tokens):
        rng = Random(f"{seed} {tokens[-2:]}")
        weights = [rng.random() ** 4 + 1e-3 for _ in range(SIZE)]
        weights[0] /= 4
        return {i: w / sum(weights) for i, w in enumerate(weights)}

    return law


def world(boundary, sampler, answer=None, sampling=None, most=8, tokens=16):
    form = ThoughtFormat(
        boundary=boundary, max_thoughts=most, max_tokens=tokens, answer=answer or Box()
    )
    return LanguageModelSimulator(sampler, sampler.vocabulary, Pays(), form, sampling)


def scripted(seed):
    return ScriptedSampler(script(seed), Words())


MODEL = random_model(SIZE)
# What a token was unlikely by shows in the law of both.
ENGINES = {"scripted": scripted, "model": lambda _: TransformersSampler(MODEL, Words())}
ANSWERS = (Box(), AnswerLine("answer:"), AnswerPattern(r"a\s+b"))


def begin(simulator):
    return simulator.start_states(simulator.task.problems("train", 1, 0))[0]


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=NAMES)
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8)
@given(st.integers(0, 50), st.sampled_from(ANSWERS), st.integers(0, 2**32))
def test_ids_are_kept_and_the_stream_so_far_decides(engine, boundary, seed, answer, key):
    simulator = world(boundary, ENGINES[engine](seed), answer)
    (whole,) = simulator.rollout([begin(simulator)], [key])
    assert sum(whole.thoughts, ()) == whole.tokens
    assert all(a < b for a, b in whole.spans)
    # Cut by request after each thought: what came later had no part in where it ended.
    steps = range(1, len(whole))
    starts = [begin(simulator)] * len(steps)
    for step, part in zip(
        steps, simulator.rollout_cut(starts, [key] * len(steps), steps), strict=True
    ):
        same = whole.cut(0, step)
        assert (part.ended, part.tokens, part.spans) == (Ending.CUT, same.tokens, same.spans)
        assert part.last == whole.states[step]
    # A prefix of the stream holds the boundaries that the whole stream has in it.
    for length in range(1, len(whole.tokens)):
        seen = segment(
            Segmenter(simulator.form, simulator.sampler.eos),
            whole.tokens[:length],
            simulator.vocabulary.piece,
            whole.logprobs.tolist(),
        )
        assert seen.ended is None
        assert seen.spans == [span for span in whole.spans if span[1] <= length]


def one_by_one(simulator, state):
    """The rollout of a request per thought, each from the state that the last one left."""
    tokens, ended = (), None
    while ended is None:
        (part,) = simulator.rollout_cut([state], [7], [1])
        tokens += part.tokens
        state, ended = part.last, None if part.ended is Ending.CUT else part.text_ending
    return tokens, ended


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=NAMES)
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8)
@given(st.integers(0, 200), st.sampled_from(ANSWERS))
def test_one_request_writes_what_a_request_per_thought_writes(engine, boundary, seed, answer):
    """At temperature 0, where no key has a part in it, to the id."""
    simulator = world(boundary, ENGINES[engine](seed), answer, GREEDY)
    rng = Random(seed)
    # Different beginnings, as one greedy text of one model says little.
    prompt = tuple(rng.randrange(1, SIZE) for _ in range(3))
    state = TextState(Problem("0", "q", "1"), prompt)
    (whole,) = simulator.rollout([state], [3])
    assert one_by_one(simulator, state) == (whole.tokens, whole.text_ending)
    suffixes = simulator.rollout(list(whole.states), [5] * len(whole))
    for step, suffix in enumerate(suffixes):  # and so does every reset
        assert suffix.tokens == whole.cut(step).tokens
        assert suffix.thoughts == whole.thoughts[step:]
        assert suffix.text_ending == whole.text_ending


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=NAMES)
def test_one_request_has_the_law_of_a_request_per_thought(boundary):
    simulator = world(boundary, scripted(4), AnswerLine("answer:"), tokens=5)
    start, runs = begin(simulator), 1500
    whole = simulator.rollout([start] * runs, Key.of(1).integers(runs))

    def kind(thoughts, ending):
        return tuple(map(len, thoughts)), thoughts[-1][-1], ending

    ours = Counter(kind(r.thoughts, r.text_ending) for r in whole)
    keys = Key.of(2).child("parts").integers(runs)
    states, done = dict.fromkeys(range(runs), (start, ())), Counter()
    for turn in range(6):
        if not (order := list(states)):
            break
        fresh = np.concatenate([Key.of(int(keys[i])).child(turn).integers(1) for i in order])
        parts = simulator.rollout_cut([states[i][0] for i in order], fresh, [1] * len(order))
        for i, part in zip(order, parts, strict=True):
            thoughts = states.pop(i)[1] + part.thoughts
            if part.ended is Ending.CUT:
                states[i] = (part.last, thoughts)
            else:
                done[kind(thoughts, part.text_ending)] += 1
    assert not states
    common = [k for k in ours | done if ours[k] + done[k] >= 20]
    table = np.array([[counts[k] for k in common] for counts in (ours, done)])
    rest = runs + 1 - table.sum(axis=1, keepdims=True)  # one more, as a column of zeros has no test
    assert len(common) > 5
    assert stats.chi2_contingency(np.hstack([table, rest])).pvalue > 1e-3


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=NAMES)
@pytest.mark.parametrize("answer", [*ANSWERS, Box(stops=False), WholeText()], ids=str)
@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.floats(-3, 0)), max_size=30))
def test_rules_survive_json(boundary, answer, stream):
    if not boundary.eos_ends_text and not getattr(answer, "stops", False):
        return
    rule = ThoughtStop(
        ThoughtFormat(boundary=boundary, answer=answer, max_tokens=20), 2, 3, before="\\box"
    )
    read = read_stop(json.loads(json.dumps(describe_stop(rule))))
    assert read == rule
    one, other = (r.begin(PIECES.__getitem__, frozenset({0})) for r in (rule, read))
    for token, logprob in stream:
        over = one(token, logprob)
        assert other(token, logprob) == over
        if over:
            break


def test_rules_of_the_default_format_are_written_as_ever():
    rule = ThoughtStop(ThoughtFormat(max_thoughts=4), 1, 2, 3)
    form = {
        "delimiter": "</thought>",
        "max_thoughts": 4,
        "max_tokens": 5120,
        "thought_tokens": None,
    }
    assert describe_stop(rule) == {
        "kind": "thoughts",
        "form": form,
        "thoughts": 1,
        "tokens": 2,
        "most": 3,
    }
    assert ThoughtFormat(boundary=Delimiter("</s>")) == ThoughtFormat("</s>")


def test_as_published_an_end_of_sequence_ends_a_thought_alone():
    """From the prompt on: a, end, box, 3, closed; and the end is one of the ids that are kept."""
    following = {1: 0, 0: 10, 10: 3, 3: 11, 11: 1}
    sampler = ScriptedSampler(lambda tokens: {following[tokens[-1]]: 1.0}, Words())
    plain = world(Delimiter("</t>"), sampler)
    published = world(Published("</t>"), sampler)
    (short,) = plain.rollout([begin(plain)], [1])
    (long,) = published.rollout([begin(published)], [1])
    assert (short.tokens, short.text_ending) == ((0,), TextEnding.EOS)
    assert long.thoughts == ((0,), (10, 3, 11))
    assert (long.text_ending, published.usage.tokens) == (TextEnding.ANSWERED, 4)
    assert published.sampler.work.calls == 3
    endless = world(Published("</t>"), ScriptedSampler(lambda _: {0: 1.0}, Words()), most=3)
    (limited,) = endless.rollout([begin(endless)], [1])
    assert (limited.thoughts, limited.text_ending) == (((0,),) * 3, TextEnding.THOUGHT_LIMIT)
    asked = endless.sampler.work.calls
    (cut_short,) = endless.rollout_cut([begin(endless)], [1], [2])
    assert (cut_short.ended, len(cut_short), endless.sampler.work.calls - asked) == (
        Ending.CUT,
        2,
        2,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_stop_at_a_cut_point_where_the_finished_text_is_cut(engine):
    sampler = ENGINES[engine](3)
    simulator = world(CutPoints(0.02, 1), sampler, most=8, tokens=24)
    state = begin(simulator)
    keys = Key.of(5).integers(60)
    rule = ThoughtStop(simulator.form, most=1)
    asked = [Request(state.tokens, 24, int(key), rule) for key in keys]
    ends = Counter()
    for one in sampler.generate(asked, simulator.sampling):
        unsure = [p < math.log(0.02) for p in one.logprobs]
        assert not any(unsure[:-1])
        ends[unsure[-1]] += 1
    assert min(ends[True], ends[False]) > 3


def test_a_boundary_that_never_occurs_is_told_after_the_first_batch():
    never = world(Delimiter("</never>"), scripted(1))
    with pytest.warns(
        UserWarning, match=r"</never>.*none of the first 64 rollouts.*choose a bound"
    ):
        never.rollout([begin(never)] * 64, Key.of(1).integers(64))
    for quiet, count in ((never, 64), (world(Line(), scripted(1)), 80)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            quiet.rollout([begin(quiet)] * count, Key.of(1).integers(count))


def test_answers_that_a_task_does_not_look_at_are_refused():
    class Plain:
        problems, prompt, verify = Pays.problems, Pays.prompt, Pays.verify

    form = ThoughtFormat(answer=AnswerLine())
    with pytest.raises(InvalidInput, match="verify of Plain reads answers by itself"):
        LanguageModelSimulator(scripted(1), Words(), Plain(), form)
    LanguageModelSimulator(scripted(1), Words(), Plain(), ThoughtFormat(answer=WholeText()))


def test_a_chat_that_the_tokenizer_has_no_template_for_is_refused_and_one_unused_is_told():
    sampler, plain = scripted(1), byte_vocabulary()
    with pytest.raises(InvalidInput, match="chat = True: the tokenizer has no chat template"):
        LanguageModelSimulator(sampler, plain, Pays(), chat=True)
    taught = byte_vocabulary("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    with pytest.warns(UserWarning, match="chat = false: the tokenizer has a chat template"):
        LanguageModelSimulator(sampler, taught, Pays(), chat=False)
    asked = LanguageModelSimulator(sampler, taught, Pays(), chat=None)
    assert taught.decode(begin(asked).prompt) == "<user>q"
    assert (
        plain.decode(begin(LanguageModelSimulator(sampler, plain, Pays(), chat=None)).prompt) == "q"
    )
