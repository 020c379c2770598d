"""How fast a device samples from and trains a model of a given shape, with random weights.

Speed depends on shapes, not on what a model knows, so nothing has to be downloaded.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cpi_theory.checks import check_count
from cpi_theory.randomness import Key
from llm.engines.lean import LeanTrainer
from llm.models.load import find_device
from llm.models.settings import Precision
from llm.models.tiny import tokenizer
from llm.sampling.base import Completion, Request, Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.sampling.vllm.sampler import VllmSampler, VllmSettings
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.text.rollouts import Tokens
from llm.text.vocabulary import Vocabulary
from llm.training.rows import TrainingRow
from llm.training.settings import LossSettings, OptimizerSettings, SharedPrefixes


@dataclass(frozen=True, slots=True)
class Qwen2Shape:
    """Sizes of a Qwen2 model, by default those of the one with 0.5 billion parameters.

    Attributes:
        width, layers, heads, key_heads, feed_forward: of the blocks.
        words: size of the vocabulary; input and output embeddings are one matrix.
    """

    width: int = 896
    layers: int = 24
    heads: int = 14
    key_heads: int = 2
    feed_forward: int = 4864
    words: int = 151_936

    @classmethod
    def smollm2(cls) -> Qwen2Shape:
        """The sizes of SmolLM2 with 135 million parameters (whose projections have no biases)."""
        return cls(576, layers=30, heads=9, key_heads=3, feed_forward=1536, words=49_152)

    def build(self, device: torch.device, precision: Precision, seed: int = 0) -> Any:
        """Build an untrained model on a device.

        Args:
            device: where.
            precision: of the weights.
            seed: of the weights; torch's own random stream is left alone.

        Source: Yang et al. (2024), arXiv 2407.10671 (Qwen2).
        """
        from transformers import Qwen2Config, Qwen2ForCausalLM

        config: Any = Qwen2Config(
            vocab_size=self.words,
            hidden_size=self.width,
            intermediate_size=self.feed_forward,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_heads,
            tie_word_embeddings=True,
            max_position_embeddings=4096,
            eos_token_id=1,
            bos_token_id=None,
            dtype=getattr(torch, precision),
        )
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            with device:
                make: Callable[..., Any] = Qwen2ForCausalLM
                return make(config).to(getattr(torch, precision))


@dataclass(frozen=True, slots=True)
class Workload:
    """What is measured; both parts have the same prompts and lengths.

    Attributes:
        shape: of the model.
        precision: of its weights.
        prompts: different ones, `rollouts` each.
        rollouts: from each prompt.
        prompt_tokens, completion_tokens: lengths.
        micro_batch: rows per forward pass in training.
        repeats: measurements, after one that does not count.
    """

    shape: Qwen2Shape
    precision: Precision = "bfloat16"
    prompts: int = 32
    rollouts: int = 8
    prompt_tokens: int = 256
    completion_tokens: int = 512
    micro_batch: int = 4
    repeats: int = 3

    def __post_init__(self) -> None:
        for name in ("prompts", "rollouts", "prompt_tokens", "completion_tokens"):
            check_count(name, getattr(self, name))
        check_count("micro_batch", self.micro_batch)
        check_count("repeats", self.repeats)

    def texts(self, count: int, length: int, purpose: str) -> list[Tokens]:
        """Return random ids, none of them special.

        Args:
            count: how many texts.
            length: of each, in tokens.
            purpose: names the stream, so that prompts and completions differ.
        """
        drawn = Key.of(0).child(purpose).integers(count * length).reshape(count, length)
        # Ids 0 to 2 are the tokenizer's padding, end and unknown word.
        ids = 3 + (drawn % np.uint64(self.shape.words - 3)).astype(np.int64)
        return [tuple(row) for row in ids.tolist()]

    def requests(self) -> list[Request]:
        """Return what samplers are asked for."""
        prompts = self.texts(self.prompts, self.prompt_tokens, "prompts")
        keys = iter(Key.of(0).child("rollouts").integers(self.prompts * self.rollouts))
        return [
            Request(prompt, self.completion_tokens, int(next(keys)))
            for prompt in prompts
            for _ in range(self.rollouts)
        ]

    def rows(self) -> list[TrainingRow]:
        """Return what is learned from: half of each group has an advantage of 1, half of -1."""
        count = self.prompts * self.rollouts
        completions = self.texts(count, self.completion_tokens, "completions")
        prompts = self.texts(self.prompts, self.prompt_tokens, "prompts")
        # The loss that is timed is unclipped and does not look at them.
        old = np.zeros(self.completion_tokens, np.float32)
        return [
            TrainingRow(
                prompts[group], completion, old, np.full(len(old), 1.0 - 2 * (i % 2)), group, group
            )
            for i, completion in enumerate(completions)
            for group in [i // self.rollouts]
        ]


def describe(name: str) -> dict[str, Any]:
    """Return what a device is and what runs on it.

    Raises:
        InvalidInput: if there is no such device.
    """
    device = find_device(name)
    about: dict[str, Any] = {"type": device.type, "name": "cpu", "threads": torch.get_num_threads()}
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        about |= {
            "name": found.name,
            "memory_gib": round(found.total_memory / 2**30, 1),
            "capability": f"{found.major}.{found.minor}",
            "cuda": torch.version.cuda,
            "devices": torch.cuda.device_count(),
        }
    return about


def measure_model(work: Workload, device: str) -> dict[str, Any]:
    """Measure sampling with transformers, with vLLM where it is installed, and training.

    Rates are medians over the repeats: `rollouts.<engine>.tokens_per_second` of sampled tokens, in
    batches and, under `transformers_streaming`, through half as many slots as there are requests;
    `training.seconds_per_step` over all rows, read one by one and, under
    `training_shared_prefixes`, along what they have in common; memory in GiB is the peak on a GPU,
    None on a CPU.

    Raises:
        InvalidInput: no such device, or too little memory.
    """
    place = find_device(device)
    model = work.shape.build(place, work.precision)
    words = Vocabulary(tokenizer(ArithmeticTask()))
    context = work.prompt_tokens + work.completion_tokens
    ours = TransformersSampler(model, words, context=context)
    found: dict[str, Any] = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "rollouts": {
            "transformers": _sampling(ours.generate, work, place),
            "transformers_streaming": _sampling(_streaming(ours), work, place),
        },
        "training": _training(model, work, place, "off"),
        "training_shared_prefixes": _training(model, work, place, "always"),
    }
    if find_spec("vllm") is not None:
        # vLLM takes its share of the GPU when it starts, so our model has to be gone by then.
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            words.tokenizer.save_pretrained(folder)
            del model, ours
            _empty(place)
            found["rollouts"]["vllm"] = _vllm(Path(folder), words, work, place)
    return found


def _vllm(
    folder: Path, words: Vocabulary, work: Workload, device: torch.device
) -> dict[str, float | int | None]:
    settings = VllmSettings(
        str(folder),
        device="cuda" if device.type == "cuda" else "cpu",
        dtype=work.precision,
        cache_gib=None if device.type == "cuda" else 1,
        context=work.prompt_tokens + work.completion_tokens,
        eager=device.type != "cuda",
    )
    return _sampling(VllmSampler(settings, words).generate, work, device)


Generate = Callable[[Sequence[Request], Sampling], Sequence[Completion]]


def _streaming(sampler: TransformersSampler) -> Generate:
    """Through a stream in which finished rows make room."""

    def generate(requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        stream = sampler.stream(slots=max(1, len(requests) // 2))
        for request in requests:
            stream.submit(request, sampling)
        done: list[Completion] = []
        while len(done) < len(requests):
            done.extend(completion for _, completion in stream.finished())
        return done

    return generate


def _sampling(generate: Generate, work: Workload, device: torch.device) -> dict[str, Any]:
    requests, counted = work.requests(), []

    def run() -> None:
        completions = generate(requests, Sampling())
        counted.append(sum(len(c.tokens) for c in completions))

    seconds, memory = _timed(run, work.repeats, device)
    # Without the first run, which is not among the seconds either.
    rates = [n / s for n, s in zip(counted[1:], seconds, strict=True)]
    return {
        "requests": len(requests),
        "tokens": counted[-1],
        "tokens_per_second": round(statistics.median(rates), 1),
        "memory_gib": memory,
    }


def _training(
    model: Any, work: Workload, device: torch.device, shared: SharedPrefixes
) -> dict[str, Any]:
    # So small a rate that every measurement is of the same weights.
    settings = OptimizerSettings(1e-12, micro_batch=work.micro_batch, shared_prefixes=shared)
    trainer = LeanTrainer(model, settings, LossSettings())
    rows, reports = work.rows(), []
    seconds, memory = _timed(lambda: reports.append(trainer.step(rows)), work.repeats, device)
    step = statistics.median(seconds)
    return {
        "rows": len(rows),
        "tokens": sum(map(len, rows)),
        "forward_tokens": reports[-1].forward_tokens,
        "gradient_norm": reports[-1].gradient_norm,
        "seconds_per_step": round(step, 4),
        "tokens_per_second": round(sum(map(len, rows)) / step, 1),
        "memory_gib": memory,
    }


def _timed(
    run: Callable[[], object], repeats: int, device: torch.device
) -> tuple[Sequence[float], float | None]:
    """Seconds of each repeat after a first one, and the peak memory of a GPU."""
    _empty(device)
    seconds = []
    # The first run loads kernels and fills the allocator, and does not count.
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        run()
        if device.type == "cuda":
            # Kernels run on their own: without waiting, only their launch would be timed.
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    if device.type != "cuda":
        return seconds[1:], None
    return seconds[1:], round(torch.cuda.max_memory_allocated(device) / 2**30, 2)


def _empty(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
