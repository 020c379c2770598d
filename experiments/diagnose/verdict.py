"""What a diagnosis means, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.statistics.by_prompt import product
from experiments.documents.numbers import factor, percent, points
from experiments.runs.files import Row

_SURE, _LIKELY = 0.975, 0.8

# For worlds that hide their advantages, as language models do.
_CAUTION = (
    " How sure this is speaks of the drawn prompts alone: on the tiny language model the predicted "
    "order of GRPO and SRPO was not borne out (docs/measurements/diagnose.md)."
)


def verdict(found: Diagnosis) -> tuple[str, ...]:
    """Sentences, the answer first."""
    return (
        _answer(found) + ("" if found.exact else _CAUTION),
        _rarity(found),
        _localiser(found),
        _correcting(found),
        _groups(found),
        _theory(found),
    )


def _answer(found: Diagnosis) -> str:
    best, *_ = found.order.methods
    plain = "GRPO"
    if best == plain:
        rival = next(name for name in found.order.methods if name != plain)
        sure = found.order.certainty(plain, rival)
        if sure >= _SURE:
            return f"Resets are not worth it here: {plain} should learn faster per rollout."
        if sure >= _LIKELY:
            return (
                f"Resets are probably not worth it here: {plain} is predicted ahead of {rival} "
                f"per rollout in {sure:.0%} of resamples of the prompts."
            )
        return _open(plain, rival, sure)
    sure = found.order.certainty(best, plain)
    if sure >= _SURE:
        return f"Resets are worth it here: {best} should learn faster than {plain} per rollout."
    if sure >= _LIKELY:
        return (
            f"Resets are probably worth it here: {best} is predicted ahead of {plain} per rollout "
            f"in {sure:.0%} of resamples of the prompts."
        )
    return _open(best, plain, sure)


def _open(first: str, second: str, sure: float) -> str:
    return (
        f"These rollouts do not decide it: {first} is predicted ahead of {second} in {sure:.0%} "
        "of resamples of the prompts only. Take more prompts, or choose by the cost of a rollout: "
        "suffixes are shorter."
    )


def _rarity(found: Diagnosis) -> str:
    share = percent(found.coverage)
    how = "chosen on a quarter of the prompts" if found.tau_chosen else "as set beforehand"
    return (
        f"{share} of the visited states are improvable by at least {found.tau:.3g} ({how}); plain "
        f"rollouts succeed in {percent(found.success)}."
    )


def _localiser(found: Diagnosis) -> str:
    q, r = found.localizer.precision, found.random.precision
    said = f"The localiser names an improvable state in {percent(q)} of its answers"
    beside = f"a random step of a failure is one in {percent(r)}"
    ratio = product((q, 1), (r, -1))
    if ratio.lower > 1:
        return f"{said}; {beside}: it knows where to look."
    if ratio.upper < 1:
        return f"{said}; {beside}: it is worse than chance."
    return f"{said}; {beside}: it is not shown to be better than chance."


def _correcting(found: Diagnosis) -> str:
    row = next((c for c in found.corrections if c.kind == "all"), None)
    if row is None or row.resets == 0:
        return "No failure was localised, so nothing can be said of corrections."
    gap = row.difference
    rates = f"{percent(row.matched)} of suffixes from the named step succeed"
    beside = f"{percent(row.control)} from the same step of another failure of the same prompt"
    if gap.lower > 0:
        return f"{rates}, {beside}: naming helps beyond its depth, by {points(gap)}."
    if gap.upper < 0:
        return f"{rates}, {beside}: naming does harm, by {points(gap)}."
    return f"{rates}, {beside}: a difference of {points(gap)} is not shown."


def _groups(found: Diagnosis) -> str:
    shares = [f"{r.method} {percent(r.informative)}" for r in found.methods]
    steps = [f"{r.method} {r.steps:.0f}" for r in found.methods]
    return (
        f"Groups that teach anything: {', '.join(shares)}. Steps generated per prompt: "
        f"{', '.join(steps)}; {_per_step(found)}."
    )


def _per_step(found: Diagnosis) -> str:
    """The order by signal per generated step, where it differs from that per rollout."""
    gains = {r.method: r.signal.estimate / r.steps for r in found.methods if r.steps > 0}
    order = tuple(sorted(gains, key=lambda method: -gains[method]))
    if order == found.order.methods:
        return f"per step, too, the predicted order is {', '.join(order)}"
    return f"per step the predicted order is {', '.join(order)}"


def _theory(found: Diagnosis) -> str:
    row = next(p for p in found.theory if p.resets == "localiser")
    return (
        f"Against random resets the theory (T5, T6) promises that the localiser saves a factor of "
        f"{factor(row.samples)} in samples and gains a factor of {factor(row.gain)} in guaranteed "
        "improvement per step."
    )


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
    shown = [row for row in rows if row["shown"]]
    return (
        f"Mean Kendall correlation of predicted and measured order over {found['settings']} "
        f"settings: {found['kendall']:.2f}; orders drawn at random do as well with p = "
        f"{found['chance']:.4f}.",
        f"One order for all settings reaches at best {found['fixed']:.2f}; predictions dealt to "
        f"other settings do as well with p = {found['between']:.4f}.",
        f"SRPO against GRPO: {sum(row['agree'] for row in rows)} of {len(rows)} settings as "
        f"predicted, {sum(row['agree'] for row in shown)} of the {len(shown)} in which the "
        "measured difference is shown. Spearman correlation over settings of SRPO's predicted and "
        f"measured lead: {found['spearman']:.2f} (p = {found['spearman_p']:.4f}).",
    )
