"""What people read as the names of a diagnosis' numbers; records hold the names of the fields."""

from __future__ import annotations

_NUMBERS = {
    "success": "rollouts that succeed",
    "coverage": "improvable (coverage)",
    "precision": "improvable (precision)",
    "recall": "weight on an improvable one",
    "selected": "weight on any visited one",
    "remaining": "steps left after it",
    "answered": "failures with a named step",
    "informative": "groups that teach",
    "base": "base groups that teach",
    "suffix": "suffix groups that teach",
    "used": "rollouts in such groups",
    "corrected": "suffixes that succeed",
    "own": "suffixes that succeed",
    "matched": "those with a control",
    "control": "their controls",
    "difference": "those less their controls",
    "signal": "signal per rollout",
    "samples": "samples saved, factor",
    "gain": "guaranteed gain, factor",
}


def number_label(name: str) -> str:
    """What a row `name` of the table ``estimates`` counts: "GRPO, base" and "precision" alike.

    Names that say what they are, such as reasons of refusals, stay as they are.
    """
    owner, comma, last = name.rpartition(", ")
    return (f"{owner}: " if comma else "") + _NUMBERS.get(last, last)


def correction_label(kind: str, label: str) -> str:
    """Which resets a row of the table ``corrections`` is about."""
    if kind == "depth":
        return f"part {label}"
    if kind == "deviation":
        return "at the reference" if label == "0" else f"{label} from the reference"
    return label
