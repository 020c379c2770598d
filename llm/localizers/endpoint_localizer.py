"""Localisation by another, stronger model behind an endpoint; nothing uses it unless asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cpi_theory.checks import check_count
from cpi_theory.randomness import Keys
from llm.localizers.base import Located, refusal_unasked, whole_solution
from llm.localizers.chat_client import ChatClient, Reply
from llm.localizers.reading import Reading, check_readings, read_reply
from llm.localizers.self_localizer import LocalizationPrompt, WrittenLocalizationPrompt
from llm.sampling.base import Sampling
from llm.text.boundaries import Boundary
from llm.text.rollouts import TextRollout
from llm.text.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class EndpointLocalizer:
    """Shows failed solutions to the model of an endpoint.

    Replies are read by :func:`llm.localizers.reading.read_reply`. A reply depends on its rollout
    and key alone as far as the endpoint honours seeds.

    Attributes:
        client: whom it asks.
        vocabulary: tokenizer of the model that wrote the solutions; it also counts tokens where
            the endpoint gives no counts.
        prompt: how it is asked.
        sampling: temperature and top-p of replies.
        max_tokens: most tokens per reply.
        delimiter: what thoughts end with; they are shown without it.
        readings: how a reply without a box may be read, tried in this order.
        ask_single: whether it is asked about rollouts of a single thought.
    """

    client: ChatClient
    vocabulary: Vocabulary
    prompt: LocalizationPrompt = field(default_factory=lambda: WrittenLocalizationPrompt(own=False))
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0))
    max_tokens: int = 4096
    delimiter: str | Boundary = "</thought>"
    readings: tuple[Reading, ...] = ()
    ask_single: bool = True

    def __post_init__(self) -> None:
        check_count("max_tokens", self.max_tokens)
        check_readings(self.readings)

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`~llm.localizers.base.Localizer`.

        Raises:
            EndpointError: if the endpoint cannot be used; replies that came before are kept.
        """
        refusals = [refusal_unasked(rollout, self.ask_single) for rollout in rollouts]
        asked = [i for i, refusal in enumerate(refusals) if refusal is None]
        bodies = [self._body(rollouts[i], int(keys[i])) for i in asked]
        replies = dict(zip(asked, zip(bodies, self.client.ask(bodies), strict=True), strict=True))
        return [
            self._read(rollouts[i], *replies[i]) if refusal is None else Located(refusal)
            for i, refusal in enumerate(refusals)
        ]

    def _body(self, rollout: TextRollout, key: int) -> dict[str, Any]:
        thoughts = whole_solution(rollout, self.vocabulary, self.delimiter)
        shown = self.prompt.render(rollout.start.problem, thoughts)
        messages = [{"role": "user", "content": shown}] if isinstance(shown, str) else shown
        return {
            "messages": [dict(message) for message in messages],
            "max_tokens": self.max_tokens,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "seed": key >> 33,  # endpoints take 31 bits
        }

    def _read(self, rollout: TextRollout, body: dict[str, Any], reply: Reply) -> Located:
        generated, prompt = reply.generated, reply.prompt
        if generated is None:
            generated = len(self.vocabulary.encode(reply.text, special=False))
        if prompt is None:
            prompt = len(self.vocabulary.chat(body["messages"]))
        answer, reading = read_reply(rollout, reply.text, reply.cut, self.readings)
        return Located(answer, generated, prompt, reply.text, reading)
