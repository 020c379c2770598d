"""Scorers as users write them: a good one, and every kind of bad one."""

from __future__ import annotations

import os
import time

import numpy as np


def length(problem, text):
    """Full marks for ten characters, in numpy's numbers, with output that is no reply."""
    print("a line")  # noqa: T201 - users do
    return np.float32(min(len(text), 10) / 10)


def same(problem, text):
    return text == problem.answer


def raises(problem, text):
    raise KeyError(problem.id)


def sleeps(problem, text):
    time.sleep(30)


def ends(problem, text):
    os._exit(3)


def gives_text(problem, text):
    return "right"


def gives_nan(problem, text):
    return float("nan")


def gives_two(problem, text):
    return 2


def gives_nothing(problem, text):
    return None


def takes_more(problem, text, more):
    return 1.0


def fails_at_first(problem, text):
    if text == "bad":
        raise ValueError("bad text")
    return 1.0
