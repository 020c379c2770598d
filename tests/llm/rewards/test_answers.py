"""Reading answers out of texts: examples, a naive bracket matcher, and texts that mislead."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm.rewards.answers import bare, boxed, letter
from llm.text.answers import boxed_span, holds_answer

BOXY = st.lists(
    st.sampled_from(
        ["\\boxed{", "\\boxed {", "\\boxed", *"{}{}", "\\{", "\\}", "x", " ", "\\,", "\\quad"]
    ),
    max_size=30,
).map("".join)


def naive_span(text):
    """All starts, tried from the last on, each with a counter run over the rest."""
    hidden = text.replace("\\{", "<<").replace("\\}", ">>")  # braces that are printed do not count
    for box in reversed(list(re.finditer(r"\\boxed *{", hidden))):
        for end in range(box.end(), len(text)):
            inside = hidden[box.end() : end]
            if hidden[end] == "}" and inside.count("{") == inside.count("}"):
                if is_blank(inside):
                    break
                return box.end(), end
    return None


def is_blank(content):
    return not re.sub(r"\\quad|\\,|\\boxed(?= *{)", "", content).strip("{} ")


@given(BOXY)
@example("\\boxed{a}\\boxed{b")
@example("\\boxed{{}}}\\boxed{}")
@example("\\boxed{x}\\boxed{}")
@example("\\boxed{\\{}")
@example("\\boxed{\\boxed{1}")
def test_the_span_is_what_a_naive_matcher_finds(text):
    assert boxed_span(text) == naive_span(text)
    assert holds_answer(text) == (naive_span(text) is not None)


@given(st.text())
def test_no_text_crashes_the_readers(text):
    for candidate in (text, f"\\boxed{{{text}}}"):
        boxed(candidate)
        bare(candidate)
        found = letter(candidate)
        assert found is None or (len(found) == 1 and found.isupper())


@given(BOXY.filter(lambda t: naive_span(f"\\boxed{{{t}}}") == (7, 7 + len(t))), st.text())
def test_the_content_is_kept_whatever_comes_before(content, before):
    assert boxed(f"{before} \\boxed{{{content}}} so.") == content.strip()


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{3} no, \boxed{4}", "4"),  # the last, not the first
        (r"\boxed{3} no, \boxed{4", "3"),  # the last whole one
        (r"\boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{ {a}{b} }", "{a}{b}"),
        (r"\boxed {4}", "4"),
        (r"\boxed{\{1, 2}", r"\{1, 2"),  # a brace that is printed
        (r"\boxed{4} into \boxed{}", "4"),  # the last that holds something
        (r"\boxed{}", None),
        (r"\boxed{ }", None),
        (r"\boxed{\text{ }}", None),
        (r"\boxed{\,}", None),
        (r"\boxed{$ $}", None),
        (r"\boxed 5", None),
        (r"boxed{5}", None),
        ("the answer is 5", None),
        ("", None),
    ],
)
def test_boxes(text, content):
    assert boxed(text) == content


@pytest.mark.parametrize(
    "content",
    [
        *("B", "b", "(B)", "(b)", "B.", "B)", " B ", "$B$"),
        *(r"\text{B}", r"\text{(B)}", r"\textbf{B.}", r"\mathrm{B}"),
        *("B) the moon", "(B) the moon", "B. because of A", "B: 12", r"\text{B) the moon}"),
    ],
)
def test_a_boxed_letter_is_a_choice(content):
    assert letter(f"So \\boxed{{{content}}}.") == "B"


@pytest.mark.parametrize(
    "text",
    [
        "the answer is correct",
        "answer: because",
        "Answer: B",  # there is no box: no answer, whatever is said
        "The answer is B.",
        "I think so. A cat is best.",
        "(B)",
        "",
    ],
)
@pytest.mark.parametrize("wrap", ["{}", "\\boxed{{{}}}", "\\boxed{{\\text{{{}}}}}"])
def test_words_are_no_choices(text, wrap):
    if text != "(B)" or wrap == "{}":
        assert letter(wrap.format(text)) is None


@pytest.mark.parametrize(
    "content", ["I think", "A cat", "because", "correct", "AB", "B2", "B and C"]
)
def test_a_word_in_a_box_is_no_choice(content):
    assert letter(f"\\boxed{{{content}}}") is None


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        (r"\text{a  b}", "a b"),
        (r"$\text{yes}$", "yes"),
        (r"\text{12} or \text{13}", r"\text{12} or \text{13}"),
        ("x \n y", "x y"),
        ("$", ""),
    ],
)
def test_wrappings_are_taken_off(content, plain):
    assert bare(content) == plain
