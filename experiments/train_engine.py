"""How a training run of a language model takes its updates, keeps its records, and goes on.

Two engines give the same records up to rounding: the lean loop, and TRL, which brings mixed
precision and trackers. Both store a run every so many updates, and the model where it was best.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cpi_theory.checks import InvalidInput, check_count
from experiments.encoding import canonical, plain
from experiments.provenance import code_digest
from experiments.store import Row, atomic_write

if TYPE_CHECKING:
    from cpi_theory.seam import Collection
    from experiments.train_curves import Training, TrainSpec
    from llm.engines.lean import StepReport

Engine = Literal["lean", "trl"]
Tracker = Literal["tensorboard", "wandb", "trackio"]


@dataclass(frozen=True)
class TrlOptions:
    """Of the engine "trl" alone.

    Attributes:
        bf16: compute in bfloat16, on a GPU.
        trackers: where metrics are logged; nowhere by default.
    """

    bf16: bool = False
    trackers: tuple[Tracker, ...] = ()

    def __post_init__(self) -> None:
        for name in self.trackers:
            if importlib.util.find_spec(name) is None:
                remedy = f"install it (pip install {name}), or leave it out"
                raise InvalidInput("trl.trackers", name, "is not installed", remedy)


@dataclass(frozen=True)
class Checkpoints:
    """Where runs are stored, so that they can go on and their models be used.

    Each run has a folder of its own below `folder`, with the models `best` (where the pass rate on
    held-out problems was highest after an update) and `last` in Hugging Face format, what the
    engine needs to go on, and `log.jsonl`, a line per update to follow it by.

    Attributes:
        folder: of all runs.
        every: updates between checkpoints; a run's end is stored too.
    """

    folder: Path
    every: int

    def __post_init__(self) -> None:
        check_count("checkpoint_every", self.every)

    def of(self, spec: TrainSpec) -> Path:
        """The folder of a run, claimed for it.

        Raises:
            InvalidInput: if it holds what another specification or other code has left: a curve
                of which a part came from there would be no one's.
        """
        folder = self.folder / f"{spec.world.name}-{spec.method.name}-{spec.seed}"
        stamp = (canonical({"spec": plain(spec), "code": code_digest()}) + "\n").encode()
        file = folder / "made-by.json"
        if not file.exists():
            atomic_write(file, stamp)
        elif file.read_bytes() != stamp:
            remedy = "delete it, go on with the code that made it, or choose another --output"
            raise InvalidInput("checkpoint", folder, "of other settings or code", remedy)
        return folder


class Curve:
    """The records of a run as they come.

    Attributes:
        training: the run.
        every: updates between checkpoints; 0: none.
        folder: of its checkpoints; None without them.
        rows: the records so far.
        best: highest pass rate after an update so far.
    """

    def __init__(self, training: Training, checkpoints: Checkpoints | None) -> None:
        self.training = training
        self.every = checkpoints.every if checkpoints else 0
        self.folder = checkpoints.of(training.spec) if checkpoints else None
        self.rows: list[Row] = []
        self.best = -1.0
        self._began: tuple[float, int] | None = None

    def begin(self) -> None:
        """Record the model before any update."""
        self.rows.append(self.training.record())

    def point(self, collection: Collection) -> None:
        """After an update: log it, and evaluate and record if it is time to."""
        update, budget = self.training.update, self.training.spec.budget
        self._log(collection)
        if update % budget.every == 0 or update == budget.updates:
            row = self.training.record()
            self.rows.append(row)
            if row["value"] > self.best:
                self.best = row["value"]
                self.save("best")

    def _log(self, collection: Collection) -> None:
        """A line on this update; seconds are those of this process, evaluations included."""
        if self.folder is None:
            return
        now, update, tokens = time.perf_counter(), self.training.update, self.training.tokens
        if self._began is None:
            self._began = (now, update)
        since = update - self._began[1]
        each = (now - self._began[0]) / since if since else None
        rewards = [r.reward for group in collection for r in group.rollouts]
        left = self.training.spec.budget.updates - update
        line = {
            "update": update,
            "reward": sum(rewards) / max(len(rewards), 1),
            "tokens": tokens,
            "tokens_per_second": self.training.tokens_per_second,
            "seconds_left": None if each is None else round(each * left, 1),
            **self.training.losses,
        }
        with open(self.folder / "log.jsonl", "a") as file:
            file.write(canonical(line) + "\n")

    def save(self, name: str) -> None:
        """Store the model under a name, where anything is stored."""
        if self.folder is not None:
            from llm.models.folders import save_model

            save_model(self.training.model, self.training.simulator.vocabulary, self.folder / name)

    def state(self) -> Row:
        """All but the model that the run needs to go on."""
        return {"training": self.training.state(), "rows": self.rows, "best": self.best}

    def restore(self, state: Row) -> None:
        """Go on from a :meth:`state`."""
        self.training.restore(state["training"])
        self.rows, self.best = list(state["rows"]), state["best"]


def run_lean(curve: Curve) -> None:
    """Take all updates that are left in the lean loop.

    Raises:
        TrainingDiverged: a loss or gradient is not finite; checkpoints stay as they are.
    """
    training = curve.training
    if not _restore(curve):
        curve.begin()
    while training.update < training.spec.budget.updates:
        curve.point(training.advance())
        ends = training.update == training.spec.budget.updates
        if curve.every and (training.update % curve.every == 0 or ends):
            _store(curve)


def _store(curve: Curve) -> None:
    """The model for use, then, in one file that appears whole, all that the run needs to go on."""
    from llm.training.checkpoint import save_state

    assert curve.folder is not None
    curve.save("last")
    state = {"curve": json.dumps(curve.state()), "trainer": curve.training.trainer.state_dict()}
    save_state(state, curve.folder / "state.pt")


def _restore(curve: Curve) -> bool:
    """Whether there was something to go on from."""
    from llm.training.checkpoint import load_state

    if curve.folder is None or not (curve.folder / "state.pt").exists():
        return False
    state = load_state(curve.folder / "state.pt", curve.training.model.device)
    curve.restore(json.loads(state["curve"]))
    curve.training.trainer.load_state_dict(state["trainer"])
    return True


def run_trl(curve: Curve) -> None:
    """Take all updates that are left with TRL.

    Raises:
        TrainingDiverged: a loss or gradient is not finite; checkpoints stay as they are.
    """
    if curve.folder is not None:
        _run_trl(curve, curve.folder)
        curve.save("last")
        return
    with tempfile.TemporaryDirectory() as folder:
        _run_trl(curve, Path(folder))


def _run_trl(curve: Curve, folder: Path) -> None:
    from llm.engines.trl.checks import last_checkpoint
    from llm.engines.trl.run import train_with_trl
    from llm.engines.trl.settings import TrlSettings

    training, spec = curve.training, curve.training.spec
    each = spec.optimizer.parts * spec.optimizer.epochs
    settings = TrlSettings(
        updates=spec.budget.updates * each,
        prompts=spec.budget.prompts,
        save_every=curve.every * each,
        keep=1,
        trackers=spec.trl.trackers,
        bf16=spec.trl.bf16,
        quiet=True,
    )

    def learned(update: int, collection: Collection, report: StepReport) -> None:
        training.learned(update, collection, report)
        curve.point(collection)

    if last_checkpoint(folder) is None:
        curve.begin()
    train_with_trl(
        training.model,
        spec.method.algorithm,
        training.simulator,
        training.begin,
        training.key,
        spec.optimizer,
        spec.loss,
        settings,
        folder,
        on_update=learned,
        companion=curve,
    )
