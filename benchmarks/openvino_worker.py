"""Tokens per second of OpenVINO GenAI on requests from standard input.

A program of its own, as OpenVINO lives in an environment that has nothing of this project. Reads
one JSON object: `file`, a model in GGUF; `tokens` of each completion; `rounds`; `cases`, a list of
(prompt ids, seed) for each name. Prints (processor, clock) seconds of each round by case; the first
round, which loads kernels, is not counted.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai


def main() -> None:
    """Read, measure and print."""
    asked = json.load(sys.stdin)
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size, scheduler.enable_prefix_caching = 1, True
    engine = genai.ContinuousBatchingPipeline(asked["file"], scheduler, "CPU", {})
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in asked["cases"]}
    for turn in range(asked["rounds"] + 1):
        for name, requests in asked["cases"].items():
            begin = (time.process_time(), time.perf_counter())
            made = run(engine, requests, asked["tokens"], turn)
            if made != asked["tokens"] * len(requests):
                sys.exit(f"{made} tokens where {asked['tokens'] * len(requests)} were asked for")
            if turn:
                spent[name].append((time.process_time() - begin[0], time.perf_counter() - begin[1]))
    print(json.dumps(spent))


def run(engine: Any, requests: list[tuple[list[int], int]], tokens: int, turn: int) -> int:
    """Sample all requests; returns how many tokens there are.

    Its prefix cache cannot be emptied, so each turn has ids of its own.
    """
    settings = []
    for _, seed in requests:
        each = genai.GenerationConfig()
        each.max_new_tokens, each.ignore_eos = tokens, True
        each.do_sample, each.temperature, each.rng_seed = True, 1.0, seed % 2**31
        settings.append(each)
    ids = [ov.Tensor(np.array([prompt], np.int64) + turn) for prompt, _ in requests]
    return sum(len(one.m_generation_ids[0]) for one in engine.generate(ids, settings))


if __name__ == "__main__":
    main()
