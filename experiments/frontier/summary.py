"""What the grid of ``cpi-resets frontier`` comes to: goals met or not, and what theory expects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cpi_theory.algorithms.parent_choice import FirstErrorModel, rank_signals
from cpi_theory.statistics.bootstrap import paired_difference
from experiments.runs.files import Row

BASELINES = ("GRPO", "SRPO")

LOSS = 0.01
"""Nowhere is Frontier to be further below the better baseline than this, in mean J."""

GAIN = 0.04
"""So far it is to be above both, in mean J, where the accuracy is at least 0.9 and the base pass
rate at most 0.01."""


def goals(means: Sequence[Row]) -> list[Row]:
    """Every other method against the baselines, world by world and accuracy by accuracy.

    Rows: `world`, `accuracy`, `base_pass`, `method`, `better` (the baseline with the larger mean),
    `difference` to it, paired by seed, with `lower` and `upper`, `aim` ("no loss", or "gain" where
    that much is asked) and `met`, which the estimate decides.
    """
    found = {(r["world"], r["method"], r["accuracy"]): r for r in means}
    rows = []
    for (world, method, accuracy), row in found.items():
        if method in BASELINES:
            continue
        baselines = (found[world, "GRPO", None], found[world, "SRPO", accuracy])
        better = max(baselines, key=lambda r: float(np.mean(r["means"])))
        gap = paired_difference(row["means"], better["means"])
        gain = accuracy >= 0.9 and row["base_pass"] <= 0.01
        rows.append(
            {
                "world": world,
                "accuracy": accuracy,
                "base_pass": row["base_pass"],
                "method": method,
                "better": better["method"],
                "difference": gap.estimate,
                "lower": gap.lower,
                "upper": gap.upper,
                "aim": "gain" if gain else "no loss",
                "met": gap.estimate >= (GAIN if gain else -LOSS),
            }
        )
    return rows


def surely_met(goal: Row) -> bool:
    """Whether the whole interval of a row of :func:`goals` lies within its aim."""
    return bool(goal["lower"] >= (GAIN if goal["aim"] == "gain" else -LOSS))


def rank_rule(pass_rate: float = 0.01, length: int = 10, failures: int = 4) -> list[Row]:
    """Expected signal of each depth rank over the accuracy, at a known pass rate.

    Rows: `pass_rate`, `length`, `failures`, `accuracy`, `rank` (0: fresh rollouts),
    `expected_signal`, and whether it is the `best`.
    """
    rows = []
    for accuracy in np.linspace(0, 1, 41).tolist():
        model = FirstErrorModel(accuracy, pass_rate, pass_rate)
        signals = rank_signals(model, length, failures, 8 - failures)
        labels = {"pass_rate": pass_rate, "length": length, "failures": failures}
        rows += [
            labels
            | {
                "accuracy": accuracy,
                "rank": rank,
                "expected_signal": float(signal),
                "best": rank == int(np.argmax(signals)),
            }
            for rank, signal in enumerate(signals)
        ]
    return rows
