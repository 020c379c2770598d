"""How well a localiser names first errors, measured while it is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cpi_theory.randomness import Keys
from cpi_theory.seam import Localization
from llm.localizers.base import Localizer, Located, asking, by_itself
from llm.sampling.base import Sampler
from llm.sampling.streaming import Questions
from llm.text.rollouts import TextRollout


@dataclass(slots=True)
class LocalizationTally:
    """Counts of localisations against the truth.

    Attributes:
        asked: rollouts that the localiser was asked about.
        named: of these, those for which it named a step.
        exact: of these, those in which it was right.
        within_one: those in which it was at most one step off.
        late: those in which it named a step after the first error, so that the prefix kept is
            wrong.
        first_hard: those in which the first hard step is the first error: what a localiser that
            looks at the question alone would get right.
        by_chance: how many a localiser would be expected to get right that names one of the
            rollout's steps at random.
        unknown: those whose first error is unknown; they can count as asked and named alone.
        read: replies that were read leniently, by reading.
    """

    asked: int = 0
    named: int = 0
    exact: int = 0
    within_one: int = 0
    late: int = 0
    first_hard: int = 0
    by_chance: float = 0.0
    unknown: int = 0
    read: dict[str, int] = field(default_factory=dict)

    def add(
        self, named: int | None, truth: int | None, hard: Sequence[int] = (), *, steps: int
    ) -> None:
        """Count one localisation.

        Args:
            named: the step that was named, 0-based among those of the rollout; None: none.
            truth: the first error; None: nobody knows it.
            hard: the hard steps, where a problem has some.
            steps: how many the rollout has.
        """
        self.asked += 1
        self.named += named is not None
        if truth is None:
            self.unknown += 1
            return
        self.first_hard += bool(hard) and hard[0] == truth
        self.by_chance += 1 / steps
        if named is not None:
            self.exact += named == truth
            self.within_one += abs(named - truth) <= 1
            self.late += named > truth

    def row(self) -> dict[str, float]:
        """The counts as a record; `unknown` and lenient readings are left out where there are none.

        Lenient readings stand in it as "read as bare number" and the like.
        """
        row = dataclasses.asdict(self)
        read = {f"read as {reading}": count for reading, count in row.pop("read").items()}
        if not self.unknown:
            del row["unknown"]
        return row | read


@dataclass(slots=True)
class MeteredLocalizer:
    """Passes on what a localiser says and compares it with what an oracle says.

    Attributes:
        inner: the localiser in use.
        oracle: names the true first errors; None where there is no step checker.
        hard_places: hard steps of a problem, for the baseline.
        tally: the counts so far.
    """

    inner: Localizer
    oracle: Localizer | None
    hard_places: Any = None
    tally: LocalizationTally = field(default_factory=LocalizationTally)

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`llm.localizers.base.Localizer`."""
        return by_itself(self.asking(rollouts, keys, None))

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """See :class:`llm.localizers.base.AskingLocalizer`."""
        located = yield from asking(self.inner, rollouts, keys, sampler)
        truths = self.oracle.locate(rollouts, keys) if self.oracle else [None] * len(rollouts)
        for rollout, one, truth in zip(rollouts, located, truths, strict=True):
            self._count(rollout, _step(one), _step(truth))
            if one.reading not in ("", "box"):
                read = self.tally.read
                read[one.reading] = read.get(one.reading, 0) + 1
        return located

    def _count(self, rollout: TextRollout, named: int | None, truth: int | None) -> None:
        kept = len(rollout.start.ends)
        hard = self.hard_places(rollout.start.problem) if self.hard_places else ()
        own = [place - kept for place in hard if place >= kept]
        self.tally.add(named, truth, own, steps=len(rollout.spans))

    def take(self) -> LocalizationTally:
        """The counts since the last time they were taken."""
        taken, self.tally = self.tally, LocalizationTally()
        return taken


def _step(located: Located | None) -> int | None:
    """The step that an answer names, if it is one and names one."""
    answer = None if located is None else located.answer
    return answer.step if isinstance(answer, Localization) else None
