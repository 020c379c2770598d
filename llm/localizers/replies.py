"""Replies that end with their first whole box, as localisers and verifiers ask for them."""

from __future__ import annotations

from collections.abc import Mapping

from cpi_theory.seam import FailedLocalization, Reason
from llm.sampling.base import Completion, Request, Sampler, Sampling
from llm.sampling.streaming import Questions
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


def replies_to(
    requests: Mapping[int, Request], owner: Sampler, sampling: Sampling, sampler: Sampler | None
) -> Questions[dict[int, Completion]]:
    """Yield all requests at once, and return the reply to each.

    Args:
        requests: by any number.
        owner: whose model replies.
        sampling: temperature and top-p.
        sampler: of the stream that asks; where it is another one than `owner`, the rollouts are of
            one model and the replies of another, which is asked directly.
    """
    wanted = list(requests.values())
    if sampler is owner:
        completions = yield wanted, sampling
    else:
        completions = owner.generate(wanted, sampling)
    return dict(zip(requests, completions, strict=True))


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
