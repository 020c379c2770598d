"""A transformer of 0.3 M parameters and a tokenizer of whole words, for chains of arithmetic."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from cpi_theory.checks import InvalidInput, check_count, check_positive
from llm.tasks.arithmetic.locating import LOCATE, RIGHT, WRONG
from llm.tasks.arithmetic.task import DELIMITER, FILLERS, MAX_HORIZON, ArithmeticTask, boxed, label

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"


def words(task: ArithmeticTask) -> list[str]:
    """Return every word that texts of the task are made of, special tokens first."""
    values = range(task.modulus)
    # This order gives the ids, which stored models depend on.
    return [
        *(PAD, EOS, UNKNOWN, "Q", "start", ";", DELIMITER, LOCATE, RIGHT, WRONG),
        *FILLERS,
        *map(label, range(MAX_HORIZON)),
        *task.operations,
        *map(str, values),
        *map(boxed, values),
    ]


def tokenizer(task: ArithmeticTask) -> PreTrainedTokenizerFast:
    r"""Make a tokenizer of one token per word, ``\boxed{4}`` included, with blanks between them."""
    table = {word: i for i, word in enumerate(words(task))}
    inner = Tokenizer(models.WordLevel(table, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    make: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    return make(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )


@dataclass(frozen=True, slots=True)
class TinyModel:
    """The shape of a Llama model.

    Attributes:
        width: size of the hidden states.
        layers: number of blocks.
        heads: attention heads; `width` must be an even multiple of it.
        feed_forward: inner size of the feed-forward blocks.
        tied: whether input and output embeddings are one matrix. Engines that are handed new
            weights one by one may keep an old output matrix when they are.
        context: longest sequence in tokens.
        spread: standard deviation of the weights at first. The usual 0.02 is made for models ten
            times as wide; this one then takes longer to learn.
    """

    width: int = 96
    layers: int = 3
    heads: int = 4
    feed_forward: int = 192
    tied: bool = False
    context: int = 512
    spread: float = 0.05

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "feed_forward", "context"):
            check_count(name, getattr(self, name))
        check_positive("spread", self.spread)
        # Rotary embeddings turn pairs of a head's dimensions.
        if self.width % (2 * self.heads):
            raise InvalidInput(
                "heads",
                self.heads,
                f"heads of odd or broken size at width {self.width}",
                "choose a width that is an even multiple of it",
            )

    def build(self, tokens: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
        """Build an untrained model.

        Args:
            tokens: the tokenizer; it gives the size of the vocabulary and the special ids.
            seed: of the weights; torch's own random stream is left alone.

        Source: Touvron et al. (2023), arXiv 2302.13971 (the architecture).
        """
        config: Any = LlamaConfig(
            vocab_size=len(tokens),
            hidden_size=self.width,
            intermediate_size=self.feed_forward,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            max_position_embeddings=self.context,
            initializer_range=self.spread,
            tie_word_embeddings=self.tied,
            pad_token_id=tokens.pad_token_id,
            eos_token_id=tokens.eos_token_id,
            # Llama's default is 1, here the end of a sequence.
            bos_token_id=None,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            make: Callable[..., LlamaForCausalLM] = LlamaForCausalLM
            model = make(config)
        with torch.no_grad():  # as if tied: half of the task is to copy words
            model.lm_head.weight.copy_(model.model.embed_tokens.weight)
        return model


def save(model: Any, tokens: Any, folder: Path) -> None:
    """Store model and tokenizer in the Hugging Face format; every file appears whole.

    Args:
        model: a model of transformers.
        tokens: its tokenizer.
        folder: made if it is not there; other files in it stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the folder: replacing a file is one step within a file system.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        model.save_pretrained(scratch)
        tokens.save_pretrained(scratch)
        for file in sorted(Path(scratch).iterdir()):
            file.chmod(0o644)  # weights are written for their owner alone
            os.replace(file, folder / file.name)


def load(folder: Path) -> tuple[Any, Any]:
    """Load model and tokenizer from a folder in the Hugging Face format, in float32.

    Raises:
        InvalidInput: if the folder holds no such model, or the two do not fit.
    """
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            remedy = "give a folder that a model was saved in, or make one: cpi-resets tiny-model"
            raise InvalidInput("model", folder, f"no {name} there", remedy)
    tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )
    if model.config.vocab_size < len(tokens):
        problem = f"its tokenizer has {len(tokens)} words, the model {model.config.vocab_size}"
        raise InvalidInput("model", folder, problem, "save the two that belong together")
    return model, tokens
