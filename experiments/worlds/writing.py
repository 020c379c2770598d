"""How a model writes solutions, and who reads them: one value for every world of language models.

Prompts, boundaries of thoughts, answers and localisation stand in settings files under ``writing``
and are stored with each run; files that they name are stored as digests, so that a run with another
prompt is another run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cpi_theory.checks import (
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)
from experiments.runs.fingerprint import points_to
from llm.localizers.reading import Reading
from llm.localizers.self_localizer import Disclosure, WrittenLocalizationPrompt
from llm.prompts import Prompt, shipped
from llm.text.answers import AnyAnswer, Box
from llm.text.boundaries import AnyBoundary, Delimiter
from llm.text.chat import Chat
from llm.text.thoughts import ThoughtFormat

LATER: Mapping[str, Any] = {"later": True}
"""Of fields that older settings do not have: stored where they differ from their default."""


@dataclass(frozen=True)
class TextFile:
    """A text in a file of its own.

    Attributes:
        file: its path, seen from the folder that the command is started in.
    """

    file: str

    def read(self) -> str:
        """The text.

        Raises:
            InvalidInput: there is no such file, or it is not UTF-8.
        """
        try:
            return Path(self.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problem = f"cannot be read ({error})"
            raise InvalidInput("file", self.file, problem, "give a text file") from error


@points_to.register
def _(text: TextFile) -> Mapping[str, Path]:
    return {text.file: Path(text.file)}


Text = str | TextFile
"""A text: itself, or ``{ file = "prompt.txt" }``."""


def text_of(text: Text) -> str:
    """The text itself.

    Raises:
        InvalidInput: its file cannot be read.
    """
    return text.read() if isinstance(text, TextFile) else text


@dataclass(frozen=True)
class Example:
    """A solved problem that the model is shown before its own.

    Attributes:
        question: without instructions, as in problems.
        solution: as the model should write it.
    """

    question: str
    solution: str


@dataclass(frozen=True)
class AskSelf:
    """The model itself, in the words of `localization_prompt`."""


@dataclass(frozen=True)
class AskEndpoint:
    """Another model behind an OpenAI-compatible endpoint, in the same words.

    Attributes:
        url: base address, such as https://host/v1.
        model: the name that the endpoint knows it by.
        key_file: a file with the API key; None: no key.
        replies: a JSON lines file in which replies are kept, so that none is paid for twice.
        concurrency: most requests in flight.
        timeout: seconds to wait for a reply.
    """

    url: str
    model: str
    key_file: str | None = None
    replies: str | None = None
    concurrency: int = 8
    timeout: float = 120.0

    def __post_init__(self) -> None:
        check_count("concurrency", self.concurrency)
        check_positive("timeout", self.timeout)


@dataclass(frozen=True)
class AskChecker:
    """The exact step checker of a task that has one."""


@dataclass(frozen=True)
class AskSeveral:
    """A majority of several replies.

    Attributes:
        votes: replies per rollout.
        of: who replies.
    """

    votes: int = 5
    of: AskSelf | AskEndpoint = field(default_factory=AskSelf)

    def __post_init__(self) -> None:
        check_count("votes", self.votes)


@dataclass(frozen=True)
class Blurred:
    """A localiser made worse by a known amount, for studies of what precision is worth.

    Attributes:
        accuracy: probability that its step is passed on; otherwise a uniform one is named.
        of: who names the step.
    """

    accuracy: float
    of: AskChecker | AskSelf | AskEndpoint = field(default_factory=AskChecker)

    def __post_init__(self) -> None:
        check_probability("accuracy", self.accuracy)


@dataclass(frozen=True)
class Unsure:
    """Nobody is asked: the first thought in which the model was unsure is named.

    Attributes:
        probability: in (0, 1]; a thought whose probability is below it is one.
        measure: "least": the probability of a thought is that of its least likely token; "mean":
            the geometric mean over its tokens, whose negative logarithm estimates the entropy.
    """

    probability: float = 0.1
    measure: Literal["least", "mean"] = "least"

    def __post_init__(self) -> None:
        check_in_range("probability", self.probability, 1e-9, 1)


Locating = AskSelf | AskEndpoint | AskChecker | AskSeveral | Blurred | Unsure
"""Who names the first error of a solution."""


@dataclass(frozen=True)
class Writing:
    """How a model is asked, how it writes thoughts and answers, and who names its first errors.

    Attributes:
        boundary: what ends a thought.
        answer: how a solution gives its answer, and whether that ends it.
        prompt: what the model is asked, with the placeholder ``{{question}}`` and, if wanted,
            ``{{delimiter}}``; None: words that ask for this boundary and answer.
        system: a system prompt; None: none of our own (a chat template may bring one).
        examples: solved problems that are shown first, or a JSON lines file of them.
        chat: whether prompts are put into the model's chat template; None: where it has one.
        template_arguments: of the chat template, such as ``{ enable_thinking = false }``.
        max_thoughts, max_tokens, thought_tokens: see :class:`llm.text.thoughts.ThoughtFormat`.
        localizer: who names first errors.
        localization_prompt: what they are asked, with the placeholders question, attempt, count,
            steps and, where it is shown, answer; None: the words that come with the package.
        disclosure: what they are told about the attempt.
        own: whether they are told that the attempt is their own; None: where it is.
        localization_temperature, localization_tokens: of replies.
        readings: how a reply without a box may be read, tried in this order.
        ask_single: whether they are asked about rollouts of a single thought, in which there is
            nothing to find; None: under a delimiter alone, as older versions did.
        revision: words that ask for a second attempt; None: those of the task or the package.
    """

    boundary: AnyBoundary = field(default_factory=Delimiter, metadata=LATER)
    answer: AnyAnswer = field(default_factory=Box, metadata=LATER)
    prompt: Text | None = field(default=None, metadata=LATER)
    system: Text | None = field(default=None, metadata=LATER)
    examples: tuple[Example, ...] | TextFile = field(default=(), metadata=LATER)
    chat: bool | None = None
    # Compared but not hashed: worlds are keys of dictionaries, and tables have no hash.
    template_arguments: dict[str, Any] = field(default_factory=dict, hash=False, metadata=LATER)
    max_thoughts: int = 20
    max_tokens: int = 5120
    thought_tokens: int | None = None
    localizer: Locating = field(default_factory=AskSelf, metadata=LATER)
    localization_prompt: Text | None = field(default=None, metadata=LATER)
    disclosure: Disclosure = field(default=Disclosure.TOLD_WRONG, metadata=LATER)
    own: bool | None = field(default=None, metadata=LATER)
    localization_temperature: float = 0.3
    localization_tokens: int = 4096
    readings: tuple[Reading, ...] = field(default=(), metadata=LATER)
    ask_single: bool | None = field(default=None, metadata=LATER)
    revision: Text | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        check_count("localization_tokens", self.localization_tokens)
        check_in_range("localization_temperature", self.localization_temperature, 0, 100)
        self.form()

    def form(self) -> ThoughtFormat:
        """Format of solutions."""
        return ThoughtFormat(
            max_thoughts=self.max_thoughts,
            max_tokens=self.max_tokens,
            thought_tokens=self.thought_tokens,
            boundary=self.boundary,
            answer=self.answer,
        )

    @property
    def asks_single(self) -> bool:
        """Whether somebody is asked about rollouts of a single thought."""
        return isinstance(self.boundary, Delimiter) if self.ask_single is None else self.ask_single

    @property
    def delimiter(self) -> str:
        """What prompts name as the end of a thought."""
        return self.boundary.text if isinstance(self.boundary, Delimiter) else ""

    def template(self) -> Prompt:
        """What the model is asked, with the placeholder question, and delimiter if it is wanted.

        Raises:
            InvalidInput: a prompt of the user's own cannot be read, or lacks its placeholder.
        """
        if self.prompt is not None:
            return _prompt("prompt", self.prompt).check({"question"}, {"delimiter"})
        if isinstance(self.boundary, Delimiter) and isinstance(self.answer, Box):
            return shipped("solve")
        text = shipped("solve_steps").fill(
            # The placeholder is filled in by itself, for the question comes later.
            question="{{question}}",
            steps=self.boundary.asked(),
            answer=self.answer.asked(),
        )
        return Prompt("solve_steps", re.sub(r"\n{3,}", "\n\n", text))

    def revision_words(self) -> str | None:
        """What asks for a second attempt, with the placeholder question if it is wanted.

        Raises:
            InvalidInput: a file cannot be read, or has another placeholder.
        """
        if self.revision is None:
            return None
        return _prompt("revision", self.revision).check((), {"question"}).text

    def around(self, asked: Callable[[str], str]) -> Chat:
        """What stands around the prompt.

        Args:
            asked: the whole prompt for a question.

        Raises:
            InvalidInput: a file cannot be read, or is not what it should be.
        """
        examples = self.examples
        if isinstance(examples, TextFile):
            examples = _read_examples(examples)
        return Chat(
            self.chat,
            None if self.system is None else _prompt("system", self.system).check(()).text,
            tuple((asked(example.question), example.solution) for example in examples),
            self.template_arguments,
        )

    def locating(self, own: bool) -> WrittenLocalizationPrompt:
        """How first errors are asked for.

        Args:
            own: whether the model is asked about attempts of its own, unless settings say more.

        Raises:
            InvalidInput: a prompt of the user's own cannot be read, or lacks a placeholder.
        """
        own = own if self.own is None else self.own
        if self.localization_prompt is None:
            return WrittenLocalizationPrompt(self.disclosure, own)
        shown = {"answer"} if self.disclosure.shows_answer else set()
        wording = _prompt("localization_prompt", self.localization_prompt)
        wording.check({"question", "steps", *shown}, {"attempt", "count"})
        return WrittenLocalizationPrompt(self.disclosure, own, wording)


def _prompt(field: str, text: Text) -> Prompt:
    """A prompt under the name that messages should have for it: its file, or its field."""
    return Prompt(text.file if isinstance(text, TextFile) else field, text_of(text))


def _read_examples(file: TextFile) -> tuple[Example, ...]:
    examples = []
    for number, line in enumerate(file.read().splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            examples.append(Example(str(values["question"]), str(values["solution"])))
        except (ValueError, KeyError, TypeError) as error:
            problem = f"not an example ({error!r})"
            remedy = 'write {"question": ..., "solution": ...}'
            raise InvalidInput(f"{file.file}, line {number}", line, problem, remedy) from error
    return tuple(examples)


def check_success(success: float) -> None:
    """Refuse a level of success that no reward in [0, 1] could fall short of or reach.

    Raises:
        InvalidInput: naming the field.
    """
    check_positive("success", success)
    check_probability("success", success)
