"""How fast devices are, as values with a source.

Rates are what is reached and not what a data sheet promises. Those of GPUs are shares of the data
sheet that are assumed; nothing here was measured on one. Those of the CPU were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cpi_theory.checks import InvalidInput, check_count, check_positive, choose_among


@dataclass(frozen=True)
class Device:
    """What a device reaches.

    Attributes:
        name: what it is asked for as.
        memory: in GiB.
        bandwidth: bytes per second between memory and arithmetic.
        learning, learning32: operations per second in learning, in bfloat16 and in float32.
        decoding, decoding32: the same in sampling, a token at a time of many rows.
        layer_step: seconds that a block takes in a decoding step whatever its size.
        engine_step: the same with vLLM, whose steps are captured.
        token_step: seconds of Python code per sampled token.
        layer_pass: seconds that a block takes in a forward and backward pass whatever its size.
        source: of all that.
        measured: whether it was measured rather than assumed.
    """

    name: str
    memory: float
    bandwidth: float
    learning: float
    learning32: float
    decoding: float
    decoding32: float
    layer_step: float
    engine_step: float
    token_step: float
    layer_pass: float
    source: str
    measured: bool = False

    def __post_init__(self) -> None:
        for name in ("memory", "bandwidth", "learning", "learning32", "decoding", "decoding32"):
            check_positive(f"device.{name}", getattr(self, name))

    def with_threads(self, threads: int) -> Device:
        """The same CPU with more threads: products of matrices gain, small ones less.

        Measured with one and with two threads: learning twice as fast, sampling 1.2 to 1.5 times.
        """
        check_count("threads", threads)
        return replace(
            self,
            learning=self.learning * threads,
            learning32=self.learning32 * threads,
            decoding=self.decoding * threads**0.5,
            decoding32=self.decoding32 * threads**0.5,
        )


_LEARNING, _DECODING, _READING = 0.4, 0.4, 0.6
"""Shares of a GPU's data sheet that are assumed: of its operations in learning and in decoding, and
of its bandwidth."""


def _gpu(
    name: str, memory: float, gigabytes: float, bf16: float, fp32: float, sheet: str
) -> Device:
    return Device(
        name,
        memory,
        gigabytes * 1e9 * _READING,
        bf16 * 1e12 * _LEARNING,
        fp32 * 1e12 * _LEARNING,
        bf16 * 1e12 * _DECODING,
        fp32 * 1e12 * _DECODING,
        layer_step=4e-4,
        engine_step=3e-5,
        token_step=2e-5,
        layer_pass=2e-3,
        source=(
            f"{sheet}: {gigabytes:,.0f} GB/s and {bf16:,.0f} TFLOP/s in bfloat16 without sparsity, "
            f"of which {_READING:.0%} and {_LEARNING:.0%} are assumed to be reached"
        ),
    )


DEVICES: Mapping[str, Device] = {
    device.name: device
    for device in (
        _gpu("L4", 22.5, 300, 121, 30, "NVIDIA's data sheet of the L4"),
        _gpu("RTX4090", 23.5, 1008, 165, 82, "NVIDIA's paper on Ada, RTX 4090"),
        _gpu("L40S", 44.5, 864, 362, 91, "NVIDIA's data sheet of the L40S"),
        _gpu("A100-40", 39.4, 1555, 312, 19.5, "NVIDIA's data sheet of the A100 of 40 GB"),
        _gpu("A100-80", 79.2, 2039, 312, 19.5, "NVIDIA's data sheet of the A100 of 80 GB, SXM"),
        _gpu("H100", 79.2, 3350, 989, 67, "NVIDIA's data sheet of the H100, SXM"),
        _gpu("H200", 139.8, 4800, 989, 67, "NVIDIA's data sheet of the H200, SXM"),
        Device(
            "cpu",
            16.0,
            bandwidth=2.0e10,
            learning=7.8e10,
            learning32=4.7e10,
            decoding=6.0e10,
            decoding32=3.4e10,
            layer_step=6e-4,
            engine_step=6e-4,
            token_step=6e-5,
            layer_pass=4e-3,
            source="docs/measurements/plan.jsonl: SmolLM2 and the tiny model, per thread (EPYC)",
            measured=True,
        ),
    )
}
"""By name; rates of "cpu" are those of one thread."""


def find_device(name: str) -> Device:
    """The device of a name, whatever its case.

    Raises:
        InvalidInput: naming those that are known.
    """
    known = {other.casefold(): device for other, device in DEVICES.items()}
    if name.casefold() not in known:
        remedy = f"{choose_among(name, DEVICES)}, and set the rates that are others"
        raise InvalidInput("device", name, "unknown", remedy)
    return known[name.casefold()]
