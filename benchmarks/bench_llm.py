"""Language models: a training step of SRPO against GRPO's, and the simulator against its peers.

All on the warm-started tiny model, on one core. Contestants are first shown to do the same work,
then they run interleaved in rotating order and the medians are compared; only ratios of one row
mean anything. Rates are per second of processor time, which on one thread is the time that passes
on an idle machine. The peers are

- the published scheme: one request in flight per prompt, a call per thought, the whole context
  submitted again each time;
- ``model.generate`` of transformers on the same requests, which computes a prompt anew for every
  row, has one random stream for all of them, and ends at the end-of-sequence token alone;
- vLLM's own ``LLM.generate`` on the same requests, where its environment has been made
  (``make test-vllm``). Its kernels for CPUs cannot serve the tiny model's heads, so that row takes
  an untrained model with larger ones.

Run as ``python -m benchmarks.bench_llm [--quick] [--profile]``.
"""

from __future__ import annotations

import os

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import SRPO
from cpi_theory.randomness import Key
from cpi_theory.seam import Numbered
from experiments.worlds.language import WORLDS
from llm.engines.lean import LeanTrainer
from llm.models.load import load_model
from llm.models.settings import TINY_NAME, ModelSettings
from llm.opening import self_localizer
from llm.sampling.base import GREEDY, Request, Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator
from llm.text.rollouts import TextState, Tokens
from llm.text.stop_rules import ThoughtStop
from llm.training.rows import TrainingRow, training_rows
from llm.training.settings import LossSettings, OptimizerSettings

PROMPTS, ROLLOUTS = 8, 8
VLLM = Path(".venv-vllm/bin/python")
Call = Callable[[], float]
"""Does its work once; what it got done, to be divided by the time it took."""

SETS = 6
"""Sets of problems that are gone through in turn, the same for all contestants of a row."""


class World:
    """The tiny model on its natural mix of problems."""

    def __init__(self, sampling: Sampling | None = None) -> None:
        self.model, self.vocabulary = load_model(ModelSettings(TINY_NAME))
        self.sampler = TransformersSampler(self.model, self.vocabulary)
        world = WORLDS["natural"]
        self.simulator = LanguageModelSimulator(
            self.sampler,
            self.vocabulary,
            world.task(),
            world.form(),
            sampling or Sampling(),
            self_localizer(world.task(), self.sampler, self.vocabulary, world.form()),
        )

    def starts(self, number: int) -> list[TextState]:
        """The states of a set of problems."""
        problems = self.simulator.task.problems("train", PROMPTS, 100 + number % SETS)
        return self.simulator.start_states(problems)


def medians(contestants: dict[str, list[Call]], rounds: int) -> dict[str, float]:
    """Median rate of each, interleaved in rotating order, over the same sets of problems."""
    names = list(contestants)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            call = contestants[name][turn % len(contestants[name])]
            begin = time.process_time()
            done = call()
            rates[name].append(done / (time.process_time() - begin))
    return {name: statistics.median(found) for name, found in rates.items()}


def row(
    workload: str, against: str, ours: float, theirs: float, goal: float, unit: str
) -> dict[str, Any]:
    """A line of the table; a higher ratio is better."""
    ratio = ours / theirs
    return {
        "workload": workload,
        "size": f"{PROMPTS} prompts x {ROLLOUTS} rollouts",
        "row": f"against {against}",
        "ours": round(ours, 4),
        "theirs": round(theirs, 4),
        "ratio": round(ratio, 3),
        "goal": round(goal, 3),
        "met": ratio >= goal,
        "unit": unit,
    }


# --- a training step


ALGORITHMS = {"GRPO": GRPO(ROLLOUTS), "SRPO": SRPO(on_refusal="fresh")}


def training_step(world: World, name: str, number: int, all_rows: bool) -> Call:
    """Collect and learn; at so small a rate that the policy stays what it is."""
    trainer = LeanTrainer(world.model, OptimizerSettings(rate=1e-12), LossSettings())
    starts = world.starts(number)

    def run() -> float:
        collection = collect(ALGORITHMS[name], world.simulator, starts, Key.of(number))
        rows = training_rows(collection)
        assert len(rows) == PROMPTS * ROLLOUTS
        trainer.step([_informative(r) for r in rows] if all_rows else rows)
        return 1.0

    return run


def _informative(given: TrainingRow) -> TrainingRow:
    """Rows of advantage 0 are skipped; here all of them are computed."""
    return dataclasses.replace(given, advantages=given.advantages + 1e-12)


def training_rows_of_table(rounds: int) -> list[dict[str, Any]]:
    """SRPO against GRPO, once with equally many rows computed, once as training goes."""
    world, table = World(), []
    for all_rows, what in ((True, "64 rows computed"), (False, "rows of advantage 0 skipped")):
        calls = {
            name: [training_step(world, name, i, all_rows) for i in range(SETS)]
            for name in ALGORITHMS
        }
        for call in (calls["GRPO"][0], calls["SRPO"][0]):
            call()
        rate = medians(calls, rounds)
        against = f"GRPO, {what}"
        table.append(
            row("training step, SRPO", against, rate["SRPO"], rate["GRPO"], 1 / 1.3, "steps/s")
        )
    return table


# --- reuse of prefixes


class Meter:
    """A sampler that notes what each call gave and cost; everything else passes through."""

    def __init__(self, inner: TransformersSampler) -> None:
        self._inner, self.calls = inner, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def generate(self, requests: Any, sampling: Any) -> Any:
        before = dataclasses.replace(self._inner.work)
        completions = self._inner.generate(requests, sampling)
        work = self._inner.work
        self.calls.append(
            {
                "given": sum(len(r.tokens) for r in requests),
                "prefilled": work.prefilled - before.prefilled,
                "decoded": work.decoded - before.decoded,
            }
        )
        return completions


def prefix_rows() -> list[dict[str, Any]]:
    """What the call for the suffixes computes: counts, not times."""
    world = World()
    world.simulator.sampler = meter = Meter(world.sampler)
    given = prefilled = decoded = suffix = 0
    for number in range(SETS):
        collection = collect(
            ALGORITHMS["SRPO"], world.simulator, world.starts(number), Key.of(number)
        )
        cost = meter.calls[-1]
        fresh = {g.prompt for g in collection if g.parent is None and len(g.rollouts) > 4}
        drawn = [r for g in collection if g.parent is not None for r in g.rollouts]
        drawn += [
            r for g in collection if g.prompt in fresh and g.parent is None for r in g.rollouts[4:]
        ]
        suffix += sum(len(r.tokens) for r in drawn)
        given, prefilled = given + cost["given"], prefilled + cost["prefilled"]
        decoded += cost["decoded"]
    return [
        row("suffix call, tokens sampled", "those kept as suffixes", suffix, decoded, 1, "tokens"),
        row("suffix call, prompt tokens", "those computed", given, prefilled, 4, "tokens"),
    ]


# --- the simulator against its peers


def simulate(world: World, number: int) -> Call:
    """All rollouts of a set in one call; tokens sampled."""
    states = [s for s in world.starts(number) for _ in range(ROLLOUTS)]
    keys = Key.of(number).integers(len(states))
    return lambda: float(sum(len(r.tokens) for r in world.simulator.rollout(states, keys)))


def sequential(world: World, number: int) -> Callable[[], list[Tokens]]:
    """The published scheme; the ids of each rollout, those of one prompt next to each other."""
    states = world.starts(number)
    keys = iter(range(1 << 40))

    def run() -> list[Tokens]:
        chains = [[_Chain(world, s) for _ in range(ROLLOUTS)] for s in states]
        while going := [c for chain in chains if (c := next(filter(_goes_on, chain), None))]:
            asked = [c.request(next(keys)) for c in going]
            thoughts = world.sampler.generate(asked, world.simulator.sampling)
            for chain, thought in zip(going, thoughts, strict=True):
                chain.take(thought.tokens)
        return [tuple(c.tokens) for chain in chains for c in chain]

    return run


class _Chain:
    """A rollout that asks for one thought after the other."""

    def __init__(self, world: World, state: TextState) -> None:
        self.state, self.tokens, self.world = state, [], world
        self.segmenter = self.stop(None).segmenter(world.vocabulary.eos)

    def request(self, key: int) -> Request:
        whole = self.state.tokens + tuple(self.tokens)
        room = self.world.simulator.form.max_tokens - len(self.tokens)
        return Request(whole, room, key, self.stop(1))

    def stop(self, most: int | None) -> ThoughtStop:
        thoughts = len(self.segmenter.spans) if self.tokens else 0
        kept = len(self.state.kept) + len(self.tokens)
        return ThoughtStop(self.world.simulator.form, len(self.state.ends) + thoughts, kept, most)

    def take(self, tokens: Tokens) -> None:
        for token in tokens:
            self.segmenter.push(token, self.world.vocabulary.piece(token))
        self.tokens.extend(tokens)


def _goes_on(chain: _Chain) -> bool:
    return chain.segmenter.ended is None


def raw_generate(world: World, number: int) -> Callable[[], list[Tokens]]:
    """``model.generate`` on the prompts of a set, padded on the left."""
    prompts = [s.tokens for s in world.starts(number) for _ in range(ROLLOUTS)]
    width, pad = max(map(len, prompts)), world.vocabulary.pad
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])
    sampling = world.simulator.sampling
    drawn: dict[str, Any] = {"do_sample": False}
    if sampling.temperature:
        drawn = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}

    def run() -> list[Tokens]:
        out = world.model.generate(
            input_ids=ids,
            attention_mask=(ids != pad).long(),
            max_new_tokens=world.simulator.form.max_tokens,
            **drawn,
        )
        return [_up_to_end(r, world) for r in out[:, width:].tolist()]

    return run


def _up_to_end(tokens: list[int], world: World) -> Tokens:
    ends = [i for i, token in enumerate(tokens) if token in world.vocabulary.eos]
    return tuple(tokens[: ends[0] + 1] if ends else tokens)


def gate() -> None:
    """Refuse peers that do not find the same likeliest texts as the simulator."""
    world = World(GREEDY)
    states = [s for s in world.starts(0) for _ in range(ROLLOUTS)]
    ours = [r.tokens for r in Numbered(world.simulator).rollout(states)]
    if sequential(world, 0)() != ours:
        raise SystemExit("the sequential scheme gives other texts")
    whole = raw_generate(world, 0)()
    if any(theirs[: len(mine)] != mine for mine, theirs in zip(ours, whole, strict=True)):
        raise SystemExit("model.generate gives other texts")


def count(run: Callable[[], list[Tokens]]) -> Call:
    """Its tokens."""
    return lambda: float(sum(map(len, run())))


def simulator_rows(rounds: int) -> list[dict[str, Any]]:
    """Tokens per second against the two peers."""
    gate()
    world = World()
    table = []
    peers = (
        ("published scheme, sequential", sequential, 8.0),
        ("model.generate", raw_generate, 0.9),
    )
    for name, peer, goal in peers:
        calls = {
            "ours": [simulate(world, i) for i in range(SETS)],
            "theirs": [count(peer(world, i)) for i in range(SETS)],
        }
        for call in (calls["ours"][0], calls["theirs"][0]):
            call()
        rate = medians(calls, rounds)
        table.append(row("simulator", name, rate["ours"], rate["theirs"], goal, "tokens/s"))
    return table


# --- the same with vLLM, in its own environment


def vllm_rows(rounds: int) -> list[dict[str, Any]]:
    """Those that the environment of vLLM measures, none where it has not been made."""
    if not VLLM.exists():
        print("no .venv-vllm: raw vLLM is left out", file=sys.stderr)
        return []
    command = [str(VLLM), "-m", "benchmarks.bench_llm_vllm", str(rounds)]
    given = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=given)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def profile() -> None:
    """Where a training step's time goes."""
    import cProfile
    import pstats

    world = World()
    for name in ALGORITHMS:
        calls = [training_step(world, name, i, True) for i in range(SETS)]
        calls[0]()
        with cProfile.Profile() as recorder:
            for call in calls:
                call()
        print(f"--- {name}, {SETS} training steps")
        pstats.Stats(recorder).sort_stats("cumulative").print_stats(35)


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """All lines of the table."""
    rounds = 6 if quick else 30
    return [
        *training_rows_of_table(rounds),
        *prefix_rows(),
        *simulator_rows(rounds if quick else 12),
        *([] if quick else vllm_rows(12)),
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "--profile" in sys.argv:
        profile()
    else:
        for one in rows("--quick" in sys.argv):
            print(json.dumps(one), flush=True)
