"""How well a localiser names first errors, measured while it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cpi_theory.randomness import Keys
from cpi_theory.seam import Localization
from llm.localizers.base import Localizer, Located
from llm.text.rollouts import TextRollout


@dataclass(slots=True)
class LocalizationTally:
    """Counts of localisations against the truth.

    Attributes:
        asked: failures whose first error is known and that the localiser was asked about.
        named: of these, those for which it named a step.
        exact: of these, those in which it was right.
        within_one: those in which it was at most one step off.
        late: those in which it named a step after the first error, so that the prefix kept is
            wrong.
        first_hard: those in which the first hard step is the first error: what a localiser that
            looks at the question alone would get right.
    """

    asked: int = 0
    named: int = 0
    exact: int = 0
    within_one: int = 0
    late: int = 0
    first_hard: int = 0

    def add(self, named: int | None, truth: int, hard: Sequence[int]) -> None:
        """Count one localisation; steps are 0-based in the whole solution."""
        self.asked += 1
        self.first_hard += bool(hard) and hard[0] == truth
        if named is not None:
            self.named += 1
            self.exact += named == truth
            self.within_one += abs(named - truth) <= 1
            self.late += named > truth


@dataclass(slots=True)
class MeteredLocalizer:
    """Passes on what a localiser says and compares it with what an oracle says.

    Attributes:
        inner: the localiser in use.
        oracle: knows the truth, None where nobody does.
        hard_places: hard steps of a problem, for the baseline.
        tally: the counts so far.
    """

    inner: Localizer
    oracle: Localizer | None
    hard_places: Any = None
    tally: LocalizationTally = field(default_factory=LocalizationTally)

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`llm.localizers.base.Localizer`."""
        located = self.inner.locate(rollouts, keys)
        if self.oracle is None:
            return located
        truths = self.oracle.locate(rollouts, keys)
        for rollout, one, truth in zip(rollouts, located, truths, strict=True):
            if isinstance(truth.answer, Localization):
                named = one.answer.step if isinstance(one.answer, Localization) else None
                kept = len(rollout.start.ends)
                hard = self.hard_places(rollout.start.problem) if self.hard_places else ()
                ahead = [place - kept for place in hard if place >= kept]
                self.tally.add(named, truth.answer.step, ahead)
        return located

    def take(self) -> LocalizationTally:
        """The counts since the last time they were taken."""
        taken, self.tally = self.tally, LocalizationTally()
        return taken
