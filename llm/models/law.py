"""Log-probabilities under a model: the plain way, the way that is trained on, and how far they are.

Batches are padded, and what a model remembers of its past is cut and repeated. An architecture that
does not stand that still gives numbers, only wrong ones. So each faster way is compared, once per
loaded model and on a few tokens, with a forward pass over one row without padding or cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.text.rollouts import Tokens

Row = tuple[Tokens, Tokens]
"""A prompt and its completion."""

_PROMPTS = (9, 2, 9)
"""Lengths of the probes' prompts; equal ones are the same prompt. 2 is less than the convolutions
of state-space models reach back, and next to it 7 places of padding would fill their states."""

_COMPLETIONS = (2, 5, 4)

_ORDINARY = 1000
"""Ids of probes lie below it, where tokenizers have bytes and syllables, and nothing special."""

_ROUNDING = {torch.float32: 5e-5, torch.float16: 0.01, torch.bfloat16: 0.1}
"""Mean differences in nats that rounding makes, at most: about four times what was seen with 0.1 B
parameters of five times the usual size. In bfloat16 SmolLM2 is .05 to .06 off on random texts, over
240 tokens, and the few of a probe vary."""

_DOUBTFUL = 20.0
"""Times those: what may still be rounding, in a much deeper model. Wrong states or positions were
seen to make 0.1 to 5."""

_ROWS = 64
"""Rows of logits that are worked on at a time: their copies in float32 are small beside all logits,
of which learning has hundreds of rows."""


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Set evaluation mode, without dropout; the model's own mode comes back after it."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def plain_logprobs(model: Any, prompt: Tokens, completion: Tokens) -> Tensor:
    """Return the log-probabilities of a completion from one row without padding or cache.

    Args:
        model: a causal language model.
        prompt: ids that are given, at least one.
        completion: ids whose log-probabilities are wanted, length T.

    Returns:
        log pi(completion[t] | prompt, completion[:t]) in nats, temperature 1, float32, shape (T,).
    """
    ids = torch.tensor([[*prompt, *completion]], device=model.device)
    # The logits at a place predict the token at the next.
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits.float(), dim=-1).gather(1, ids[0, len(prompt) :, None])[:, 0]


def token_logprobs(
    model: Any, ids: Tensor, attention_mask: Tensor, wanted: Tensor, temperature: float = 1.0
) -> Tensor:
    """Return the log-probabilities of some tokens of right-padded rows, with their graph.

    Only the places from the first that predicts one of them on are worked out.

    Args:
        model: a causal language model.
        ids: int64, shape (n, W).
        attention_mask: 1 on tokens and 0 on padding, shape (n, W).
        wanted: which tokens, bool, shape (n, W); at least one, and never the first of a row.
        temperature: of the law.

    Returns:
        log softmax(logits / temperature) in nats, shape (n, W), 0 at tokens that are not wanted.
    """
    # Logits are the largest tensor of a training step, n x W x vocabulary: those in front
    # of all wanted places are never made, and of the rest only wanted ones go into the softmax.
    first = int(wanted.any(dim=0).nonzero()[0])
    kept = wanted[:, first:]
    # A token is predicted one place before it; what the last place predicts is not wanted.
    places = kept.shape[1] + 1
    logits = model(
        input_ids=ids, attention_mask=attention_mask, logits_to_keep=places, use_cache=False
    ).logits[:, -places:-1]  # some models know no `logits_to_keep`
    flat = logprobs_of_tokens(logits[kept], ids[:, first:][kept], temperature)
    return flat.new_zeros(wanted.shape).masked_scatter(wanted, flat)


def logprobs_of_tokens(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the log-probabilities of m tokens.

    Args:
        logits: that each was drawn from, shape (m, V).
        tokens: ids, shape (m,).
        temperature: of the law.

    Returns:
        log softmax(logits / temperature) in nats, float32, shape (m,).
    """
    logprobs: Tensor = _LogprobsOfTokens.apply(logits, tokens, temperature)  # type: ignore[no-untyped-call]
    return logprobs


class _LogprobsOfTokens(torch.autograd.Function):
    """log softmax(logits / T) at one token per row, and its gradient, some rows at a time.

    Logits are the largest tensors of learning. The law of all tokens, its gradient and their copies
    in float32 would be several more of that size; this makes one, the gradient.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor, temperature: float) -> Tensor:
        scaled = (_scaled(part, temperature) for part in torch.split(logits, _ROWS))
        total = torch.cat([part.logsumexp(dim=1) for part in scaled])
        ctx.save_for_backward(logits, tokens, total)
        ctx.temperature = temperature
        return _scaled(logits.gather(1, tokens[:, None])[:, 0], temperature) - total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, tokens, total = ctx.saved_tensors
        weights = gradient / ctx.temperature
        found = torch.empty_like(logits)
        for first in range(0, len(logits), _ROWS):
            rows = slice(first, first + _ROWS)
            law = (_scaled(logits[rows], ctx.temperature) - total[rows, None]).exp_()
            # d log pi(y) / d logit(a) = (1[a = y] - pi(a)) / T
            part = law.mul_(-weights[rows, None])
            part.scatter_add_(1, tokens[rows, None], weights[rows, None])
            found[rows] = part
        return found, None, None


def _scaled(logits: Tensor, temperature: float) -> Tensor:
    wide = logits.float()
    return wide if temperature == 1 else wide / temperature


def probe_rows(model: Any, context: int) -> list[Row]:
    """Return rows of unequal length to compare ways on, some of them with the same prompt.

    Args:
        model: gives the size of the vocabulary.
        context: rows are no longer than that.
    """
    known = model.get_input_embeddings().num_embeddings
    low = 3 if known > 6 else 0  # small tokenizers have padding, end and unknown below 3
    key = Key.of(0).child("probes")

    def drawn(length: int, purpose: int) -> Tokens:
        numbers = key.child("ids", length, purpose).integers(length)
        return tuple(low + int(i) % (min(known, _ORDINARY) - low) for i in numbers)

    lengths = [min(length, context - 1) for length in _PROMPTS]
    shapes = zip(lengths, _COMPLETIONS, strict=True)
    return [(drawn(p, 0), drawn(min(n, context - p), 1 + i)) for i, (p, n) in enumerate(shapes)]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far log-probabilities are from those of the plain forward pass, in nats.

    Attributes:
        largest, mean: of absolute differences; NaN where the log-probabilities are.
        rounding: the mean that rounding alone makes.
    """

    largest: float
    mean: float
    rounding: float

    @property
    def is_rounding(self) -> bool:
        """Whether there is no doubt that both are the same law."""
        return self.mean <= self.rounding

    @property
    def may_be_rounding(self) -> bool:
        """Whether both may be the same law."""
        return self.mean <= _DOUBTFUL * self.rounding

    @classmethod
    def of(
        cls,
        model: Any,
        rows: Sequence[Row],
        logprobs: Sequence[Tensor],
        precision: torch.dtype | None = None,
    ) -> Difference:
        """Compare log-probabilities with those of a plain forward pass.

        Args:
            model: whose forward pass it is.
            rows: at least one.
            logprobs: of each row's completion, shape (T,).
            precision: they were computed in; None: that of the model.
        """
        with evaluating(model), torch.no_grad():
            gaps = torch.cat(
                [
                    (own.detach().cpu().float() - plain_logprobs(model, *row).cpu()).abs()
                    for row, own in zip(rows, logprobs, strict=True)
                ]
            )
        rounding = _ROUNDING.get(precision or model.dtype, _ROUNDING[torch.bfloat16])
        return cls(float(gaps.max()), float(gaps.mean()), rounding)


def check_right_padding(model: Any, context: int) -> None:
    """Refuse a model whose log-probabilities change when rows are padded on the right.

    Args:
        model: a causal language model.
        context: longest sequence in tokens.

    Raises:
        InvalidInput: naming its type and the largest difference.
    """
    rows = probe_rows(model, context)
    width = max(len(prompt) + len(completion) for prompt, completion in rows)
    # Padded with id 0, whatever it means: that the mask hides it is what is tested.
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    real, wanted = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for i, (prompt, completion) in enumerate(rows):
        end = len(prompt) + len(completion)
        ids[i, :end] = torch.tensor([*prompt, *completion])
        real[i, :end] = 1
        wanted[i, len(prompt) : end] = True
    ids, real, wanted = (t.to(model.device) for t in (ids, real, wanted))
    with evaluating(model), torch.no_grad():
        found = token_logprobs(model, ids, real, wanted)
    own = [line[kept] for line, kept in zip(found, wanted, strict=True)]
    difference = Difference.of(model, rows, own)
    if not difference.may_be_rounding:
        raise other_law(model, difference, "in rows padded on the right, as they are trained on,")


def other_law(model: Any, found: Difference, where: str, instead: str = "") -> InvalidInput:
    """Return the error for a model whose log-probabilities differ by more than rounding.

    Args:
        model: names its type.
        found: the difference.
        where: which log-probabilities, after "those of tokens".
        instead: a remedy before the last one, to take a model of another type.
    """
    return InvalidInput(
        "model",
        model.config.model_type,
        f"log-probabilities of tokens {where} differ from those of a forward pass over each row "
        f"alone by up to {found.largest:.2g} nats, {found.mean:.2g} in the mean (rounding: "
        f"{found.rounding:g})",
        f"{instead}take a model of another type, or another version of transformers",
    )
