"""A tokenizer as the project uses it: ids, texts, and the text of a single id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cpi_theory.checks import InvalidInput
from llm.text.rollouts import Tokens


class Vocabulary:
    """Wraps a Hugging Face tokenizer.

    Attributes:
        tokenizer: the tokenizer.
        eos: ids that end a sequence.
        pad: id that fills up batches.
    """

    def __init__(self, tokenizer: Any, eos: Sequence[int] | None = None) -> None:
        """Check that sequences can end.

        Args:
            tokenizer: a ``PreTrainedTokenizer`` or ``PreTrainedTokenizerFast``.
            eos: ids that end a sequence, by default the tokenizer's own.

        Raises:
            InvalidInput: if there is no such id.
        """
        self.tokenizer = tokenizer
        ends = [tokenizer.eos_token_id] if eos is None else list(eos)
        if None in ends or not ends:
            raise InvalidInput(
                "tokenizer.eos_token", None, "sequences cannot end", "set tokenizer.eos_token"
            )
        self.eos = frozenset(int(i) for i in ends)
        pad = tokenizer.pad_token_id
        # Many tokenizers have no padding id, and any will do: masks hide what fills up.
        self.pad = int(min(self.eos) if pad is None else pad)
        self._pieces: dict[int, str] = {}

    def encode(self, text: str, special: bool = True) -> Tokens:
        """Return the ids of a text.

        Args:
            text: any text.
            special: whether the tokenizer adds what it begins sequences with.
        """
        return tuple(self.tokenizer.encode(text, add_special_tokens=special))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the ids, special tokens left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def piece(self, token: int) -> str:
        """Return the text of one id on its own, for finding delimiters in a stream."""
        # Samplers ask once per token of every row, and a call of the tokenizer is slow beside it.
        # Special tokens are kept, for a delimiter may be one of them.
        if token not in self._pieces:
            self._pieces[token] = str(self.tokenizer.decode([token], skip_special_tokens=False))
        return self._pieces[token]

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return self.tokenizer.chat_template is not None

    def chat(
        self, messages: Sequence[Mapping[str, str]], arguments: Mapping[str, Any] | None = None
    ) -> Tokens:
        """Return the ids of a conversation that ends where the assistant is to answer.

        Without a chat template the messages' contents are joined by blank lines.

        Args:
            messages: each with a "role" and a "content".
            arguments: of the chat template, such as ``{"enable_thinking": False}``.

        Raises:
            InvalidInput: the template refuses the conversation or its arguments.
        """
        if not self.has_template:
            return self.encode("\n\n".join(m["content"] for m in messages) + "\n\n")
        # It comes with transformers, which tabular worlds do without.
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                [dict(m) for m in messages],
                **{**(arguments or {}), "tokenize": False, "add_generation_prompt": True},
            )
        except (TemplateError, TypeError) as error:
            remedy = "ask for what the template knows: it may have no system prompt, for instance"
            roles = [m["role"] for m in messages]
            raise InvalidInput("chat template", roles, f"it says: {error}", remedy) from error
        return self.encode(text, special=False)  # the template has written them already
