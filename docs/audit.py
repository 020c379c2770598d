"""Write the table of docs/audit.md from the records of audits.

python docs/audit.py [RESULTS]: from docs/records, or from the runs audit-* below RESULTS, whose
records are copied there first.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, RECORDS = ROOT / "docs" / "audit.md", ROOT / "docs" / "records"
RUNS = ("audit-ours", "audit-trl", "audit-verl")
KEPT = ("run.json", "summary.jsonl", "trials.jsonl", "manifest.json")
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


def table() -> str:
    """All runs' summaries, one line per estimator."""
    lines = [
        "| estimator | follows | factor | lowest cosine | wrong way | worst in | notices |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in RUNS:
        if (RECORDS / run / "summary.jsonl").exists():
            made = json.loads((RECORDS / run / "run.json").read_text())
            lines += [_line(row) for row in rows(run)]
            versions.setdefault(_date(made), []).extend(
                sorted({row["version"] for row in rows(run) if row["version"]})
            )
    dates = "; ".join(f"{', '.join(v) or 'this package'} on {d}" for d, v in versions.items())
    return "\n".join([*lines, "", f"Made with {dates}."])


versions: dict[str, list[str]] = {}


def _date(made: dict[str, Any]) -> str:
    found = re.search(r"\d{4}-\d\d-\d\d", json.dumps(made))
    return found[0] if found else "an unknown day"


def _line(row: dict[str, Any]) -> str:
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
    versions.clear()
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    """Copy records if a folder of runs is given, then write the page."""
    for run in RUNS if len(sys.argv) > 1 else ():
        made = Path(sys.argv[1]) / run
        (RECORDS / run).mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (made / name).exists():
                shutil.copy(made / name, RECORDS / run / name)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
