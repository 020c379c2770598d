"""What a learning run has generated, and how its groups turned out: one account for all worlds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Self

from cpi_theory.seam import Collection
from experiments.runs.files import Row


@dataclass(slots=True)
class Account:
    """What was generated so far, and how the groups turned out since the last record.

    Attributes:
        rollouts, steps, localizations: generated (actions) and asked for so far.
        groups, informative: since the last record, all and those whose rewards differ.
        refusals: since the last record, by reason.
        more: further totals of a world, by name.
    """

    rollouts: int = 0
    steps: int = 0
    localizations: int = 0
    groups: int = 0
    informative: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    more: dict[str, float] = field(default_factory=dict)

    def add(self, collection: Collection) -> None:
        """Count what a collection took and gave."""
        self.rollouts += collection.generated_rollouts
        self.steps += collection.generated_steps
        self.localizations += collection.localizations
        self.groups += len(collection)
        self.informative += sum(group.informative for group in collection)
        self.refusals.update({r.value: n for r, n in collection.refusals.items()})

    def take(self) -> Row:
        """Totals of what was generated, and counts of groups since the last record."""
        row = self.state()
        more: Row = row.pop("more")
        self.groups = self.informative = 0
        self.refusals.clear()
        return row | more

    def state(self) -> Row:
        """All of it, as JSON can hold it."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return row | {"refusals": dict(self.refusals), "more": dict(self.more)}

    @classmethod
    def of(cls, state: Row) -> Self:
        """The account that a :meth:`state` was taken of."""
        return cls(**state | {"refusals": Counter(state["refusals"]), "more": dict(state["more"])})
