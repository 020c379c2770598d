"""What `verify` shows and stores: a table per run, counterexamples as files, the mutants' fates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from experiments.console import give
from experiments.documents.words import counted
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.verify.claims import GAIN
from experiments.verify.config import VerifyConfig
from experiments.verify.mutation.judge import Judging, judge_mutants
from experiments.verify.mutation.targets import TARGETS
from experiments.verify.pair_search import FAIR_TIES

_ORDER = (
    "T1",
    "T1s",
    "T1h",
    "T1e",
    "T2",
    "T2h",
    "T2s",
    "T3",
    "T4",
    "T4s",
    "T4w",
    "T5",
    "T6",
    "T7s",
    "T8",
    "T8s",
    "T8e",
    "T8 step",
    "T8s step",
)
_HEADINGS = ("theorem", "checks", "exact", "violated", "attained", "bound/gain", "cost/penalty")
# Worlds and updates that are drawn, not made for anything.
_RANDOM = ("layered", "layered exact")
_MUTATED_INSTANCES = 60
_QUICK_MUTATED_INSTANCES = 20
_QUICK_MUTANTS = 30
_VERDICTS = ("false", "breaks", "loose", "equivalent", "sharper")


def summarise(rows: Sequence[Row]) -> list[Row]:
    """One row per theorem, over all families and both arithmetics."""
    theorems = {row["theorem"] for row in rows}
    return [_summary(t, rows) for t in sorted(theorems, key=_ORDER.index)]


def _summary(theorem: str, rows: Sequence[Row]) -> Row:
    own = [row for row in rows if row["theorem"] == theorem]
    checks = [row for row in own if row["kind"] == "check"]
    searches = [row for row in own if row["kind"] == "search"]
    broken = sum(row["violated"] for row in searches)
    shares = [s for row in checks if row["family"] in _RANDOM for s in row["penalty_shares"]]
    return {
        "theorem": theorem,
        "instances": sum(row["instances"] for row in checks),
        "checks": sum(row["checks"] for row in checks),
        "exact_checks": sum(row["checks"] for row in checks if row["exact"]),
        "violations": sum(row["violations"] for row in checks) + broken,
        "attained": sum(row["attained"] for row in checks),
        "tightness": _largest(checks, "tightness"),
        "penalty_used": _largest(checks, "penalty_used"),
        "penalty_share": fmean(shares) if shares else None,
        "penalty_share_margin": _margin(shares),
        "adversarial_tightness": _largest(searches, "tightness"),
        "adversarial_penalty_used": _largest(searches, "penalty_used"),
    }


def _margin(values: Sequence[float]) -> float | None:
    """Half of a 95 % interval of the mean."""
    return 1.96 * stdev(values) / sqrt(len(values)) if len(values) > 1 else None


def _largest(rows: Sequence[Row], field: str) -> float | None:
    return max((row[field] for row in rows if row[field] is not None), default=None)


def store_counterexamples(
    run: Run, found: Mapping[int, Row] | Sequence[Row], table: str
) -> list[Path]:
    """Write counterexamples as files that ``--replay`` reads; earlier ones go.

    Args:
        run: where.
        found: by number.
        table: that they were found in.
    """
    numbered = found if isinstance(found, Mapping) else dict(enumerate(found))
    files = {f"{i:03d}.json": _indented(data) for i, data in numbered.items()}
    run.keep_only("counterexamples", files)
    origin = run.origin((table,))
    return [run.write_file(f"counterexamples/{name}", data, origin) for name, data in files.items()]


def violations(rows: Sequence[Row]) -> Iterator[Row]:
    """What the rows of a run say of violated bounds, each as the content of its file."""
    for row in rows:
        if row["kind"] == "counterexample":
            yield {key: value for key, value in row.items() if key != "kind"}
        elif row["kind"] == "search" and row["violated"]:
            instance, pair = row["instance"], row.get("pair")
            yield {
                "format": 1,
                "theorem": row["theorem"],
                "says": GAIN if pair is None else FAIR_TIES,
                "mutant": None,
                "alpha": 0 if instance is None else instance["alphas"][0],
                "instance": instance,
                "pair": pair,
            }


def _indented(data: Row) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def show(
    summary: Sequence[Row], rows: Sequence[Row], files: Sequence[Path], console: Console
) -> None:
    """The table of a run, and what to do about violations."""

    # Every instance is read for exactly one of these two.
    bases = [row for row in rows if row["kind"] == "check" and row["theorem"] in ("T1", "T8")]
    total = counted(sum(row["instances"] for row in bases), "instance")
    table = Table(title=total, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading != "theorem" else "left", no_wrap=True)
    for row in summary:
        broken = f"[red]{row['violations']}[/red]" if row["violations"] else "0"
        counts = (str(row["checks"]), str(row["exact_checks"]), broken, str(row["attained"]))
        table.add_row(row["theorem"], *counts, _pair(row, "tightness"), _pair(row, "penalty_used"))
    console.print(table)
    console.print(
        "exact: checks in fractions, without tolerance. attained: of these, bounds equal to the "
        "gain.\nbound/gain: the largest at step sizes >= 1/4, on instances and by adversarial "
        "search.\ncost/penalty: the largest share of what a bound subtracts from the slope of "
        "the gain\nthat an update really cost; where it is 1 the bound is attained. T4s' search: "
        "failures over exp(-n e), at most 1/2.",
        soft_wrap=True,
    )
    for row in summary:
        if row["penalty_share"] is not None:
            mean, margin = row["penalty_share"], row["penalty_share_margin"] or 0.0
            console.print(
                f"{row['theorem']}: subtracts {mean:.3f} +- {margin:.3f} of what T1s does, "
                "on average over random worlds."
            )
    if files:
        console.print(f"[red]{len(files)} violations stored[/red], check one again with")
        console.print(f"  cpi-resets verify --replay {files[0]}", soft_wrap=True)


def _pair(row: Row, field: str) -> str:
    return f"{_figure(row[field])} {_figure(row['adversarial_' + field])}"


def _figure(value: float | None) -> str:
    return "     -" if value is None else f"{value:.4f}"


def mutate(config: VerifyConfig, output: Path, execution: Execution, console: Console) -> int:
    """Judge every mutant of every bound; 1 if one claims more than a tight bound and stands."""

    name = "verify-mutants-quick" if config.quick else "verify-mutants"
    count = _QUICK_MUTATED_INSTANCES if config.quick else _MUTATED_INSTANCES
    most = _QUICK_MUTANTS if config.quick else None
    settings = {"instances": count, "seed": config.seed, "most": most}
    run = Run.open(output, name, settings, config.seed)
    specs = [Judging(target, count, config.seed, most) for target in TARGETS]
    with run.lock(), run.timed("mutants"):
        rows = sweep(judge_mutants, specs, run, "mutants", execution, console)
        shown = {i: row["counterexample"] for i, row in enumerate(rows)}
        refuting = {i: found for i, found in shown.items() if found is not None}
        store_counterexamples(run, refuting, "mutants")
    give(console, {"mutants": rows})
    _show_mutants(rows, console)
    standing = [row for row in rows if row["verdict"] == "sharper" and row["pinned"]]
    console.print(f"records: {run.directory}", soft_wrap=True)
    return 1 if standing else 0


def _show_mutants(rows: Sequence[Row], console: Console) -> None:
    table = Table(
        title=f"{len(rows)} mutants", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in ("bound", "mutants", *_VERDICTS):
        table.add_column(heading, justify="left" if heading == "bound" else "right")
    for target in dict.fromkeys(row["target"] for row in rows):
        verdicts = Counter(row["verdict"] for row in rows if row["target"] == target)
        table.add_row(target, str(verdicts.total()), *(str(verdicts[v] or "") for v in _VERDICTS))
    console.print(table)
    console.print(
        "false: a counterexample is stored; breaks: fails on an admissible input; loose: true, "
        "but gives something away;\nequivalent: the same on all instances and on 400 random "
        "arguments; sharper: claims more somewhere "
        "and is not refuted (no fault where the bound is not tight: T4, T4s, T4w).",
        soft_wrap=True,
    )
    for row in rows:
        if row["verdict"] == "loose":
            lost = f"{row['tightness_before']:.4f} -> {row['tightness_after']:.4f}"
            _line(console, f"loose       {row['target']:<16} {lost}  {row['change']}")
    for row in rows:
        if row["verdict"] in ("equivalent", "sharper"):
            mark = " (NOT REFUTED)" if row["verdict"] == "sharper" and row["pinned"] else ""
            _line(console, f"{row['verdict']:<11} {row['target']:<16} {row['change']}{mark}")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
