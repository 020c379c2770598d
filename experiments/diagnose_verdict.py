"""What a diagnosis means, in plain sentences that carry their uncertainty."""

from __future__ import annotations

from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.statistics.by_prompt import product
from cpi_theory.statistics.intervals import Interval

_SURE, _LIKELY = 0.975, 0.8

_CAUTION = (
    " How sure this is speaks of the drawn prompts alone: on the tiny language model the predicted "
    "order of GRPO and SRPO was not borne out (docs/measurements/diagnose.md)."
)
"""For worlds that hide their advantages, as language models do."""


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


def percent(share: Interval) -> str:
    """Such as "3.2 % [2.1, 4.9]"."""
    if share.estimate != share.estimate:
        return "an unknown share"
    ends = f"{100 * share.lower:.3g}, {100 * share.upper:.3g}"
    return f"{100 * share.estimate:.3g} % [{ends}]"


def points(gap: Interval) -> str:
    """A difference of shares in percentage points."""
    ends = f"{100 * gap.lower:+.2g}, {100 * gap.upper:+.2g}"
    return f"{100 * gap.estimate:+.2g} points [{ends}]"


def factor(ratio: Interval) -> str:
    """A ratio with its interval."""
    return f"{ratio.estimate:.3g} [{ratio.lower:.3g}, {ratio.upper:.3g}]"
