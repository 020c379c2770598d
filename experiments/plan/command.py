"""``cpi-resets plan``: what a run of `train` will take, before anything runs.

Nothing is loaded but sizes: the model is not, and no device is touched. What is printed follows
from the settings, the sizes, the rates of a device (:mod:`llm.throughput.devices`) and assumptions,
each of which is printed and can be set.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.budget import Amount
from experiments.config import load_config
from experiments.console import give
from experiments.execution.settings import Execution
from experiments.plan.config import PlanConfig
from experiments.plan.plan import PHASES, Plan, make_plan
from experiments.train.config import TrainConfig


def run(config: PlanConfig, _output: Path, execution: Execution, console: Console) -> int:
    """Print the plan; 0 when done.

    Raises:
        InvalidInput: see :func:`experiments.plan.plan.make_plan`; or, once all is printed, where
            the device cannot hold it.
    """
    if config.file == Path():
        remedy = "cpi-resets plan FILE.toml, with settings of train"
        raise InvalidInput("file", None, "no settings are named", remedy)
    plan = make_plan(_settings(config.file), config, execution.threads)
    give(console, {"plan": plan.row()})
    print_plan(plan, console)
    plan.check_fits()
    return 0


def _settings(file: Path) -> TrainConfig:
    """The settings of a file.

    Raises:
        InvalidInput: it holds others, of a league for instance, whose tokens need no plan.
    """
    try:
        return load_config(TrainConfig, file)
    except InvalidInput as error:
        tokens = _budget_of_a_league(file)
        if tokens is None:
            raise
        problem = f"has settings of league: each method samples {tokens:,} tokens a world and seed"
        remedy = "multiply these, or plan settings of train with budget.tokens"
        raise InvalidInput("file", str(file), problem, remedy) from error


def _budget_of_a_league(file: Path) -> int | None:
    try:
        budget = tomllib.loads(file.read_bytes().decode()).get("budget")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
    return budget if isinstance(budget, int) else None


def print_plan(plan: Plan, console: Console) -> None:
    """Tables of what it takes, then what is assumed and what is not known."""
    model = plan.setup.model
    which = "of them" if plan.setup.held.lora is None else "of adapters"
    console.print(
        f"{plan.name}: {model.name}, {_count(model.parameters)} parameters ({model.source}), "
        f"{_count(plan.setup.trained)} {which} trained, on one {plan.setup.device.name}",
        markup=False,
        soft_wrap=True,
    )
    _amounts(plan, console)
    _hours(plan, console)
    _memory(plan, console)
    for title, lines in (("assumed", plan.assumptions), ("not known", plan.unknown)):
        console.print(f"\n{title}:")
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)


def _amounts(plan: Plan, console: Console) -> None:
    console.print("\nExpected, and at most, over all seeds")
    names = ("runs", "rollouts", "tokens generated", "learned from")
    table = Table(*_labels(plan, "world", "method"), *names, box=None)
    for one in plan.planned:
        amounts = (one.cost.rollouts, one.cost.generated, one.cost.learned)
        cells = [_both(amount.times(one.runs, one.runs)) for amount in amounts]
        table.add_row(*_labels(plan, one.world, one.method), str(one.runs), *cells)
    if len(plan.planned) > 1:
        totals = [_both(plan.total(name)) for name in ("rollouts", "generated", "learned")]
        runs = sum(one.runs for one in plan.planned)
        table.add_row(*_labels(plan, "", "all"), str(runs), *totals)
    console.print(table)


def _labels(plan: Plan, world: str, method: str) -> tuple[str, ...]:
    """What a row is about; a world that is the only one is in the lines below."""
    several = len({one.world for one in plan.planned}) > 1
    return (world, method) if several else (method,)


def _hours(plan: Plan, console: Console) -> None:
    console.print("\nHours, one run after the other")
    names = ("sample", "localise", "learn", "evaluate", "hand over", "all")
    table = Table(*_labels(plan, "world", "method"), *names, box=None)
    for one in plan.planned:
        hours = [one.runs * getattr(one.cost.seconds, phase) / 3600 for phase in PHASES]
        table.add_row(*_labels(plan, one.world, one.method), *map(_time, (*hours, sum(hours))))
    if len(plan.planned) > 1:
        table.add_row(
            *_labels(plan, "", "all"), *map(_time, (*plan.hours.values(), sum(plan.hours.values())))
        )
    console.print(table)


def _memory(plan: Plan, console: Console) -> None:
    device = plan.setup.device
    parts = ", ".join(f"{name} {gib:.2g}" for name, gib in plan.memory.items() if gib >= 0.005)
    how = "at most"
    if plan.least:
        how = "at least (no share of the device fits vLLM; its KV cache is one longest sequence)"
    console.print(
        f"\nmemory, {how}: {plan.peak:.3g} of {device.memory:.3g} GiB ({parts}); disk: "
        f"{plan.disk:.2g} GiB",
        markup=False,
        soft_wrap=True,
    )


def _both(amount: Amount) -> str:
    return f"{_count(amount.expected)} / {_count(amount.most)}"


def _count(value: float) -> str:
    for size, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 10 * size or (value >= 1e6 and value >= size):
            return f"{value / size:.3g}{name}"
    return f"{value:.0f}"


def _time(hours: float) -> str:
    return f"{hours:.2g}" if hours < 100 else f"{hours:.0f}"
