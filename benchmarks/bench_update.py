"""Seconds of one whole update of a real model: sampling, learning, and handing the weights over.

Each update has 4 prompts of 85 tokens with 8 rollouts of exactly 40 tokens, through the simulator.
Advantages are set afterwards, so that every row has one. Precisions and engines run in processes of
their own; vLLM in its own environment (``make test-vllm`` makes it). Times are of the clock, so the
machine has to be quiet.

Run as ``python -m benchmarks.bench_update [--model DIR] [--rounds N] [--threads N] [--vllm none]``;
``--profile`` adds where sampling and learning spend their time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.bench_sampling import PROMPT, VLLM
from cpi_theory.randomness import Key
from llm.models.settings import SMOLLM2_FOLDER
from llm.sampling.settings import Engine, Precision
from llm.training.settings import LearningPrecision

if TYPE_CHECKING:
    from cpi_theory.seam import Collection
    from llm.engines.lean import StepReport

PROMPTS, ROLLOUTS, TOKENS = 4, 8, 40


@dataclass(frozen=True)
class Way:
    """How an update is made.

    Attributes:
        engine: that samples.
        sampling: precision of the weights that are sampled from.
        learning: precision of products in learning, see :class:`OptimizerSettings`.
        goal: most seconds per update; None: none.
    """

    engine: Engine
    sampling: Precision
    learning: LearningPrecision
    goal: float | None = None


WAYS = {
    "float32": Way("transformers", "model", "weights", 15.0),
    "float32, learning in autocast": Way("transformers", "model", "autocast", 10.0),
    "bfloat16 copy, learning in autocast": Way("transformers", "bfloat16", "autocast", 10.0),
    "vLLM in bfloat16, learning in float32": Way("vllm", "bfloat16", "weights", 15.0),
    "vLLM in bfloat16, learning in autocast": Way("vllm", "bfloat16", "autocast", 10.0),
}


class Digits:
    """Random digits as questions, which nothing answers."""

    def problems(self, split: str, count: int, seed: int) -> list[Any]:
        """Give distinct problems."""
        from llm.task import Problem

        return [Problem(f"{split} {seed} {i}", str(i), "0") for i in range(count)]

    def prompt(self, problem: Any) -> str:
        """Give digits, a token each."""
        numbers = Key.of(int(problem.id.split()[1])).child(problem.question).integers(PROMPT)
        return "".join(str(int(n) % 10) for n in numbers)

    def verify(self, problem: Any, text: str) -> Any:
        """Give no reward."""
        from llm.task import Verdict

        del problem, text
        return Verdict(0.0, None)


def measure(model: str, way: Way, rounds: int, profile: bool = False) -> dict[str, Any]:
    """Medians over some updates in this process; if asked, also where their time goes."""
    from cpi_theory import GRPO, collect
    from llm.engines.lean import LeanTrainer
    from llm.models.load import load_model
    from llm.models.settings import ModelSettings
    from llm.sampling.engine import make_sampler
    from llm.sampling.settings import SamplerSettings
    from llm.simulator import LanguageModelSimulator
    from llm.text.thoughts import ThoughtFormat
    from llm.training.rows import training_rows
    from llm.training.settings import LossSettings, OptimizerSettings

    settings = ModelSettings(model)
    network, vocabulary = load_model(settings)
    vocabulary.eos = frozenset()  # every rollout has all its tokens
    chosen = SamplerSettings(way.engine, eager=True, precision=way.sampling)
    sampler = make_sampler(chosen, network, vocabulary, settings)
    form = ThoughtFormat(max_tokens=TOKENS)
    world = LanguageModelSimulator(sampler, vocabulary, Digits(), form)
    optimizer = OptimizerSettings(1e-6, micro_batch=8, precision=way.learning)
    trainer = LeanTrainer(network, optimizer, LossSettings("corrected"))

    def learn(collection: Collection) -> StepReport:
        rows = training_rows(collection)
        return trainer.step(
            [replace(r, advantages=r.advantages + 1 - 2 * (i % 2)) for i, r in enumerate(rows)]
        )

    found: list[dict[str, float]] = []
    for turn in range(rounds + 1):
        starts = world.start_states(world.task.problems("train", PROMPTS, turn))
        begin = time.perf_counter()
        collection = collect(GRPO(ROLLOUTS), world, starts, Key.of(turn))
        sampled = time.perf_counter()
        report = learn(collection)
        learned = time.perf_counter()
        sampler.sync(network)
        over = time.perf_counter()
        assert report.trained_tokens == PROMPTS * ROLLOUTS * TOKENS, report
        if turn:  # the first loads kernels
            found.append(
                {
                    "seconds": over - begin,
                    "sampling": sampled - begin,
                    "learning": learned - sampled,
                    "handing over": over - learned,
                    "logprob_gap": report.notes["logprob_gap"],
                }
            )
    medians: dict[str, Any] = {
        name: round(statistics.median(f[name] for f in found), 4) for name in found[0]
    }
    if profile:
        again = Key.of(rounds)
        medians["share of sampling"] = _shares(
            lambda: collect(GRPO(ROLLOUTS), world, starts, again)
        )
        medians["share of learning"] = _shares(lambda: learn(collection))
    return medians


def _shares(work: Callable[[], object], most: int = 8) -> dict[str, float]:
    """Of the processor time of some work, by the operations that take most of it."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiling

    with profiling(activities=[ProfilerActivity.CPU]) as found:
        work()
    spent = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    total = sum(spent.values())
    return {
        name: round(spent[name] / total, 3)
        for name in sorted(spent, key=spent.__getitem__, reverse=True)[:most]
    }


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(SMOLLM2_FOLDER))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--vllm", choices=("use", "none"), default="use")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        if WAYS[given.one].engine != "vllm":  # vLLM sets its own
            import torch

            torch.set_num_threads(given.threads)
        print(json.dumps(measure(given.model, WAYS[given.one], given.rounds, given.profile)))
        return
    for name, way in WAYS.items():
        if way.engine == "vllm" and (given.vllm == "none" or not VLLM.exists()):
            print(f"{name}: vLLM is left out", file=sys.stderr)
            continue
        python = str(VLLM) if way.engine == "vllm" else sys.executable
        command = [python, "-m", "benchmarks.bench_update", "--one", name, "--model", given.model]
        command += ["--rounds", str(given.rounds), "--threads", str(given.threads)]
        command += ["--profile"] * given.profile
        surroundings = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=surroundings
        )
        line: dict[str, Any] = {"update": name, **json.loads(done.stdout.splitlines()[-1])}
        if way.goal is not None:
            line |= {"goal": way.goal, "met": line["seconds"] <= way.goal}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
