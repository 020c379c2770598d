"""Language models as worlds that `diagnose` can look at."""

from __future__ import annotations

from cpi_theory.randomness import Key
from experiments.diagnose_worlds import Site
from experiments.train_worlds import LanguageWorld, load_named
from llm.localization import Localizer, OracleLocalizer
from llm.models import ModelSettings
from llm.sampling import Sampling
from llm.simulator import LanguageModelSimulator
from llm.tasks import StepChecker
from llm.transformers_sampler import TransformersSampler


def open_model(
    world: LanguageWorld, settings: ModelSettings, prompts: int, key: Key, temperature: float = 1.0
) -> Site:
    """A model on held-out problems; where the task has a step checker, deviations are from it.

    Args:
        world: task and format.
        settings: the model.
        prompts: number of problems, one start state each.
        key: of the problems.
        temperature: of rollouts.

    Raises:
        InvalidInput: whatever model and task refuse.
    """
    model, vocabulary = load_named(settings)
    sampler = TransformersSampler(model, vocabulary)
    task = world.task()

    def simulator(localizer: Localizer) -> LanguageModelSimulator:
        return LanguageModelSimulator(
            sampler,
            vocabulary,
            task,
            world.form(),
            Sampling(temperature),
            localizer,
            chat=world.chat,
        )

    own = simulator(world.localizer(sampler, vocabulary))
    reference = None
    if isinstance(task, StepChecker):
        reference = simulator(OracleLocalizer(task, vocabulary, own.form.delimiter))
    seed = int(key.child("problems").integers(1)[0] >> 1)
    starts = own.start_states(task.problems("test", prompts, seed))
    return Site(world.name, own, starts, reference)
