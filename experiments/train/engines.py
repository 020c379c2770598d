"""How a training run takes its updates: the lean loop, or TRL.

Two engines give the same records up to rounding: the lean loop, and TRL, which brings mixed
precision and trackers. Both store a run every so many updates, and the model where it was best and
at the end.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.runs.files import Row
from experiments.train.predecessor import STATE
from experiments.train.spec import Checkpoints, TrainSpec
from experiments.train.training import Curve, Training

if TYPE_CHECKING:
    from cpi_theory.seam import Collection
    from llm.engines.lean import StepReport


def run_lean(curve: Curve) -> None:
    """Take all updates that are left in the lean loop.

    Raises:
        TrainingDiverged: a loss or gradient is not finite; checkpoints stay as they are.
    """
    training = curve.training
    if not _restore(curve):
        curve.begin()
    while not training.ended:
        curve.point(training.advance())
        if curve.every and training.update % curve.every == 0 and not training.ended:
            _store(curve)


def _store(curve: Curve) -> None:
    """All that the run needs to go on, in one file that appears whole."""
    from llm.training.checkpoint import save_state

    assert curve.folder is not None
    state = {"curve": json.dumps(curve.state()), "trainer": curve.training.trainer.state_dict()}
    save_state(state, curve.folder / STATE)


def _restore(curve: Curve) -> bool:
    """Whether there was something to go on from."""
    from llm.training.checkpoint import load_state

    if curve.folder is None or not (curve.folder / STATE).exists():
        return False
    state = load_state(curve.folder / STATE, curve.training.model.device)
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
        return
    with tempfile.TemporaryDirectory() as folder:
        _run_trl(curve, Path(folder))


def _run_trl(curve: Curve, folder: Path) -> None:
    from llm.engines.trl.checks import last_checkpoint
    from llm.engines.trl.run import train_with_trl
    from llm.engines.trl.settings import TrlSettings

    training, spec = curve.training, curve.training.spec
    each = spec.optimizer.minibatches * spec.optimizer.epochs
    settings = TrlSettings(
        updates=spec.budget.updates * each,
        prompts=spec.budget.prompts,
        save_every=curve.every * each,
        save_end=False,
        keep=1,
        trackers=spec.trl.trackers,
        bf16=spec.trl.bf16,
        quiet=True,
    )

    def on_update(update: int, collection: Collection, report: StepReport) -> None:
        training.learned(update, collection, report)
        curve.point(collection)

    if last_checkpoint(folder) is None:
        curve.begin()
    train_with_trl(
        training.model,
        training.watched,
        training.simulator,
        training.begin,
        training.key,
        spec.optimizer,
        spec.loss,
        settings,
        folder,
        on_update=on_update,
        run_state=curve,
    )


def training_curve(spec: TrainSpec, checkpoints: Checkpoints | None = None) -> list[Row]:
    """Records of one run, the model before any update first.

    With `checkpoints` the run goes on from what an interrupted one left there, and leaves two
    models when it has ended: what only an interrupted run needs is deleted.

    Each has the labels `world`, `method`, `seed` and `point`; `update`; `value`, the pass rate on
    held-out problems sampled once each (the share whose reward is `success` of the world or more),
    and at the first and last point `greedy`; `mean_reward` and `greedy_mean_reward` of the same
    texts, which are the same where rewards are 0 or 1 alone; until then `rollouts`, `tokens`
    (sampled, localisation included), `forward_tokens` (through the model, in collecting and
    learning), `localizations`, `localization_tokens` and `seconds` (of collecting and learning; a
    sweep moves it to the timings); since the point before `groups`, `informative`, `refusals` by
    reason, and `localization` (see
    :class:`~experiments.train.localization_meter.LocalizationTally`); `loss` and `gradient_norm` of
    the last update; of methods that find out how good the localiser is, `believed`, what
    :meth:`~cpi_theory.algorithms.adaptive.AdaptiveFrontier.believed` says.
    """
    labels = {"world": spec.world.name, "method": spec.method.name, "seed": spec.seed}
    if checkpoints is None:
        spec = dataclasses.replace(spec, kept=None)  # there is no place for them
    curve = Curve(Training(spec), checkpoints)
    if not curve.finished():
        try:
            (run_trl if spec.engine == "trl" else run_lean)(curve)
            curve.finish()
        except BaseException:
            curve.give_up()
            raise
    return [labels | {"point": number} | point for number, point in enumerate(curve.rows)]
