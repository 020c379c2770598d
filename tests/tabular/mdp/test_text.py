"""What an MDP prints: a line per action, one block for layers that are alike, or sizes alone."""

from __future__ import annotations

from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis.vendor.pretty import pretty
from scipy import sparse

from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.worlds.from_gymnasium import from_gymnasium
from tabular.worlds.locks import combination_lock
from tabular.worlds.traps import two_state_trap

TRAP = """\
Trap: 3 layers, 2 states, 2 actions, returns in [0, 11/10], start 0
  s=0 a=0  pi 1  pi' 0  pays 3/10  to 0
  s=0 a=1  pi 0  pi' 1  pays 1/2  to 1
  s=1 a=0  pi 1  pi' 0  pays 3/10  to 1
  s=1 a=1  pi 0  pi' 1  pays 0  to 1"""


@pytest.mark.parametrize("show", [repr, pretty])
def test_a_trap_reads_as_a_table(show):
    assert show(two_state_trap(3, F(1, 5), F(-3, 10))) == TRAP


def test_layers_that_differ_are_told_apart():
    moves = np.array([[[[0.5, 0.5]], [[0, 1]]], [[[1, 0]], [[0, 1]]]])
    mdp = FiniteHorizonMDP(moves, [[0.25], [0.0]], [0.75, 0.25], 2)
    assert repr(mdp).splitlines() == [
        "FiniteHorizonMDP: 2 layers, 2 states, 1 action, returns in [0, 1], "
        "start (0: 0.75, 1: 0.25)",
        "  h=0 s=0 a=0  pays 0.25  to (0: 0.5, 1: 0.5)",
        "  h=0 s=1 a=0  pays 0  to 1",
        "  h=1 s=0 a=0  pays 0.25  to 0",
        "  h=1 s=1 a=0  pays 0  to 1",
    ]


@pytest.mark.parametrize("form", [lambda t: t, lambda t: sparse.csr_array(t[:, 0])])
def test_dense_and_sparse_layers_that_are_alike_are_printed_once(form):
    moves = form(np.array([[[0.5, 0.5]], [[0.0, 1.0]]]))
    layers = [moves, moves] if sparse.issparse(moves) else np.stack([moves, moves])
    mdp = FiniteHorizonMDP(layers, np.zeros((2, 2, 1)), [1.0, 0.0], 2)
    assert len(repr(mdp).splitlines()) == 3
    assert repr(mdp).splitlines()[0].endswith("sparse") == mdp.sparse


def test_discounted_worlds_name_their_discount():
    mdp = DiscountedMDP([[[F(1)]]], [[F(1, 4)]], [F(1)], F(1, 2))
    assert repr(mdp).splitlines() == [
        "DiscountedMDP: discount 1/2, 1 state, 1 action, returns in [0, 1/2], start 0",
        "  s=0 a=0  pays 1/4  to 0",
    ]


def test_terminal_states_have_a_line():
    lines = repr(combination_lock(2).mdp).splitlines()
    assert lines[-2:] == ["  s=2  terminal", "  s=3  terminal"]
    assert "'combination lock 2'" in lines[0]


def test_large_worlds_are_named_by_their_sizes():
    text = repr(from_gymnasium("Taxi", 10))
    assert text.splitlines() == [text]
    assert "501 states, 6 actions" in text
    assert "start in 300 states" in text


def test_an_evaluation_fits_on_a_line():
    trap = two_state_trap(3, F(1, 5), F(-3, 10))
    text = repr(evaluate(trap.mdp, trap.policy))
    assert text == "Evaluation(value=9/10, policy of shape 3x2x2)"
