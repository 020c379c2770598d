"""How a problem is put to a model: chat template, system prompt, and solved problems before it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cpi_theory.checks import InvalidInput
from llm.text.rollouts import Tokens
from llm.text.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Chat:
    """What stands around the words in which a task asks for a solution.

    Attributes:
        template: whether all is put into the tokenizer's chat template; None: where it has one.
        system: a system prompt; None: none, unless the template brings one.
        examples: solved problems to show first: what was asked, and the solution.
        arguments: of the template, such as ``{"enable_thinking": False}``.
    """

    template: bool | None = False
    system: str | None = None
    examples: tuple[tuple[str, str], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def settled(self, vocabulary: Vocabulary) -> Chat:
        """Return the same with a decision on the template, once that is known to be possible.

        A tokenizer with a template whose use is refused is warned about: its model was taught to
        answer in conversations.

        Raises:
            InvalidInput: a template is asked for, or given arguments, where there is none.
        """
        there = vocabulary.has_template
        template = there if self.template is None else self.template
        if template and not there:
            remedy = "leave chat out, or use the instruction-tuned model of this family"
            problem = "the tokenizer has no chat template"
            raise InvalidInput("chat", True, problem, remedy)
        if self.arguments and not template:
            problem = "no chat template is used that could take them"
            raise InvalidInput(
                "template_arguments", dict(self.arguments), problem, "leave them out"
            )
        if there and self.template is False:
            warnings.warn(
                "chat = false: the tokenizer has a chat template, so its model was taught to answer"
                " in conversations; it will be asked in plain text",
                stacklevel=3,
            )
        return replace(self, template=template)

    def ids(self, vocabulary: Vocabulary, asked: str) -> Tokens:
        """Return the ids of a prompt, up to where the solution begins.

        Args:
            vocabulary: the model's tokenizer.
            asked: what the task says; the whole prompt, if there is nothing else.
        """
        if self.template:
            return vocabulary.chat(self._messages(asked), self.arguments)
        before = [] if self.system is None else [self.system]
        before += [f"{question}\n{solution}" for question, solution in self.examples]
        return vocabulary.encode("\n\n".join([*before, asked]))

    def again(self, vocabulary: Vocabulary, asked: str, answered: str, words: str) -> Tokens:
        """Return the ids of a prompt that goes on after a first answer; needs a chat template.

        Args:
            vocabulary: the model's tokenizer.
            asked: as in :meth:`ids`.
            answered: the first answer.
            words: what is said to it.
        """
        turns = [("assistant", answered), ("user", words)]
        messages = [*self._messages(asked), *({"role": r, "content": c} for r, c in turns)]
        return vocabulary.chat(messages, self.arguments)

    def _messages(self, asked: str) -> Sequence[Mapping[str, str]]:
        system = [] if self.system is None else [("system", self.system)]
        shown = [
            turn
            for question, solution in self.examples
            for turn in (("user", question), ("assistant", solution))
        ]
        turns = [*system, *shown, ("user", asked)]
        return [{"role": role, "content": content} for role, content in turns]
