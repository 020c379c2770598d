"""Compares pairs of mathematical answers read from standard input, one JSON list a line.

Run as a module by :mod:`llm.rewards.mathematics`. It writes "r" once it is ready and then "1" or
"0" per pair. What it is sent is read, never evaluated as code.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys

from llm.rewards.algebra import decide
from llm.rewards.equality import Comparison
from llm.rewards.notation.reader import read
from llm.rewards.notation.tokens import Unreadable

MEMORY = 4 << 30
"""Bytes of address space; a number with too many digits fails here and not on the machine."""


def equal(reference: str, answer: str) -> bool:
    """Return whether two texts say the same in one of their readings, however long it takes.

    Args:
        reference: content of a box, in LaTeX or plain notation.
        answer: another. What cannot be read is equal to nothing.
    """
    compare = Comparison(decide).same
    try:
        return any(compare(one, other) for one in read(reference) for other in read(answer))
    except Unreadable:
        return False


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    replies = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # whatever sympy prints is no reply
        # Now that sympy is imported: that takes seconds, which are not the first comparison's.
        replies.write("r")
        replies.flush()
        for line in sys.stdin:
            reference, answer = json.loads(line)
            replies.write("1" if equal(reference, answer) else "0")
            replies.flush()


if __name__ == "__main__":
    main()
