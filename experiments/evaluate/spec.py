"""What one part of an evaluation depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from cpi_theory.algorithms.correction import SelfCorrection, Stop, Unnamed
from cpi_theory.checks import InvalidInput, check_choice, check_count, check_in_range
from experiments.worlds.language import LanguageWorld
from experiments.worlds.localizing import asks_checker
from experiments.worlds.named_localizers import NamedLocalizer
from experiments.worlds.writing import LATER
from llm.models.settings import ModelSettings
from llm.models.temperature import check_temperature
from llm.sampling.settings import SamplerSettings


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that is evaluated.

    Attributes:
        method: what it is called in tables: what trained it.
        model: where it is.
        seed: of its training, so that methods can be compared in pairs; None: it stands for all
            seeds, as the model does that trainings began with.
    """

    method: str
    model: ModelSettings
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.method:
            raise InvalidInput("models.method", self.method, "empty", "name what trained it")
        if self.seed is not None:
            check_count("models.seed", self.seed, minimum=0)


@dataclass(frozen=True)
class Attempts:
    """How each problem is attempted.

    Attributes:
        samples: attempts at `temperature`; 0: none.
        greedy: one more that takes the likeliest token each time.
        temperature, top_p: of the samples.
        ks: for which pass@k is estimated; each at most `samples`.
    """

    samples: int = 4
    greedy: bool = True
    temperature: float = 1.0
    top_p: float = 1.0
    ks: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        check_count("attempts.samples", self.samples, minimum=0)
        check_temperature("attempts.temperature", self.temperature, greedy=False)
        check_in_range("attempts.top_p", self.top_p, 1e-6, 1)
        if not self.samples and not self.greedy:
            remedy = "draw samples, or a greedy attempt"
            raise InvalidInput("attempts.samples", 0, "nothing is attempted", remedy)
        for k in self.ks:
            if not 1 <= k <= max(self.samples, 1):
                remedy = "draw more samples, or lower it"
                raise InvalidInput("attempts.ks", k, f"not in [1, {self.samples}]", remedy)


@dataclass(frozen=True)
class Correction:
    """How attempts are corrected at inference: verified, reset to their first error, written on.

    Attributes:
        rounds: most corrections of an attempt; 0: attempts are not corrected.
        localizers: who names first errors, as in localize; each corrects attempts of its own.
        stops: who ends it: "own" (the model, or whoever is asked, finds nothing to mend), or
            "oracle" (the reference does at the first success: an upper bound, and no pass@1).
        chains: attempts per problem that are corrected.
        verify: whether the model is asked whether its attempt is right before anybody is asked for
            a step, where it ends by "own".
        unnamed: where no step is named, and nothing accepted: "stop", or a "fresh" attempt.
    """

    rounds: int = 0
    localizers: tuple[str, ...] = ("self",)
    stops: tuple[Stop, ...] = ("own", "oracle")
    chains: int = 1
    verify: bool = False
    unnamed: Unnamed = "stop"

    def __post_init__(self) -> None:
        check_count("correction.rounds", self.rounds, minimum=0)
        check_count("correction.chains", self.chains)
        check_choice("correction.unnamed", self.unnamed, get_args(Unnamed))
        for stop in self.stops:
            check_choice("correction.stops", stop, get_args(Stop))
        for name in ("localizers", "stops"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                problem = "none" if not values else "named twice"
                remedy = "name each once, and one at least"
                raise InvalidInput(f"correction.{name}", values, problem, remedy)

    def algorithm(self, stop: Stop) -> SelfCorrection:
        """The plan of one chain."""
        return SelfCorrection(rounds=self.rounds, stop=stop, unnamed=self.unnamed)


def check_corrector(
    correction: Correction, stop: Stop, localizer: NamedLocalizer, world: LanguageWorld
) -> None:
    """Refuse to correct by somebody who knows, or is told, what the model cannot know.

    Raises:
        InvalidInput: naming the localiser and what to choose.
    """
    writing = localizer.rewritten(world.writing)
    if stop == "oracle":
        return
    words, problem = localizer.words(writing), ""
    # A world without a writing is asked in words that its model was taught, and in no others.
    remedy = "choose self" if world.writing is None else "choose self-not-told"
    if asks_checker(localizer.localizer) or (words is not None and words.shows_answer):
        problem = "knows the right answer"
        remedy += ", or correction.stops = ['oracle'] alone"
    elif localizer.presumes_failure(writing) and not correction.verify:
        problem = "is told that the attempt is wrong, which nobody knows without the reference"
        remedy += ", correction.verify = true, or correction.stops = ['oracle'] alone"
    if problem:
        problem += f" (in {world.name}, ended by the model's own verdict)"
        raise InvalidInput("correction.localizers", localizer.name, problem, remedy)


@dataclass(frozen=True)
class CorrectionSpec:
    """A model that corrects its attempts at some of the problems of a benchmark.

    Attributes:
        world: the benchmark.
        evaluated: the model.
        attempts: how an attempt is sampled.
        correction: how it is corrected.
        localizer: who names first errors.
        stop: who ends it.
        problems: of the benchmark in all.
        first, count: which of them.
        seed: of problems and chains.
        sampler: the engine.
        texts: whether rows hold the texts.
    """

    world: LanguageWorld
    evaluated: EvaluatedModel
    attempts: Attempts
    correction: Correction
    localizer: NamedLocalizer
    stop: Stop
    problems: int
    first: int
    count: int
    seed: int
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    texts: bool = False


@dataclass(frozen=True)
class EvaluateSpec:
    """A model on some of the problems of a benchmark.

    Attributes:
        world: the benchmark.
        evaluated: the model.
        attempts: at each problem.
        problems: of the benchmark in all.
        first, count: which of them.
        seed: of problems and attempts; all models see the same ones under the same keys.
        sampler: the engine.
        texts: whether rows hold the texts.
    """

    world: LanguageWorld
    evaluated: EvaluatedModel
    attempts: Attempts
    problems: int
    first: int
    count: int
    seed: int
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    texts: bool = field(default=False, metadata=LATER)
