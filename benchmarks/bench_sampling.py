"""Tokens per second of one model by several engines.

Batches of 1, 8 and 64 requests with distinct prompts, and 64 that share 8. Every request has
as many tokens as it may, whatever it says: no end-of-sequence token ends one. Each engine runs in
float32 and in bfloat16; ours in bfloat16 is a copy beside the float32 model. vLLM runs in its own
environment (``make test-vllm`` makes it), once by its own ``LLM.generate`` and once by our sampler;
OpenVINO in ``.venv-openvino`` (``pip install openvino-genai openvino-tokenizers numpy``), on the
4-bit file that the package of SmolLM2 ships.
Rates are per second of the processor over all threads and of the clock; on a machine with other
work only the former mean anything.

Run as ``python -m benchmarks.bench_sampling [--model DIR] [--tokens N] [--engines NAME ...]``.
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
from pathlib import Path
from typing import Any

from cpi_theory.randomness import Key
from llm.models.settings import SMOLLM2_FOLDER

VLLM = Path(".venv-vllm/bin/python")
OPENVINO = Path(".venv-openvino/bin/python")
ENGINES = ("transformers", "vllm", "openvino")
PROMPT = 85
"""Tokens of a prompt: those of a sum in SmolLM2's chat template with a system prompt."""
CASES = {"1": (1, 1), "8 distinct": (8, 1), "64 distinct": (64, 1), "8 x 8": (8, 8)}


def requests(prompts: int, each: int) -> list[tuple[tuple[int, ...], int]]:
    """Random ids with a key for each request."""
    drawn = Key.of(0).child("prompts").integers(prompts * PROMPT).reshape(prompts, PROMPT)
    keys = iter(Key.of(0).child("keys").integers(prompts * each))
    # Ids below 100 have special meanings in many tokenizers.
    ids = [tuple(100 + int(i) % 20_000 for i in row) for row in drawn]
    return [(prompt, int(next(keys))) for prompt in ids for _ in range(each)]


def with_transformers(model: str, tokens: int) -> dict[str, Callable[[list[Any]], int]]:
    """Our samplers, a stream, and ``generate``."""
    import torch

    from llm.models.load import load_model
    from llm.models.settings import ModelSettings
    from llm.sampling.base import Request, Sampling
    from llm.sampling.transformers.rounded_sampler import RoundedSampler
    from llm.sampling.transformers.sampler import TransformersSampler

    network, vocabulary = load_model(ModelSettings(model))
    rounded_network, _ = load_model(ModelSettings(model, precision="bfloat16"))
    # Without ends of sequences, every request has all its tokens.
    vocabulary.eos = frozenset()
    sampler = TransformersSampler(network, vocabulary)
    rounded = RoundedSampler(network, vocabulary, 256, torch.bfloat16)

    def batches(engine: TransformersSampler | RoundedSampler) -> Callable[[list[Any]], int]:
        def run(asked: list[Any]) -> int:
            found = engine.generate([Request(p, tokens, k) for p, k in asked], Sampling())
            return sum(len(c.tokens) for c in found)

        return run

    def streamed(asked: list[Any]) -> int:
        stream, count = sampler.stream(), 0
        for prompt, key in asked:
            stream.submit(Request(prompt, tokens, key), Sampling())
        while done := stream.finished():
            count += sum(len(c.tokens) for _, c in done)
        return count

    def generate(held: Any) -> Callable[[list[Any]], int]:
        options = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}

        def run(asked: list[Any]) -> int:
            ids = torch.tensor([prompt for prompt, _ in asked])
            with torch.inference_mode():
                out = held.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=tokens,
                    min_new_tokens=tokens,
                    **options,
                )
            return int(out[:, ids.shape[1] :].numel())

        return run

    return {
        "ours": batches(sampler),
        "ours, streaming": streamed,
        "generate": generate(network),
        "ours, bfloat16": batches(rounded),
        "generate, bfloat16": generate(rounded_network),
    }


def with_vllm(model: str, tokens: int, precision: str) -> dict[str, Callable[[list[Any]], int]]:
    """Our sampler on vLLM, and ``LLM.generate``."""
    import vllm
    from transformers import AutoTokenizer

    from llm.sampling.base import Request, Sampling
    from llm.sampling.vllm.sampler import VllmSampler, VllmSettings
    from llm.text.vocabulary import Vocabulary

    settings = VllmSettings(model, dtype=precision, context=512, eager=True)  # type: ignore[arg-type]
    sampler = VllmSampler(settings, Vocabulary(AutoTokenizer.from_pretrained(model)))
    sampler.eos = frozenset()
    engine: Any = sampler._llm

    def ours(asked: list[Any]) -> int:
        engine.reset_prefix_cache()
        found = sampler.generate([Request(p, tokens, k) for p, k in asked], Sampling())
        return sum(len(c.tokens) for c in found)

    def raw(asked: list[Any]) -> int:
        engine.reset_prefix_cache()
        given = [{"prompt_token_ids": list(prompt)} for prompt, _ in asked]
        # Without seeds: on a CPU vLLM cannot set a seeded stream back where it cuts a prompt.
        params = vllm.SamplingParams(
            max_tokens=tokens, logprobs=0, ignore_eos=True, detokenize=False
        )
        outputs = engine.generate(given, params, use_tqdm=False)
        return sum(len(o.outputs[0].token_ids) for o in outputs)

    return {f"ours on vLLM, {precision}": ours, f"vLLM, {precision}": raw}


def measure(engines: dict[str, Callable[[list[Any]], int]], rounds: int) -> None:
    """Print a line per engine and case: medians of interleaved runs."""
    for case, (prompts, each) in CASES.items():
        asked = requests(prompts, each)
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
        for turn in range(rounds + 1):
            for name in list(engines)[:: 1 if turn % 2 else -1]:
                begin = (time.process_time(), time.perf_counter())
                count = engines[name](asked)
                spent = (time.process_time() - begin[0], time.perf_counter() - begin[1])
                if turn:  # the first run warms up
                    rates[name].append((count / spent[0], count / spent[1]))
        for name, found in rates.items():
            show(name, case, found)


def show(engine: str, case: str, rates: list[tuple[float, float]]) -> None:
    """Print the medians of tokens per second of the processor and of the clock."""
    busy, passed = (round(statistics.median(column), 1) for column in zip(*rates, strict=True))
    line = {"engine": engine, "batch": case}
    line |= {"tokens_per_cpu_second": busy, "tokens_per_second": passed}
    print(json.dumps(line), flush=True)


def in_vllm(given: argparse.Namespace) -> None:
    """Print the rows of vLLM, which come from its own environment."""
    for precision in ("float32", "bfloat16"):
        command = [str(VLLM), "-m", "benchmarks.bench_sampling", "--one", precision]
        command += ["--model", given.model, "--tokens", str(given.tokens)]
        command += ["--rounds", str(given.rounds)]
        surroundings = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=surroundings
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        print("\n".join(lines), flush=True)


def in_openvino(given: argparse.Namespace) -> None:
    """Print the rows of OpenVINO on the file that SmolLM2 ships in, with its weights of 4 bits."""
    from llm.models.smollm2 import find_file

    cases = {name: requests(*sizes) for name, sizes in CASES.items()}
    asked = {"file": str(find_file()), "tokens": given.tokens, "rounds": given.rounds}
    done = subprocess.run(
        [str(OPENVINO), "-m", "benchmarks.openvino_worker"],
        input=json.dumps(asked | {"cases": cases}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for case, spent in json.loads(done.stdout.splitlines()[-1]).items():
        tokens = given.tokens * len(cases[case])
        show("OpenVINO GenAI, 4 bits", case, [(tokens / s, tokens / t) for s, t in spent])


def main() -> None:
    """Print the table; rows of vLLM and OpenVINO where there are environments of theirs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(SMOLLM2_FOLDER))
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--one", choices=("float32", "bfloat16"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure(with_vllm(given.model, given.tokens, given.one), given.rounds)
        return
    if "transformers" in given.engines:
        import torch

        torch.set_num_threads(given.threads)
        measure(with_transformers(given.model, given.tokens), given.rounds)
    for name, python, run in (("vllm", VLLM, in_vllm), ("openvino", OPENVINO, in_openvino)):
        if name in given.engines and python.exists():
            run(given)
        elif name in given.engines:
            print(f"{name} is left out: there is no {python}", file=sys.stderr)


if __name__ == "__main__":
    main()
