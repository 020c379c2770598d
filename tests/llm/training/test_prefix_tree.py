"""Trees of common prefixes: every place of every sequence is read once, and what pays is shared."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.training.prefix_tree import common_prefixes

# Few letters, so that sequences share much; some are beginnings of others, some are equal.
SEQUENCES = st.lists(st.lists(st.integers(0, 1), max_size=12).map(tuple), max_size=9)
WORTH = st.integers(1, 12)
many = settings(max_examples=100, deadline=None)


def paths(prefix, above=()):
    """Each prefix with those that lead to it."""
    yield (*above, prefix)
    for child in prefix.children:
        yield from paths(child, (*above, prefix))


@given(SEQUENCES, WORTH)
@many
def test_each_sequence_is_the_prefixes_on_its_way_and_its_tail(sequences, worth):
    tree = common_prefixes(sequences, worth)
    assert (tree.begin, tree.end, tree.members) == (0, 0, tuple(range(len(sequences))))
    tails = []
    for path in paths(tree):
        for above, below in itertools.pairwise(path):
            assert below.begin == above.end
        for i in path[-1].tails:
            tails.append(i)
            assert all(i in prefix.members for prefix in path)
            assert path[-1].end <= len(sequences[i])
    assert sorted(tails) == list(tree.members)
    for prefix in tree:
        held = {sequences[i][prefix.begin : prefix.end] for i in prefix.members}
        assert len(held) <= 1
        below = [i for child in prefix.children for i in child.members]
        assert sorted([*below, *prefix.tails]) == sorted(prefix.members)


@given(SEQUENCES, WORTH)
@many
def test_prefixes_are_as_long_as_they_can_be_and_spare_what_they_must(sequences, worth):
    for prefix in list(common_prefixes(sequences, worth))[1:]:
        ends = {sequences[i][prefix.end : prefix.end + 1] for i in prefix.members}
        assert len(ends) > 1 or ends == {()}
        assert (len(prefix.members) - 1) * (prefix.end - prefix.begin) >= worth


@given(SEQUENCES, WORTH)
@many
def test_no_prefix_that_would_pay_is_left_out(sequences, worth):
    """Among the rows that part here or later, every beginning that some of them have in common."""
    for prefix in common_prefixes(sequences, worth):
        rests = [sequences[i][prefix.end :] for i in prefix.tails]
        for rest in rests:
            for length in range(1, len(rest) + 1):
                sharing = sum(other[:length] == rest[:length] for other in rests)
                assert (sharing - 1) * length < worth


@given(SEQUENCES)
@many
def test_with_any_saving_welcome_each_distinct_beginning_is_read_once(sequences):
    tree = common_prefixes(sequences, 1)
    distinct = {s[:n] for s in sequences for n in range(1, len(s) + 1)}
    assert tree.cost(list(map(len, sequences))) == len(distinct)


def test_a_prompt_a_reset_state_below_it_and_a_stranger():
    prompt, base = (1,) * 10, (2, 3, 4, 5, 6)
    rows = [prompt + base, (*prompt, 7), prompt + base[:3] + (8, 8), prompt + base[:3], (9, 9)]
    tree = common_prefixes(rows, 5)
    (top,) = tree.children
    assert (top.begin, top.end, top.members, top.tails) == (0, 10, (0, 1, 2, 3), (1,))
    (reset,) = top.children
    assert (reset.begin, reset.end, reset.tails) == (10, 13, (0, 2, 3))
    assert tree.tails == (4,)
    assert tree.cost([15, 11, 15, 13, 2]) == 10 + 3 + (2 + 2 + 0) + 1 + 2
    # The kept part spares 6 tokens: where 7 are asked for, it is read by each row.
    (top,) = common_prefixes(rows, 7).children
    assert top.children == ()


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_shared_by_fewer_than_two(count):
    tree = common_prefixes([(1, 2, 3)] * count, 1)
    assert (tree.children, tree.tails) == ((), tuple(range(count)))
