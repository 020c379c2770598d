"""The page of defects names a test for each point, and each of these tests exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "defects.md").read_text()
ROWS = {row[0]: row for line in PAGE.splitlines() if (row := re.findall(r"\| ([^|]+) ", line))}
POINTS = [name for name in ROWS if re.fullmatch(r"[A-I]\d+b?", name)]
CITED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize("group", "ABCDEFGHI")
def test_points_of_a_group_are_numbered_without_a_gap(group):
    numbers = [int(point[1:]) for point in POINTS if re.fullmatch(group + r"\d+", point)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("point", POINTS)
def test_a_point_says_what_was_found_what_is_here_and_what_tests_it(point):
    _, found, here, tests = ROWS[point]
    assert found
    assert here
    assert "::" in tests


@pytest.mark.parametrize(("file", "name"), [c for c in CITED if c != ("a/test_b.py", "c")])
def test_a_test_that_is_cited_exists(file, name):
    assert f"\ndef test_{name}(" in (TESTS / file).read_text()
