"""Verdicts: what counts as right, and the false hits of extractors by pattern that must not."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from llm.rewards.mathematics import MathJudge, shared_judge
from llm.rewards.verify import KINDS, check_reference, same_mathematics, verify
from llm.task import Verdict


def reward(kind, answer, content):
    return verify(kind, answer, f"So it is \\boxed{{{content}}}.").reward


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ("12", "12"),
        ("12", "+012"),
        ("0.5", "1/2"),
        ("1/2", r"\frac12"),
        (r"\frac{1}{2}", "0.5"),
        (r"\frac{1}{2}", r"\dfrac{3}{6}"),
        ("0.5", r"50\%"),
        ("1/2", "0.5" + "0" * 900),
        ("1000", "1{,}000"),
        ("5", "x = 5"),
        ("3", "x = 1 + 2 = 3"),
        ("2000", r"2 \times 10^3"),
        ("90", r"90^\circ"),
        ("5", r"5 \text{ cm}"),
        (r"\{1, 2, 3\}", r"\{3,1,2\}"),
        (r"2\sqrt{2}", r"\sqrt{8}"),
        ("x^2 - 1", "(x-1)(x+1)"),
        ("(1,2)", "(1, 2)"),
        (r"[0, \infty)", r"[0,\infty)"),
        (r"\text{no}", "no"),
    ],
)
def test_equal_mathematics(answer, content):
    assert reward("math", answer, content) == 1.0


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ("12", "125"),  # no substring counts
        ("125", "12"),
        ("12", "12 or 125"),
        ("12", "I think 12 of 13"),
        ("12", "-12"),
        ("1/3", "0.33"),
        ("5", "5.01"),
        (r"\{1, 2\}", r"\{1,2,3\}"),
        ("(1,2)", "(2,1)"),
        ("[1,2]", "(1,2)"),
        ("no", r"\text{know}"),
        ("no", r"\text{unknown}"),
        ("15", "12 + 3"),  # the question copied is no answer
        ("15", "x = 12 + 3"),
        ("42", r"6 \cdot 7"),
        ("42", r"6 \times 7"),
        ("42", "6(7)"),
        ("42", "(6)(7)"),
        ("9", "12 - 3"),
        ("8", r"2 + 2 \times 3"),
        ("1", r"\frac{0}{0}"),
        ("1", r"\frac{1}{"),
        ("1", "\\"),
        ("1/2", "0.5" + "0" * 1000),  # too long to be looked at
        ("1", "{" * 5 + "}" * 5),
        ("1", "1" + " " * 2 + "+0" * 1000),
    ],
)
def test_different_mathematics(answer, content):
    assert reward("math", answer, content) == 0.0


@given(st.integers(-999, 999), st.integers(-999, 999))
def test_integers_are_equal_if_they_are(one, other):
    assert reward("math", str(one), str(other)) == (one == other)
    assert reward("math", str(one), f"{one:+05d}") == 1.0


@pytest.mark.parametrize("answer", ["12", r"\frac{1}{}", "the moon", r"x \to", "$5", "%"])
def test_every_reference_equals_itself(answer):
    assert reward("math", answer, answer) == 1.0
    assert verify("math", answer, "nothing in a box").reward == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_whole_box_there_is_no_answer(kind):
    for text in ("B", "The answer is B", r"\boxed{B", r"\boxed{}", ""):
        assert verify(kind, "B", text) == Verdict(0.0, None)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("B", "B"),
        ("(B)", "B"),
        (r"\text{B}", "B"),
        ("C", "C"),
        ("the answer is correct", None),
        ("because", None),
        ("B or C", None),
    ],
)
def test_choices(content, found):
    verdict = verify("choice", "(B)", f"\\boxed{{{content}}}")
    assert verdict == Verdict(float(found == "B"), found)


def test_the_pronoun_and_the_article_are_no_choices():
    assert verify("choice", "I", "I know. I do. \\boxed{I know}").reward == 0
    assert verify("choice", "A", "A cat. \\boxed{A cat}").reward == 0


def test_exact_answers():
    assert verify("exact", "Ada  Lovelace", r"\boxed{\text{ada lovelace}}").reward == 1
    for wrong in ("Ada", "Ada Lovelace or Bob", "know", "not"):
        assert reward("exact", "no", wrong) == reward("exact", "Ada Lovelace", wrong) == 0
    assert reward("exact", "0.5", "1/2") == 0


def test_the_last_box_counts():
    assert verify("math", "4", r"\boxed{3} hm, \boxed{4}") == Verdict(1.0, "4")
    assert verify("exact", "yes", r"\boxed{yes} hm, \boxed{no}") == Verdict(0.0, "no")


def test_bad_input_is_named():
    with pytest.raises(InvalidInput, match=r"kind = 'code': .*math.*choice.*exact"):
        verify("code", "1", "")
    with pytest.raises(InvalidInput, match="answer = 'the moon': not the letter"):
        verify("choice", "the moon", r"\boxed{A}")


@pytest.fixture
def impatient():
    judge = MathJudge(seconds=1.0)
    yield judge
    judge.close()


ENDLESS = r"\sum_{k=1}^{10^6} \frac{1}{k!}"
"""Takes sympy minutes."""


def test_a_comparison_without_end_is_given_up(impatient):
    assert impatient.equal("2x", "x+x")  # started
    worker = impatient._worker.pid
    began = time.monotonic()
    assert not impatient.equal("3", ENDLESS)
    assert time.monotonic() - began < 3
    assert impatient.abandoned == 1
    with pytest.raises(ProcessLookupError):  # ended, and no zombie either
        os.kill(worker, 0)
    assert impatient.equal("2x", "x+x")  # by a new worker
    assert not impatient.equal("2x", "x+1")
    assert impatient.abandoned == 1


def test_a_worker_that_hangs_is_ended(impatient):
    assert impatient.equal("2x", "x+x")
    os.kill(impatient._worker.pid, signal.SIGSTOP)
    assert not impatient.equal("2x", "x+x")
    assert impatient.equal("2x", "x+x")


def test_a_worker_that_died_is_replaced(impatient):
    assert impatient.equal("2x", "x+x")
    impatient._worker.kill()
    impatient._worker.wait()
    assert not impatient.equal("2x", "x+x")
    assert impatient.abandoned == 1
    assert impatient.equal("2x", "x+x")


@pytest.mark.parametrize(
    "large",
    [
        "10^{10^{10}}",
        "(10^9)!",
        "7^{7^{7^{7}}}",
        "x^{10^{10}}",
        "1e999999999",
        "(" * 400,
        "{" * 400,
    ],
)
def test_large_and_deep_things_cost_nothing(large):
    began = time.monotonic()
    assert not same_mathematics("3", large)
    assert not same_mathematics("x+3", large + " + x")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("wrapper", ["{}", r"\text{{{}}}", '"{}"', "x + {}"])
def test_no_code_is_run(tmp_path, wrapper):
    mark = tmp_path / "mark"
    code = wrapper.format(f"__import__('pathlib').Path('{mark}').touch()")
    same_mathematics("3", code)
    same_mathematics(code, "3")
    with MathJudge(seconds=5.0) as judge:
        assert not judge.equal(code, f"{code} + 1")
    assert not mark.exists()


def test_what_arithmetic_decides_needs_no_worker():
    judge = shared_judge()
    judge.close()
    for answer, content in (
        ("12", "12"),
        ("0.5", r"\frac{1}{2}"),
        (r"\{1, 2\}", "2, 1"),
        ("yes", "no"),
    ):
        reward("math", answer, content)
    assert judge._worker is None
    assert reward("math", "2x", "x+x") == 1.0
    assert judge._worker is not None


def test_one_of_several_answers_is_enough():
    for text, right in ((r"\boxed{7}", 1.0), (r"\boxed{\frac12}", 1.0), (r"\boxed{8}", 0.0)):
        assert verify("math", ("0.5", "7"), text).reward == right
    assert verify("choice", ["A", "C"], r"\boxed{C}") == Verdict(1.0, "C")
    assert verify("exact", ("ada", "bob"), r"\boxed{Bob}").reward == 1.0


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("3+", "cannot be read as mathematics: an expression that breaks off"),
        (r"\frac{1}{2} \foo", r"unknown command \\foo"),
        ("3 4", "cannot be read"),
        ("nan", "not a number"),
        ("3 # 4", "unknown sign '#'"),
        ("(3", "'\\(' is not closed"),
        ("1" * 1001, "longer than 1000"),
        ("", "cannot stand in a box"),
        (r"\text{}", "cannot stand in a box"),
    ],
)
def test_references_that_cannot_be_read_are_refused(answer, problem):
    with pytest.raises(InvalidInput, match=f"answer = .*{problem}"):
        check_reference("math", answer)
    assert reward("math", answer or "0", "5") == 0.0
    if answer.strip() and len(answer) < 1000 and problem != "cannot stand in a box":
        check_reference("exact", answer)


def test_threads_take_turns():
    said = {}

    def ask(n):
        said[n] = verify("math", f"{n}/7", rf"\boxed{{\frac{{{n + n % 2}}}{{7}}}}").reward

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(1, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {n: float(n % 2 == 0) for n in range(1, 13)}
    assert shared_judge() is shared_judge()


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        ("x=1,y=2", "1, 2", True),
        ("x=1,y=2", "2, 1", False),
        ("x=1,y=2", "2 and 1", False),
        ("x=1,y=2", "y=2, x=1", True),
        ("a=3,b=4,c=5", "5,4,3", False),
        ("x=1 or x=4", "4, 1", True),
    ],
)
def test_names_of_a_reference_give_places_to_the_items_of_an_answer(reference, answer, right):
    assert same_mathematics(reference, answer) is right
