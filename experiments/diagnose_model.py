"""A language model with its task as a world that can be diagnosed."""

from __future__ import annotations

from dataclasses import dataclass

from cpi_theory.checks import check_positive
from cpi_theory.randomness import Key
from experiments.diagnose_worlds import Site
from experiments.train_worlds import LanguageWorld
from llm.localization import Localizer, OracleLocalizer
from llm.models import ModelSettings, load_model
from llm.sampling import Sampling
from llm.simulator import LanguageModelSimulator
from llm.tasks import StepChecker
from llm.transformers_sampler import TransformersSampler


@dataclass(frozen=True)
class ModelSite:
    """Where a language model is diagnosed.

    Attributes:
        world: task, format of solutions and localiser.
        model: which model.
        temperature: of rollouts.
        split: of the task's problems.
    """

    world: LanguageWorld
    model: ModelSettings
    temperature: float = 1.0
    split: str = "train"

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    def open(self, prompts: int, key: Key) -> Site:
        """Load the model and draw problems; deviations are from the task's exact step checker.

        Raises:
            InvalidInput: whatever model or task refuse.
        """
        model, vocabulary = load_model(self.model)
        task, form = self.world.task(), self.world.form()
        sampler = TransformersSampler(model, vocabulary)

        def simulator(localizer: Localizer) -> LanguageModelSimulator:
            sampling = Sampling(self.temperature)
            return LanguageModelSimulator(
                sampler, vocabulary, task, form, sampling, localizer, chat=self.world.chat
            )

        own = simulator(self.world.localizer(sampler, vocabulary))
        reference = None
        if isinstance(task, StepChecker):
            reference = simulator(OracleLocalizer(task, vocabulary, form.delimiter))
        seed = int(key.child("problems").integers(1)[0] >> 1)
        starts = own.start_states(task.problems(self.split, prompts, seed))
        return Site(self.world.name, own, starts, reference)
