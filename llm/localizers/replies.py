"""Replies that end with their first whole box, as localisers and verifiers ask for them."""

from __future__ import annotations

from cpi_theory.seam import FailedLocalization, Reason
from llm.sampling.base import Completion, Request, Sampler
from llm.text.rollouts import Tokens
from llm.text.stop_rules import BoxStop
from llm.text.vocabulary import Vocabulary

_STOP = BoxStop()


def ask_for_box(
    sampler: Sampler, prompt: Tokens, max_tokens: int, key: int
) -> Request | FailedLocalization:
    """Return the request for a reply, TRUNCATED where the prompt leaves no room for one.

    Args:
        sampler: who is to reply.
        prompt: ids of what is asked.
        max_tokens: most tokens of the reply.
        key: of the reply.
    """
    room = min(max_tokens, sampler.context - len(prompt))
    if room < 1:
        return FailedLocalization(Reason.TRUNCATED)
    return Request(prompt, room, key, _STOP)


def up_to_box(completion: Completion, sampler: Sampler, vocabulary: Vocabulary) -> str:
    """Return the text of a reply up to its first whole box.

    Args:
        completion: the reply.
        sampler: who gave it.
        vocabulary: its tokenizer.
    """
    # An engine that cannot apply stop rules has gone on after the box.
    over = _STOP.begin(vocabulary.piece, sampler.eos)
    end = next((i for i, t in enumerate(completion.tokens, 1) if over(t)), None)
    return vocabulary.decode(completion.tokens[:end])
