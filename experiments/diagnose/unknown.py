"""Why a number of a diagnosis is not known, in words that follow "as"."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cpi_theory.diagnosis.records import Diagnosis, Seen
from cpi_theory.statistics.intervals import Interval
from experiments.diagnose.labels import number_label
from experiments.runs.files import Row

_FEW = "fewer than two prompts had any"

NOT_ASKED = "no advantages were measured (sampling.audited = 0)"


def why_unmeasured(audited: int, traced: int, tokens: int | None) -> str:
    """Why no advantages were measured, where none were.

    Args:
        audited: states that were to be measured.
        traced: rollouts of which every step was to be measured.
        tokens: the limit of tokens, or steps, if there is one: what it leaves is measured.
    """
    if not audited and not traced:
        return NOT_ASKED
    if tokens is None:
        return "no advantages were measured: no visited state was there to be measured"
    return f"no advantages were measured: the limit (tokens = {tokens:,}) left nothing for them"


def why_no_name(seen: Seen) -> str:
    """Why the localiser named so little."""
    if not seen.failures:
        return "no rollout failed"
    return "the localiser named no step" if not seen.named else _FEW


def why_unknown(section: str, name: str, found: Diagnosis, unmeasured: str = NOT_ASKED) -> str:
    """Why the number of this section and name has no finite estimate.

    Args:
        section: of the number.
        name: of the number.
        found: the diagnosis.
        unmeasured: why no advantages were measured, if none were; see :func:`why_unmeasured`.
    """
    if section == "theory":
        return _of_ratio(found)
    # The localiser's steps are measured with the others, and lengths are known without measuring.
    measured = section == "states" or name in ("precision", "recall") or section.startswith("first")
    if measured and not found.cost.measured:
        return unmeasured
    if section in ("localiser", "correction"):
        return why_no_name(found.seen)
    if section in ("random", "refusals"):
        return _FEW if found.seen.failures else "no rollout failed"
    return f"{_FEW} reset" if section == "methods" else _FEW


def _of_ratio(found: Diagnosis) -> str:
    for name, interval in _factors(found):
        if math.isnan(interval.estimate):
            return f"{name} is unknown"
    return "no improvable state was seen among those that were measured"


def _factors(found: Diagnosis) -> tuple[tuple[str, Interval], ...]:
    return (
        ("the share of improvable states", found.coverage),
        ("the precision of the localiser", found.localizer.precision),
        ("the depth of its steps", found.localizer.remaining),
    )


def unknown_sentences(estimates: Sequence[Row]) -> list[str]:
    """Say which numbers of the table ``estimates`` are unknown, a sentence per section and reason.

    Corrections are left out: they have a table of their own. Records of before reasons were kept
    have none.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for row in estimates:
        if row["estimate"] is None and row["section"] != "correction":
            names.setdefault((row["section"], row.get("why", "")), []).append(
                number_label(row["name"])
            )
    return [
        f"Unknown of {section}: {', '.join(which)}" + (f"; {why}." if why else ".")
        for (section, why), which in names.items()
    ]
