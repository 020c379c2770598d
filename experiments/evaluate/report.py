"""What ``cpi-resets evaluate`` found: its section of the report, and sentences from the records."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.documents.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.documents.numbers import with_ends
from experiments.evaluate.summary import MEASURES
from experiments.runs.files import Row
from experiments.runs.store import Run


def evaluate_section(run: Run) -> list[Block]:
    """Models on held-out problems."""
    models, pairs = run.read("models"), run.read("comparisons")
    known = list(dict.fromkeys(name for row in models for name in row))
    passes = [name for name in known if name.startswith("pass@")]
    shown = ("benchmark", "method", "seed", "problems", *MEASURES, *passes, "tokens")
    columns = tuple(name for name in shown if name in known)
    return [
        Heading("Evaluation on held-out problems"),
        Paragraph(
            "Every model attempts the same problems under the same keys. Methods are compared in "
            "pairs, by problem and seed; intervals and p-values are for other seeds and other "
            "problems, and a difference is shown if its p-value, adjusted by Holm over the "
            "benchmarks, is below .05."
        ),
        Verdicts(comparison_verdicts(pairs)),
        DataTable.of(models, columns),
        Heading("Interquartile means over benchmarks and seeds", 3),
        DataTable.of(
            run.read("aggregates"),
            ("method", "measure", "value", "lower", "upper", "benchmarks", "seeds"),
        ),
    ]


def comparison_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per comparison of two methods by the mean of samples, or greedily."""
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    chosen = next((m for m in ("sampled", "greedy") if m in measures), None)
    return tuple(_sentence(row) for row in rows if row["measure"] == chosen)


def _sentence(row: Row) -> str:
    value = with_ends(row["difference"], row["lower"], row["upper"], ".3f")
    scope = f"{row['seeds']} seed{'s' * (row['seeds'] != 1)} x {row['problems']} problems"
    text = f"{row['benchmark']}, {MEASURES[row['measure']]}: {row['first']} - {row['second']} "
    text += f"{value} ({scope}, p = {row['p']:.2g}"
    text += f", adjusted {row['holm']:.2g}" if row["holm"] != row["p"] else ""
    if row["shown"]:
        ahead = row["first"] if row["difference"] > 0 else row["second"]
        text += f"): {ahead} is ahead."
    else:
        text += f"): not shown; {row['detectable']:.2f} would have been, four times in five."
    if row["seeds"] == 1:
        text += " One seed: this is about these two models, not about the methods."
    return text
