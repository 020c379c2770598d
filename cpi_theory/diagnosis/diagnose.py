"""Are resets worth it for this model and this data? Estimates from rollouts of any simulator.

Before anything is trained, a few thousand rollouts (and as many again where advantages have to be
sampled) say how rare improvable states are (coverage p), how much better than chance the localiser
finds them (precision q, recall), whether resetting there corrects failures, and which groups would
teach anything. T5 and T6 turn p, q and recall into ratios of samples and guaranteed gains;
:mod:`cpi_theory.diagnosis.signals` predicts the order of methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO
from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_positive
from cpi_theory.diagnosis.branching import Pick
from cpi_theory.diagnosis.budget import Budget, BudgetSpent, Metered
from cpi_theory.diagnosis.estimates import (
    Audit,
    GroupCounts,
    Lengths,
    Visited,
    corrections,
    refusal_counts,
    success_counts,
)
from cpi_theory.diagnosis.meters import (
    UNKNOWN_THRESHOLD,
    Measured,
    Meter,
    all_steps,
    meter_for,
    promising_threshold,
)
from cpi_theory.diagnosis.records import Cost, Diagnosis, MethodReport, Prediction, Seen, Selection
from cpi_theory.diagnosis.samples import (
    Named,
    Remembering,
    Samples,
    draw_samples,
    joined,
    spread_out,
)
from cpi_theory.diagnosis.signals import Signals, group_signals, order_methods
from cpi_theory.randomness import Key
from cpi_theory.seam import Algorithm, Ending, Outcome, Rollout, Simulator, State
from cpi_theory.statistics.bootstrap import check_resamples
from cpi_theory.statistics.by_prompt import Array, Counts, Resampling, product
from cpi_theory.statistics.intervals import Interval

_FEWEST = 8
"""Prompts below which no interval over prompts is worth anything; drawn together in a budget."""


def standard_methods(rollouts: int = 8) -> dict[str, Algorithm]:
    """Return GRPO, RRPO and SRPO at equal rollouts per prompt, half of them suffixes.

    A prompt without a reset state spends its suffixes on fresh rollouts from the start.
    """
    half = rollouts // 2
    split = {"base": rollouts - half, "suffix": half, "on_refusal": "fresh"}
    return {"GRPO": GRPO(rollouts), "RRPO": RRPO(**split), "SRPO": SRPO(**split)}


@dataclass(frozen=True)
class DiagnosisSettings:
    """What a diagnosis draws and counts.

    Attributes:
        tau: threshold of improvability in reward units, at most `reward_bound`. None: where the
            world knows its advantages, half of the threshold at which T5 promises the oracle most
            (:func:`~cpi_theory.diagnosis.meters.promising_threshold`), found on a quarter of the
            prompts that is then left out of every number that depends on tau; elsewhere
            :data:`~cpi_theory.diagnosis.meters.UNKNOWN_THRESHOLD`.
        rollouts: per prompt and method.
        methods: compared methods by name; None: :func:`standard_methods`.
        parents: most failures of a prompt on which corrections are tried.
        suffixes: from the named step of each, and from the control's.
        audited: without exact advantages, visited states that are measured, one of each of so many
            rollouts, and as many named states; each costs 56 to 152 rollouts by default.
        traced: without exact advantages, rollouts of which every step is measured, for the law of
            the first improvable step.
        bins: equal parts of a rollout in which corrections are counted by depth.
        reach: largest deviation from the reference that is counted on its own.
        meter: how best advantages are measured; None: exactly where the world knows them, else by
            :class:`~cpi_theory.diagnosis.meters.SampledMeter`.
        reward_bound: R_max, in reward units.
        level: probability with which each interval covers.
        resamples: of the bootstrap over prompts.
    """

    tau: float | None = None
    rollouts: int = 8
    methods: Mapping[str, Algorithm] | None = None
    parents: int = 2
    suffixes: int = 4
    audited: int = 16
    traced: int = 1
    bins: int = 4
    reach: int = 3
    meter: Meter | None = None
    reward_bound: float = 1.0
    level: float = 0.95
    resamples: int = 1000

    def __post_init__(self) -> None:
        if self.tau is not None:
            check_positive("tau", self.tau)
        check_count("rollouts", self.rollouts, minimum=4)
        check_count("audited", self.audited, minimum=0)
        check_count("traced", self.traced, minimum=0)
        for name in ("parents", "suffixes", "bins", "reach"):
            check_count(name, getattr(self, name))
        check_resamples("resamples", self.resamples)
        check_positive("reward_bound", self.reward_bound)
        if self.tau is not None and self.tau > self.reward_bound:
            problem = f"above the reward bound {self.reward_bound:g}, which no advantage exceeds"
            raise InvalidInput("tau", self.tau, problem, "choose one up to the reward bound")
        check_in_range("level", self.level, 0.5, 0.9999)


def diagnose(
    simulator: Simulator,
    starts: Sequence[State],
    key: Key | int,
    settings: DiagnosisSettings | None = None,
    reference: Simulator | None = None,
    budget: Budget | None = None,
) -> Diagnosis:
    """Estimate from rollouts of `simulator` what resets are worth under its current policy.

    Assumptions: A1 prompts are drawn independently from the distribution of interest; intervals
    see prompts alone, so rollouts of a prompt may be as alike as they please. A2 the simulator
    keeps the seam's laws. Intervals hold one by one, not all at once.

    Args:
        simulator: any world under its policy.
        starts: one start state per prompt, at least 8; a few hundred for narrow intervals.
        key: of everything drawn.
        settings: see :class:`DiagnosisSettings`.
        reference: names first errors that deviations are measured from, such as an exact step
            checker; None leaves deviations out.
        budget: what may be generated. With it prompts are drawn eight at a time, and then states
            are measured one by one, until it is spent: the numbers are of the prompts and states
            that were finished, and ``seen.prompts`` and ``cost.measured`` say how many.

    Raises:
        InvalidInput: if there are too few prompts, or the budget does not reach for 8 of them.

    Source: T5 and T6 of docs/theory.md, on the methods of arXiv 2605.25507.
    """
    plan, address = settings or DiagnosisSettings(), Key.of(key).child("diagnosis")
    check_count("prompts", len(starts), minimum=_FEWEST)
    metered = None if budget is None else Metered(simulator, budget)
    drawing = Remembering(metered or simulator)
    methods = plan.methods or standard_methods(plan.rollouts)

    def draw(part: Sequence[State], place: Key, first: int) -> Samples:
        return draw_samples(
            drawing, part, place, methods, plan.rollouts, plan.parents, plan.suffixes, reference,
            first,
        )  # fmt: skip

    samples = (
        draw(starts, address, 0)
        if metered is None
        else _within(metered, lambda i: draw(starts[i : i + _FEWEST], address.child(i), i), starts)
    )
    # Whatever is drawn from here on measures advantages.
    drawn = drawing.rollouts
    tau, audit = _audit(drawing, simulator, samples, plan, address)
    resampling = Resampling.of(samples.prompts, plan.resamples, address)
    lengths, level = Lengths.of(samples, audit.prompts), plan.level
    coverage = audit.coverage().share(level)
    localizer, random = _localizer(audit, lengths, level), _random(audit, lengths, level)
    everywhere = lengths.remaining(level, "steps")
    signals = {n: group_signals(c, samples.prompts) for n, c in samples.collections.items()}
    return Diagnosis(
        tau=tau,
        tau_chosen=len(audit.prompts) < samples.prompts,
        exact=audit.complete,
        success=success_counts(samples).share(level),
        coverage=coverage,
        first_improvable=tuple(audit.first_by(h).share(level) for h in range(audit.longest)),
        localizer=localizer,
        random=random,
        answered=answered_share(samples, level),
        refusals={reason: n.share(level) for reason, n in refusal_counts(samples).items()},
        corrections=corrections(samples, plan.bins, plan.reach, level),
        methods=tuple(_report(n, samples, signals[n], level) for n in samples.collections),
        theory=(
            _prediction("random failures", random, coverage, everywhere),
            _prediction("localiser", localizer, coverage, everywhere),
        ),
        order=order_methods(signals, resampling, address),
        seen=_seen(samples, signals),
        cost=Cost(
            samples.prompts,
            drawing.rollouts,
            drawing.steps,
            drawing.localizations,
            drawing.rollouts - drawn,
            audit.judged,
        ),
    )


def _within(metered: Metered, draw: Callable[[int], Samples], starts: Sequence[State]) -> Samples:
    """Draw prompts a few at a time while the budget lasts; those under way are dropped.

    Raises:
        InvalidInput: if it does not last for the first ones.
    """
    parts: list[Samples] = []
    most = 0
    for first in range(0, len(starts), _FEWEST):
        before = metered.left
        if most > before:  # begun, they would be paid for and probably be dropped
            break
        try:
            parts.append(draw(first))
        except BudgetSpent:
            break
        most = max(most, before - metered.left)
    if not parts:
        limit = metered.budget.limit
        problem = f"spent before {_FEWEST} prompts were done"
        raise InvalidInput("tokens", limit, problem, "allow more, or make rollouts shorter")
    return joined(parts)


def answered_share(samples: Samples, level: float) -> Interval:
    """Count failures in which the localiser named a step, among all failures."""
    asked = [(p, 0.0, 1.0) for p, r in samples.base if r.failed]
    named = [(one.prompt, 1.0, 0.0) for one in samples.named]
    return Counts.of([*asked, *named], samples.prompts).share(level)


def _seen(samples: Samples, signals: Mapping[str, Signals]) -> Seen:
    taught = np.any([one.signal > 0 for one in signals.values()], axis=0)
    return Seen(
        prompts=samples.prompts,
        taught=int(np.count_nonzero(taught)),
        rollouts=len(samples.base),
        outcomes=_outcomes([r for _, r in samples.base]),
        highest_reward=max(r.reward for _, r in samples.base),
        single=sum(len(r) < 2 for _, r in samples.base),
        refusals=Counter(reason for _, reason in samples.refusals),
        named=len(samples.named),
        named_prompts=len({one.prompt for one in samples.named}),
    )


def _outcomes(rollouts: Sequence[Rollout]) -> Counter[Outcome]:
    found = Counter(r.outcome for r in rollouts)
    # Where rollouts that use up their steps succeed, too, others do not fail for want of steps.
    if any(not r.failed and r.ended is Ending.HORIZON for r in rollouts):
        found[Outcome.WRONG] += found.pop(Outcome.STEP_LIMIT, 0)
    return +found


def _audit(
    simulator: Remembering, world: Simulator, samples: Samples, plan: DiagnosisSettings, key: Key
) -> tuple[float, Audit]:
    """Choose tau and judge the states that are counted at it."""
    meter = plan.meter or meter_for(world, plan.reward_bound)
    prompts = np.arange(samples.prompts)
    if meter.exact:
        best = meter.measure(world, all_steps([r for _, r in samples.base]), key)
        tau, prompts = _choose_tau(samples, best.estimate, plan)
        kept = set(prompts.tolist())
        visited = [_whole(p, r) for p, r in samples.base if p in kept]
        named = [one for one in samples.named if one.prompt in kept]
        source: Simulator = world
    else:
        tau = UNKNOWN_THRESHOLD * plan.reward_bound if plan.tau is None else plan.tau
        visited = _choose_visited(samples, plan, key.child("visited"))
        named = spread_out(samples.named, 1, key.child("audited"))[: plan.audited]
        source = simulator
    place = key.child("measure")
    if isinstance(simulator.simulator, Metered) and not meter.exact:
        visited, named, measured = _measure_within(meter, simulator, visited, named, place, tau)
    else:
        measured = meter.measure(source, _picks(visited, named), place, tau)
    return tau, Audit.of(prompts, visited, named, measured, tau, meter.exact)


def _picks(visited: Sequence[Visited], named: Sequence[Named]) -> list[Pick]:
    picks = [(one.rollout, step) for one in visited for step in one.steps]
    return picks + [(one.rollout, one.step) for one in named]


def _measure_within(
    meter: Meter,
    simulator: Simulator,
    visited: Sequence[Visited],
    named: Sequence[Named],
    key: Key,
    tau: float,
) -> tuple[list[Visited], list[Named], Measured]:
    """Measure visited and named states in turns while the budget lasts."""
    seen: list[tuple[Visited, Measured]] = []
    names: list[tuple[Named, Measured]] = []
    try:
        for i in range(max(len(visited), len(named))):
            place = key.child(i)
            for one in visited[i : i + 1]:
                picks = _picks([one], [])
                seen.append((one, meter.measure(simulator, picks, place.child("visited"), tau)))
            for name in named[i : i + 1]:
                picks = _picks([], [name])
                names.append((name, meter.measure(simulator, picks, place.child("named"), tau)))
    except BudgetSpent:
        pass  # what was measured until then counts
    found = [m for _, m in seen] + [m for _, m in names]
    ends = (
        np.concatenate([getattr(m, end) for m in found] or [np.zeros(0)])
        for end in ("lower", "estimate", "upper")
    )
    return [one for one, _ in seen], [one for one, _ in names], Measured(*ends)


def _whole(prompt: int, rollout: Rollout) -> Visited:
    return Visited(prompt, rollout, range(len(rollout)))


def _choose_visited(samples: Samples, plan: DiagnosisSettings, key: Key) -> list[Visited]:
    """Whole rollouts to trace, and single steps of others, spread over the prompts."""
    # In turns, so that as many prompts as possible are among the few that are measured.
    ordered = _in_turns(samples.base)
    singles = ordered[plan.traced :][: plan.audited]
    uniforms = key.generator().random(len(singles))
    return [_whole(p, r) for p, r in ordered[: plan.traced]] + [
        Visited(p, r, [int(u * len(r))] if len(r) else [])
        for u, (p, r) in zip(uniforms, singles, strict=True)
    ]


def _choose_tau(
    samples: Samples, best: Array, plan: DiagnosisSettings
) -> tuple[float, NDArray[np.int64]]:
    """Choose tau; return it with the prompts that it was not chosen on."""
    prompts = np.arange(samples.prompts)
    if plan.tau is not None:
        return plan.tau, prompts
    # Chosen and counted on the same prompts, tau would fit their luck and bias coverage.
    pilot = samples.prompts // 4
    owners = np.repeat([p for p, _ in samples.base], [len(r) for _, r in samples.base])
    tau = promising_threshold(best[owners < pilot])
    return tau or UNKNOWN_THRESHOLD * plan.reward_bound, prompts[pilot:]


def _in_turns(base: Sequence[tuple[int, Rollout]]) -> list[tuple[int, Rollout]]:
    """The first rollout of each prompt, then the second, and so on."""
    turns: Counter[int] = Counter()
    ranked = []
    for prompt, rollout in base:
        ranked.append((turns[prompt], prompt, rollout))
        turns[prompt] += 1
    # The key leaves out the rollout: rollouts have no order.
    return [(prompt, r) for _, prompt, r in sorted(ranked, key=lambda row: row[:2])]


def _localizer(audit: Audit, lengths: Lengths, level: float) -> Selection:
    precision, selected = audit.precision().share(level), lengths.selected(level, "named")
    if audit.complete:
        recall = audit.found().share(level)
    else:  # by the identity p_w = recall p / q
        coverage = audit.coverage().share(level)
        recall = _limited(product((precision, 1), (selected, 1), (coverage, -1)))
    return Selection(precision, recall, selected, lengths.remaining(level, "named"))


def _limited(interval: Interval) -> Interval:
    """Cut to [0, 1]."""
    ends = (interval.estimate, interval.lower, interval.upper)
    return Interval(*(float(np.clip(end, 0.0, 1.0)) for end in ends))


def _random(audit: Audit, lengths: Lengths, level: float) -> Selection:
    return Selection(
        audit.random_precision().share(level),
        audit.random_found().share(level),
        lengths.selected(level, "failures"),
        lengths.remaining(level, "failures"),
    )


def _report(name: str, samples: Samples, signals: Signals, level: float) -> MethodReport:
    collection = samples.collections[name]
    counts = GroupCounts.of(collection, samples.prompts)
    return MethodReport(
        method=name,
        informative=counts.informative.share(level),
        base=counts.base.share(level),
        suffix=counts.suffix.share(level),
        used=counts.used.share(level),
        corrected=counts.corrected.share(level),
        signal=signals.interval(level),
        steps=collection.generated_steps / samples.prompts,
    )


def _prediction(
    resets: str, selection: Selection, coverage: Interval, everywhere: Interval
) -> Prediction:
    """T6 against random resets with w = 1, whose precision is p and whose recall is 1.

    As recall is p_w q / p, the gain's ratio rho q L_1 / (p L_w) is p_w (q / p)^2 L_1 / L_w.
    """
    ratio = ((selection.precision, 2), (coverage, -2))
    nearer = ((everywhere, 1), (selection.remaining, -1))
    return Prediction(resets, product(*ratio), product((selection.selected, 1), *ratio, *nearer))
