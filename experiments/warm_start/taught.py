"""The model of a warm start: its examples, its measurements and its training."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_theory.randomness import Key
from experiments.runs.files import Row
from experiments.warm_start.config import WarmStartConfig
from experiments.worlds.open_world import open_world
from llm.engines.trl.supervised import Watch, fine_tune
from llm.evaluation.format import measure
from llm.models.folders import save_model
from llm.models.load import load_model
from llm.models.taught import note_taught
from llm.teaching import locating_examples, read_examples, solving_examples
from llm.text.chat import Chat
from llm.text.vocabulary import Vocabulary
from llm.training.supervised import Example

if TYPE_CHECKING:
    from llm.opening import OpenModel


class Learner:
    """A model with its examples; it is loaded when it is first needed.

    Attributes:
        config: of the run.
        key: of all randomness.
    """

    def __init__(self, config: WarmStartConfig) -> None:
        self.config = config
        self.key = Key.of(config.seed).child("warm start of a model")

    @cached_property
    def opened(self) -> OpenModel | None:
        """The model on its world, None without one."""
        world = self.config.language_world()
        if world is None:
            return None
        return open_world(world, self.config.model, seed=self.config.seed)

    @cached_property
    def _loaded(self) -> tuple[Any, Vocabulary]:
        if self.opened is not None:
            return self.opened.model, self.opened.vocabulary
        return load_model(self.config.model, seed=self.config.seed)

    @cached_property
    def examples(self) -> list[Example]:
        """All of them, localisations first.

        Raises:
            InvalidInput: whatever is wrong with the data, or a task that writes none.
        """
        config = self.config
        if config.data is not None:
            return read_examples(config.data, self._loaded[1], self._chat)
        assert self.opened is not None
        count = config.recipe.examples
        problems = self.opened.problems("train", count, self.key.child("problems"))
        located = round(config.localization * count)
        key = self.key.child("examples")
        found: list[Example] = []
        if located:
            found += locating_examples(self.opened, problems[:located], key.child("locate"))
        rest = problems[located:]
        return found + solving_examples(self.opened.simulator, rest, key.child("solve"))

    @property
    def _chat(self) -> Chat:
        if self.opened is not None:
            return self.opened.simulator.chat
        return Chat(None).settled(self._loaded[1])

    @property
    def updates(self) -> int:
        """Of the whole training."""
        return self.config.recipe.updates(len(self.examples))

    def counts(self) -> Row:
        """How many examples of each kind there are, their mean length, and what they teach."""
        located = sum(one.skill == "locate" for one in self.examples)
        lengths = [len(one.prompt) + len(one.completion) for one in self.examples]
        return {
            "solve": len(lengths) - located,
            "locate": located,
            "localization_taught": located > 0,
            "tokens": sum(lengths) / len(lengths),
        }

    def measure(self, count: int) -> Row:
        """What the model does on the first held-out problems as it is now."""
        assert self.opened is not None
        problems = self.opened.problems("test", count, self.key.child("held out"))
        return measure(self.opened, problems, self.key.child("measure"))

    def teach(self, folder: Path, watch: Watch) -> list[float]:
        """Train it, from a checkpoint in the folder if there is one; the loss of every update."""
        model, vocabulary = self._loaded
        return fine_tune(
            model,
            vocabulary,
            self.examples,
            self.config.recipe,
            self.key,
            folder,
            self.config.every,
            watch,
        )

    def save(self, folder: Path) -> None:
        """Store the model, adapters merged into its weights, with what it was taught."""
        model, vocabulary = self._loaded
        if self.config.model.lora is not None:
            model = model.merge_and_unload()
        counts = self.counts()
        note_taught(model, {name: counts[name] for name in counts if name != "tokens"})
        save_model(model, vocabulary, folder)
