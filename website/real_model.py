"""Tables of docs/measurements/smollm2.md: how a pretrained model learns on sums."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paper_figs.rows import distinct, one, select
from website.curves import interval
from website.stored import lines, read

_TRAINED = {
    "GRPO": "GRPO",
    "RRPO": "RRPO",
    "SRPO": "SRPO, names its own errors",
    "EntropyReset": "EntropyReset, the first line that it was unsure of",
    "Frontier": "Frontier",
}


RUNS = ("smollm2-sums", "smollm2-rare")
"""Stored trainings of SmolLM2: about one rollout in three is right at first, and one in twenty."""


def passes(run: str) -> str:
    """Pass rates of SmolLM2 before and after, sampled and greedy."""
    found = read(f"records/{run}/finals.jsonl")
    rows = []
    for method in distinct(found, "method"):
        ends = [one(found, method=method, measure=m) for m in ("sampled", "greedy")]
        shares = [_share(end[at]) for end in ends for at in ("before", "after")]
        rows.append([_TRAINED[method], *shares])
    seeds = found[0]["seeds"]
    head = (
        f"pass rate, {seeds} seeds",
        "before",
        "after 40 updates",
        "greedy before",
        "greedy after",
    )
    return lines(head, rows)


def _share(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)


def differences(run: str) -> str:
    """Differences between methods of SmolLM2, per rollout and per token."""
    pairs = read(f"records/{run}/pairs.jsonl")
    rows = [
        [
            f"{first} - {second}",
            *(
                interval(one(pairs, first=first, second=second, axis=axis))
                for axis in ("rollouts", "tokens")
            ),
        ]
        for first, second in dict.fromkeys((row["first"], row["second"]) for row in pairs)
    ]
    head = ("difference of the mean pass rate over the run", "per rollout", "per token")
    return lines(head, rows)


def localizations(run: str) -> str:
    """How often the first error of a failure was named, exactly and nearly, over the whole run."""
    found = read(f"records/{run}/localization.jsonl")
    rows = []
    for method in distinct(found, "method"):
        own = select(found, method=method)
        named, exact, near = (sum(r[n] for r in own) for n in ("named", "exact", "within_one"))
        asked = str(sum(row["asked"] for row in own))
        rows.append(
            [_TRAINED[method], asked, str(named), *(_counted(n, named) for n in (exact, near))]
        )
    return lines(
        ("first errors of own failures", "asked", "named", "exactly", "or next to it"), rows
    )


def _counted(count: int, of: int) -> str:
    return f"{count} ({count / of:.0%})"


TABLES: dict[str, Callable[[], str]] = {
    f"{name} of {run}": partial(make, run)
    for run in RUNS
    for name, make in (
        ("passes", passes),
        ("differences", differences),
        ("localizations", localizations),
    )
}
"""By name: what makes the table."""
