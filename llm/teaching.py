r"""Examples for a warm start: written by the task that a model is to work on, or read from a file.

Prompts are those of the world itself, token for token: what a model is taught to reply to is what
its rollouts and its localisations begin with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Localization
from llm.data.records import Record, read_records
from llm.localizers.self_localizer import SelfLocalizer
from llm.opening import OpenModel
from llm.simulator import LanguageModelSimulator
from llm.task import Demonstrator, Problem, demonstrates
from llm.text.chat import Chat
from llm.text.rollouts import TextRollout, Tokens
from llm.text.vocabulary import Vocabulary
from llm.training.supervised import Example, Skill


def solving_examples(
    simulator: LanguageModelSimulator, problems: Sequence[Problem], key: Key
) -> list[Example]:
    """Return one right solution of each problem, written by the task.

    Args:
        simulator: the world; its prompts are the examples'.
        problems: of its task.
        key: of the solutions.

    Raises:
        InvalidInput: if the task writes no solutions.
    """
    task = demonstrator(simulator.task)
    starts = simulator.start_states(problems)
    return [
        Example(state.tokens, _reply(task.demonstration(problem, key.child(i)), simulator))
        for i, (state, problem) in enumerate(zip(starts, problems, strict=True))
    ]


def locating_examples(opened: OpenModel, problems: Sequence[Problem], key: Key) -> list[Example]:
    r"""Return one localisation of a faulty solution of each problem: the reply is ``\boxed{k}``.

    The prompt is the one with which the world's own localiser asks, and k the number, from 1 on, of
    the thought that the task's exact step checker finds.

    Args:
        opened: the world; its model is not asked.
        problems: of its task.
        key: of what goes wrong.

    Raises:
        InvalidInput: if the task writes no faulty solutions or has no step checker, or the model
            does not localise by itself.
    """
    task = demonstrator(opened.simulator.task)
    texts = [task.faulty(problem, key.child(i)) for i, problem in enumerate(problems)]
    return localizations(opened, replayed(opened.simulator, problems, texts))


def localizations(opened: OpenModel, failures: Sequence[TextRollout]) -> list[Example]:
    """Return what the model should reply when it is asked about rollouts.

    Rollouts in which the step checker finds no step of their own are left out.

    Args:
        opened: the world.
        failures: rollouts of it.

    Raises:
        InvalidInput: if the task has no step checker, or the model does not localise by itself.
    """
    localizer = opened.simulator.localizer
    if opened.oracle is None:
        remedy = "leave localisation out, or take a task with first_error"
        raise InvalidInput(
            "localization", type(opened.simulator.task).__name__, "no step checker", remedy
        )
    if not isinstance(localizer, SelfLocalizer):
        remedy = "leave localisation out: nothing could ask the model for what it was taught"
        raise InvalidInput("localization", type(localizer).__name__, "not the model itself", remedy)
    truths = opened.oracle.locate(failures, np.zeros(len(failures), np.uint64))
    return [
        Example(
            localizer.prompt_ids(rollout),
            _reply(
                f"\\boxed{{{len(rollout.start.ends) + truth.answer.step + 1}}}", opened.simulator
            ),
            "locate",
        )
        for rollout, truth in zip(failures, truths, strict=True)
        if isinstance(truth.answer, Localization)
    ]


def replayed(
    simulator: LanguageModelSimulator, problems: Sequence[Problem], texts: Sequence[str]
) -> list[TextRollout]:
    """Return texts as rollouts of a world, cut into thoughts and judged as the model's own are.

    Args:
        simulator: the world; its usage does not change.
        problems: that the texts answer.
        texts: one per problem.
    """
    return simulator.replay(simulator.start_states(problems), texts)


def demonstrator(task: object) -> Demonstrator:
    """Return a task that writes demonstrations.

    Raises:
        InvalidInput: it writes none.
    """
    if not demonstrates(task):
        remedy = "give examples in a file, or take a task with demonstrations such as sums"
        raise InvalidInput("world", type(task).__name__, "writes no demonstrations", remedy)
    return task


def _reply(text: str, simulator: LanguageModelSimulator) -> Tokens:
    return completion_ids(text, simulator.vocabulary)


def completion_ids(text: str, vocabulary: Vocabulary) -> Tokens:
    """Return the ids of a whole reply: the text and the end of the sequence.

    Args:
        text: of the reply.
        vocabulary: the model's tokenizer.
    """
    own = vocabulary.tokenizer.eos_token_id
    return (*vocabulary.encode(text, special=False), min(vocabulary.eos) if own is None else own)


def read_examples(source: str, vocabulary: Vocabulary, chat: Chat) -> list[Example]:
    """Read examples from a file in the formats of TRL.

    A record holds "prompt" and "completion", both texts or both lists of messages, or "messages",
    of which the last is the reply. It may hold "skill": "solve" or "locate".

    Args:
        source: see :func:`llm.data.records.read_records`.
        vocabulary: the model's tokenizer.
        chat: what stands around prompts that are texts, chat template included, once settled.

    Raises:
        InvalidInput: with the file, the line and the field of what is wrong.
    """
    return list(_examples(source, vocabulary, chat))


def _examples(source: str, vocabulary: Vocabulary, chat: Chat) -> Iterator[Example]:
    for record in read_records(source, "data"):
        prompt, reply = _conversation(record)
        if isinstance(prompt, str):
            ids = chat.ids(vocabulary, prompt)
        else:
            ids = vocabulary.chat(prompt, chat.arguments)
        yield Example(ids, completion_ids(reply, vocabulary), _skill(record))


def _skill(record: Record) -> Skill:
    skill = record.values.get("skill", "solve")
    if skill not in ("solve", "locate"):
        raise _refusal(record, "skill", skill, "unknown", 'write "solve" or "locate"')
    return "locate" if skill == "locate" else "solve"


def _conversation(record: Record) -> tuple[str | list[Mapping[str, str]], str]:
    """What the model is given and what it replies."""
    if "messages" in record.values:
        *before, last = _messages(record, "messages")
        if not before or last["role"] != "assistant":
            problem = "does not end with a reply"
            remedy = "let the last of two messages or more be the assistant's"
            raise _refusal(record, "messages", last["role"], problem, remedy)
        return before, last["content"]
    for name in ("prompt", "completion"):
        if name not in record.values:
            remedy = 'give "prompt" and "completion", or "messages"'
            raise _refusal(record, name, sorted(record.values), "missing", remedy)
    prompt, reply = record.values["prompt"], record.values["completion"]
    if isinstance(prompt, str) and isinstance(reply, str):
        # As they are: blanks at the ends of texts are part of what is taught.
        for name in ("prompt", "completion"):
            record.text(name)  # refuses what is blank
        return prompt, reply
    messages = _messages(record, "completion")
    if len(messages) != 1:
        raise _refusal(record, "completion", len(messages), "not one message", "give the reply")
    return list(_messages(record, "prompt")), messages[0]["content"]


def _messages(record: Record, name: str) -> list[Mapping[str, str]]:
    found = record.values[name]
    fine = isinstance(found, list) and found
    if not fine or not all(
        isinstance(m, Mapping)
        and isinstance(m.get("role"), str)
        and isinstance(m.get("content"), str)
        for m in found
    ):
        remedy = 'write [{"role": "user", "content": "..."}, ...]'
        raise _refusal(record, name, found, "not a list of messages", remedy)
    return list(found)


def _refusal(record: Record, name: str, value: object, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"{record.place}, field {name}", value, problem, remedy)
