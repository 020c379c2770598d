"""Write docs/measurements/mutation.md: what `cpi-resets verify --mutate` notices, what tests run.

python docs/mutation.py [RUN]: from docs/measurements/mutation.jsonl, or from the run in that
folder, such as results/verify-mutants, which is counted into that file first.

python docs/mutation.py --coverage: first runs the tests of the bounds and counts the lines and
branches of the bounds that they run into docs/measurements/coverage.jsonl.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "measurements"
PAGE, RECORD = FOLDER / "mutation.md", FOLDER / "mutation.jsonl"
COVERAGE = FOLDER / "coverage.jsonl"

VERDICTS = ("false", "breaks", "loose", "equivalent", "sharper")
NOTICED = ("false", "breaks", "loose")

HEAD = """# What the checks of the bounds notice

`cpi-resets verify --mutate` changes the source of every bound, one operator, constant or function
at a time, and runs against each change the checks that `cpi-resets verify` runs. A change is
*noticed* if a counterexample is found (false), if it fails on an admissible input (breaks), or if
the bound gives away something that the true one does not (loose). Changes that are the same on
all instances and on 400 random arguments are left out of the score (equivalent). What claims more
somewhere and is not refuted is *sharper*: of a bound that instances attain that would be a hole
in the checks, and the command ends with exit code 1; of one that none is known to attain, such as
T4 and its sharp forms, whose constants are not claimed to be the best, it is no fault.

This page is made by `python docs/mutation.py`.
"""


def counted(run: Path) -> list[dict[str, Any]]:
    """A row per bound: mutants by verdict, and whether instances attain it."""
    lines = (run / "mutants.jsonl").read_text().splitlines()
    mutants = [json.loads(line) for line in lines]
    rows = []
    for target in dict.fromkeys(one["target"] for one in mutants):
        own = [one for one in mutants if one["target"] == target]
        verdicts = Counter(one["verdict"] for one in own)
        pinned = all(one["pinned"] for one in own)
        rows.append({"bound": target, "attained": pinned} | {v: verdicts[v] for v in VERDICTS})
    return rows


def total(rows: list[dict[str, Any]], *verdicts: str) -> int:
    """Mutants of some bounds with some verdicts."""
    return sum(row[verdict] for row in rows for verdict in verdicts)


def score(rows: list[dict[str, Any]]) -> str:
    """Noticed mutants among those that are not equivalent, in words."""
    noticed, all_of_them = total(rows, *NOTICED), total(rows, *NOTICED, "sharper")
    return f"{noticed:,} of {all_of_them:,} ({100 * noticed / all_of_them:.1f} %)"


def page() -> str:
    """The whole page."""
    rows = [json.loads(line) for line in RECORD.read_text().splitlines()]
    attained = [row for row in rows if row["attained"]]
    others = [row for row in rows if not row["attained"]]
    lines = [
        HEAD,
        "",
        f"Of {total(rows, *VERDICTS):,} mutants, {total(rows, 'equivalent')} of them equivalent, "
        f"{score(rows)} are noticed: of bounds that instances attain {score(attained)}, of the "
        f"others {score(others)}.",
        "",
        f"| bound | {' | '.join(VERDICTS)} | attained |",
        "| --- | " + "--- | " * (len(VERDICTS) + 1),
        *(
            f"| {row['bound']} | {' | '.join(str(row[v] or '') for v in VERDICTS)} | "
            f"{'yes' if row['attained'] else 'no'} |"
            for row in rows
        ),
    ]
    return "\n".join(line.rstrip() for line in [*lines, "", *coverage()]) + "\n"


def measured() -> dict[str, Any]:
    """What coverage.py says of the bounds after their own tests, lines and branches."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "coverage.json"
        tests = ["pytest", "-q", "-p", "no:cacheprovider", "tests/cpi_theory/bounds"]
        what = ["--cov=cpi_theory.bounds", "--cov-branch", "--cov-fail-under=0"]
        command = [sys.executable, "-m", *tests, *what, f"--cov-report=json:{file}"]
        subprocess.run(command, cwd=FOLDER.parents[1], check=True)
        document: dict[str, Any] = json.loads(file.read_text())
    return document


def covered(document: dict[str, Any]) -> list[dict[str, Any]]:
    """A row per file of a document of coverage.py."""
    counts = ("num_statements", "covered_lines", "num_branches", "covered_branches")
    names = ("lines", "lines_run", "branches", "branches_run")
    return [
        {"file": file, **{n: found["summary"][c] for n, c in zip(names, counts, strict=True)}}
        for file, found in sorted(document["files"].items())
    ]


def coverage() -> list[str]:
    """The section on lines and branches that tests run."""
    rows = [json.loads(line) for line in COVERAGE.read_text().splitlines()]

    def share(name: str) -> str:
        run, there = total(rows, f"{name}_run"), total(rows, name)
        return f"{run:,} of {there:,} {name} ({100 * run / there:.1f} %)"

    return [
        "## Which lines of the bounds their tests run",
        "",
        f"`tests/cpi_theory/bounds` alone runs {share('lines')} and {share('branches')} of the "
        f"{len(rows)} files in `cpi_theory/bounds`, measured again by `python docs/mutation.py "
        "--coverage`. Of all packages `make test COVERAGE=1` prints the coverage, and fails below "
        "the gate in `pyproject.toml`.",
    ]


def main() -> None:
    """Measure or count what is asked for, and write the page."""
    if sys.argv[1:] == ["--coverage"]:
        rows = covered(measured())
        COVERAGE.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif len(sys.argv) > 1:
        rows = counted(Path(sys.argv[1]))
        RECORD.write_text("".join(json.dumps(row) + "\n" for row in rows))
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
