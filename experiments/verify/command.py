"""``cpi-resets verify``: check every bound on random, extremal and Gymnasium worlds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from experiments.console import give
from experiments.execution.memory import check_held, machine_memory
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.runs.store import Run
from experiments.verify.check import check, tasks
from experiments.verify.config import VerifyConfig
from experiments.verify.replay import replay
from experiments.verify.summary import (
    mutate,
    show,
    store_counterexamples,
    summarise,
    violations,
)


def run(config: VerifyConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run the command.

    Returns: 0 if every statement held (and every false mutant fell), else 1. Violations are
        stored below ``counterexamples/`` of the run, for ``--replay``.
    """
    if config.replay is not None:
        return replay(config.replay, console)
    if config.mutate:
        return mutate(config, output, execution, console)
    return _verify(_scaled(config), output, execution, console)


# Bytes at the very least: of most instances a share of a penalty, and a row for every few.
_HELD = 20


def _scaled(config: VerifyConfig) -> VerifyConfig:
    if not config.quick:
        return config
    return replace(config, instances=min(config.instances, 500), search=min(config.search, 400))


def _verify(config: VerifyConfig, output: Path, execution: Execution, console: Console) -> int:
    held = _HELD * config.instances
    what = "what is remembered of each instance"
    check_held("instances", config.instances, held, what, machine_memory())
    name = "verify-quick" if config.quick else "verify"
    store = Run.open(output, name, replace(config, replay=None), config.seed)
    with store.lock(), store.timed("verify"):
        rows = sweep(check, tasks(config), store, "checks", execution, console)
        summary = store.once("summary", lambda: summarise(rows), tables=("checks",))
        files = store_counterexamples(store, list(violations(rows)), "checks")
    give(console, {"summary": summary, "counterexamples": [str(file) for file in files]})
    show(summary, rows, files, console)
    return 1 if files else 0
