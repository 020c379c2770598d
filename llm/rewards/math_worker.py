"""Compares pairs of mathematical answers read from standard input, one JSON list a line.

Run as a file by :mod:`llm.rewards.mathematics`, so it imports nothing of the package. It writes "r"
once it is ready and then "1" or "0" per pair.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import sys

from math_verify import parse, verify

MEMORY = 4 << 30
"""Bytes of address space; a number with too many digits fails here and not on the machine."""


def equal(reference: str, answer: str) -> bool:
    """Whether math-verify takes the two for equal; its time limits are the parent's business."""
    gold, found = (parse(f"${text}$", parsing_timeout=None) for text in (reference, answer))
    return bool(verify(gold, found, timeout_seconds=None))


def main() -> None:
    """Answer until the input ends."""
    logging.disable(logging.ERROR)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    replies = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # whatever sympy prints is no reply
        replies.write("r")
        replies.flush()
        for line in sys.stdin:
            reference, answer = json.loads(line)
            replies.write("1" if equal(reference, answer) else "0")
            replies.flush()


if __name__ == "__main__":
    main()
