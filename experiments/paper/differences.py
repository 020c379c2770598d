"""Every setting in which a recipe as released differs from the same run under our rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cpi_theory.checks import InvalidInput
from experiments.paper.recipes import Recipe
from experiments.train.config import TrainConfig

OURS: Mapping[str, tuple[str, str]] = {
    "published-grpo": ("equal", "GRPO"),
    "published-rrpo": ("equal", "RRPO"),
    "published-srpo": ("equal", "SRPO"),
    "published-srpo-clip": ("equal", "SRPO"),
    "published-srpo-2x4": ("layouts", "SRPO 2x4"),
    "published-srpo-1x8": ("layouts", "SRPO 1x8"),
    "published-srpo-no-mask": ("layouts", "SRPO, no mask"),
}
"""Part as released -> the part under our rules and the method in it that is the same run."""

REASONS: Mapping[str, str] = {
    "loss.kind": "only a ratio corrects for the last three of four updates from a batch",
    "loss.aggregation": "one loss for all methods, so that methods alone differ",
    "world.writing.boundary": "the end of a sequence ends the text",
    "world.writing.chat": "an instruction-tuned model is asked in its own template",
    "world.writing.readings": "a reply without a box is a refusal, which is counted",
    "world.writing.localization_temperature": "the same localiser for every layout",
    "world.scoring": "a program is right if it passes all tests, in every layout",
    "world.evaluation": "held-out problems, and not the training problems with other tests",
    "method.parent": (
        "a parent drawn among all failures of a fixed base group leaves its success rate what it is"
    ),
    "method.base": "parents are looked for in four rollouts that are not learned from",
    "method.train_base": "the same",
}
"""Setting -> why ours is another."""


@dataclass(frozen=True)
class Difference:
    """A setting with two values.

    Attributes:
        setting: its path; `world` is the world's table and `method` the algorithm of the method.
        released, ours: its values, as text.
        parts: in which parts.
        reason: why ours is another.
    """

    setting: str
    released: str
    ours: str
    parts: tuple[str, ...]
    reason: str


def differences(recipes: Mapping[str, Recipe]) -> list[Difference]:
    """What differs, over all parts of a model and a set of problems.

    Args:
        recipes: by part, of one model and one set of problems.

    Raises:
        InvalidInput: a setting differs for which :data:`REASONS` has no reason.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for part, (other, method) in OURS.items():
        released = settings(recipes[part].config, recipes[part].config.methods[0])
        ours = settings(recipes[other].config, method)
        for path in sorted(released.keys() | ours.keys()):
            pair = _text(released.get(path)), _text(ours.get(path))
            if pair[0] != pair[1]:
                found.setdefault((path, *pair), []).append(part)
    return [Difference(p, a, b, tuple(parts), _reason(p)) for (p, a, b), parts in found.items()]


def _reason(path: str) -> str:
    for setting, reason in REASONS.items():
        if path == setting or path.startswith(f"{setting}."):
            return reason
    remedy = "say why in REASONS, or make them equal"
    raise InvalidInput(path, "differs", "a difference without a reason", remedy)


def settings(config: TrainConfig, method: str) -> dict[str, Any]:
    """All settings of the runs of one method, by their paths."""
    specs = [spec for spec in config.specs() if spec.method.name == method]
    first = specs[0]
    whole = {field.name: getattr(first, field.name) for field in dataclasses.fields(first)}
    # Of a method its algorithm: its name is no setting.
    whole |= {"method": first.method.algorithm, "seed": len(specs)}
    return {k: v for name, value in whole.items() for k, v in _flat(value, name)}


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The class of every dataclass, and what its fields hold."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        yield path, value
        return
    yield path, type(value).__name__
    for field in dataclasses.fields(value):
        yield from _flat(getattr(value, field.name), f"{path}.{field.name}")


def _text(value: Any) -> str:
    return "-" if value in (None, ()) else str(value)
