"""A training step of SRPO against GRPO's, in lock-step and streaming, at equally many rows.

SRPO has three phases in a row: base rollouts, localisations, suffixes. In lock-step each waits for
the longest row of the one before. Streaming can hide that where other prompts have work for the
slots that fall free, so it is measured with more rollouts than slots and with fewer. Texts come
from the model at temperature 1; their lengths have a heavy tail, as those of a trained model do: a
rollout's limit is log-normal by its key, the same in both drivers.

The share of prompts with the same groups stands in each line: all of them on a small model. A
larger one rounds otherwise in batches of another shape, and where a random number falls between two
tokens to rounding, the texts part there. Contestants run interleaved, and times are of
the processor, on one thread; only ratios of one row mean anything. The model is SmolLM2 from a
folder, or the tiny model where there is none.

Run as ``python -m benchmarks.bench_streaming [--model DIR] [--rounds N] [--tokens N] [--learn]``.
"""

from __future__ import annotations

import os

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import SRPO
from cpi_theory.algorithms.streaming import stream
from cpi_theory.randomness import Key
from cpi_theory.seam import Collection
from cpi_theory.testing.comparing import same_group
from llm.engines.lean import LeanTrainer
from llm.localizers.self_localizer import SelfLocalizer
from llm.models.load import load_model
from llm.models.settings import SMOLLM2_FOLDER, TINY_NAME, ModelSettings
from llm.sampling.base import Request, Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, Verdict
from llm.text.thoughts import ThoughtFormat
from llm.training.rows import training_rows
from llm.training.settings import LossSettings, OptimizerSettings

ROLLOUTS = 8
METHODS = {"GRPO": GRPO(ROLLOUTS), "SRPO": SRPO(on_refusal="fresh")}
DRIVERS: dict[str, Callable[..., Collection]] = {"lock-step": collect, "streaming": stream}
SPREAD = 0.8
"""Of the logarithm of lengths: the longest of 64 is then about six times the median."""


class Sums:
    """Questions of unequal length; a text is right if it has an even number of letters."""

    def problems(self, split: str, count: int, seed: int) -> list[Problem]:
        """Give questions of 3 to 12 numbers."""
        numbers = Key.of(seed).child(split).integers(count * 12).reshape(count, 12) % np.uint64(100)
        return [
            Problem(str(i), "What is " + " + ".join(map(str, row[: 3 + i % 10])) + "?", "0")
            for i, row in enumerate(numbers.tolist())
        ]

    def prompt(self, problem: Problem) -> str:
        """Give the question as it is."""
        return problem.question

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Judge by the length: half of all texts fail, whatever the model knows."""
        del problem
        return Verdict(float(len(text) % 2 == 0), None)


class HeavyTails(LanguageModelSimulator):
    """A world in which a rollout's limit on tokens is drawn with its key.

    Attributes:
        median: of the limits.
    """

    median = 24

    def _request(self, written: Any, key: int) -> Request:
        request = super()._request(written, key)
        normal = Key.of(key).child("length").generator().standard_normal()
        limit = int(self.median * np.exp(SPREAD * normal))
        return dataclasses.replace(request, max_tokens=max(2, min(limit, request.max_tokens)))


def world(model: Any, vocabulary: Any, slots: int, tokens: int) -> HeavyTails:
    """A world over a model that cuts after every 4 tokens and localises in 6."""
    sampler = TransformersSampler(model, vocabulary, max_batch=slots)
    form = ThoughtFormat(max_tokens=tokens * 8, thought_tokens=4, max_thoughts=tokens * 8)
    asked = SelfLocalizer(sampler, vocabulary, Steps(), max_tokens=6)
    made = HeavyTails(sampler, vocabulary, Sums(), form, Sampling(), localizer=asked)
    made.median = tokens
    return made


class Steps:
    """Shows a solution and asks for a number; most replies are refused, which costs the same."""

    def render(self, problem: Problem, thoughts: Sequence[str]) -> str:
        """Give the question and the thoughts by number."""
        steps = "\n".join(f"Step {i}: {text}" for i, text in enumerate(thoughts, 1))
        return f"{problem.question}\n{steps}\nThe first wrong step is \\boxed{{"


def same(one: Collection, other: Collection) -> float:
    """Share of the prompts for which both drivers found the same groups."""
    prompts = {group.prompt for group in (*one, *other)}
    alike = 0
    for prompt in prompts:
        mine, theirs = ([g for g in c if g.prompt == prompt] for c in (one, other))
        alike += len(mine) == len(theirs) and all(map(same_group, mine, theirs))
    return alike / len(prompts)


def measure(made: HeavyTails, prompts: int, rounds: int, learn: bool) -> dict[str, Any]:
    """Median seconds of the processor per step, of each method and driver."""
    trainer = LeanTrainer(made.sampler.model, OptimizerSettings(rate=1e-12), LossSettings())  # type: ignore[attr-defined]
    seconds: dict[tuple[str, str], list[float]] = {(m, d): [] for m in METHODS for d in DRIVERS}
    alike: list[float] = []
    tokens: dict[str, int] = dict.fromkeys(METHODS, 0)
    for turn in range(rounds):
        starts = made.start_states(made.task.problems("train", prompts, turn))
        found: dict[str, dict[str, Collection]] = {m: {} for m in METHODS}
        order = list(seconds)[turn % 4 :] + list(seconds)[: turn % 4]
        for method, driver in order:
            begin, before = time.process_time(), made.usage.generated
            collection = DRIVERS[driver](METHODS[method], made, starts, Key.of(turn))
            if learn:
                rows = training_rows(collection)
                trainer.step(
                    [dataclasses.replace(r, advantages=r.advantages + 1e-12) for r in rows]
                )
            seconds[method, driver].append(time.process_time() - begin)
            tokens[method] = made.usage.generated - before
            found[method][driver] = collection
        alike += [same(*both.values()) for both in found.values()]
    middle = {pair: statistics.median(values) for pair, values in seconds.items()}
    ratios = {
        driver: statistics.median(
            s / g for s, g in zip(seconds["SRPO", driver], seconds["GRPO", driver], strict=True)
        )
        for driver in DRIVERS
    }
    mixed = [
        s / g
        for s, g in zip(seconds["SRPO", "streaming"], seconds["GRPO", "lock-step"], strict=True)
    ]
    return {
        "seconds": {f"{m}, {d}": round(v, 2) for (m, d), v in middle.items()},
        "SRPO / GRPO, lock-step": round(ratios["lock-step"], 3),
        "SRPO / GRPO, streaming": round(ratios["streaming"], 3),
        "SRPO streaming / GRPO lock-step": round(statistics.median(mixed), 3),
        "tokens": tokens,
        "same groups": round(statistics.mean(alike), 3),
    }


def rows(
    model: str, rounds: int = 4, tokens: int = 24, learn: bool = False, cases: str = "both"
) -> list[dict[str, Any]]:
    """All lines of the table."""
    network, vocabulary = load_model(ModelSettings(model))
    table = []
    for name, prompts, slots in (("saturated", 8, 16), ("small batch", 2, 64)):
        if cases in ("both", name):
            made = world(network, vocabulary, slots, tokens)
            found = measure(made, prompts, rounds, learn)
            size = f"{prompts} prompts x {ROLLOUTS} rollouts in {slots} slots"
            ratio = found["SRPO / GRPO, streaming"]
            goal = {"goal": 1.15, "met": ratio <= 1.15} if name == "saturated" else {}
            table.append({"workload": f"training step, {name}", "size": size, **found, **goal})
    return table


def main() -> None:
    """Print the table, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", default=str(SMOLLM2_FOLDER) if SMOLLM2_FOLDER.exists() else TINY_NAME
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--learn", action="store_true", help="learn from the groups as well")
    parser.add_argument("--cases", default="both")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    for one in rows(given.model, given.rounds, given.tokens, given.learn, given.cases):
        print(json.dumps({"model": given.model, **one}), flush=True)


if __name__ == "__main__":
    main()
