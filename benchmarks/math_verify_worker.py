"""Plain math-verify, our judge's peer, behind the protocol of :mod:`llm.rewards.math_worker`."""

from __future__ import annotations

import contextlib
import json
import logging
import sys

from math_verify import parse, verify


def equal(reference: str, answer: str) -> bool:
    """Whether math-verify, as it comes, takes the contents of two boxes for equal."""
    gold, found = (parse(f"\\boxed{{{text}}}") for text in (reference, answer))
    return bool(verify(gold, found))


def main() -> None:
    logging.disable(logging.ERROR)
    replies = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        replies.write("r")
        replies.flush()
        for line in sys.stdin:
            replies.write("1" if equal(*json.loads(line)) else "0")
            replies.flush()


if __name__ == "__main__":
    main()
