"""What a page shows: series of prompts, each with its rollouts and groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cpi_theory.checks import InvalidInput
from experiments.runs.files import Row

REFUSED, CONSTANT, CUT, MISLOCATED, RESET = FLAGS = (1, 2, 4, 8, 16)
"""Bits of :attr:`Summary.flags`.

A step was refused or a parent missing, all advantages of a group are 0, a rollout was cut off, a
localiser named another step than the first wrong one, a group (of attempts, one) starts at a reset.
"""

LIMITED = ("out of steps", "out of tokens", "unfinished")
"""Endings of texts that were cut off. Tabular worlds have a horizon: there steps running out is the
rule."""


@dataclass(frozen=True)
class Series:
    """Prompts that belong together: of one training, or one model on one benchmark.

    Attributes:
        world, method, seed: which; None: it stands for all seeds.
        visits: the update of each (None: there are none) and its record, see
            :func:`experiments.rollouts.visits.visit_row`.
    """

    world: str
    method: str
    seed: int | None
    visits: Iterable[tuple[int | None, Row]] = field(compare=False)

    @property
    def name(self) -> str:
        """What readers choose it by."""
        parts = [self.world, self.method, *([] if self.seed is None else [f"seed {self.seed}"])]
        return " · ".join(parts)


@dataclass(frozen=True)
class Source:
    """All that a run has to show.

    Attributes:
        kind: the command that made it.
        unit: what a step of its rollouts is called.
        series: of it.
        notes: what readers have to know of it.
        cut_off: how rollouts end that were cut off.
        damaged: why files of it are left out; complete when all series have been read.
    """

    kind: str
    unit: str
    series: Iterator[Series]
    notes: tuple[str, ...] = ()
    cut_off: tuple[str, ...] = LIMITED
    damaged: list[InvalidInput] = field(default_factory=list)


def left_out(error: InvalidInput) -> str:
    """A file that cannot be shown, and why, in a few words."""
    return f"{error.field} {error.value} {error.problem}"


@dataclass(frozen=True, slots=True)
class Summary:
    """A prompt as it stands in the list.

    Attributes:
        title: what was asked.
        rollouts: how many there are.
        reward: mean reward of those from the prompt itself, as what goes on from others tells of
            these; None: none of them has ended.
        largest: the largest absolute advantage of a step; None: nothing was learned from.
        flags: see :data:`FLAGS`.
        reasons: why steps were refused or parents missing.
    """

    title: str
    rollouts: int
    reward: float | None
    largest: float | None
    flags: int
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, visit: Row, cut_off: Sequence[str] = LIMITED) -> Summary:
        """Sum up the record of a prompt; `cut_off` are the endings that count as such."""
        rollouts, groups = visit["rollouts"], visit["groups"]
        fresh = [r for r in rollouts if not r.get("from")]
        rewards = [r["reward"] for r in fresh if r["reward"] is not None]
        largest = [_largest(one) for group in groups for one in group["advantages"]]
        said = [named.get("reason") for r in rollouts for named in r["named"]]
        reasons = tuple(dict.fromkeys(filter(None, [*visit["refused"], *said])))
        flags = (
            REFUSED * bool(reasons)
            | CONSTANT * any(_constant(group) for group in groups)
            | CUT * any(r["ended"] in cut_off for r in rollouts)
            | MISLOCATED * any(map(mislocated, rollouts))
            | RESET * _reset(rollouts, groups)
        )
        return cls(
            " ".join(visit["question"].split())[:160],
            len(rollouts),
            round(sum(rewards) / len(rewards), 4) if rewards else None,
            max(largest) if largest else None,
            flags,
            reasons,
        )


def _reset(rollouts: Sequence[Row], groups: Sequence[Row]) -> bool:
    """Whether a group starts at a reset; where nothing is learned in groups, whether a rollout."""
    if groups:
        return any(group["parent"] is not None for group in groups)
    return any(bool(rollout.get("from")) for rollout in rollouts)


def _largest(advantages: float | Sequence[float]) -> float:
    values = advantages if isinstance(advantages, list) else [advantages]
    return max(map(abs, values), default=0.0)


def _constant(group: Row) -> bool:
    return len(group["rollouts"]) > 1 and not any(map(_largest, group["advantages"]))


def mislocated(rollout: Row) -> bool:
    """Whether a localiser named a step of a rollout, and not its first wrong one.

    What people have marked counts before what a checker says; without either nobody knows.
    """
    known = [rollout[name] for name in ("human", "true") if name in rollout]
    if not known:
        return False
    named = [one["step"] for one in rollout["named"] if one.get("localizes")]
    return any(step is not None and step != known[0] for step in named)
