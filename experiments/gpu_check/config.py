"""Settings of ``cpi-resets gpu-check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cpi_theory.checks import InvalidInput, check_count
from experiments.execution.threads import Kind

if TYPE_CHECKING:
    from llm.throughput.models import Workload


@dataclass(frozen=True)
class GpuCheckConfig:
    """Train on a GPU, and measure models of the shapes of SmolLM2-135M and Qwen2-0.5B there.

    Attributes:
        device: cuda, cuda:1, ...; cpu only together with `smoke`.
        smoke: a few steps and a model of toy size, to see that the check itself works.
        steps: training steps of the tiny model.
        folder: where the measurements are written.
    """

    device: str = "cuda"
    smoke: bool = False
    steps: int = 20
    folder: Path = Path("docs/measurements")

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        if not self.device.startswith("cuda") and not self.smoke:
            remedy = "choose a GPU, or add --smoke"
            raise InvalidInput("device", self.device, "too slow for a model of this size", remedy)

    @property
    def computes(self) -> Kind:
        """What is measured is a model as it would be run."""
        return "model"

    @property
    def workloads(self) -> dict[str, Workload]:
        """What is measured on larger models, by the name of their shape."""
        from llm.throughput.models import Qwen2Shape, Workload  # torch, for the measurement alone

        if not self.smoke:
            shapes = {"SmolLM2-135M": Qwen2Shape.smollm2(), "Qwen2-0.5B": Qwen2Shape()}
            return {name: Workload(shape) for name, shape in shapes.items()}
        shape = Qwen2Shape(64, layers=2, heads=2, key_heads=1, feed_forward=96, words=128)
        # Prompts of 64 tokens: two rows that share one spare as many as sharing has to.
        return {"toy": Workload(shape, "float32", 2, 2, 64, 16, 2, 1)}
