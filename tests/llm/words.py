"""A tokenizer of whole words and a tiny random model, made on the spot."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llm.task import Problem, Verdict
from llm.text.stop_rules import StopRule
from llm.text.vocabulary import Vocabulary

SPECIAL = ("<pad>", "<eos>", "<unk>")
END = "</thought>"


def vocabulary(*words: str) -> Vocabulary:
    """Ids 0 to 2 are padding, end and unknown; then the words in order."""
    table = {word: i for i, word in enumerate((*SPECIAL, *words))}
    inner = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    return Vocabulary(tokenizer)


def random_model(size: int, seed: int = 0, context: int = 128) -> LlamaForCausalLM:
    """An untrained model whose next-token laws are far from uniform."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


@dataclass(frozen=True)
class CountStop(StopRule):
    """Ends a completion after so many tokens."""

    count: int

    def begin(self, piece, eos):
        seen = []
        return lambda token, logprob=0.0: seen.append(token) or len(seen) >= self.count


@dataclass(frozen=True)
class TokenStop(StopRule):
    """Ends a completion with a token of this text."""

    text: str

    def begin(self, piece, eos):
        return lambda token, logprob=0.0: piece(token) == self.text


class Boxes:
    """The answer is 1; thoughts with a b are wrong."""

    def problems(self, split, count, seed):
        return [Problem(str(i), "q", "1") for i in range(count)]

    def prompt(self, problem):
        return problem.question

    def verify(self, problem, text):
        answer = text.partition("\\boxed{")[2][:1] or None
        return Verdict(float(answer == problem.answer), answer)

    def first_error(self, problem, thoughts):
        return next((i for i, thought in enumerate(thoughts) if "b" in thought), None)
