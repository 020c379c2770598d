"""How often answers are judged rightly, and how fast: our verifier beside plain math-verify.

A file of pairs has one JSON object a line: a data set's answer in "reference", the content of a
text's box in "boxed", and in "right" whether that deserves the reward. Without one, the hard pairs
of the tests are judged. Both verifiers compare the same pairs in turn, each in a process of its own
that is started before the clock is; math-verify takes the boxes with its default configuration.

Run as ``python -m benchmarks.bench_answers [FILE] [--list]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm.rewards.mathematics import MathJudge, shared_judge
from llm.rewards.verify import verify

PAIRS = Path(__file__).parents[1] / "tests/llm/rewards/pairs.jsonl"
PATIENCE = 20.0
"""Seconds that math-verify gets for a pair; it has limits of its own below that."""

Judge = Callable[[str, str], bool]


@dataclass(frozen=True)
class Pair:
    """A reference answer and a box, and whether the box is right."""

    reference: str
    boxed: str
    right: bool


@dataclass(frozen=True)
class Judged:
    """What a judge made of pairs.

    Attributes:
        pairs: those that were judged.
        verdicts: whether each was rewarded.
        seconds: that each took.
    """

    pairs: Sequence[Pair]
    verdicts: Sequence[bool]
    seconds: Sequence[float]

    def mistakes(self, right: bool) -> list[Pair]:
        """Pairs that were judged wrongly: right ones refused, or wrong ones rewarded."""
        judged = zip(self.pairs, self.verdicts, strict=True)
        return [pair for pair, verdict in judged if pair.right is right and verdict is not right]

    def row(self, name: str) -> str:
        """A line of the table."""
        wrong, refused = len(self.mistakes(False)), len(self.mistakes(True))
        median, worst = 1000 * statistics.median(self.seconds), max(self.seconds)
        return f"{name:12} {wrong:15} {refused:14} {median:10.2f} {worst:8.2f}"


def read_pairs(path: Path) -> list[Pair]:
    records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [Pair(r["reference"], r["boxed"], r["right"]) for r in records]


def judged(pairs: Sequence[Pair], judge: Judge) -> Judged:
    verdicts, seconds = [], []
    for pair in pairs:
        began = time.perf_counter()
        verdicts.append(judge(pair.reference, pair.boxed))
        seconds.append(time.perf_counter() - began)
    return Judged(pairs, verdicts, seconds)


def ours(reference: str, boxed: str) -> bool:
    return verify("math", reference, f"\\boxed{{{boxed}}}").reward == 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=PAIRS)
    parser.add_argument("--list", action="store_true", help="print the pairs we judge wrongly")
    options = parser.parse_args()
    pairs = read_pairs(options.file)
    peer = MathJudge(PATIENCE, "benchmarks.math_verify_worker")
    for judge in (shared_judge(), peer):
        judge.equal("x+x", "2x")
    mine, theirs = judged(pairs, ours), judged(pairs, peer.equal)
    peer.close()
    right = sum(pair.right for pair in pairs)
    print(f"{len(pairs)} pairs: {right} right, {len(pairs) - right} wrong")
    print("verifier     wrong, rewarded right, refused  median ms  worst s")
    print(mine.row("cpi-resets"))
    print(theirs.row("math-verify"))
    if options.list:
        for pair in [*mine.mistakes(False), *mine.mistakes(True)]:
            print(f"{'right' if pair.right else 'wrong'}: {pair.reference!r} <- {pair.boxed!r}")


if __name__ == "__main__":
    main()
