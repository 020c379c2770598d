"""Words around names and counts."""

from __future__ import annotations

import pytest

from experiments.documents.words import counted


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 prompts"), (1, "1 prompt"), (2, "2 prompts"), (12_345, "12,345 prompts")],
)
def test_one_is_no_plural(number: int, text: str) -> None:
    assert counted(number, "prompt") == text
