"""A tiny random model, random rows to train it on, and gradients worked out the slow way."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llm.training.rows import TrainingRow

VOCABULARY = 32


def tiny_model(seed=0, **changes):
    """One layer of width 16 with weights large enough for its laws to be far from uniform."""
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
    }
    with torch.random.fork_rng():  # what else draws random numbers must not start anew
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**shape | changes)).eval()


def random_rows(count=12, seed=0, prompts=4, advantages=None, shift=0.0):
    """Rows of all lengths; their log-probabilities are off the model's by about `shift`.

    Without `advantages`, one per row, every other row has tokens that differ in theirs.
    """
    rng, model = np.random.default_rng(seed), tiny_model()
    credits = rng.choice([-1.0, -0.5, 0.0, 0.7, 1.7], count) if advantages is None else advantages
    rows = []
    for i, advantage in enumerate(credits):
        prompt = tuple(rng.integers(3, VOCABULARY, rng.integers(1, 15)).tolist())
        completion = tuple(rng.integers(1, VOCABULARY, rng.integers(1, 20)).tolist())
        with torch.no_grad():
            old = logprobs_of(model, prompt, completion).numpy()
        old = (old + shift * rng.normal(size=len(completion))).astype(np.float32)
        credit = np.full(len(completion), float(advantage))
        if advantages is None and i % 2:
            credit *= rng.choice([-1.0, 0.0, 0.5, 1.0], len(completion))
        rows.append(TrainingRow(prompt, completion, old, credit, i, i * prompts // count))
    return rows


def of_second_attempts(rows, seed=0):
    """Rows of which a third are shaped and a third held near a start model, which is off by 0.3."""
    rng, kinds = np.random.default_rng(seed), ({}, {"shaping": 0.1}, {"kl": 0.5})
    return [
        replace(
            row,
            reference=(row.logprobs + 0.3 * rng.normal(size=len(row.completion))).astype(
                np.float32
            ),
            **kinds[i % 3],
        )
        for i, row in enumerate(rows)
    ]


def logprobs_of(model, prompt, completion, temperature=1.0):
    """Log-probabilities of a completion from a forward pass of its own, without padding."""
    ids = torch.tensor([[*prompt, *completion]])
    logits = model(input_ids=ids, use_cache=False).logits[0]
    laws = torch.log_softmax(logits[len(prompt) - 1 : -1] / temperature, dim=-1)
    return torch.stack([law[token] for law, token in zip(laws, completion, strict=True)])


def slow_loss(model, rows, settings):
    """The loss written out, one row and one token at a time, in the words of its definition."""
    tokens = sum(len(row.completion) for row in rows)
    total = torch.zeros(())
    for row in rows:
        logprobs = logprobs_of(model, row.prompt, row.completion, settings.temperature)
        share = {
            "sequence-mean": 1 / len(row.completion) / len(rows),
            "token-mean": 1 / tokens,
            "constant": 1 / settings.constant,
        }[settings.aggregation]
        rows_tokens = zip(logprobs, row.logprobs.tolist(), row.advantages.tolist(), strict=True)
        for place, (logprob, old, advantage) in enumerate(rows_tokens):
            if row.shaping:
                term = -advantage * torch.exp(logprob) / (torch.exp(logprob) + row.shaping)
            elif settings.kind == "unclipped":
                term = -advantage * logprob
            elif settings.kind == "corrected":
                ratio = min(float(torch.exp(logprob.detach() - old)), settings.most_ratio)
                term = -ratio * advantage * logprob
            else:
                ratio = torch.exp(logprob - old)
                low, high = 1 - settings.clip_low, 1 + settings.clip_high
                clipped = torch.clip(ratio, low, high)
                term = -torch.minimum(advantage * ratio, advantage * clipped)
            if old >= math.log(settings.mask_above):
                term = term * float(settings.mask_above == 1)
            if settings.kl + row.kl:
                start = float(row.reference[place])
                gap, weight = start - logprob, torch.exp(logprob - old)
                estimate = torch.exp(gap) - gap - 1
                estimate = estimate * (weight if settings.kl_weighted else 1)
                term = term + (settings.kl + row.kl) * estimate
            total = total + share * term
    return total


def gradient(model, loss):
    """The gradient of a loss with respect to all weights, as one vector."""
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def weights(model):
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())
