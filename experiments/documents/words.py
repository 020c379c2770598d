"""Words around names and counts."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, word: str) -> str:
    """A number and what it counts: "1 prompt", "2,000 prompts"."""
    return f"{number:,} {word}{'s' * (number != 1)}"


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: "a", "a and b", "a, b and c"; those with a comma in quotes."""
    names = [f'"{name}"' if "," in name else name for name in names]
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
