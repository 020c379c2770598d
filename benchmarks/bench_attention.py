"""Attention of one new token per row: two matrix products against torch's fused kernel.

With the heads of SmolLM2, 9 of size 64 that share 3 keys, over rows of several lengths. Times are
of the processor, over all threads; only ratios of one row mean anything.

Run as ``python -m benchmarks.bench_attention [--rounds N] [--threads N]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from llm.models.attention import attend

HEADS, GROUPS, SIZE = 9, 3, 64
CONTESTANTS = {"products": attend, "fused": sdpa_attention_forward}


class Layer(torch.nn.Module):
    """What the contestants ask of a layer."""

    num_key_value_groups = HEADS // GROUPS
    is_causal = True


def measure(rows: int, length: int, precision: torch.dtype, rounds: int) -> dict[str, Any]:
    """Median milliseconds of each, and how far they are apart at most."""
    random = torch.Generator().manual_seed(0)
    shapes = ((rows, HEADS, 1, SIZE), (rows, GROUPS, length, SIZE), (rows, GROUPS, length, SIZE))
    tensors = [torch.randn(*shape, generator=random).to(precision) for shape in shapes]
    mask = torch.ones(rows, 1, 1, length, dtype=torch.bool)
    mask[:, :, :, :5] = False  # as of padding
    layer, found = Layer(), {}
    milliseconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with torch.inference_mode():
        for _ in range(rounds):
            for name, contestant in CONTESTANTS.items():
                begin = time.process_time()
                found[name] = contestant(layer, *tensors, mask)[0].float()
                milliseconds[name].append(1000 * (time.process_time() - begin))
    medians = {name: statistics.median(values) for name, values in milliseconds.items()}
    return {
        "rows": rows,
        "length": length,
        "precision": str(precision).removeprefix("torch."),
        **{name: round(value, 3) for name, value in medians.items()},
        "ratio": round(medians["fused"] / medians["products"], 1),
        "apart": float((found["products"] - found["fused"]).abs().max()),
    }


def main() -> None:
    """Print a line for each number of rows, length and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for precision in (torch.float32, torch.bfloat16):
        for rows, length in ((1, 100), (8, 100), (32, 100), (32, 600)):
            print(json.dumps(measure(rows, length, precision, given.rounds)), flush=True)


if __name__ == "__main__":
    main()
