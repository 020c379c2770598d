"""From samples and measured advantages to the numbers of a diagnosis, all with intervals."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cpi_theory.diagnosis.meters import Measured
from cpi_theory.diagnosis.samples import Named, Samples, Trial
from cpi_theory.seam import Collection, Reason, Rollout
from cpi_theory.statistics.by_prompt import Array, Counts, Labelled
from cpi_theory.statistics.intervals import Interval, difference, scaled

Record = tuple[int, float, float]


@dataclass(frozen=True, eq=False)
class Visited:
    """A rollout of which every step was judged, or one drawn uniformly.

    Attributes:
        prompt: its prompt.
        rollout: from the start.
        steps: indices of the judged steps.
    """

    prompt: int
    rollout: Rollout
    steps: Sequence[int]

    @property
    def whole(self) -> bool:
        """Whether every step was judged."""
        return len(self.steps) == len(self.rollout)


@dataclass(frozen=True, eq=False)
class Audit:
    """Visited and named states of some prompts whose improvability at one threshold is known.

    Attributes:
        prompts: index of the prompts it speaks of, shape (n,).
        visited: rollouts of which steps were judged.
        visits: per visited rollout the labels of those steps, bool (3, steps): certainly, likely,
            possibly improvable.
        named: named states that were judged.
        names: their labels, bool (3, len(named)).
        complete: whether every base rollout and every named state of the prompts was judged.
    """

    prompts: NDArray[np.int64]
    visited: Sequence[Visited]
    visits: Sequence[NDArray[np.bool_]]
    named: Sequence[Named]
    names: NDArray[np.bool_]
    complete: bool

    @classmethod
    def of(
        cls,
        prompts: NDArray[np.int64],
        visited: Sequence[Visited],
        named: Sequence[Named],
        measured: Measured,
        tau: float,
        complete: bool,
    ) -> Audit:
        """Sort measurements of all visited steps, then of the named ones, by threshold tau."""
        labels = np.array(measured.labels(tau), dtype=bool)
        ends = np.cumsum([0, *(len(one.steps) for one in visited)])
        visits = [labels[:, a:b] for a, b in itertools.pairwise(ends)]
        return cls(prompts, visited, visits, named, labels[:, ends[-1] :], complete)

    @property
    def judged(self) -> int:
        """States that were judged, visited and named."""
        return sum(len(one.steps) for one in self.visited) + len(self.named)

    def _labelled(self, records: Sequence[Iterable[Record]]) -> Labelled:
        size = int(self.prompts.max()) + 1
        return Labelled(*(Counts.of(rows, size).at(self.prompts) for rows in records))

    def coverage(self) -> Labelled:
        """Count improvable steps among the steps of rollouts from the start: p."""
        return self._labelled([list(self._steps(kind)) for kind in range(3)])

    def _steps(self, kind: int) -> Iterator[Record]:
        for one, labels in zip(self.visited, self.visits, strict=True):
            if size := len(one.rollout):
                yield one.prompt, float(labels[kind].mean()) * size, size

    def first_by(self, step: int) -> Labelled:
        """Count rollouts of which a step up to `step` is improvable, among those judged whole."""
        owners, firsts = self._firsts
        return self._labelled(
            [
                [(p, float(h <= step), 1.0) for p, h in zip(owners, row, strict=True)]
                for row in firsts
            ]
        )

    @cached_property
    def _firsts(self) -> tuple[list[int], NDArray[np.float64]]:
        """Prompts of the rollouts judged whole, and their first improvable steps, shape (3, n)."""
        judged = zip(self.visited, self.visits, strict=True)
        whole = [(one.prompt, labels) for one, labels in judged if one.whole]
        firsts = [
            np.where(labels.any(axis=1), labels.argmax(axis=1), np.inf)
            if labels.size
            else np.full(3, np.inf)
            for _, labels in whole
        ]
        return [prompt for prompt, _ in whole], np.array(firsts).reshape(-1, 3).T

    @cached_property
    def longest(self) -> int:
        """Steps of the longest visited rollout."""
        return max((len(one.rollout) for one in self.visited), default=0)

    def precision(self) -> Labelled:
        """Count improvable states among the named ones: q."""
        return self._labelled(
            [
                [
                    (one.prompt, one.weight * label, one.weight)
                    for one, label in zip(self.named, labels, strict=True)
                ]
                for labels in self.names
            ]
        )

    def found(self) -> Labelled:
        """Count named states among the improvable visited ones: recall of a complete audit."""
        records = []
        for kind, labels in enumerate(self.names):
            visited = [(prompt, 0.0, hits) for prompt, hits, _ in self._steps(kind)]
            named = zip(self.named, labels, strict=True)
            records.append([*visited, *((o.prompt, float(hit), 0.0) for o, hit in named)])
        return self._labelled(records)

    def random_precision(self) -> Labelled:
        """Count improvable states among uniform steps of failures: random resets' precision."""
        return self._labelled([list(self._failures(kind)) for kind in range(3)])

    def random_found(self) -> Labelled:
        """Return the weight that a uniform step of a failure gives to improvable visited states."""
        return self._labelled(
            [
                [
                    *((p, 0.0, hits) for p, hits, _ in self._steps(kind)),
                    *((p, mean / self.longest, 0.0) for p, mean, _ in self._failures(kind)),
                ]
                for kind in range(3)
            ]
        )

    def _failures(self, kind: int) -> Iterator[Record]:
        """Mean label of each failure's steps; as many trials as steps, or it would look coarse."""
        for one, labels in zip(self.visited, self.visits, strict=True):
            if one.rollout.failed and len(one.rollout):
                yield one.prompt, float(labels[kind].mean()) * self.longest, self.longest


Kind = Literal["steps", "failures", "named"]


@dataclass(frozen=True, eq=False)
class Lengths:
    """How many states of a kind there are, and how many steps follow them.

    Kinds are all steps of the base rollouts, a uniform step of each failure, and named steps.

    Attributes:
        count: per kind, how many, shape (prompts,) each.
        ahead: per kind, the steps that follow them in their rollouts, summed.
        most: most steps that can follow one.
    """

    count: Mapping[Kind, Array]
    ahead: Mapping[Kind, Array]
    most: int

    @classmethod
    def of(cls, samples: Samples, prompts: NDArray[np.int64]) -> Lengths:
        """Return the totals of some prompts."""
        rows: dict[Kind, list[Record]] = {"steps": [], "failures": [], "named": []}
        for prompt, rollout in samples.base:
            n = len(rollout)
            # (n - 1) + (n - 2) + ... + 0 steps follow all n of them, (n - 1) / 2 a uniform one.
            rows["steps"].append((prompt, n, n * (n - 1) / 2))
            if rollout.failed and n:
                rows["failures"].append((prompt, 1.0, (n - 1) / 2))
        for one in samples.named:
            rows["named"].append((one.prompt, 1.0, len(one.rollout) - 1 - one.step))
        totals = {kind: _totals(records, samples.prompts) for kind, records in rows.items()}
        return cls(
            {kind: table[0, prompts] for kind, table in totals.items()},
            {kind: table[1, prompts] for kind, table in totals.items()},
            max(len(r) for _, r in samples.base) - 1,
        )

    def selected(self, level: float, kind: Kind) -> Interval:
        """Estimate states of a kind per step: the weight p_w of a visited state."""
        return Counts(self.count[kind], self.count["steps"]).share(level)

    def remaining(self, level: float, kind: Kind) -> Interval:
        """Estimate the mean number of steps that follow a state of a kind: L_w."""
        # A scale above 0 where all rollouts have one step.
        most = max(self.most, 1)
        return scaled(Counts(self.ahead[kind], most * self.count[kind]).share(level), most)


def _totals(records: Sequence[Record], prompts: int) -> Array:
    """Second and third entries of the records added up by prompt, shape (2, prompts)."""
    table = np.zeros((2, prompts))
    for prompt, *values in records:
        table[:, prompt] += values
    return table


def success_counts(samples: Samples) -> Counts:
    """Count base rollouts that did not fail."""
    return Counts.of(((p, float(not r.failed), 1.0) for p, r in samples.base), samples.prompts)


def refusal_counts(samples: Samples) -> dict[Reason, Counts]:
    """Count, per reason, the failures in which no step was named for it, among all failures."""
    asked = [(p, 0.0, 1.0) for p, r in samples.base if r.failed]
    reasons = Counter(reason for _, reason in samples.refusals)
    return {
        reason: Counts.of(
            [*asked, *((p, 1.0, 0.0) for p, given in samples.refusals if given is reason)],
            samples.prompts,
        )
        for reason in reasons
    }


@dataclass(frozen=True, eq=False)
class GroupCounts:
    """How the groups of one method turned out, per prompt.

    Attributes:
        informative: groups whose advantages are not all zero, among all.
        base, suffix: the same of groups from the start, and from reset states.
        used: rollouts in informative groups, among the rollouts of all groups.
        corrected: suffixes that did not fail.
    """

    informative: Counts
    base: Counts
    suffix: Counts
    used: Counts
    corrected: Counts

    @classmethod
    def of(cls, collection: Collection, prompts: int) -> GroupCounts:
        """Count the groups of a collection."""
        kinds: dict[str, list[Record]] = defaultdict(list)
        for group in collection:
            p, size = group.prompt, len(group.rollouts)
            informative = float(group.informative)
            from_start = group.step is None
            kinds["informative"].append((p, informative, 1.0))
            kinds["base" if from_start else "suffix"].append((p, informative, 1.0))
            kinds["used"].append((p, informative * size, size))
            if not from_start:
                right = sum(not r.failed for r in group.rollouts)
                kinds["corrected"].append((p, right, size))
        names = ("informative", "base", "suffix", "used", "corrected")
        return cls(*(Counts.of(kinds[name], prompts) for name in names))


@dataclass(frozen=True, slots=True)
class Correction:
    """How often suffixes from named steps succeed, beside resets of other failures as deep.

    Attributes:
        kind: "all", "depth" or "deviation".
        label: which of them.
        resets: named states that were tried.
        own: success rate of suffixes from named steps.
        matched: the same where the prompt has another failure that reaches the step.
        control: success rate of suffixes from that step of that failure.
        difference: matched less control.
    """

    kind: str
    label: str
    resets: int
    own: Interval
    matched: Interval
    control: Interval
    difference: Interval


def correction(
    kind: str, label: str, trials: Sequence[Trial], prompts: int, level: float
) -> Correction:
    """Estimate rates over some trials, and the named step's lead; prompts are clusters."""
    paired = [t for t in trials if t.partner is not None]
    own = _share([(t, t.successes) for t in trials], prompts, level)
    matched = _share([(t, t.successes) for t in paired], prompts, level)
    control = _share([(t, t.control) for t in paired], prompts, level)
    gap = difference(matched, control)
    return Correction(kind, label, len(trials), own, matched, control, gap)


def _share(outcomes: Sequence[tuple[Trial, int]], prompts: int, level: float) -> Interval:
    """Successes per suffix; a named state counts for those that it stands for."""
    records = [
        (t.named.prompt, t.named.weight * successes, t.named.weight * t.suffixes)
        for t, successes in outcomes
    ]
    return Counts.of(records, prompts).share(level)


def corrections(samples: Samples, bins: int, reach: int, level: float) -> tuple[Correction, ...]:
    """Summarise trials: all, by depth in `bins` equal parts of the rollout, and by deviation.

    Deviations beyond `reach` are counted with it.
    """
    groups: dict[tuple[str, int], list[Trial]] = {("all", 0): list(samples.trials)}
    for trial in samples.trials:
        part = trial.named.step * bins // len(trial.named.rollout)  # integers: no rounding at ends
        groups.setdefault(("depth", part), []).append(trial)
        if trial.deviation is not None:
            # Few trials stray far: what is beyond `reach` shares a row.
            off = max(-reach, min(reach, trial.deviation))
            groups.setdefault(("deviation", off), []).append(trial)
    return tuple(
        correction(kind, _label(kind, at, bins, reach), groups[kind, at], samples.prompts, level)
        for kind, at in sorted(groups)
    )


def _label(kind: str, at: int, bins: int, reach: int) -> str:
    if kind == "all":
        return "all"
    if kind == "depth":
        return f"{at + 1} of {bins}"
    edge = {-reach: " or earlier", reach: " or later"}.get(at, "")
    return f"{at:+d}{edge}" if at else "0"
