"""Processor seconds of an update of the tiny model, to hold `cpi-resets plan` against.

Prints a line per method in the form of docs/measurements/plan.jsonl. Processor seconds of one
thread hardly depend on what else the machine does.

Run as ``python -m benchmarks.bench_plan [--updates N]``.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

from experiments.methods import LANGUAGE_METHODS
from experiments.train.spec import TrainBudget, TrainSpec
from experiments.train.training import Training
from experiments.worlds.language import WORLDS
from llm.models.settings import TINY_NAME, ModelSettings
from llm.simulator import driver_of
from llm.training.rows import training_rows
from llm.training.settings import LossSettings, OptimizerSettings

METHODS = ("GRPO", "RRPO", "SRPO", "Frontier")


def measure(method: str, updates: int) -> dict[str, Any]:
    """Means over some updates after a first one, which loads kernels."""
    spec = TrainSpec(
        WORLDS["natural"],
        LANGUAGE_METHODS[method],
        ModelSettings(TINY_NAME),
        OptimizerSettings(rate=1e-9),  # the same model throughout
        LossSettings(),
        TrainBudget(updates=updates),
        seed=0,
    )
    training = Training(spec)
    found = [_update(training, number) for number in range(updates + 1)][1:]
    usage = training.simulator.usage
    means = {name: sum(f[name] for f in found) / updates for name in found[0]}
    rollouts = [f["generated"] / f["rollouts"] for f in found]
    return {
        "model": TINY_NAME,
        "method": method,
        "threads": 1,
        **{name: round(value, 4) for name, value in means.items()},
        "tokens": round(sum(rollouts) / updates, 1),
        "reply": round(usage.localization_tokens / max(training.asked, 1), 1),
    }


def _update(training: Any, number: int) -> dict[str, float]:
    begin, usage = time.process_time(), training.simulator.usage
    before, asked = usage.generated - usage.localization_tokens, usage.localization_tokens
    starts = training.simulator.start_states(training.begin(number + 1))
    collection = driver_of(training.simulator)(
        training.spec.method.algorithm, training.simulator, starts, training.key.child(number)
    )
    sampled = time.process_time()
    training.trainer.step(training_rows(collection))
    learned = time.process_time()
    training.asked = getattr(training, "asked", 0) + collection.localizations
    rewards = [r.reward for g in collection if g.parent is None for r in g.rollouts]
    return {
        "sampling": sampled - begin,
        "learning": learned - sampled,
        "rollouts": collection.generated_rollouts,
        "generated": usage.generated - usage.localization_tokens - before,
        "localised": usage.localization_tokens - asked,
        "pass_rate": sum(rewards) / len(rewards),
    }


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=6)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for method in METHODS:
        print(json.dumps(measure(method, given.updates)), flush=True)


if __name__ == "__main__":
    main()
