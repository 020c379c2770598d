"""Memory and seconds that a model takes on a device, from sizes and rates alone.

Sampling is a roofline: a decoding step takes as long as its products or as reading weights and
cache, whichever is longer, and what the code around it takes. Learning is its products, and a time
per block and pass.

Source: Williams et al. (2009), "Roofline"; Kaplan et al. (2020), arXiv 2001.08361 (two operations
per weight and token forward, four backward); Korthikanti et al. (2022), arXiv 2205.05198
(activations and recomputing them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cpi_theory.checks import InvalidInput
from llm.models.settings import ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.throughput.architecture import Architecture
from llm.throughput.devices import Device
from llm.training.settings import LossSettings, OptimizerSettings

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_GIB = 2**30
_SPARE = 0.05
"""Share of a device's memory that is left to its driver and to fragments."""
_LOGIT_BYTES = 16
"""Per word and learned token: logits, their logarithms in float32, and the gradients of both."""


@dataclass(frozen=True)
class Setup:
    """A model as it is trained and sampled from on a device.

    Attributes:
        model: its sizes.
        held: how it is held.
        sampler, optimizer, loss: see there.
        device: where.
    """

    model: Architecture
    held: ModelSettings
    sampler: SamplerSettings
    optimizer: OptimizerSettings
    loss: LossSettings
    device: Device

    @property
    def trained(self) -> int:
        """Weights that are trained."""
        lora = self.held.lora
        return self.model.parameters if lora is None else self.model.adapter_parameters(lora)

    @property
    def _trained_bytes(self) -> int:
        """Of those weights; gradients, and each average of the optimiser, take as much."""
        return self.trained * (4 if self.held.lora is not None else _BYTES[self.held.precision])

    @property
    def weight_bytes(self) -> float:
        """Of the model that is trained, adapters, which are float32, included."""
        size = _BYTES[self.held.precision]
        return self.model.parameters * size + (0 if self.held.lora is None else 4 * self.trained)

    @property
    def sampled_size(self) -> int:
        """Bytes of a weight that is sampled from."""
        chosen = self.sampler.precision
        return _BYTES[self.held.precision if chosen == "model" else chosen]

    @property
    def copied(self) -> bool:
        """Whether what is sampled from is a copy of what is trained."""
        other = self.sampled_size != _BYTES[self.held.precision]
        return self.sampler.engine == "vllm" or other

    @property
    def learns_in_bfloat16(self) -> bool:
        """Whether products in learning are in half the precision."""
        return self.optimizer.precision == "autocast" or self.held.precision != "float32"

    # --- memory ---

    def memory(self, longest: float, rows: float) -> dict[str, float]:
        """GiB of each part, at the most that it can be.

        vLLM's cache is what its share of the GPU leaves, or one longest sequence if that is more,
        which it cannot do without; and no more than that where no share fits.

        Args:
            longest: tokens of the longest sequence.
            rows: completions that are sampled at a time, at most.
        """
        size = 2 if self.learns_in_bfloat16 else 4
        parts = {
            "weights": self.weight_bytes,
            "copy that samples": self._copy_bytes,
            "gradients": 1.0 * self._trained_bytes,
            "optimiser": 2.0 * self._trained_bytes,
            "start model": 1.0 * self._trained_bytes * self._keeps_start,
            "activations": self._activations(longest, size),
            "logits": self._rows * longest * self.model.words * _LOGIT_BYTES,
            "KV cache": self._cache_bytes(longest, rows),
        }
        found = {name: value / _GIB for name, value in parts.items()}
        if self.no_share_fits(found, longest):
            found["KV cache"] = self._least_cache(longest) / _GIB
        return found

    @property
    def _rows(self) -> int:
        return self.optimizer.micro_batch

    @property
    def _keeps_start(self) -> bool:
        """Whether a KL term needs a second model; below adapters it is there already."""
        return self.loss.kl > 0 and self.held.lora is None

    @property
    def _copy_bytes(self) -> float:
        return self.model.parameters * self.sampled_size if self.copied else 0.0

    def _activations(self, longest: float, size: int) -> float:
        """Of a micro-batch; with checkpointing the inputs of blocks and all of one block."""
        whole, inputs = (self.model.kept_numbers(kept) for kept in (True, False))
        layers = self.model.layers
        kept = inputs * layers + whole if self.held.checkpointing else whole * layers
        return self._rows * longest * kept * size

    def _cache_bytes(self, longest: float, rows: float) -> float:
        if self._takes_share:
            # vLLM takes its whole share from the start.
            return max(self._share - self._copy_bytes, self._least_cache(longest))
        return min(rows, self.sampler.max_batch) * longest * self._token_cache

    def _least_cache(self, longest: float) -> float:
        """Bytes of one sequence, the least that vLLM can do with."""
        return longest * self._token_cache

    @property
    def _share(self) -> float:
        return self.sampler.memory_share * self.device.memory * _GIB

    @property
    def _token_cache(self) -> int:
        return self.model.cache_bytes(self.sampled_size)

    def peak(self, parts: Mapping[str, float]) -> float:
        """GiB at the worst moment: sampling and learning take turns, but vLLM keeps its share."""
        standing = ("weights", "copy that samples", "gradients", "optimiser", "start model")
        base = sum(parts[name] for name in standing)
        learning = parts["activations"] + parts["logits"]
        if self.sampler.engine == "vllm":
            return base + learning + parts["KV cache"]
        return base + max(learning, parts["KV cache"])

    def check_fits(self, parts: Mapping[str, float], longest: float) -> None:
        """Refuse what the device cannot hold.

        Raises:
            InvalidInput: naming the largest part that a setting makes smaller, and that setting.
        """
        if self._takes_share:
            self._check_share(parts, longest)
        peak = self.peak(parts)
        if peak <= self._room:
            return
        shown = ", ".join(f"{name} {gib:.1f}" for name, gib in parts.items() if gib >= 0.05)
        least = "at least " * self._takes_share
        problem = (
            f"takes {least}{peak:.1f} GiB where {self.device.name} has room for {self._room:.1f} "
            f"({shown})"
        )
        field, value, remedy = self._remedy(parts)
        raise InvalidInput(field, value, problem, remedy)

    @property
    def _room(self) -> float:
        return self.device.memory * (1 - _SPARE)

    @property
    def _takes_share(self) -> bool:
        """Whether vLLM takes its share of a GPU from the start."""
        return self.sampler.engine == "vllm" and self.device.name != "cpu"

    def no_share_fits(self, parts: Mapping[str, float], longest: float) -> bool:
        """Whether what stands beside vLLM is too large for any share of the GPU.

        Args:
            parts: see :meth:`memory`.
            longest: tokens of the longest sequence.
        """
        needed, others = self._beside_vllm(parts, longest)
        low, high = self._shares(needed, others)
        return self._takes_share and low > high

    def _beside_vllm(self, parts: Mapping[str, float], longest: float) -> tuple[float, float]:
        """GiB that vLLM cannot do without, and all else at the worst moment."""
        needed = (self._copy_bytes + self._least_cache(longest)) / _GIB
        return needed, self.peak(parts) - parts["KV cache"] - parts["copy that samples"]

    def _shares(self, needed: float, others: float) -> tuple[float, float]:
        """The least and the largest share that fits; none does where the least is larger."""
        low = math.ceil(100 * needed / self.device.memory) / 100
        return low, math.floor(100 * (self._room - others) / self.device.memory) / 100

    def _check_share(self, parts: Mapping[str, float], longest: float) -> None:
        """Refuse vLLM's share where another one would fit.

        Raises:
            InvalidInput: naming from where to where.
        """
        share = self.sampler.memory_share
        needed, others = self._beside_vllm(parts, longest)
        low, high = self._shares(needed, others)
        if low > high or low <= share <= high:
            return
        problem = (
            f"vLLM needs {needed:.1f} GiB for weights and one sequence, and all else "
            f"{others:.1f} of the {self._room:.1f} that {self.device.name} has room for"
        )
        remedy = f"choose {low:.2f}" if low == high else f"choose one from {low:.2f} to {high:.2f}"
        raise InvalidInput("sampler.memory_share", share, problem, remedy)

    def _remedy(self, parts: Mapping[str, float]) -> tuple[str, object, str]:
        """Field, value and what to do, for the largest part about which something can be done."""
        held, rows = self.held, self._rows
        ways = {
            "weights": (
                held.precision == "float32",
                (
                    "model.precision",
                    held.precision,
                    "hold it in bfloat16, with a [model.lora] table",
                ),
            ),
            "optimiser": (
                held.lora is None,
                ("model.lora", None, "train adapters: add a [model.lora] table"),
            ),
            "activations": (
                not held.checkpointing,
                ("model.checkpointing", False, "set it to true"),
            ),
            "logits": (
                rows > 1,
                ("optimizer.micro_batch", rows, f"lower it to {max(rows // 2, 1)}"),
            ),
            "KV cache": (
                not self._takes_share and self.sampler.max_batch > 8,
                ("sampler.max_batch", self.sampler.max_batch, "lower it"),
            ),
        }
        for name in sorted(ways, key=parts.__getitem__, reverse=True):
            possible, found = ways[name]
            if possible:
                return found
        return "device", self.device.name, "choose a larger device or a smaller model"

    # --- seconds ---

    def sampling_seconds(
        self, completions: float, prompts: float, prompt: float, mean: float, longest: float
    ) -> float:
        """One call of the sampler.

        Args:
            completions: how many.
            prompts: different ones among theirs, each of which is read once.
            prompt: tokens of each.
            mean: tokens of a completion.
            longest: tokens of the longest.
        """
        if completions <= 0 or mean <= 0:
            return 0.0
        tokens, context = completions * mean, prompt + mean / 2
        steps = self._steps(completions, self._slots(prompt + mean), mean, longest)
        products = tokens * self._operations(context) / self._rate(decoding=True)
        cache = tokens * context * self._token_cache
        reading = (
            steps * self.model.parameters * self.sampled_size + cache
        ) / self.device.bandwidth
        step = (
            self.device.engine_step if self.sampler.engine == "vllm" else self.device.layer_step
        ) * self.model.layers
        read = prompts * prompt * self._operations(prompt / 2) / self._rate(decoding=False)
        return read + max(products, reading) + steps * step + tokens * self.device.token_step

    def _steps(self, completions: float, slots: float, mean: float, longest: float) -> float:
        """Decoding steps: vLLM fills a place that becomes free, a batch waits for its longest."""
        if completions <= slots:
            return longest
        if self.sampler.engine == "vllm" or self.sampler.streaming:
            return completions * mean / slots + longest - mean
        return math.ceil(completions / slots) * longest

    def _slots(self, length: float) -> float:
        """Completions that are decoded at a time."""
        most = float(self.sampler.max_batch)
        if self.sampler.engine == "vllm" and self.device.name != "cpu" and self._token_cache:
            room = max(self._share - self._copy_bytes, 0.0) / (length * self._token_cache)
            most = min(most, max(room, 1.0))
        return most

    def _rate(self, decoding: bool) -> float:
        half = self.sampled_size < 4
        if decoding:
            return self.device.decoding if half else self.device.decoding32
        return self.device.learning if half else self.device.learning32

    def _operations(self, context: float) -> float:
        """Of one token forward, after so many others."""
        return 2.0 * self.model.multiplied + 4.0 * self.model.layers * self.model.queries * context

    def learning_seconds(self, tokens: float, rows: float, context: float, updates: float) -> float:
        """Learning from a batch of rows.

        Args:
            tokens: that go through the model once.
            rows: how many.
            context: tokens before a token, on average.
            updates: of the optimiser.
        """
        rate = self.device.learning if self.learns_in_bfloat16 else self.device.learning32
        passes = self.forward_passes()
        products = tokens * self._operations(context) * passes / rate
        batches = math.ceil(rows / self._rows) * self.optimizer.epochs if rows else 0
        # Weight, gradient and two averages, read and written.
        stepping = updates * 28.0 * self.trained / self.device.bandwidth
        return products + batches * self.model.layers * self.device.layer_pass + stepping

    def forward_passes(self) -> float:
        """What all passes of learning from a token cost, in forward passes.

        Below adapters there is no gradient of weights, which is half of a backward pass.
        """
        one = 1.0 + (2.0 if self.held.lora is None else 1.0) + self.held.checkpointing
        several = self.optimizer.minibatches * self.optimizer.epochs > 1
        renewed = several and self.optimizer.precision == "autocast" and self.loss.kind == "clipped"
        return one * self.optimizer.epochs + renewed + 2.0 * bool(self.loss.kl)

    def hand_over_seconds(self) -> float:
        """The weights to what samples, once: read, and written."""
        if not self.copied:
            return 0.0
        moved = self.weight_bytes + self.model.parameters * self.sampled_size
        return moved / self.device.bandwidth

    # --- disk ---

    def disk(self, checkpoints: bool) -> float:
        """GiB of a run: the best and the last model, and while it runs what it goes on from."""
        if not checkpoints:
            return 0.0
        # Of what it goes on from the weights and both averages.
        return (2 + 3) * self._trained_bytes / _GIB
