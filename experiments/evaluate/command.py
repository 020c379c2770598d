"""``cpi-resets evaluate``: models on held-out problems, and methods compared in pairs.

Tables of the run: ``attempts`` (a row per model, problem and attempt; see
:func:`experiments.evaluate.samples.attempt_rows`), and what is made of them: ``models``,
``methods``, ``comparisons`` and ``aggregates`` (:mod:`experiments.evaluate.summary`). Where
attempts are corrected: ``chains`` (:func:`experiments.evaluate.chains.chain_rows`),
``corrections`` and ``rivals`` (:mod:`experiments.evaluate.correction_summary`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.randomness import Key
from cpi_theory.statistics.bootstrap import LEAST_RUNS
from experiments.console import give
from experiments.documents.document import shown
from experiments.documents.numbers import interval_text, number
from experiments.documents.words import counted
from experiments.evaluate import correction_summary, summary
from experiments.evaluate.chains import chain_rows
from experiments.evaluate.config import EvaluateConfig
from experiments.evaluate.held_out import check_held_out, kept_private
from experiments.evaluate.report import (
    comparison_verdicts,
    correction_verdicts,
    token_verdicts,
    unpaired_verdicts,
)
from experiments.evaluate.samples import attempt_rows
from experiments.execution.derived import Compute, derive
from experiments.execution.memory import check_rows, machine_memory
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.runs.files import Row
from experiments.runs.store import Run
from paper_figs.rows import select

_RESAMPLES = 2000


def run(config: EvaluateConfig, output: Path, execution: Execution, console: Console) -> int:
    """Attempt all problems, compare the methods and print what is shown and what is not."""
    rows = config.problems * (config.attempts.samples + config.attempts.greedy)
    check_rows("problems", config.problems, rows, "attempts", machine_memory())
    specs, corrected = config.specs(), config.correction_specs()
    check_held_out(config)
    record = Run.open(output, config.name, config, config.seed)
    private = kept_private(config)
    with record.lock(), record.timed("evaluate"):
        if private:
            record.keep_private()
        attempts = sweep(attempt_rows, specs, record, "attempts", execution, console)
        parts = summaries(attempts, config)
        tables = derive(record, parts, ("attempts",), console)
        if corrected:
            chains = sweep(chain_rows, corrected, record, "chains", execution, console)
            parts = correction_summaries(chains, attempts, config)
            tables |= derive(record, parts, ("chains", "attempts"), console)
    give(console, tables | {"uncompared": summary.uncompared(tables["models"])})
    print_tables(tables, console)
    if private:
        names = ", ".join(private)
        text = f"The records hold the texts of {names}, which must not be passed on: git ignores"
        console.print(f"{text} the folder, and nobody should publish it.", markup=False)
    console.print(f"records: {record.directory}")
    return 0


def summaries(attempts: Sequence[Row], config: EvaluateConfig) -> dict[str, Compute]:
    """What makes each table that follows from the attempts."""
    scores = summary.scores_by_problem(attempts, config.attempts.ks)
    key = Key.of(config.seed).child("evaluate", "summary")
    return {
        "models": lambda: summary.models(attempts, scores, config.tokenizers()),
        "methods": lambda: summary.methods(attempts, scores),
        "comparisons": lambda: summary.comparisons(scores, key),
        "aggregates": lambda: summary.aggregates(scores, _RESAMPLES, key),
    }


def correction_summaries(
    chains: Sequence[Row], attempts: Sequence[Row], config: EvaluateConfig
) -> dict[str, Compute]:
    """What makes each table that follows from the chains of corrections."""
    table = correction_summary.table_of(chains, attempts)
    rounds, key = config.correction.rounds, Key.of(config.seed).child("evaluate", "rivals")
    return {
        "corrections": lambda: correction_summary.corrections(table, rounds),
        "rivals": lambda: correction_summary.rivals(table, rounds, key),
    }


def print_corrections(corrections: Sequence[Row], rivals: Sequence[Row], console: Console) -> None:
    """Print a row per round, and how chains compare with what knows as much as they do."""
    shares = ("accuracy", "mended", "spoiled")
    for who in dict.fromkeys((r["benchmark"], r["localizer"], r["stop"]) for r in corrections):
        benchmark, localizer, stop = who
        title = f"{benchmark}, corrected by {localizer}, stop {stop}"
        # Narrow enough for a terminal: what all rows share stands above them.
        table = Table(
            "method",
            "round",
            *shares,
            "tokens",
            "asking",
            box=None,
            title=title,
            title_justify="left",
        )
        for row in select(corrections, benchmark=benchmark, localizer=localizer, stop=stop):
            cells = [row["method"], shown(row["round"])]
            cells += [number(row[name], ".3f") for name in shares]
            table.add_row(*cells, number(row["tokens"], ".0f"), number(row["asking"], ".0f"))
        console.print(table)
    for sentence in correction_verdicts(corrections, rivals):
        console.print(f"- {sentence}", markup=False)


def print_tables(tables: dict[str, list[Row]], console: Console) -> None:
    """Print means over seeds and problems, and a sentence per comparison."""
    models = tables["models"]
    table = Table("benchmark", "method", "seeds", "tokens", "measure", "right, 95 %", box=None)
    for benchmark, method in dict.fromkeys((r["benchmark"], r["method"]) for r in models):
        own = select(models, benchmark=benchmark, method=method)
        tokens = number(sum(r["tokens"] for r in own) / len(own), ".0f")
        labels = (benchmark, method, str(len(own)), tokens)
        for row in select(tables["methods"], benchmark=benchmark, method=method):
            if row["measure"] == "pass@1":  # the mean of the samples again
                continue
            measure = "sampled (pass@1)" if row["measure"] == "sampled" else row["measure"]
            table.add_row(*labels, measure, interval_text(row, "estimate", ".3f"))
            labels = ("", "", "", "")
    console.print(table)
    console.print("(intervals: for other problems and, where there are several, other seeds)")
    for sentence in (
        *comparison_verdicts(tables["comparisons"]),
        *unpaired_verdicts(models),
        *token_verdicts(models),
    ):
        console.print(f"- {sentence}", markup=False)
    for row in tables["aggregates"]:
        scope = f"{counted(row['benchmarks'], 'benchmark')} x {counted(row['seeds'], 'seed')}"
        if row["lower"] is None:
            value = number(row["value"], ".3f")
            scope += f" (too few for an interval, which takes {LEAST_RUNS} seeds)"
        else:
            value = interval_text(row, "value", ".3f")
        line = f"{row['method']}, {row['measure']}: interquartile mean {value} over {scope}"
        console.print(line, markup=False)
    if "corrections" in tables:
        print_corrections(tables["corrections"], tables["rivals"], console)
