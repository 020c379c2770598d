"""One estimator on one world: what it does there, as records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpi_theory.audit.forest import Forest
from cpi_theory.audit.invariances import MUST_HOLD, invariances
from cpi_theory.audit.judgement import Judgement, judge, sentence
from cpi_theory.audit.law import Law, law
from cpi_theory.audit.shrinking import Claim, holds
from cpi_theory.audit.worlds import small_worlds
from cpi_theory.checks import InvalidInput
from experiments.audit.subjects import Layout, subject
from experiments.runs.fingerprint import points_to
from experiments.runs.imported import named_sources

_TRIED_ON = ("two difficulties", "go on or stop", "lock beside choice", "three paid steps")
"""Worlds from which invariances are tried: with several prompts, and of different lengths."""


@dataclass(frozen=True)
class Trial:
    """An estimator on a world.

    Attributes:
        estimator: by name.
        world: by name; None: try what should not change its advantages.
        claim, rollouts, layout, exact, most, draws, seed: see
            :class:`~experiments.audit.config.AuditConfig`.
        source: the file that holds the estimator, whose content the records depend on.
        version: of the library that it is of.
    """

    estimator: str
    world: str | None
    claim: Claim
    rollouts: int
    layout: Layout
    exact: bool
    most: int
    draws: int
    seed: int
    source: Path | None = None
    version: str | None = None


@points_to.register
def _(trial: Trial) -> Mapping[str, Path]:
    return {} if trial.source is None else named_sources(str(trial.source), trial.source)


def world_of(name: str) -> Forest:
    """The world of that name."""
    return next(world for world in small_worlds() if world.name == name)


def noticing_worlds() -> list[Forest]:
    """The worlds from which invariances are tried."""
    return [world_of(name) for name in _TRIED_ON]


REFUSED = "refused"
"""Kind of the row of an estimator that does what none may, or asks what the world lacks."""


def tried(trial: Trial) -> list[dict[str, Any]]:
    """Rows of a trial: one of the world, or one of each invariance; or why there is none."""
    try:
        return _tried(trial)
    except InvalidInput as error:
        parts = {"field": error.field, "value": str(error.value), "problem": error.problem}
        return [{**_about(trial), "kind": REFUSED, **parts, "remedy": error.remedy}]


def _tried(trial: Trial) -> list[dict[str, Any]]:
    tested = subject(trial.estimator, trial.rollouts, trial.layout, trial.exact)
    if trial.world is not None:
        found = law(tested, world_of(trial.world), trial.most, trial.draws, trial.seed)
        return [{**_about(trial), **world_row(found, judge(found), trial.claim)}]
    return [
        {
            **_about(trial),
            "kind": "invariance",
            "invariance": row.name,
            "holds": row.holds,
            "change": row.change,
            "must": row.name in MUST_HOLD,
        }
        for row in invariances(tested, noticing_worlds(), seed=trial.seed)
    ]


def _about(trial: Trial) -> dict[str, Any]:
    return {"estimator": trial.estimator, "version": trial.version, "world": trial.world}


def world_row(found: Law, judged: Judgement, claim: Claim) -> dict[str, Any]:
    """The record of a law and how it was judged."""
    return {
        "kind": "world",
        "how": found.how,
        "branches": found.branches,
        "rollouts": float(found.rollouts),
        "steps": float(found.steps),
        "verdict": judged.verdict,
        "holds": holds(claim, judged),
        "exact": judged.exact,
        "cosine": _known(judged.cosine),
        "norm_ratio": _known(judged.norm_ratio),
        "scale_low": min(judged.scales, default=None),
        "scale_high": max(judged.scales, default=None),
        "noise": judged.noise,
        "signal_per_rollout": _known(judged.signal_per_rollout),
        "signal_per_step": _known(judged.signal_per_step),
        "reversed": len(judged.reversed_pushes),
        "says": sentence(judged),
        "starts": [
            {
                "state": share.start,
                "samples": share.samples,
                "reward": share.reward,
                "value": share.value,
                "scale": _known(float(share.scale)),
                "residual": share.residual,
            }
            for share in judged.shares
        ],
        "pushes": [
            {
                "observation": push.observation,
                "action": push.action,
                "gradient": push.gradient,
                "expected": push.expected,
                "wrong": push.wrong,
                "reversed": push.reversed,
            }
            for push in judged.pushes
        ],
        "credits": [
            {
                "state": state,
                "action": action,
                "visits": credit.visits,
                "mean": credit.mean,
                "variance": credit.variance,
                "wrong": credit.wrong,
                "truth": float(found.forest.advantage(state, action)),
            }
            for (state, action), credit in sorted(found.credits.items())
        ],
    }


def _known(number: float) -> float | None:
    """Records have neither NaN nor infinity."""
    return number if math.isfinite(number) else None
