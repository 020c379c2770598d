"""Settings of ``cpi-resets plan``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from cpi_theory.checks import InvalidInput, check_in_range, check_positive, check_probability
from experiments.execution.threads import Kind
from llm.throughput.devices import Device


@dataclass(frozen=True)
class Assumptions:
    """What no settings file says and every figure hangs on; all of it is printed.

    Attributes:
        pass_rate: probability that a rollout passes, the same for all problems.
        tokens: of a rollout, on average; None: a quarter of its limit.
        longest: of the longest rollout of a call, in tokens; None: twice the average.
        kept: share of a failed rollout before the step that is named.
        named: share of localisations that name a step.
        reply: tokens of one, on average; None: 200, or the limit on replies if that is less.
        prompt: tokens of a prompt, on average; None: those of the training problems, where they are
            there, else 400.
    """

    pass_rate: float = 0.3
    tokens: float | None = None
    longest: float | None = None
    kept: float = 0.3
    named: float = 1.0
    reply: float | None = None
    prompt: float | None = None

    def __post_init__(self) -> None:
        for name in ("pass_rate", "named"):
            check_probability(f"assume.{name}", getattr(self, name))
        check_in_range("assume.kept", self.kept, 0, 1)
        for name in ("tokens", "longest", "reply", "prompt"):
            if getattr(self, name) is not None:
                check_positive(f"assume.{name}", getattr(self, name))
        if self.longest is not None and self.tokens is not None and self.longest < self.tokens:
            problem = f"less than the average of {self.tokens:g} tokens"
            raise InvalidInput("assume.longest", self.longest, problem, "raise it")


# A core of a small computer at the one end, at the other a hundred times the largest GPU of today.
_OPERATIONS = (1e-4, 1e5)
_PLAUSIBLE = {
    "memory": (0.1, 1e5),
    "bandwidth": (0.1, 1e6),
    **dict.fromkeys(("learning", "learning32", "decoding", "decoding32"), _OPERATIONS),
}


@dataclass(frozen=True)
class Rates:
    """Values of a device that are others than those that come with the package.

    Attributes:
        memory: in GiB.
        bandwidth: reached, in GB/s.
        learning, learning32: operations per second reached in learning, in TFLOP/s, in bfloat16 and
            in float32.
        decoding, decoding32: the same in sampling.

    Raises:
        InvalidInput: for a value that no device has, such as one in other units.
    """

    memory: float | None = None
    bandwidth: float | None = None
    learning: float | None = None
    learning32: float | None = None
    decoding: float | None = None
    decoding32: float | None = None

    def __post_init__(self) -> None:
        for given in dataclasses.fields(self):
            value = getattr(self, given.name)
            if value is not None:
                check_in_range(f"rates.{given.name}", value, *_PLAUSIBLE[given.name])

    def given(self) -> dict[str, float]:
        """Those that were given, in a device's own units."""
        units = {"memory": 1.0, "bandwidth": 1e9}
        return {
            f.name: getattr(self, f.name) * units.get(f.name, 1e12)
            for f in dataclasses.fields(self)
            if getattr(self, f.name) is not None
        }

    def on(self, device: Device) -> Device:
        """The device with the values that are given here."""
        given = self.given()
        if not given:
            return device
        source = f"{device.source}; {', '.join(given)} as given"
        return dataclasses.replace(device, **given, source=source)  # type: ignore[arg-type]


@dataclass(frozen=True)
class PlanConfig:
    """Say what a run of `train` will take, before anything runs.

    Attributes:
        file: settings of `train`.
        device: cpu, or a GPU: L4, RTX4090, L40S, A100-40, A100-80, H100, H200. By default the CPU
            where the settings say so, else an H100.
        like: folder of a run of `train` whose pass rates, rollouts and replies are assumed.
        assume: what else is assumed.
        rates: what the device reaches, where it is another one.
    """

    file: tyro.conf.Positional[Path] = Path()
    device: str | None = None
    like: Path | None = None
    assume: Assumptions = field(default_factory=Assumptions)
    rates: Rates = field(default_factory=Rates)

    def __post_init__(self) -> None:
        if self.file != Path() and not self.file.is_file():
            remedy = "name a settings file of train, such as experiments/configs/train/full.toml"
            raise InvalidInput("file", str(self.file), "no such file", remedy)

    @property
    def computes(self) -> Kind:
        """Nothing is computed here, but the run may have threads."""
        return "model"
