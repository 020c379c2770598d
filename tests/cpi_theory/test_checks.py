"""Messages of refused input, and that they survive a worker process."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cpi_theory.checks import (
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
    choose_among,
    import_named,
)


def test_the_message_names_field_value_problem_and_remedy():
    error = InvalidInput("horizon", 0, "not an integer >= 1", "choose 1 or more")
    assert str(error) == "horizon = 0: not an integer >= 1; choose 1 or more"
    assert isinstance(error, ValueError)


def test_long_values_are_cut_but_paths_are_not():
    assert len(str(InvalidInput("x", "a" * 500, "too long", "shorten"))) < 160
    path = Path("/" + "directory/" * 40 + "file")
    assert str(path) in str(InvalidInput("file", path, "missing", "create it"))


def test_refusals_survive_pickling():
    error = InvalidInput("tau", [1, 2], "bad", "better")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.field, again.value) == (str(error), "tau", [1, 2])
    assert (again.problem, again.remedy) == ("bad", "better")


@pytest.mark.parametrize("value", [0, 1, 0.5, Fraction(1, 3), np.float64(0.2), np.int64(1)])
def test_probabilities_pass(value):
    check_probability("p", value)


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, math.nan, math.inf, "0.5", None, 0.5j])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(InvalidInput, match=r"^p = .*\[0, 1\]"):
        check_probability("p", value)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", None])
def test_what_is_not_positive_is_refused(value):
    with pytest.raises(InvalidInput, match=r"^tau = .*positive"):
        check_positive("tau", value)
    check_positive("tau", Fraction(1, 10**30))


@pytest.mark.parametrize("value", [0, -3, 1.0, "2", True, None, math.nan])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(InvalidInput, match=r"^n = .*integer >= 1"):
        check_count("n", value)


def test_counts_may_be_numpy_integers_and_start_anywhere():
    check_count("n", np.int32(1))
    check_count("n", 0, minimum=0)
    with pytest.raises(InvalidInput, match="integer >= 2"):
        check_count("n", 1, minimum=2)


def test_ranges_are_closed_and_named():
    check_in_range("x", 2, 2, 3)
    check_in_range("x", Fraction(3), 2, 3)
    with pytest.raises(InvalidInput, match=r"^x = 4: not a number in \[2, 3\]; choose one inside$"):
        check_in_range("x", 4, 2, 3)


@pytest.mark.parametrize(
    ("value", "known", "remedy"),
    [
        ("lern", ("learn", "train"), "did you mean 'learn'? choose one of 'learn', 'train'"),
        ("zzz", ("learn", "train"), "choose one of 'learn', 'train'"),
        ("method7", [f"method{i}" for i in range(13)], "did you mean 'method7'?"),
        (None, (1, "one"), "choose one of 1, 'one'"),
    ],
)
def test_a_remedy_names_the_nearest_and_a_list_that_is_not_long(value, known, remedy):
    assert choose_among(value, known) == remedy


def test_what_a_module_lacks_is_refused_with_what_it_has(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "from math import floor\nimport json\nHALF = 0.5\ndef score(problem, text): return HALF\n"
    )
    (tmp_path / "own_rewards.py").write_text(text)
    assert import_named("reward", "own_rewards:score")(None, "") == 0.5
    with pytest.raises(InvalidInput) as caught:
        import_named("reward", "own_rewards:scor")
    expected = "own_rewards has no scor; did you mean 'score'? choose one of 'HALF', 'score'"
    assert str(caught.value) == f"reward = 'own_rewards:scor': {expected}"
    (tmp_path / "empty_rewards.py").write_text("")
    with pytest.raises(InvalidInput, match="empty_rewards has no f; define f there"):
        import_named("reward", "empty_rewards:f")


def test_a_module_that_cannot_be_imported_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ill_rewards.py").write_text("1 / 0\n")
    with pytest.raises(InvalidInput, match="cannot be imported: ZeroDivisionError: division by"):
        import_named("reward", "ill_rewards:f")
