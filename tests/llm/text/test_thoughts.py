"""How streams of tokens are cut into thoughts, against examples and a naive reading of the text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from llm.text.answers import boxed_span, holds_answer
from llm.text.thoughts import (
    Segmenter,
    TextEnding,
    ThoughtFormat,
    segment,
)

EOS = 0
PIECES = {
    EOS: "<eos>",
    1: "a",
    2: "</thought>",
    3: "\\boxed{",
    4: "4",
    5: "}",
    6: "</",
    7: "thought",
    8: ">",
    9: "{",
    10: ">\\boxed{7}b",
    11: "\\boxed {",
}


def has_filled_box(text):
    """Whether a box is closed and holds letters, digits or a delimiter, of itself."""
    for box in re.finditer(r"\\boxed\{", text):
        for end in range(box.end(), len(text)):
            inside = text[box.end() : end]
            if text[end] == "}" and inside.count("{") == inside.count("}"):
                if inside.replace("\\boxed", "").strip("{}"):
                    return True
                break
    return False


def cut(*tokens, **limits):
    form = ThoughtFormat(**{"max_thoughts": 5, "max_tokens": 50, **limits})
    return segment(Segmenter(form, frozenset([EOS])), tokens, PIECES.__getitem__)


@pytest.mark.parametrize(
    ("tokens", "spans", "ending"),
    [
        ((1, 2, 1, 1, 2), [(0, 2), (2, 5)], None),
        ((1, 2, 1, EOS, 1), [(0, 2), (2, 4)], TextEnding.EOS),
        ((1, 2, 3, 4, 5, 2, EOS), [(0, 2), (2, 5)], TextEnding.ANSWERED),
        ((3, 9, 4, 5, 2, 1), [(0, 5)], None),  # an inner brace does not close the box
        ((3, 9, 4, 5, 5, 1), [(0, 5)], TextEnding.ANSWERED),
        ((3, 4, 2, 5, 1, 2), [(0, 3), (3, 6)], None),  # a box does not reach over thoughts
        ((6, 7, 8, 1), [(0, 3)], None),  # a delimiter of several tokens
        ((6, 7, 10, 1), [(0, 3)], TextEnding.ANSWERED),
        ((1, 2) * 7, [(2 * i, 2 * i + 2) for i in range(5)], TextEnding.THOUGHT_LIMIT),
        ((EOS,), [(0, 1)], TextEnding.EOS),
        ((5, 5, 4), [], None),
        ((3, 5, 1, 3, 4, 5, 1), [(0, 6)], TextEnding.ANSWERED),  # an empty box is no answer
        ((3, 9, 5, 5, 2, 1, EOS), [(0, 5), (5, 7)], TextEnding.EOS),
        ((11, 4, 5, 1), [(0, 3)], TextEnding.ANSWERED),
    ],
)
def test_examples(tokens, spans, ending):
    done = cut(*tokens)
    assert (done.spans, done.ended) == (spans, ending)


def test_limits_count_what_was_kept():
    form = ThoughtFormat(max_thoughts=3, max_tokens=10)
    done = segment(Segmenter(form, frozenset([EOS]), 2, 4), (1, 2, 1), PIECES.__getitem__)
    assert (done.spans, done.ended) == ([(0, 2)], TextEnding.THOUGHT_LIMIT)
    done = segment(Segmenter(form, frozenset([EOS]), 0, 7), (1, 1, 1, 1), PIECES.__getitem__)
    assert (done.spans, done.ended) == ([(0, 3)], TextEnding.TOKEN_LIMIT)


def test_a_cap_ends_thoughts_without_a_delimiter():
    assert cut(1, 1, 1, 2, 1, thought_tokens=2).spans == [(0, 2), (2, 4)]


def test_only_texts_that_ended_themselves_are_complete():
    assert {f for f in TextEnding if f.complete} == {TextEnding.ANSWERED, TextEnding.EOS}


@given(st.lists(st.sampled_from([1, 1, 2, 3, 4, 5]), max_size=40), st.integers(1, 6))
def test_against_a_naive_reading(tokens, most):
    """Cutting the joined text at delimiters and at the first whole box of a thought."""
    done = cut(*tokens, max_thoughts=most, max_tokens=1000)
    text = "".join(PIECES[t] for t in tokens)
    whole = text.split("</thought>")[:-1][:most]
    thoughts = text.split("</thought>")[:most]
    boxed = [i for i, thought in enumerate(thoughts) if has_filled_box(thought)]
    if boxed:
        assert done.ended is TextEnding.ANSWERED
        assert len(done.spans) == boxed[0] + 1
    else:
        assert len(done.spans) == len(whole)
        assert (done.ended is TextEnding.THOUGHT_LIMIT) == (len(whole) == most)
    flat = [i for a, b in done.spans for i in range(a, b)]
    assert flat == list(range(len(flat)))


@given(st.lists(st.sampled_from(["a", "{", "}", "\\", "\\boxed{"]), max_size=15))
def test_a_box_is_balanced_and_the_last_one(parts):
    text = "".join(parts)
    span = boxed_span(text)
    assert (span is not None) == holds_answer(text)
    if span is not None:
        content = re.sub(r"\\.", "", text[span[0] : span[1]])
        assert text[: span[0]].endswith("\\boxed{")
        assert text[span[1]] == "}"
        assert text[span[0] : span[1]].replace("\\boxed", "").strip("{}")
        assert content.count("{") == content.count("}")
        assert boxed_span(text[span[1] + 1 :]) is None


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{1} then \\boxed{2}", "2"),
        ("\\boxed{1} then \\boxed{2", "1"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{}", None),
        ("\\boxed{1} then \\boxed{}", "1"),
        ("\\boxed{", None),
        ("boxed{3}", None),
        ("\\boxed{a{b}", None),
    ],
)
def test_boxes(text, content):
    span = boxed_span(text)
    assert (None if span is None else text[slice(*span)]) == content


@pytest.mark.parametrize(
    "field", [{"delimiter": " "}, {"max_thoughts": 0}, {"max_tokens": 0}, {"thought_tokens": 0}]
)
def test_impossible_formats_are_refused(field):
    with pytest.raises(InvalidInput, match=next(iter(field))):
        ThoughtFormat(**field)
