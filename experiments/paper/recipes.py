"""The paper's training runs as values: two models, two sets of problems, three methods, ablations.

Each recipe is a whole :class:`TrainConfig`; the files below ``experiments/configs/paper`` are made
from them. Recipes whose name begins with "published" make the choices of the paper's release as far
as they can be made here; the others take the same sizes and our own rules, and compare methods with
all else equal.

Source: arXiv 2605.25507 and its released training code (hyper-parameters).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments.methods import MethodVariant
from experiments.train.config import TrainConfig
from experiments.train.spec import TrainBudget
from experiments.worlds.code import CodeWorld
from experiments.worlds.language import DatasetWorld, LanguageWorld
from experiments.worlds.writing import Writing
from llm.data.problems import Fields
from llm.models.settings import LoraSettings, ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.text.answers import CodeBlock
from llm.text.boundaries import Published
from llm.training.settings import LossSettings, OptimizerSettings

_TEMPERATURE, _TOP_P = 0.7, 0.95
_RATE, _LOW_RATE = 5e-5, 1e-6

_AS_GRPO = LossSettings("clipped", "token-mean", temperature=_TEMPERATURE)
_AS_SRPO = LossSettings("unclipped", "sequence-mean", temperature=_TEMPERATURE)


@dataclass(frozen=True)
class PaperModel:
    """A model of the paper and how it is held on one GPU.

    Attributes:
        path: on the hub.
        micro_batch: rows per forward pass.
        memory_share: of a GPU of `gpu` for vLLM.
        gpu: the smallest of :data:`llm.throughput.devices.DEVICES` that it is planned for.
    """

    path: str
    micro_batch: int
    memory_share: float
    gpu: str


MODELS: Mapping[str, PaperModel] = {
    "olmo3-7b": PaperModel("allenai/Olmo-3-7B-Instruct", 2, 0.45, "H100"),
    "qwen2.5-14b": PaperModel("Qwen/Qwen2.5-14B-Instruct", 1, 0.5, "H200"),
}
"""By the name that files have."""


@dataclass(frozen=True)
class Problems:
    """A set of problems of the paper.

    Attributes:
        name: of its recipe in ``cpi-resets data``.
        updates: in two epochs of batches of 32.
        every: updates between evaluations.
        held_out: problems of each.
    """

    name: str
    updates: int
    every: int
    held_out: int = 100

    @property
    def folder(self) -> str:
        """Where ``cpi-resets data prepare`` writes it."""
        return f"results/data/{self.name}"

    def world(self, writing: Writing, **options: Any) -> LanguageWorld:
        """The world of these problems; `options` are those of programs."""
        if self.name.startswith("livecodebench"):
            writing = replace(writing, answer=CodeBlock())
            return CodeWorld(self.name, self.folder, writing=writing, **options)
        fields = Fields(id="id", kind="kind", answer="answers")
        train, test = (f"{self.folder}/{split}.parquet" for split in ("train", "test"))
        return DatasetWorld(self.name, train, test, fields=fields, writing=writing)


PROBLEMS: Mapping[str, Problems] = {
    "olympiads": Problems("numinamath_olympiads", updates=24, every=6),
    "lcb-medium": Problems("livecodebench_medium", updates=22, every=11),
}
"""By the name that files have."""

_WRITING = Writing(max_thoughts=20, max_tokens=5120, thought_tokens=256)


def _base(model: PaperModel, problems: Problems) -> TrainConfig:
    """What all recipes share: the paper's sizes under our rules."""
    return TrainConfig(
        worlds=(problems.name,),
        methods=("GRPO", "RRPO", "SRPO"),
        seeds=3,
        model=ModelSettings(
            model.path, "cuda", "bfloat16", LoraSettings(64, 64), checkpointing=True
        ),
        optimizer=OptimizerSettings(
            _RATE, weight_decay=0.01, minibatches=4, micro_batch=model.micro_batch
        ),
        loss=_AS_GRPO,
        budget=TrainBudget(
            prompts=32,
            updates=problems.updates,
            every=problems.every,
            held_out=problems.held_out,
            temperature=_TEMPERATURE,
            top_p=_TOP_P,
            order="epochs",
        ),
        sampler=SamplerSettings("vllm", memory_share=model.memory_share),
        engine="trl",
        more=(problems.world(_WRITING),),
    )


def _released(
    config: TrainConfig,
    problems: Problems,
    method: MethodVariant | str,
    loss: LossSettings,
    scoring: str = "fraction passed",
    localization_temperature: float = 0.3,
) -> TrainConfig:
    """A run as the release makes it."""
    writing = replace(
        _WRITING,
        boundary=Published(),
        chat=False,
        readings=("step number",),
        localization_temperature=localization_temperature,
    )
    options = {}
    if problems.name.startswith("livecodebench"):
        options = {"scoring": scoring, "evaluation": "held-out tests"}
    return replace(
        config,
        methods=(method.name if isinstance(method, MethodVariant) else method,),
        more_methods=(method,) if isinstance(method, MethodVariant) else (),
        loss=loss,
        more=(problems.world(writing, **options),),
    )


def _reset(name: str, algorithm: Any = "SRPO", **options: Any) -> MethodVariant:
    return MethodVariant(name, algorithm, parent="published", **options)


_SRPO, _RRPO = _reset("SRPO, published"), _reset("RRPO, published", "RRPO")

_LAYOUTS = (
    MethodVariant("SRPO 1x4", "SRPO", layout="1x4"),
    MethodVariant("SRPO 2x4", "SRPO", layout="2x4"),
    MethodVariant("SRPO 1x8", "SRPO", layout="1x8"),
    MethodVariant("SRPO, no mask", "SRPO", train_prefix=True),
)

GRPO_OF_EQUAL_TOKENS = 9
"""Group size with which GRPO generates about as many tokens as the release's SRPO: four base
rollouts, one parent and four suffixes, of which some tokens are kept and a reply is spent."""

Make = Callable[[TrainConfig, Problems], TrainConfig]


def _with(methods: tuple[MethodVariant | str, ...], **changes: Any) -> Make:
    """Our rules with other methods or values."""
    own = tuple(m for m in methods if isinstance(m, MethodVariant))
    names = tuple(m.name if isinstance(m, MethodVariant) else m for m in methods)

    def make(config: TrainConfig, _: Problems) -> TrainConfig:
        return replace(config, methods=names, more_methods=own, **changes)

    return make


def _low_rate(config: TrainConfig, _: Problems) -> TrainConfig:
    return replace(config, optimizer=replace(config.optimizer, rate=_LOW_RATE))


def _as_released(method: MethodVariant | str, loss: LossSettings, **options: Any) -> Make:
    return lambda config, problems: _released(config, problems, method, loss, **options)


_THREE = ("GRPO", "RRPO", "SRPO")

PARTS: Mapping[str, tuple[str, Make]] = {
    "published-grpo": ("GRPO as released", _as_released("GRPO", _AS_GRPO)),
    "published-rrpo": ("RRPO as released", _as_released(_RRPO, _AS_SRPO)),
    "published-srpo": ("SRPO, 1x4, as released", _as_released(_SRPO, _AS_SRPO)),
    "published-srpo-2x4": (
        "Ablation as released: two parents with four suffixes each, no base group",
        _as_released(_reset("SRPO 2x4, published", layout="2x4"), _AS_SRPO, scoring="all passed"),
    ),
    "published-srpo-1x8": (
        "Ablation as released: one parent with eight suffixes, no base group, greedy localisation",
        _as_released(
            _reset("SRPO 1x8, published", layout="1x8"),
            _AS_SRPO,
            scoring="all passed",
            localization_temperature=0.0,
        ),
    ),
    "published-srpo-no-mask": (
        "Ablation as released: kept prefixes are learned from, too",
        _as_released(_reset("SRPO no mask, published", train_prefix=True), _AS_SRPO),
    ),
    "published-srpo-clip": (
        "Ablation as released: the clipped loss",
        _as_released(_SRPO, _AS_GRPO),
    ),
    "equal": (
        "Matched: loss (clipped), learning rate and learned rollouts are the same for all methods",
        _with(_THREE),
    ),
    "equal-unclipped": (
        "Matched: as `equal`, with the release's loss of SRPO for all methods",
        _with(_THREE, loss=_AS_SRPO),
    ),
    "equal-low-rate": (
        "Matched: as `equal`, at the rate that the release gives its other baselines",
        _low_rate,
    ),
    "equal-tokens": (
        "Matched: generated tokens, about: a larger group of GRPO, the release's parents for SRPO",
        _with((MethodVariant("GRPO 9", "GRPO", rollouts=GRPO_OF_EQUAL_TOKENS), "GRPO", _SRPO)),
    ),
    "layouts": ("The sampling ablations under our rules, all else equal", _with(_LAYOUTS)),
}
"""Part of a file's name -> what it is, and how its settings are made of those that all share."""


@dataclass(frozen=True)
class Recipe:
    """Settings with a name.

    Attributes:
        name: of the file and the run.
        about: what it is, in a sentence.
        part: which of :data:`PARTS`.
        config: the settings.
        gpu: what it is planned for.
    """

    name: str
    about: str
    part: str
    config: TrainConfig
    gpu: str

    @property
    def published(self) -> bool:
        """Whether it makes the release's choices."""
        return self.part.startswith("published")


def recipes() -> Iterator[Recipe]:
    """All of them."""
    for model_name, model in MODELS.items():
        for problems_name, problems in PROBLEMS.items():
            base = _base(model, problems)
            for part, (about, make) in PARTS.items():
                name = f"{model_name}-{problems_name}-{part}"
                config = replace(make(base, problems), name=f"paper-{name}")
                yield Recipe(name, about, part, config, model.gpu)
