"""One short run of the TRL engine, by as many processes as are launched; weights go to a file."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from cpi_theory import RRPO, Key
from llm.engines.trl.settings import TrlSettings, trl_config
from llm.engines.trl.trainer import SimulatorTrainer
from llm.training.settings import LossSettings, OptimizerSettings
from tests.llm.lengths import simulator
from tests.llm.rows import weights


def main(folder: Path, processes: int, aggregation: str) -> None:
    torch.set_num_threads(1)
    algorithm, world = RRPO(base=4, suffix=2, on_refusal="fresh"), simulator()
    optimizer = OptimizerSettings(rate=3e-3, micro_batch=4)
    settings = TrlSettings(updates=2, prompts=4, processes=processes, quiet=True)
    problems = world.task.problems("train", 9, 0)
    args = trl_config(settings, optimizer, algorithm, folder)
    loss = LossSettings(aggregation=aggregation)
    model = world.sampler.model
    trainer = SimulatorTrainer(model, algorithm, world, problems, args, optimizer, loss, Key.of(3))
    trainer.train()
    if trainer.accelerator.is_main_process:
        torch.save(weights(model), folder / f"{processes}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
