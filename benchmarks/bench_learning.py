"""Learning from rows with a common prompt: each row by itself, against prompts that are read once.

One update of a pretrained model from one group of 8, the whole of it: gradient, clipping and
optimiser. Each measurement is made in a process of its own, so that its peak memory is its own;
they come in rotating order and medians are compared. Times are CPU seconds of one thread. Every
process reports the norm of its gradient, and ways that disagree on it are refused.

Run as ``python -m benchmarks.bench_learning [--quick] [--model DIR]``. The default is the folder
that ``cpi-resets model smollm2`` writes; without it nothing is measured.
"""

from __future__ import annotations

import os

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cpi_theory.randomness import Key
from llm.engines.lean import LeanTrainer, computing, gradients
from llm.models.load import load_model
from llm.models.settings import SMOLLM2_FOLDER, LoraSettings, ModelSettings
from llm.training.losses import Totals
from llm.training.rows import TrainingRow
from llm.training.settings import LossSettings, OptimizerSettings
from llm.training.shared_prefixes import tree_of

GROUP = 8
RANK = 16
WAYS = {
    "plain": {"shared_prefixes": "off"},
    "shared": {"shared_prefixes": "always"},
    "shared, autocast": {"shared_prefixes": "always", "precision": "autocast"},
}
"""Settings of each contestant; the first is what the others are compared with."""

GOALS = {
    ("full", 40, "shared"): 2.7,
    ("full", 200, "shared"): 1.7,
    ("full", 40, "shared, autocast"): 5.0,
}
"""By weights, completion length and contestant; times fewer CPU seconds. Others have none: 1."""

AGREED = {"shared": 1e-3, "shared, autocast": 0.1}
"""Relative differences of gradient norms that rounding makes."""


def group(words: int, prompt: int, completion: int, rows: int = GROUP) -> list[TrainingRow]:
    """One group with advantages of both signs; random ids."""
    drawn = Key.of(0).child("ids", prompt).integers(prompt + rows * completion)
    ids = (1000 + drawn % np.uint64(words - 1000)).astype(np.int64).tolist()
    start = tuple(ids[:prompt])
    texts = [
        tuple(ids[prompt + i * completion : prompt + (i + 1) * completion]) for i in range(rows)
    ]
    old = np.zeros(completion, np.float32)  # the loss is unclipped and does not look at them
    return [
        TrainingRow(start, text, old, np.full(completion, 1.0 - 2 * (i % 2)), 0, 0)
        for i, text in enumerate(texts)
    ]


def measure(model: Path, weights: str, prompt: int, completion: int, way: str) -> dict[str, Any]:
    """One update in this process."""
    lora = LoraSettings(RANK, 2 * RANK) if weights == "lora" else None
    loaded, _ = load_model(ModelSettings(str(model), lora=lora))
    settings = OptimizerSettings(rate=1e-9, micro_batch=GROUP, **WAYS[way])
    trainer = LeanTrainer(loaded, settings, LossSettings())
    words = loaded.get_input_embeddings().num_embeddings
    # Loads kernels, makes the optimiser's averages, and compares both ways once.
    first = trainer.step(group(words, prompt, 8, rows=2))
    rows = group(words, prompt, completion)
    begin = time.process_time()
    report = trainer.step(rows)
    seconds = time.process_time() - begin
    gradient = gradient_seconds(loaded, settings, rows)
    assert way == "plain" or report.forward_tokens < sum(map(len, rows)), "nothing was shared"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "seconds": seconds,
        "gradient_seconds": gradient,
        "peak_gib": peak,
        "gradient_norm": report.gradient_norm,
        "forward_tokens": report.forward_tokens,
        **first.notes,
    }


def gradient_seconds(model: Any, settings: OptimizerSettings, rows: list[TrainingRow]) -> float:
    """The same without clipping and the optimiser, which cost all contestants the same."""
    model.zero_grad()
    model.train()
    loss, totals = LossSettings(), Totals(len(rows), sum(len(row.completion) for row in rows))
    begin = time.process_time()
    tree = None if settings.shared_prefixes == "off" else tree_of(rows)
    with computing(model, settings):
        gradients(model, rows, tree, settings.micro_batch, totals, loss)
    return time.process_time() - begin


def in_a_process(*arguments: object) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_learning", "--one", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(model: Path, weights: str, prompt: int, completion: int, rounds: int) -> list[Any]:
    """All contestants in rotating order; a row for each but the first."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    names = list(WAYS)
    for turn in range(rounds):
        for way in names[turn % len(names) :] + names[: turn % len(names)]:
            found[way].append(in_a_process(model, weights, prompt, completion, way))
    table = []
    for way in names[1:]:
        theirs, ours = found["plain"], found[way]
        norm, expected = ours[0]["gradient_norm"], theirs[0]["gradient_norm"]
        if abs(norm - expected) > AGREED[way] * expected:
            raise SystemExit(f"{way}: a gradient of norm {norm} where {expected} was expected")
        size = f"{weights}, 1 prompt of {prompt} x {GROUP} completions of {completion}"
        least = GOALS.get((weights, completion, way), 1.0)
        for what, unit, name, goal in (
            ("gradient", "CPU s", "gradient_seconds", least),
            ("update", "CPU s", "seconds", least),
            ("memory", "GiB at the peak", "peak_gib", 1.0),
        ):
            values = [statistics.median(one[name] for one in some) for some in (ours, theirs)]
            table.append(row(f"learning, {what}, {way}", size, *values, goal, unit) | ours[0])
    return table


def row(
    workload: str, size: str, ours: float, theirs: float, goal: float, unit: str
) -> dict[str, Any]:
    """A line of the table: less is better, and the ratio says how many times less."""
    ratio = theirs / ours
    return {
        "workload": workload,
        "size": size,
        "row": "against each row by itself",
        "ours": round(ours, 4),
        "theirs": round(theirs, 4),
        "ratio": round(ratio, 3),
        "goal": goal,
        "met": ratio >= goal,
        "unit": unit,
    }


def rows(model: Path, quick: bool) -> Iterator[dict[str, Any]]:
    """All lines of the table, as they are known."""
    if not (model / "config.json").is_file():
        print(f"no {model}: run `cpi-resets model smollm2` first; left out", file=sys.stderr)
        return
    for weights in ("full", "lora"):
        for completion in (40,) if quick else (40, 200):
            yield from compare(model, weights, 170, completion, 1 if quick else 3)


def main() -> None:
    """Measure and print one JSON object per row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, short completions only")
    parser.add_argument("--model", type=Path, default=SMOLLM2_FOLDER)
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        model, weights, prompt, completion, way = options.one
        print(json.dumps(measure(Path(model), weights, int(prompt), int(completion), way)))
        return
    for one in rows(options.model, options.quick):
        print(json.dumps(one), flush=True)


if __name__ == "__main__":
    main()
