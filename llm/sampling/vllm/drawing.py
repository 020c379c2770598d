"""How vLLM draws tokens: by the same function and the same random numbers as our own samplers.

vLLM's own seeds are streams, one per request: on a CPU filling them took 38 % of the time of
sampling SmolLM2 at 32 rows, and a stream cannot be set back where vLLM draws a token too many. Here
a random number is a function of a request's key and of the token's place, so that nothing has to be
carried on. The token that was drawn is left as the only possible one, with its log-probability at
its own temperature as its logit, which the engine takes greedily and reports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, tensor
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from llm.sampling.base import Sampling
from llm.sampling.drawing import draw
from llm.sampling.noise import uniforms


class _Request(NamedTuple):
    """A request in the engine's batch; `tokens` are its own so far, in vLLM's own list."""

    key: int
    sampling: Sampling
    tokens: Sequence[int]


class KeyedDrawing(LogitsProcessor):  # type: ignore[misc]
    """A processor of logits that decides which token follows.

    :meth:`llm.sampling.vllm.sampler.VllmSettings.arguments` names it to the engine, and each
    request brings `key`, `temperature` and `top_p` in its extra arguments. Requests without a key
    are somebody else's, and vLLM draws for them as it does.
    """

    def __init__(self, _config: Any, _device: Any, _pinned: bool) -> None:
        """Begin without requests; called by vLLM."""
        self._requests: dict[int, _Request] = {}  # by their rows in the engine's batch

    def is_argmax_invariant(self) -> bool:
        """Say that the likeliest token changes."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Take in which requests came, went and changed places."""
        process_dict_updates(self._requests, batch_update, _request)

    def apply(self, logits: Tensor) -> Tensor:
        """Leave the drawn token of each row alone; logits: shape (rows, V), float32."""
        alike = defaultdict[Sampling, list[int]](list)
        for row, request in self._requests.items():
            alike[request.sampling].append(row)
        for sampling, rows in alike.items():
            requests = [self._requests[row] for row in rows]
            keys = np.array([request.key for request in requests], np.uint64)
            places = np.array([len(request.tokens) for request in requests], np.int64)
            index = tensor(rows, device=logits.device)
            tokens, logprobs = draw(logits[index], sampling, uniforms(keys, places))
            logits[index] = -float("inf")
            logits[index, tokens] = logprobs
        return logits


def _request(params: Any, _prompt: Any, tokens: list[int]) -> _Request | None:
    given = params.extra_args or {}
    if "key" not in given:
        return None
    return _Request(given["key"], Sampling(given["temperature"], given["top_p"]), tokens)
