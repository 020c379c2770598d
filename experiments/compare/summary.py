"""What follows from the measured tables: the value of an imperfect oracle, bounds against facts."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.runs.files import Row

_WORLD = ("coverage", "tau", "horizon", "actions")


def imperfect_oracles(samples: Sequence[Row], gains: Sequence[Row]) -> list[Row]:
    """Each imperfect oracle against random resets in the same world, measured and by T6.

    Fields beside the parameters: `samples_saved` = random's samples over the oracle's, with the
    interval `samples_saved_lower`, `_upper` (from the intervals of both, so conservative) and
    `samples_saved_theory` = (q / p)^2; `gain_factor` = the oracle's exact gain over random's, each
    at its own step size for Delta = 2 R_max, and `gain_factor_theory` = (rho q / p) L_1 / L_w with
    L_1 the mean remaining horizon of random resets.
    """
    base = {
        _world(r): r
        for r in samples
        if r["kind"] == "point" and r["resets"] == "random" and r["learner"] == "aliased"
    }
    steps = {
        (_world(r), r["precision"], r["recall"], r["resets"]): r
        for r in gains
        if r["kind"] == "point" and r["spread_rule"] == "worst"
    }
    rows = []
    for row in samples:
        if not (row["kind"] == "point" and row["resets"] == "imperfect" and row["base"]):
            continue
        if row["learner"] != "aliased" or row["dial"] != "precision" or _world(row) not in base:
            continue
        step = steps[_world(row), row["precision"], row["recall"], "imperfect"]
        plain = steps[_world(row), 1.0, 1.0, "random"]
        rows.append(_against_random(row, base[_world(row)], step, plain))
    return rows


def _world(row: Row) -> tuple[float, ...]:
    return tuple(row[name] for name in _WORLD)


def _against_random(row: Row, plain: Row, step: Row, plain_step: Row) -> Row:
    p, q, rho = row["coverage"], row["precision"], row["recall"]
    parameters = {name: row[name] for name in (*_WORLD, "precision", "recall")}
    return parameters | {
        "samples_saved": plain["samples"] / row["samples"],
        "samples_saved_lower": plain["lower"] / row["upper"],
        "samples_saved_upper": plain["upper"] / row["lower"],
        "samples_saved_theory": (q / p) ** 2,
        "gain_factor": step["gain"] / plain_step["gain"],
        "gain_factor_theory": rho * q / p * plain_step["remaining"] / step["remaining"],
    }


def bounds_against_facts(samples: Sequence[Row], gains: Sequence[Row]) -> list[Row]:
    """How loose each bound is on the base lines in the coverage.

    Rows: `bound` names it, `facts` what it is held against, `smallest` and `largest` the ratio of
    the larger to the smaller over the points (1 would be attained).
    """
    rows = _sample_bounds(samples)
    step = [r for r in gains if r["kind"] == "point" and r["base"] and r["dial"] == "coverage"]
    for rule in ("exact", "worst"):
        for resets in ("random", "oracle"):
            chosen = [r for r in step if (r["spread_rule"], r["resets"]) == (rule, resets)]
            delta = "exact" if rule == "exact" else "2 R_max"
            for name, field in (("T2", "guaranteed"), ("T1s", "sharp"), ("T5 plan", "planned")):
                if field != "planned" or rule == "worst":
                    facts = f"gain, {resets} resets, Delta {delta}"
                    ratios = [r["gain"] / r[field] for r in chosen]
                    rows.append(_looseness(name, facts, ratios))
    return rows


def _sample_bounds(samples: Sequence[Row]) -> list[Row]:
    point = [r for r in samples if r["kind"] == "point" and r["base"] and r["dial"] == "coverage"]
    rows = []
    for learner in ("aliased", "statewise"):
        for resets in ("random", "oracle"):
            chosen = [r for r in point if (r["learner"], r["resets"]) == (learner, resets)]
            facts = f"samples, {learner} class, {resets} resets"
            bounds = [("T4s/T4w plan", "bound"), ("T4s/T4w on the instance", "on_instance")]
            if learner == "statewise":
                bounds.insert(1, ("T4w plan, wide gaps", "bound_wide_gaps"))
            for name, field in bounds:
                rows.append(_looseness(name, facts, [r[field] / r["samples"] for r in chosen]))
            signs = [r for r in chosen if r["floor"]]
            for name, field in (("T7s exact", "exact"), ("T7s closed form", "floor")):
                if signs:
                    ratios = [r["samples"] / r[field] for r in signs]
                    rows.append(_looseness(name, facts, ratios))
    return rows


def _looseness(bound: str, facts: str, ratios: list[float]) -> Row:
    return {"bound": bound, "facts": facts, "smallest": min(ratios), "largest": max(ratios)}
