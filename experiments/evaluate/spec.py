"""What one part of an evaluation depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

from cpi_theory.checks import InvalidInput, check_count, check_in_range
from experiments.worlds.language import LanguageWorld
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
    """

    world: LanguageWorld
    evaluated: EvaluatedModel
    attempts: Attempts
    problems: int
    first: int
    count: int
    seed: int
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
