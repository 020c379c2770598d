"""The plan of a settings file: all of its runs, what they need, and what is not known."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cpi_theory.diagnosis.budget import Amount
from experiments.execution.memory import machine_memory
from experiments.plan.config import Assumptions, PlanConfig
from experiments.plan.costs import Cost, Costing, Seconds, asks_elsewhere
from experiments.plan.lengths import Lengths, as_in, lengths_of
from experiments.train.config import TrainConfig
from experiments.train.spec import TrainSpec, rollouts_at_once
from experiments.worlds.code import CodeWorld
from llm.throughput.architecture import read_architecture
from llm.throughput.devices import Device, find_device
from llm.throughput.forecast import Setup

PHASES = tuple(field.name for field in fields(Seconds))
"""What the seconds of a run are told by."""


@dataclass(frozen=True)
class Planned:
    """Runs of one method in one world.

    Attributes:
        world, method: their names.
        runs: how many, by seeds.
        cost: of one of them.
    """

    world: str
    method: str
    runs: int
    cost: Cost


@dataclass(frozen=True)
class Plan:
    """A whole settings file.

    Attributes:
        name: of the run.
        setup: model, engines and device.
        planned: by world and method.
        memory: GiB by part, at most; see :meth:`Setup.memory`.
        peak: GiB at the worst moment.
        longest: tokens of the longest sequence.
        disk: GiB when all runs have ended or are stored.
        assumptions: every one, in words.
        unknown: what is not known and not in the figures.
    """

    name: str
    setup: Setup
    planned: tuple[Planned, ...]
    memory: Mapping[str, float]
    peak: float
    longest: float
    disk: float
    assumptions: tuple[str, ...]
    unknown: tuple[str, ...]

    def check_fits(self) -> None:
        """Refuse what the device cannot hold; see :meth:`Setup.check_fits`."""
        self.setup.check_fits(self.memory, self.longest)

    @property
    def least(self) -> bool:
        """Whether the memory is the least it can be, as vLLM does not fit with any share."""
        return self.setup.no_share_fits(self.memory, self.longest)

    @property
    def hours(self) -> dict[str, float]:
        """By phase, of all runs one after the other."""
        return {
            phase: sum(p.runs * getattr(p.cost.seconds, phase) for p in self.planned) / 3600
            for phase in PHASES
        }

    def total(self, name: str) -> Amount:
        """An amount of :class:`Cost`, over all runs."""
        found = Amount(0, 0)
        for one in self.planned:
            found += getattr(one.cost, name).times(one.runs, one.runs)
        return found

    def row(self) -> dict[str, Any]:
        """All of it as JSON can hold it; hours and counts of a method are those of all its runs.

        But for `updates`, which are those of one.
        """
        amounts = ("rollouts", "localizations", "generated", "learned")
        return {
            "name": self.name,
            "model": {
                "name": self.setup.model.name,
                "source": self.setup.model.source,
                "parameters": self.setup.model.parameters,
                "trained": self.setup.trained,
                "context": self.setup.model.context,
            },
            "device": asdict(self.setup.device),
            "methods": [
                {
                    "world": one.world,
                    "method": one.method,
                    "runs": one.runs,
                    "updates": asdict(one.cost.updates),
                    **{a: asdict(getattr(one.cost, a).times(one.runs, one.runs)) for a in amounts},
                    "evaluated": one.runs * one.cost.evaluated,
                    "hours": {p: one.runs * getattr(one.cost.seconds, p) / 3600 for p in PHASES},
                }
                for one in self.planned
            ],
            **{amount: asdict(self.total(amount)) for amount in amounts},
            "hours": {**self.hours, "total": sum(self.hours.values())},
            "memory_gib": {**self.memory, "peak": self.peak},
            "disk_gib": self.disk,
            "assumptions": list(self.assumptions),
            "unknown": list(self.unknown),
        }


def make_plan(train: TrainConfig, config: PlanConfig, threads: int = 0) -> Plan:
    """Plan the runs of a settings file.

    Args:
        train: the settings.
        config: on which device, and what is assumed.
        threads: of a CPU; 0: as `train` would take them.

    Raises:
        InvalidInput: an unknown device, a model whose sizes are not to be had, a prompt that is too
            long, or a run to be like that is not there.
    """
    assume = config.assume if config.like is None else as_in(config.like, config.assume)
    first = train.specs()[0]
    model = read_architecture(train.model)
    device, told = _device(train, config, threads)
    setup = Setup(model, train.model, train.sampler, train.optimizer, train.loss, device)
    counted: dict[tuple[str, str], list[TrainSpec]] = {}
    for spec in train.specs():
        counted.setdefault((spec.world.name, spec.method.name), []).append(spec)
    lengths = {
        specs[0].world.name: lengths_of(specs[0], assume, model.context)
        for specs in counted.values()
    }
    planned = tuple(
        Planned(world, method, len(specs), Costing(specs[0], setup, lengths[world], assume).cost())
        for (world, method), specs in counted.items()
    )
    longest = max(one.longest_prompt + one.limit for one in lengths.values())
    rows = max(rollouts_at_once(specs[0]) for specs in counted.values())
    memory = setup.memory(longest, rows)
    stored = sum(len(specs) for specs in counted.values()) * setup.disk(train.checkpoint_every != 0)
    return Plan(
        train.name,
        setup,
        planned,
        memory,
        setup.peak(memory),
        longest,
        stored,
        (*told, *_assumptions(assume, lengths), *_ends(train, planned)),
        tuple(_unknown(first, device, counted.values())),
    )


def _device(train: TrainConfig, config: PlanConfig, threads: int) -> tuple[Device, tuple[str, ...]]:
    """The device, and what is assumed of it."""
    on_cpu = train.model.device == "cpu"
    device = find_device(config.device or ("cpu" if on_cpu else "H100"))
    told = [f"device {device.name}: {device.source}"]
    if device.name == "cpu":
        threads = threads or (1 if train.computes == "tiny" else os.cpu_count() or 1)
        device = device.with_threads(threads)
        device = replace(device, memory=machine_memory() or device.memory)
        told.append(f"{threads} thread{'s' * (threads > 1)}, one run at a time")
    return config.rates.on(device), tuple(told)


def _assumptions(assume: Assumptions, lengths: Mapping[str, Lengths]) -> list[str]:
    told = [
        f"{assume.pass_rate:.2g} of rollouts pass, alike for all problems and all through the run",
        f"{assume.kept:.2g} of a failure is kept where a localiser names a step, half of it or a "
        "little less where the step is uniform",
        f"{assume.named:.2g} of localisations name a step",
        "groups in which all pass or all fail are not learned from",
    ]
    for world, one in lengths.items():
        told += [f"{world}: {words}" for words in one.words]
    return told


def _ends(train: TrainConfig, planned: Sequence[Planned]) -> list[str]:
    """Where runs end, if they have a budget of tokens."""
    if train.budget.tokens is None:
        return []
    return [
        f"{one.world}, {one.method}: about {one.cost.updates.expected:,.0f} of at most "
        f"{train.budget.updates:,} updates, where {train.budget.tokens:,} tokens are spent or the "
        "updates end"
        for one in planned
    ]


def _unknown(first: TrainSpec, device: Device, runs: Any) -> list[str]:
    found = ["how pass rates and lengths change as the model learns"]
    if not device.measured:
        found.append(f"what {device.name} reaches: nothing here was measured on one")
    elif device.name == "cpu":
        found.append("what this CPU reaches, if it is another than the one that was measured")
    found.append("loading the model, compiling and warming up")
    worlds = {specs[0].world.name: specs[0] for specs in runs}
    for name, spec in worlds.items():
        if isinstance(spec.world, CodeWorld):
            limit = spec.world.limits.cpu_seconds
            found.append(f"{name}: how long programs run, at most {limit:g} s each and test")
    if any(asks_elsewhere(specs[0]) for specs in runs):
        found.append("how long the endpoint that localises takes, and what it costs")
    if first.trl.trackers:
        found.append("what trackers take")
    return found
