"""What a diagnosis will take, said before it starts, and sizes that fit a budget."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.budget import Amount, Budget, Forecast, forecast
from cpi_theory.diagnosis.diagnose import DiagnosisSettings, standard_methods
from cpi_theory.randomness import Key
from cpi_theory.seam import knows_advantages
from experiments.worlds.prepared import PreparedWorld

TRIALS = 8
"""Rollouts that are drawn to learn how long they are; as many prompts are the least of a budget."""


@dataclass(frozen=True)
class Lengths:
    """What rollouts and localisations take, in tokens, or steps in a world without tokens.

    Attributes:
        rollout, localization: tokens of one.
        steps: of a rollout.
        spent: tokens that it took to find out.
    """

    rollout: Amount
    localization: Amount
    steps: Amount
    spent: int


@dataclass(frozen=True)
class Plan:
    """The sizes of a diagnosis and what they take.

    Attributes:
        prompts: start states.
        settings: what is drawn of each.
        forecast: in rollouts and localisations.
        tokens: in tokens, trial rollouts included.
        budget: the limit, if there is one.
        sentences: all that in words, and what was left out.
    """

    prompts: int
    settings: DiagnosisSettings
    forecast: Forecast
    tokens: Amount
    budget: Budget | None
    sentences: tuple[str, ...]


def trial(prepared: PreparedWorld, key: Key) -> Lengths:
    """Draw a few rollouts, have their failures localised, and see what they take."""
    world, before = prepared.simulator, prepared.tokens()
    starts = [prepared.starts[i % len(prepared.starts)] for i in range(TRIALS)]
    rollouts = world.rollout(starts, key.child("rollouts").integers(TRIALS))
    after, steps = prepared.tokens(), sum(map(len, rollouts))
    failures = [r for r in rollouts if r.failed and len(r)]
    if failures:
        world.locate_first_error(failures, key.child("localise").integers(len(failures)))
    # Tabular worlds have no tokens: each of their steps stands for one.
    drawn = steps if before is None or after is None else after - before
    asked = 0 if after is None else (prepared.tokens() or 0) - after
    return Lengths(
        rollout=Amount(drawn / TRIALS, prepared.most_tokens),
        localization=Amount(asked / max(len(failures), 1), prepared.most_reply),
        steps=Amount(steps / TRIALS, prepared.most_steps),
        spent=drawn + asked,
    )


def upper_limit(prepared: PreparedWorld, settings: DiagnosisSettings, tokens: int | None) -> str:
    """Say the most that a diagnosis can take, which is known before anything is drawn."""
    unknown = Lengths(
        rollout=Amount(prepared.most_tokens, prepared.most_tokens),
        localization=Amount(prepared.most_reply, prepared.most_reply),
        steps=Amount(prepared.most_steps, prepared.most_steps),
        spent=TRIALS * (prepared.most_tokens + prepared.most_reply),
    )
    found, cost = _priced(prepared, settings, len(prepared.starts), unknown)
    kept = "" if tokens is None else f", and stops at {tokens:,}"
    return (
        f"It can take up to {found.rollouts.most:,.0f} rollouts and {cost.most:,.0f} "
        f"{_unit(prepared)}{kept}; {TRIALS} trial rollouts will say how many to expect."
    )


def _unit(prepared: PreparedWorld) -> str:
    return "steps" if prepared.tokens() is None else "tokens"


def plan(
    prepared: PreparedWorld, settings: DiagnosisSettings, lengths: Lengths, tokens: int | None
) -> Plan:
    """Choose sizes that are expected to fit the budget, and say what they take.

    Prompts decide whether resets are worth it, so the measuring of advantages is cut down first,
    and prompts only when nothing is left of it.

    Raises:
        InvalidInput: if the budget does not reach for eight prompts.
    """
    prompts = len(prepared.starts)
    full = _priced(prepared, settings, prompts, lengths)
    if tokens is None or full[1].expected <= tokens:
        left_out: tuple[str, ...] = ()
        chosen, count, priced = settings, prompts, full
    else:
        chosen, count = _fitting(prepared, settings, prompts, lengths, tokens)
        priced = _priced(prepared, chosen, count, lengths)
        sampled = full[0].measuring.most > 0
        left_out = (_left_out(settings, chosen, prompts, count, full[1].expected, tokens, sampled),)
    unit = _unit(prepared)
    # Trials of a world that counts its own tokens are among those that it counts.
    limit = None if tokens is None else tokens - (0 if unit == "tokens" else lengths.spent)
    return Plan(
        count,
        chosen,
        *priced,
        None if limit is None else Budget(limit, prepared.spent),
        (_costs(count, *priced, lengths, unit, tokens), *left_out),
    )


def _priced(
    prepared: PreparedWorld, settings: DiagnosisSettings, prompts: int, lengths: Lengths
) -> tuple[Forecast, Amount]:
    methods = settings.methods or standard_methods(settings.rollouts)
    found = forecast(
        prompts,
        settings.rollouts,
        methods,
        settings.parents,
        settings.suffixes,
        _states(prepared, settings, prompts, lengths),
    )
    drawn = found.rollouts.times(lengths.rollout.expected, lengths.rollout.most)
    asked = found.localizations.times(lengths.localization.expected, lengths.localization.most)
    return found, drawn + asked + Amount(lengths.spent, lengths.spent)


def _states(
    prepared: PreparedWorld, settings: DiagnosisSettings, prompts: int, lengths: Lengths
) -> Amount:
    """States whose advantages are sampled."""
    if knows_advantages(prepared.simulator):
        return Amount(0, 0)
    # One named state per prompt at most.
    single = settings.audited + min(settings.audited, prompts)
    traced = Amount(settings.traced, settings.traced)
    return Amount(single, single) + traced.times(lengths.steps.expected, lengths.steps.most)


def _fitting(
    prepared: PreparedWorld,
    settings: DiagnosisSettings,
    prompts: int,
    lengths: Lengths,
    tokens: int,
) -> tuple[DiagnosisSettings, int]:
    """Settings and a number of prompts that are expected to take no more than the budget."""
    audited = settings.audited
    while True:
        tried = dataclasses.replace(settings, audited=audited, traced=0)
        if _priced(prepared, tried, prompts, lengths)[1].expected <= tokens:
            return tried, prompts
        if not audited:
            break
        audited //= 2
    for count in range(prompts // TRIALS * TRIALS, 0, -TRIALS):
        if _priced(prepared, tried, count, lengths)[1].expected <= tokens:
            return tried, count
    least = _priced(prepared, tried, TRIALS, lengths)[1].expected
    problem = f"{TRIALS} prompts, the fewest that say anything, take about {least:,.0f}"
    raise InvalidInput(
        "tokens", tokens, problem, f"allow {1.2 * least:,.0f}, or lower the limits on rollouts"
    )


def _costs(
    prompts: int,
    found: Forecast,
    cost: Amount,
    lengths: Lengths,
    unit: str,
    tokens: int | None,
) -> str:
    drawn = found.rollouts
    most = cost.most if tokens is None else min(cost.most, tokens)
    stop = "" if tokens is None or cost.most <= tokens else ", where it stops"
    measuring = found.measuring
    measured = (
        f", about {measuring.expected:,.0f} and at most {measuring.most:,.0f} to measure advantages"
        if measuring.most
        else ""
    )
    return (
        f"{prompts} prompts: about {drawn.expected:,.0f} rollouts and {cost.expected:,.0f} {unit}, "
        f"at most {drawn.most:,.0f} rollouts and {most:,.0f} {unit}{stop} "
        f"({lengths.rollout.expected:,.0f} {unit} each in {TRIALS} trial rollouts; "
        f"{found.groups.most:,.0f} rollouts for the groups of the methods, "
        f"{found.corrections.most:,.0f} for corrections{measured}; fewer where rollouts seldom "
        "fail or the localiser names no step: then less is tried and measured)."
    )


def _left_out(
    wanted: DiagnosisSettings,
    chosen: DiagnosisSettings,
    prompts: int,
    count: int,
    expected: float,
    tokens: int,
    sampled: bool,
) -> str:
    parts = []
    if count < prompts:
        parts.append(f"{prompts - count} of {prompts} prompts")
    if sampled and chosen.audited < wanted.audited:
        parts.append(
            f"{wanted.audited - chosen.audited} of {wanted.audited} visited, and as many named, "
            "states whose advantages were to be measured"
        )
    if sampled and chosen.traced < wanted.traced:
        parts.append("rollouts of which every step was to be measured")
    return (
        f"To stay within {tokens:,}, of about {expected:,.0f} that all of it would take, it "
        f"leaves out {', '.join(parts)}."
    )
