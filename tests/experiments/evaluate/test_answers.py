"""The answer of an evaluation on the first screen of a report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from experiments.evaluate.report import evaluate_answers


def answer(*pairs):
    """Of comparisons (first, second, difference, whether it is shown)."""
    rows = [
        {"benchmark": "sums", "measure": "greedy", "first": first, "second": second}
        | {"difference": gap, "lower": gap - 0.1, "upper": gap + 0.1, "shown": shown}
        | {"p": 0.001 if shown else 0.7, "holm": 0.001 if shown else 0.7, "detectable": 0.3}
        | {"seeds": 2, "problems": 16}
        for first, second, gap, shown in pairs
    ]
    run = SimpleNamespace(read={"comparisons": rows}.get, directory=Path("results/e"))
    return evaluate_answers(run)


def test_methods_are_compared_with_each_other_and_not_with_where_they_started():
    trained = ("SRPO", "start", 0.9, True), ("GRPO", "start", 0.8, True)
    (found,) = answer(*trained, ("SRPO", "GRPO", 0.055, False))
    assert found.number.startswith("+0.055 [")
    assert "SRPO - GRPO" in found.sentence
    assert "comparisons" not in found.sentence
    (alone,) = answer(*trained)
    assert "SRPO - start" in alone.sentence
    assert alone.sentence.endswith("Of 2 comparisons 2 show a difference.")
    assert answer() == ()
