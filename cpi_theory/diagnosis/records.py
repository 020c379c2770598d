"""The numbers of a diagnosis, each with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from cpi_theory.diagnosis.estimates import Correction
from cpi_theory.diagnosis.signals import Ordering
from cpi_theory.seam import Outcome, Reason
from cpi_theory.statistics.intervals import Interval, exact_interval


@dataclass(frozen=True, slots=True)
class Selection:
    """How a reset policy selects states; what T6 needs to know.

    Attributes:
        precision: share of the selected states that are improvable, q.
        recall: weight given to a visited improvable state.
        selected: weight given to a visited state, p_w.
        remaining: mean number of steps after a selected state, L_w.
    """

    precision: Interval
    recall: Interval
    selected: Interval
    remaining: Interval


@dataclass(frozen=True, slots=True)
class Prediction:
    """What T5 and T6 predict for resets against random ones (w = 1); above 1 is better.

    Attributes:
        resets: "random failures" (RRPO), "localiser" (SRPO) or "oracle".
        samples: random resets' samples of a policy choice over these resets', where they
            cannot be told apart: (q / p)^2. Its root where each state is decided by itself (T4w).
        gain: guaranteed gain of a step over random resets': rho q L_1 / (p L_w).
    """

    resets: str
    samples: Interval
    gain: Interval


@dataclass(frozen=True, slots=True)
class MethodReport:
    """How one method's groups turn out as it collects them.

    Attributes:
        method: its name.
        informative: share of groups that are not constant.
        base, suffix: the same of groups from the start, and from reset states.
        used: share of rollouts in informative groups.
        corrected: success rate of suffixes.
        signal: see :mod:`cpi_theory.diagnosis.signals`; per rollout.
        steps: generated per prompt.
    """

    method: str
    informative: Interval
    base: Interval
    suffix: Interval
    used: Interval
    corrected: Interval
    signal: Interval
    steps: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a diagnosis drew.

    Attributes:
        prompts: start states.
        rollouts, steps, localizations: drawn and asked for in all.
        measuring: rollouts among them that measured best advantages.
        measured: states whose best advantages are known, exactly or by those rollouts.
    """

    prompts: int
    rollouts: int
    steps: int
    localizations: int
    measuring: int
    measured: int = 0


@dataclass(frozen=True)
class Seen:
    """What the numbers rest on: plain counts of what was drawn.

    Attributes:
        prompts: start states.
        taught: prompts for which any method had a group that is not constant.
        rollouts: plain rollouts from the start, `rollouts` of each prompt.
        outcomes: what became of these.
        highest_reward: the best outcome reward among them.
        single: how many of them have one step or none, which leaves nothing to reset to.
        refusals: failures among them in which no step was named, by reason.
        named: failures in which one was.
        named_prompts: prompts that these belong to.
    """

    prompts: int
    taught: int
    rollouts: int
    outcomes: Mapping[Outcome, int]
    highest_reward: float
    single: int
    refusals: Mapping[Reason, int]
    named: int
    named_prompts: int

    @property
    def successes(self) -> int:
        """Plain rollouts that succeeded."""
        return self.outcomes.get(Outcome.SUCCESS, 0)

    @property
    def failures(self) -> int:
        """Plain rollouts that failed."""
        return self.rollouts - self.successes

    @property
    def short_of_success(self) -> bool:
        """Whether rewards were given and none of them counts as a success."""
        return self.highest_reward > 0 and not self.successes

    @property
    def refused(self) -> int:
        """Failures in which no step was named."""
        return sum(self.refusals.values())

    def taught_share(self, level: float = 0.95) -> Interval:
        """Return the share of prompts that teach anything, with its exact interval."""
        return exact_interval(self.taught, self.prompts, level)


@dataclass(frozen=True)
class Diagnosis:
    """What can be said of resets before training.

    Attributes:
        tau: threshold of improvability, in reward units.
        tau_chosen: whether it was chosen on prompts of its own.
        exact: whether best advantages were known rather than sampled.
        success: rate of plain rollouts.
        coverage: p at tau.
        first_improvable: entry h is P(the first improvable step of a rollout is at most h).
        localizer: of first errors in failures.
        random: a uniform step of each failure, as RRPO takes.
        answered: share of failures in which the localiser named a step.
        refusals: share of failures refused, by reason.
        corrections: over all, by depth, by deviation from the reference.
        methods: one report per method.
        theory: predictions of T5 and T6.
        order: methods by their predicted short-run gain.
        seen: what all this rests on.
        cost: what was drawn.
    """

    tau: float
    tau_chosen: bool
    exact: bool
    success: Interval
    coverage: Interval
    first_improvable: tuple[Interval, ...]
    localizer: Selection
    random: Selection
    answered: Interval
    refusals: Mapping[Reason, Interval]
    corrections: tuple[Correction, ...]
    methods: tuple[MethodReport, ...]
    theory: tuple[Prediction, ...]
    order: Ordering
    seen: Seen
    cost: Cost

    def estimates(self) -> Iterator[tuple[str, str, Interval]]:
        """Return every number as (section, name, interval); names repeat in no section."""
        yield "rollouts", "success", self.success
        yield "states", "coverage", self.coverage
        for h, share in enumerate(self.first_improvable):
            yield "first improvable step", f"at most {h}", share
        yield from _fields("localiser", "", self.localizer)
        yield from _fields("random", "", self.random)
        yield "localiser", "answered", self.answered
        for reason, share in self.refusals.items():
            yield "refusals", reason.value, share
        for row in self.corrections:
            yield from _fields("correction", f"{row.kind} {row.label}, ", row)
        for report in self.methods:
            yield from _fields("methods", f"{report.method}, ", report)
        for prediction in self.theory:
            yield from _fields("theory", f"{prediction.resets}, ", prediction)


def _fields(section: str, prefix: str, record: Any) -> Iterator[tuple[str, str, Interval]]:
    """The intervals among the fields of a record."""
    for one in fields(record):
        value = getattr(record, one.name)
        if isinstance(value, Interval):
            yield section, prefix + one.name, value
