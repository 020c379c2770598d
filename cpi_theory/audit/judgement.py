"""Which objective an expected update follows, if any, and how far it is off."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cpi_theory.audit.law import Law, Spread
from cpi_theory.checks import Exact

Verdict = Literal["unbiased", "scaled", "mixture", "reweighted", "biased", "silent"]
"""What the expected update E U of n samples is, g(s) being the gradient of V at start s:

- "unbiased": n times the gradient of J;
- "scaled": c n times it, one c > 0 for all starts: the step size is another, the objective is not;
- "mixture": c sum_s m(s) g(s), m(s) the expected number of samples that start in s, and these are
  not the prompts' own starts alike: the objective is that of starting where the samples do;
- "reweighted": sum_s c(s) m(s) g(s), the c(s) >= 0 not all alike: some starts count for more than
  their samples, as prompts do whose rewards are divided by their spread;
- "biased": of none of these forms;
- "silent": zero where the gradient is not.

All but "biased" and "silent" climb some weighted sum of values of starts.
"""

# Estimators compute in floats, some of them in single precision; a bias worth the name is larger.
ROUNDING = 1e-5
"""Differences below this share of what is compared count as rounding, where all was listed."""

_ERRORS = 4.0
"""Standard errors that count as chance, where updates were drawn."""


@dataclass(frozen=True)
class StartShare:
    """The part of an update that comes from samples with one start.

    Attributes:
        start: the state.
        samples: expected number of them.
        reward: their mean reward, to be compared with V(start).
        value: V(start).
        scale: c with the least squares distance of E U_s to c samples g(s), a fraction where the
            law is of fractions; NaN where g(s) is 0.
        slack: how far from `scale` c may be, by rounding or by chance.
        residual: |E U_s - c samples g(s)| / |E U_s|; 0 for a zero update.
        off: whether the residual is more than rounding or chance.
    """

    start: int
    samples: float
    reward: float
    value: float
    scale: Exact
    slack: Exact
    residual: float
    off: bool

    @property
    def factors(self) -> tuple[Exact, Exact]:
        """The least and the largest c that are not ruled out."""
        return self.scale - self.slack, self.scale + self.slack


@dataclass(frozen=True)
class Push:
    """What an update does to one parameter, in expectation.

    Attributes:
        observation, action: the parameter, a logit.
        gradient: of J; positive if the action is better than the policy there.
        expected: of the update, for each sample.
        wrong: probability that one update moves it against the gradient.
        reversed: whether the expected update does.
    """

    observation: str
    action: int
    gradient: float
    expected: float
    wrong: float
    reversed: bool


@dataclass(frozen=True)
class Judgement:
    """How the expected update of a subject compares with the gradient, on one world.

    Attributes:
        verdict: see :data:`Verdict`.
        cosine: of E U and the gradient of J; NaN where one is zero.
        norm_ratio: |E U| / (n |gradient of J|), n the expected number of samples.
        draws: updates that this was seen in; 0: all that there are were listed.
        exact: whether E U is c n times the gradient of J in fractions, without any rounding.
        shares: by start.
        pushes: by parameter.
        signal_per_rollout: signal-to-noise ratio of an update, over the rollouts that it takes.
        signal_per_step: the same over the generated steps.
        noise: E |U - E U|^2 / n, per sample.
    """

    verdict: Verdict
    cosine: float
    norm_ratio: float
    draws: int
    exact: bool
    shares: tuple[StartShare, ...]
    pushes: tuple[Push, ...]
    signal_per_rollout: float
    signal_per_step: float
    noise: float

    @property
    def scales(self) -> tuple[float, ...]:
        """c(s) of each start where there is anything to learn."""
        return tuple(float(s.scale) for s in self.shares if not math.isnan(s.scale))

    @property
    def factors(self) -> tuple[float, float]:
        """The least and the largest c > 0 of all starts alike that are not ruled out."""
        lows, highs = zip(*(s.factors for s in self.shares if not math.isnan(s.scale)), strict=True)
        return max(0.0, float(max(lows))), float(min(highs))

    @property
    def reversed_pushes(self) -> tuple[Push, ...]:
        """Parameters that the expected update moves the wrong way."""
        return tuple(push for push in self.pushes if push.reversed)


def judge(law: Law) -> Judgement:
    """Judge what a subject does in expectation."""
    update, gradient = _floats(law.update), _floats(law.forest.gradient)
    samples = float(sum(law.samples.values()))
    sizes = float(np.linalg.norm(update)), samples * float(np.linalg.norm(gradient))
    shares = tuple(_share(law, start) for start in law.starts)
    chance = _chance(law, update)
    return Judgement(
        _verdict(law, shares, update, chance),
        float(update @ gradient * samples / (sizes[0] * sizes[1])) if all(sizes) else math.nan,
        sizes[0] / sizes[1] if sizes[1] else math.nan,
        law.branches if law.how == "draws" else 0,
        _exactly_parallel(law),
        shares,
        tuple(_pushes(law, update / samples, gradient, chance / samples)),
        law.signal_to_noise / float(law.rollouts),
        law.signal_to_noise / float(law.steps),
        law.variance / samples,
    )


def _floats(array: NDArray[Any]) -> NDArray[np.float64]:
    return array.astype(np.float64)


def _rounding(law: Law) -> float:
    return 0.0 if law.how == "fractions" else ROUNDING


def _share(law: Law, start: int) -> StartShare:
    samples: Any = law.samples[start]
    mine, own = law.update_from(start), samples * law.forest.gradient_at(start)
    if law.how != "fractions":
        mine, own = _floats(mine), _floats(own)
    size = own @ own
    scale: Exact = mine @ own / size if size else math.nan
    left = mine - scale * own if size else mine
    residual, norm = (float(np.linalg.norm(_floats(part))) for part in (left, mine))
    rounding, spread = _rounding(law), law.spreads.get(start, Spread())
    chance = max(rounding * max(norm, rounding * float(samples)), _ERRORS * spread.residual)
    return StartShare(
        start,
        float(samples),
        float(law.rewards[start]) / float(samples),
        float(law.forest.value(start)),
        scale,
        # A float would make a fraction one.
        _ERRORS * spread.scale + rounding * abs(float(scale)) if rounding and size else 0,
        residual / norm if norm else 0.0,
        residual > chance,
    )


def _chance(law: Law, update: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each entry of the update may be from its expectation, shape (parameters,)."""
    return np.asarray(_ERRORS * law.errors + _rounding(law) * np.linalg.norm(update))


def _verdict(
    law: Law,
    shares: tuple[StartShare, ...],
    update: NDArray[np.float64],
    chance: NDArray[np.float64],
) -> Verdict:
    norm, noise = float(np.linalg.norm(update)), float(np.linalg.norm(chance))
    if norm <= max(noise, _rounding(law) ** 2) and law.forest.gradient.any():
        return "silent"
    known = [share for share in shares if not math.isnan(share.scale)]
    if not known:  # there is nothing to learn
        return "biased" if any(share.off for share in shares) else "unbiased"
    if any(share.off or share.factors[1] < 0 for share in shares):
        return "biased"
    lowest = max(share.factors[0] for share in known)
    highest = min(share.factors[1] for share in known)
    if lowest > highest:
        return "reweighted"
    if not _at_the_prompts(law):
        return "mixture"
    return "unbiased" if lowest <= 1 <= highest else "scaled"


def _at_the_prompts(law: Law) -> bool:
    """Whether samples start where prompts do, equally many in each."""
    if set(law.starts) != set(law.forest.starts):
        return False
    counts = [float(law.samples[start]) for start in law.starts]
    return max(counts) - min(counts) <= _rounding(law) * max(counts)


def _exactly_parallel(law: Law) -> bool:
    """Whether E U is proportional to the gradient of J in fractions."""
    if law.how != "fractions":
        return False
    update, gradient = law.update, law.forest.gradient
    scale = exact_scale(law)
    return not update.any() if scale is None else bool((update == scale * gradient).all())


def _pushes(
    law: Law,
    expected: NDArray[np.float64],
    gradient: NDArray[np.float64],
    chance: NDArray[np.float64],
) -> Iterator[Push]:
    for i, (observation, action) in enumerate(law.forest.parameters):
        reversed_ = expected[i] * gradient[i] < 0 and abs(expected[i]) > chance[i]
        yield Push(
            observation,
            action,
            float(gradient[i]),
            float(expected[i]),
            float(law.wrong[i]),
            bool(reversed_),
        )


def sentence(judgement: Judgement) -> str:
    """The verdict in words, with what it was drawn from if it was."""
    found = judgement
    seen = f", as far as {found.draws:,} drawn updates show" if found.draws else ""
    if found.verdict in ("unbiased", "scaled"):
        return _along(found, seen)
    if found.verdict == "mixture":
        return (
            f"follows another objective than J{seen}: {_mixture(found)}, as methods with resets do"
        )
    if found.verdict == "reweighted":
        low, high = min(found.scales), max(found.scales)
        return (
            f"follows another objective than J{seen}: values of starts weighted by "
            f"{_weights(found)}; a sample counts between {low:.3g} and {high:.3g} times"
        )
    if found.verdict == "silent":
        none = f"nothing that {found.draws:,} drawn updates show" if found.draws else "nothing"
        return f"learns {none} in expectation, though the gradient of J is not zero"
    return f"biased{seen}: {_bias(found)}"


def _along(found: Judgement, seen: str) -> str:
    if found.verdict == "unbiased" and not found.draws:
        how = "exactly" if found.exact else "up to rounding"
        return f"follows the gradient of J, without bias: {how}"
    if found.draws:
        low, high = found.factors if found.scales else (1.0, 1.0)
        what = f"times {low:.3g} to {high:.3g}"
        bias = ", without a bias" if found.verdict == "unbiased" else ""
        return f"follows the gradient of J{bias}{seen}: {what}"
    how = " exactly" if found.exact else ""
    aim = f"follows the gradient of J{how}, times {_factor(found.scales[0])}"
    return f"{aim}: the step is another, not the aim"


def _factor(scale: float) -> str:
    """A factor that is not 1, with as many digits as that takes."""
    return next(text for n in range(4, 18) if float(text := f"{scale:.{n}g}") != 1 or n == 17)


def _bias(found: Judgement) -> str:
    off = [share for share in found.shares if share.off]
    if off:
        worst = max(off, key=lambda share: share.residual)
        text = (
            f"{worst.residual:.1%} of the expected update from state {worst.start} is no "
            "multiple of the gradient of its value"
        )
    else:
        known = [share for share in found.shares if not math.isnan(share.scale)]
        against = min(known, key=lambda share: share.scale)
        text = (
            f"the expected update from state {against.start} points against the gradient of its "
            f"value, {float(against.scale):.3g} times"
        )
    if found.reversed_pushes:
        push = max(found.reversed_pushes, key=lambda p: abs(p.expected))
        worse = "worse" if push.gradient < 0 else "better"
        side = "towards" if push.expected > 0 else "away from"
        text += (
            f"; on average it moves {side} the {worse} action {push.action} at "
            f"{push.observation}, by {abs(push.expected):.3g} per sample"
        )
    return text


def _mixture(found: Judgement) -> str:
    total = sum(share.samples for share in found.shares)
    parts = (f"{share.samples / total:.3g} V({share.start})" for share in found.shares)
    return "the mixture " + " + ".join(parts) + " over start states"


def _weights(found: Judgement) -> str:
    known = [share for share in found.shares if not math.isnan(share.scale)]
    weights = [float(share.scale) * share.samples for share in known]
    parts = (
        f"{weight / sum(weights):.3g} for state {share.start} (V = {share.value:.3g})"
        for share, weight in zip(known, weights, strict=True)
    )
    return ", ".join(parts)


def exact_scale(law: Law) -> Exact | None:
    """The c for which E U could be c times the gradient of J; None where that is zero."""
    for moved, slope in zip(law.update, law.forest.gradient, strict=True):
        if slope:
            return Fraction(moved) / Fraction(slope)
    return None
