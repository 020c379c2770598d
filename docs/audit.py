"""Write the table of docs/audit.md from the records of audits.

python docs/audit.py [RESULTS]: from docs/records, or from the runs audit-* below RESULTS, whose
records are copied there first, those of audit-methods too, which docs/methods.md has a table of.
"""

from __future__ import annotations

import datetime
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from experiments.audit.summary import worst_on_outcomes

ROOT = Path(__file__).resolve().parent.parent
PAGE, RECORDS = ROOT / "docs" / "audit.md", ROOT / "docs" / "records"
RUNS = ("audit-ours", "audit-trl", "audit-verl")
COPIED = (*RUNS, "audit-methods")
KEPT = ("run.json", "summary.jsonl", "trials.jsonl")
MADE = "made.json"
BEGIN, END = "<!-- table of docs/audit.py -->", "<!-- end of the table -->"

WORDS = {
    "unbiased": "the gradient of J",
    "scaled": "the gradient of J, up to a factor",
    "mixture": "a mixture over start states",
    "reweighted": "a weighted sum of start states' values",
    "biased": "no weighted sum of start states' values",
    "silent": "nothing",
}


def rows(run: str) -> list[dict[str, Any]]:
    """The rows of a run's summary."""
    lines = (RECORDS / run / "summary.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def with_outcomes(run: str) -> dict[str, str]:
    """The worst verdict of each estimator over the worlds that pay 0 or 1 and nothing else."""
    lines = (RECORDS / run / "trials.jsonl").read_text().splitlines()
    return worst_on_outcomes([json.loads(line) for line in lines])


def table() -> str:
    """All runs' summaries, one line per estimator, and what they were made with."""
    versions: dict[str, list[str]] = {}
    lines = [
        "| estimator | follows, outcomes 0 and 1 | follows, all worlds | factor | lowest cosine "
        "| wrong way | worst in | notices |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in RUNS:
        if (RECORDS / run / "summary.jsonl").exists():
            plain = with_outcomes(run)
            lines += [_line(row, plain[row["estimator"]]) for row in rows(run)]
            made = json.loads((RECORDS / run / MADE).read_text())["date"]
            known = sorted({row["version"] for row in rows(run) if row["version"]})
            versions.setdefault(made, []).extend(known or ["this package"])
    dates = "; ".join(f"{', '.join(of)} on {date}" for date, of in versions.items())
    return "\n".join([*lines, "", f"Made with {dates}."])


def _line(row: dict[str, Any], plain: str) -> str:
    low, high = (row[f"scale_{end}"] for end in ("low", "high"))
    factor = (
        ""
        if low is None
        else f"{low:.3g}"
        if f"{low:.3g}" == f"{high:.3g}"
        else (f"{low:.3g} to {high:.3g}")
    )
    wrong = f"{row['reversed']} of {row['worlds']}" if row["reversed"] else ""
    world = "" if row["verdict"] in ("unbiased", "scaled") else row["world"]
    cells = (
        f"`{row['estimator']}`",
        WORDS[plain],
        WORDS[row["verdict"]],
        factor,
        f"{row['lowest_cosine']:.4f}",
        wrong,
        world,
        ", ".join(row["notices"]),
    )
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The page with the table as the records have it."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    """Copy records if a folder of runs is given, then write the page."""
    for run in COPIED if len(sys.argv) > 1 else ():
        made = Path(sys.argv[1]) / run
        if not made.is_dir():
            continue
        (RECORDS / run).mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (made / name).exists():
                shutil.copy(made / name, RECORDS / run / name)
        day = datetime.date.fromtimestamp((made / "summary.jsonl").stat().st_mtime)
        (RECORDS / run / MADE).write_text(json.dumps({"date": day.isoformat()}) + "\n")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
