"""What a diagnosis means, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cpi_theory.diagnosis.estimates import Correction
from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.diagnosis.signals import LEAST_PROMPTS
from cpi_theory.statistics.by_prompt import product
from cpi_theory.statistics.intervals import Interval
from experiments.diagnose.causes import WRONG_ANSWERS, Cause, causes
from experiments.diagnose.unknown import NOT_ASKED, why_no_name, why_unknown
from experiments.documents.numbers import factor, percent, points
from experiments.runs.files import Row

_PLAIN, _LOCALISED = "GRPO", "SRPO"

LIKELY = 0.8
"""The least confidence at which an order of two methods is predicted."""

_SURE = 0.975

# Rarer causes are listed in the tables alone.
_LEAST_SHARE = 0.05

# For worlds that hide their advantages, as language models do.
_CAUTION = (
    " How sure this is speaks of the sampling of prompts alone: on the tiny language model the "
    "predicted order of GRPO and SRPO was not borne out (docs/measurements/diagnose.md)."
)


def verdict(
    found: Diagnosis, language: bool = False, unmeasured: str = NOT_ASKED
) -> tuple[str, ...]:
    """Sentences, the answer first.

    Where nothing can be learned, or what was seen is too little or mostly refused to judge by, the
    first sentence says so, and the next ones what is wrong, by the share of rollouts concerned.

    Args:
        found: the diagnosis.
        language: whether the world is a language model, whose settings have other names.
        unmeasured: why no advantages were measured, if none were.
    """
    reservation, answer = _reservation(found), _answer(found)
    wrong = [
        cause for cause in causes(found, language) if cause.rollouts >= _LEAST_SHARE * cause.of
    ]
    leading = wrong if reservation or any(map(_grave, wrong)) else []
    caution = "" if found.exact or not answer else _CAUTION
    return (
        " ".join(part for part in (reservation, answer) if part) + caution,
        *(f"What is wrong, {n}: {cause}" for n, cause in enumerate(leading, 1)),
        _rarity(found, unmeasured),
        _localiser(found, unmeasured),
        _correcting(found),
        _groups(found),
        _theory(found),
    )


def _grave(cause: Cause) -> bool:
    """Whether it concerns most rollouts; wrong answers are what training is for."""
    return cause.what != WRONG_ANSWERS and cause.rollouts > cause.of / 2


def _judged(found: Diagnosis) -> list[str]:
    """Methods with resets of which enough was seen, best first."""
    named = found.seen.named_prompts >= LEAST_PROMPTS
    judged = (m for m in found.order.methods if m != _PLAIN and (named or m != _LOCALISED))
    return [m for m in judged if found.order.comparison(m, _PLAIN).differing >= LEAST_PROMPTS]


def _reservation(found: Diagnosis) -> str:
    """Why little or nothing can be said; empty if all is well."""
    seen = found.seen
    if not seen.taught:
        return f"Nothing can be learned here as it is: {_nothing(found)}"
    if seen.short_of_success:
        return (
            f"No rollout counts as a success, though rewards reach {seen.highest_reward:.3g}: what "
            "follows is about failures that differ in their rewards."
        )
    if not _judged(found):
        return f"Too little was seen to judge whether resets are worth it: {_too_little(found)}"
    few = seen.named_prompts < LEAST_PROMPTS
    if few or seen.refused > seen.failures / 2:
        # What was named too rarely is not judged at all.
        then = (
            f"too few to judge {_LOCALISED} by, and what follows is about {_judged(found)[0]}."
            if few
            else f"{_LOCALISED} is in large part {_PLAIN} here."
        )
        return f"{_refused(found)}: {then}"
    return ""


def _nothing(found: Diagnosis) -> str:
    seen = found.seen
    successes = seen.successes
    happened = {0: "no rollout succeeds", seen.rollouts: "every rollout succeeds"}.get(
        successes, f"{successes} of {seen.rollouts} rollouts succeed, in groups that are all alike"
    )
    most = seen.taught_share().upper
    return (
        f"{happened}, so no group of any method tells one rollout from another. That is seen on "
        f"{seen.prompts} prompts; up to {most:.0%} of all prompts may be other."
    )


def _too_little(found: Diagnosis) -> str:
    seen, share = found.seen, found.seen.taught_share()
    pairs = [
        found.order.comparison(method, _PLAIN) for method in found.order.methods if method != _PLAIN
    ]
    differ = " and ".join(
        f"{pair.first if pair.second == _PLAIN else pair.second} differs from {_PLAIN} on "
        f"{pair.differing}"
        for pair in pairs
    )
    found_on = (
        f"{seen.taught} of {seen.prompts} prompts ({percent(share)}) had a group that teaches "
        f"anything; {differ}, where {LEAST_PROMPTS} are the least that can tell."
    )
    if seen.named_prompts < LEAST_PROMPTS:
        found_on += f" {_refused(found)}."
    most = max(pair.differing for pair in pairs)
    if most:
        wanted = math.ceil(2 * seen.prompts * LEAST_PROMPTS / most / 8) * 8
        return f"{found_on} Some {wanted} prompts like these would do, once nothing else is wrong."
    return found_on


def _refused(found: Diagnosis) -> str:
    seen = found.seen
    if not seen.failures:
        return "No rollout failed, so none was localised"
    return (
        f"The localiser refused {seen.refused} of {seen.failures} failures "
        f"({seen.refused / seen.failures:.0%}) and named a step for {seen.named_prompts} of "
        f"{seen.prompts} prompts"
    )


def _answer(found: Diagnosis) -> str:
    """Whether resets are worth it, with the confidence of :class:`Comparison`; "" if too little."""
    judged = _judged(found) if found.seen.taught else []
    if not judged:
        return ""
    best, order = judged[0], found.order
    # The best of several was picked by the same prompts: each has its share of the error
    # (Bonferroni). That all of them are behind needs no such price.
    better = 1 - len(judged) * (1 - order.confidence(best, _PLAIN))
    worse = min(order.confidence(_PLAIN, method) for method in judged)
    if better >= worse:
        differing = order.comparison(best, _PLAIN).differing
        return _said(best, _PLAIN, better, "Resets are", differing)
    rival = min(judged, key=lambda method: order.confidence(_PLAIN, method))
    differing = order.comparison(_PLAIN, rival).differing
    return _said(_PLAIN, rival, worse, "Resets are not", differing).replace(
        "are not probably", "are probably not"
    )


def _said(first: str, second: str, sure: float, resets: str, differing: int) -> str:
    # Rounded down, and never to certainty.
    stated = min(math.floor(100 * max(sure, 0.0)), 99)
    sureness = f"{stated} %, from {differing} prompts on which they differ"
    if sure >= _SURE:
        return (
            f"{resets} worth it here at equal rollouts: {first} should learn faster than {second} "
            f"(confidence {sureness})."
        )
    if sure >= LIKELY:
        return (
            f"{resets} probably worth it here at equal rollouts: {first} is predicted ahead of "
            f"{second} (confidence {sureness})."
        )
    return (
        f"These rollouts do not decide between {first} and {second}: that {first} should learn "
        f"faster per rollout has a confidence of {sureness}. Take more prompts."
    )


def _rarity(found: Diagnosis, unmeasured: str) -> str:
    succeed = f"plain rollouts succeed in {percent(found.success)}"
    if math.isnan(found.coverage.estimate):
        why = why_unknown("states", "coverage", found, unmeasured)
        return f"How many visited states are improvable is unknown, as {why}; {succeed}."
    how = "chosen on a quarter of the prompts" if found.tau_chosen else "as set beforehand"
    return (
        f"{percent(found.coverage)} of the visited states are improvable by at least "
        f"{found.tau:.3g} ({how}); {succeed}."
    )


def _localiser(found: Diagnosis, unmeasured: str) -> str:
    q, r = found.localizer.precision, found.random.precision
    if math.isnan(q.estimate):
        why = why_unknown("localiser", "precision", found, unmeasured)
        said = f"How often the localiser names an improvable state is unknown, as {why}."
        return f"{said}{_depth(found)}"
    said = f"The localiser names an improvable state in {percent(q)} of its answers"
    if math.isnan(r.estimate):
        return f"{said}; of random steps that is unknown."
    beside = f"a random step of a failure is one in {percent(r)}"
    ratio = product((q, 1), (r, -1))
    if ratio.lower > 1:
        judged = "it knows where to look"
    elif ratio.upper < 1:
        judged = "it is worse than chance"
    else:
        judged = "it is not shown to be better than chance"
    return f"{said}; {beside}: {judged}.{_depth(found)}"


def _depth(found: Diagnosis) -> str:
    """How much is generated anew from where each kind of reset goes back to."""
    named, drawn = found.localizer.remaining.estimate, found.random.remaining.estimate
    if not math.isfinite(named) or not math.isfinite(drawn):
        return ""
    return f" From a step that it names {named:.1f} steps are left, from a random one {drawn:.1f}."


def _correcting(found: Diagnosis) -> str:
    row = next((c for c in found.corrections if c.kind == "all"), None)
    if row is None or row.resets == 0:
        return f"Nothing can be said of corrections, as {why_no_name(found.seen)}."
    if math.isnan(row.difference.estimate):
        return _without_control(row)
    gap = row.difference
    rates = f"{percent(row.matched)} of suffixes from the named step succeed"
    beside = f"{percent(row.control)} from the same step of another failure of the same prompt"
    if gap.lower > 0:
        return f"{rates}, {beside}: naming helps beyond its depth, by {points(gap)}."
    if gap.upper < 0:
        return f"{rates}, {beside}: naming does harm, by {points(gap)}."
    return f"{rates}, {beside}: a difference of {points(gap)} is not shown."


def _without_control(row: Correction) -> str:
    lone = "fewer than two prompts have another failure that reaches the same step to compare with"
    if math.isnan(row.own.estimate):
        return f"Little can be said of corrections: {row.resets} resets of one prompt were tried."
    return f"{percent(row.own)} of suffixes from the named step succeed; {lone}."


def _groups(found: Diagnosis) -> str:
    shares = [f"{r.method} {percent(r.informative)}" for r in found.methods]
    steps = [f"{r.method} {r.steps:.0f}" for r in found.methods]
    said = (
        f"Groups that teach anything: {', '.join(shares)}. Steps generated per prompt: "
        f"{', '.join(steps)}"
    )
    # Signal over steps put methods in orders that measured curves turned around.
    return (
        f"{said}; who learns faster at equal steps is not predicted."
        if _judged(found)
        else f"{said}."
    )


def _theory(found: Diagnosis) -> str:
    row = next(p for p in found.theory if p.resets == "localiser")
    if not all(math.isfinite(n) for n in (row.samples.estimate, row.gain.estimate)):
        why = why_unknown("theory", "localiser, samples", found)
        return f"What the theory (T5, T6) promises of the localiser is unknown, as {why}."
    return (
        "Against random resets the theory (T5, T6) puts what the localiser saves in samples at a "
        f"factor of {factor(row.samples)}, {_beside_one(row.samples)}, and what it gains in "
        f"guaranteed improvement per step at {factor(row.gain)}, {_beside_one(row.gain)}."
    )


def _beside_one(ratio: Interval) -> str:
    if ratio.lower > 1:
        return "above 1"
    return "below 1" if ratio.upper < 1 else "not shown to differ from 1"


def coverage_sentence(rows: Sequence[Row]) -> str:
    """Say how often the 95 % intervals of all numbers of all worlds cover."""
    shares = sorted(row["covered"] for row in rows)
    low = sum(share < 0.9 for share in shares)
    return (
        f"{len(rows)} numbers of {len({row['case'] for row in rows})} worlds, "
        f"{max(row['repetitions'] for row in rows)} diagnoses each: their 95 % intervals cover the "
        f"exact value in {shares[0]:.1%} (worst) to {shares[-1]:.1%} of cases, median "
        f"{shares[len(shares) // 2]:.1%}; {low} of them in fewer than 90 %."
    )


def order_sentences(rows: Sequence[Row], found: Row) -> tuple[str, ...]:
    """The rank agreement, what a fixed order does, and the pair whose order changes."""
    return (
        f"Mean Kendall correlation of predicted and measured order over {found['settings']} "
        f"settings: {found['kendall']:.2f}; orders drawn at random do as well with p = "
        f"{found['chance']:.4f}.",
        f"One order for all settings reaches at best {found['fixed']:.2f}; predictions dealt to "
        f"other settings do as well with p = {found['between']:.4f}.",
        f"SRPO against GRPO: {sum(row['agree'] for row in rows)} of {len(rows)} settings as "
        f"predicted, {_where_shown(rows)}. Spearman correlation over settings of SRPO's predicted "
        f"and measured lead: {found['spearman']:.2f} (p = {found['spearman_p']:.4f}).",
    )


def _where_shown(rows: Sequence[Row]) -> str:
    shown = [row for row in rows if row["shown"]]
    if not shown:
        return "and in none is the measured difference shown"
    agreeing = sum(row["agree"] for row in shown)
    return f"{agreeing} of the {len(shown)} in which the measured difference is shown"
