"""A training run of a language model that can be stopped after any update, and its records.

The method is an algorithm object of :mod:`cpi_theory`, the very values that run on tabular worlds.
Each update collects groups through the simulator seam and takes one step of a common optimiser and
loss on them; after some updates the model is evaluated on held-out problems.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.seam import (
    Collection,
    learned,
    memory_of,
    needs_start,
    recalling,
    scheduled,
)
from experiments.accounts import Account
from experiments.rollouts.files import write_visits
from experiments.rollouts.witness import Witnessed
from experiments.runs.encoding import canonical
from experiments.runs.files import Row, atomic_write, cut_log
from experiments.train.keeping import Texts, keep_rows
from experiments.train.localization_meter import LocalizationTally, MeteredLocalizer
from experiments.train.predecessor import FINISHED, STATE, let_go, settle
from experiments.train.rehearsal import rehearsing
from experiments.train.spec import (
    Checkpoints,
    TrainSpec,
    check_demonstrations,
    check_localizer,
    training_set,
)
from experiments.worlds.localizing import make_localizer
from experiments.worlds.open_world import open_world
from llm.engines.lean import LeanTrainer, StepReport
from llm.localizers.base import Localizer
from llm.opening import OpenModel
from llm.sampling.base import GREEDY, Sampling
from llm.simulator import Usage, driver_of
from llm.task import Problem, Task
from llm.text.thoughts import TextEnding
from llm.training.gradient_signal import logit_gradient_norms
from llm.training.rows import TrainingRow, training_rows

_LOG = "log.jsonl"

_LOGIT_ROWS = 8
"""Rows whose logits over the whole vocabulary are held at once."""

_ONLY_TO_GO_ON = (STATE, "checkpoint-*")
"""What the engines leave beside the models: mostly the optimiser's averages, twice the weights."""


class Curve:
    """The records of a run as they come.

    Attributes:
        training: the run.
        every: updates between checkpoints; 0: none.
        folder: of its checkpoints; None without them.
        rows: the records so far.
    """

    def __init__(self, training: Training, checkpoints: Checkpoints | None) -> None:
        self.training = training
        self.every = checkpoints.every if checkpoints else 0
        self.folder = checkpoints.of(training.spec) if checkpoints else None
        self.rows: list[Row] = []
        self._began: tuple[float, int] | None = None

    def begin(self) -> None:
        """Record the model before any update."""
        self._cut_log()
        self.rows.append(self.training.record())

    def point(self, collection: Collection) -> None:
        """Log an update, and evaluate and record if it is time to."""
        if self.folder is not None:
            let_go(self.folder)  # the engine stores after the call for an update
        self._log(collection)
        self._keep()
        if self.training.update % self.training.spec.budget.every == 0 or self.training.ended:
            row, earlier = self.training.record(), self.rows[1:]
            self.rows.append(row)
            if not earlier or _merit(row) > max(map(_merit, earlier)):
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
            **self.training.notes,
        }
        with open(self.folder / _LOG, "a") as file:
            file.write(canonical(line) + "\n")

    def _keep(self) -> None:
        """Store the rollouts of this update, if they are to be kept."""
        if self.folder is not None and self.training.kept:
            write_visits(self.folder, self.training.update, self.training.kept)

    def _cut_log(self) -> None:
        """Drop what an interrupted run logged after the update that this one goes on from."""
        if self.folder is not None:
            cut_log(self.folder / _LOG, "update", self.training.update)

    def save(self, name: str) -> None:
        """Store the model under a name, where anything is stored."""
        if self.folder is not None:
            from llm.models.folders import save_model

            save_model(self.training.model, self.training.simulator.vocabulary, self.folder / name)

    def finish(self) -> None:
        """Store the last model and the records, then delete what only a run under way needs."""
        if self.folder is None:
            return
        self.save("last")
        atomic_write(self.folder / FINISHED, (canonical(self.state()) + "\n").encode())
        self._tidy()

    def finished(self) -> bool:
        """Whether the run has ended before; its records are then there again."""
        if self.folder is None or not (self.folder / FINISHED).exists():
            return False
        self.restore(json.loads((self.folder / FINISHED).read_text()))
        self._tidy()
        return True

    def _tidy(self) -> None:
        assert self.folder is not None
        let_go(self.folder)
        for path in (path for name in _ONLY_TO_GO_ON for path in self.folder.glob(name)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def give_up(self) -> None:
        """Put back what stood in the folder before a run that ends without a checkpoint."""
        if self.folder is not None:
            settle(self.folder)

    def state(self) -> Row:
        """All but the model that the run needs to go on."""
        return {"training": self.training.state(), "rows": self.rows}

    def restore(self, state: Row) -> None:
        """Go on from a :meth:`state`."""
        self.training.restore(state["training"])
        self.rows = list(state["rows"])
        self._cut_log()


def _merit(row: Row) -> tuple[float, float]:
    """What the best model has most of: held-out problems passed, and of equal ones the reward."""
    return row["value"], row["mean_reward"]


_TOKENS = ("tokens", "forward_tokens", "localization_tokens")


class Training:
    """A training run that can be stopped after any update and continued.

    Attributes:
        spec: what it depends on.
        update: updates made so far.
        simulator: the model as a world, under its current weights.
        model: the model.
        problems: draws problems of a split by a key.
        key: of all randomness.
        losses: loss and gradient norm of the last update.
        notes: what else was measured in it, for the log.
        watched: its method's algorithm, with what it has concluded so far; what it saw is
            there to be kept, where anything is.
        kept: records of the rollouts of the last update, where they are to be kept.
        rehearsal: where localisations come from that are learned beside the groups; None: none are.
    """

    def __init__(self, spec: TrainSpec) -> None:
        """Load the model and set up its world.

        Raises:
            InvalidInput: whatever model, task or settings refuse.
        """
        self.spec = spec
        self.update = 0
        self.key = Key.of(spec.seed).child("train", spec.world.name)
        budget = spec.budget
        world = open_world(
            spec.world, spec.model, budget.temperature, spec.seed, spec.sampler, top_p=budget.top_p
        )
        hard_places = getattr(world.simulator.task, "hard_places", None)
        named = _localizer(spec, world)
        named, self.rehearsal = rehearsing(
            spec, world.simulator.task, named, world.simulator.vocabulary
        )
        self.meter = MeteredLocalizer(named, world.oracle, hard_places)
        self.simulator = world.with_localizer(self.meter)
        self.model, self.problems = world.model, world.problems
        self._account = Account(more=dict.fromkeys(_TOKENS, 0) | {"seconds": 0.0})
        self.losses: dict[str, float] = {}
        self.notes: dict[str, float] = {}
        self.watched = Witnessed(spec.method.algorithm) if spec.kept else spec.method.algorithm
        self.kept: list[Row] = []
        self._signals: list[NDArray[np.float64]] | None = None
        self._began, self._work = time.perf_counter(), 0

    @functools.cached_property
    def trainer(self) -> LeanTrainer:
        """The lean loop's optimiser and loss."""
        spec = self.spec
        held = needs_start(spec.method.algorithm)
        return LeanTrainer(self.model, spec.optimizer, spec.loss, self.key, keep_start=held)

    def begin(self, update: int) -> list[Problem]:
        """The problems of an update; what is done from here on is accounted for."""
        self._began, self._work = time.perf_counter(), self.simulator.sampler.work.forward
        if self.spec.budget.order == "epochs":
            return self._of_an_epoch(update - 1)
        key = self.key.child("problems", update)
        return self.problems("train", self.spec.budget.prompts, key)

    def _of_an_epoch(self, update: int) -> list[Problem]:
        """The problems of an update, counted from 0, each of which comes once in an epoch."""
        prompts, pool = self.spec.budget.prompts, training_set(self.spec.budget, self.task)
        epoch, part = divmod(update, pool // prompts)
        order = self.problems("train", pool, self.key.child("epoch", epoch))
        return order[part * prompts : (part + 1) * prompts]

    @property
    def task(self) -> Task:
        """What the problems are of."""
        return self.simulator.task

    def advance(self) -> Collection:
        """One update of the lean loop: collect groups and step along their gradient."""
        update = self.update + 1
        starts = self.simulator.start_states(self.begin(update))
        self.simulator.sampler.sync(self.model)
        algorithm = scheduled(self.watched, self.spent)
        collection = driver_of(self.simulator)(
            algorithm, self.simulator, starts, self.key.child("collect", update)
        )
        rows = training_rows(collection)
        self._look_at(update, rows)
        rows += self._rehearsed(update, collection)
        self.learned(update, collection, self.trainer.step(rows))
        return collection

    def _rehearsed(self, update: int, collection: Collection) -> list[TrainingRow]:
        """Localisations that are learned beside the groups of an update."""
        if self.rehearsal is None:
            return []
        return self.rehearsal.rows(collection, self.key.child("rehearsal", update))

    def _look_at(self, update: int, rows: Sequence[TrainingRow]) -> None:
        """Measure what the advantages will pull at, under the weights that sampled.

        It is no part of learning, and its time is not counted. With those weights ratios are 1, so
        that all kinds of loss have the gradient of the plain one.
        """
        spec = self.spec
        if not (spec.kept and spec.kept.signal and spec.keeps(update)):
            return
        before, size = time.perf_counter(), min(spec.optimizer.micro_batch, _LOGIT_ROWS)
        loss = dataclasses.replace(spec.loss, kind="unclipped", kl=0.0)
        self._signals = logit_gradient_norms(self.model, rows, loss, size)
        self._began += time.perf_counter() - before

    def learned(self, update: int, collection: Collection, report: StepReport) -> None:
        """Account for an update: what was collected since it began, and what learning did."""
        self.update = update
        self.watched = learned(self.watched, collection)
        self._account.add(collection)
        totals, usage = self._account.more, self.simulator.usage
        totals["tokens"] = usage.generated
        totals["localization_tokens"] = usage.localization_tokens
        totals["forward_tokens"] += self.simulator.sampler.work.forward - self._work
        totals["forward_tokens"] += report.forward_tokens
        totals["seconds"] += time.perf_counter() - self._began
        self.losses = {"loss": report.loss, "gradient_norm": report.gradient_norm}
        self.notes = dict(report.notes)
        self._take_seen(update, collection)

    def _take_seen(self, update: int, collection: Collection) -> None:
        """Make records of what the algorithm saw, if they are to be kept."""
        self.kept = []
        if not isinstance(self.watched, Witnessed) or self.spec.kept is None:
            return
        if self.spec.keeps(update):
            most, world = self.spec.kept.prompts, Texts(self.simulator, self.meter.oracle)
            seen = dict(sorted(self.watched.seen.items())[:most])
            self.kept = keep_rows(seen, collection, world, self._signals)
        self.watched.seen.clear()
        self._signals = None

    @property
    def spent(self) -> float:
        """Share of the budget that has been used."""
        return self.spec.budget.spent(self.update, self.tokens)

    @property
    def ended(self) -> bool:
        """Whether no further update is to begin."""
        return self.spent == 1

    @property
    def tokens(self) -> int:
        """Sampled so far, localisation included."""
        return int(self._account.more["tokens"])

    @property
    def tokens_per_second(self) -> float:
        """Sampled so far per second of collecting and learning."""
        return self.tokens / max(self._account.more["seconds"], 1e-9)

    def record(self) -> Row:
        """Evaluate the model and tell what happened since the last record."""
        self.simulator.sampler.sync(self.model)
        budget = self.spec.budget
        problems = self.problems("test", budget.held_out, self.key.child("held out"))
        ends = self.update == 0 or self.ended
        account = self._account.take()
        del account["steps"]  # thoughts are not what it costs: tokens are
        believed = getattr(self.watched, "believed", None)
        if believed is not None:
            account["believed"] = believed()
        value, reward = self._scores(problems, self.simulator.sampling)
        greedy, greedy_reward = self._scores(problems, GREEDY) if ends else (None, None)
        return {
            "update": self.update,
            "value": value,
            "greedy": greedy,
            "mean_reward": reward,
            "greedy_mean_reward": greedy_reward,
            **account,
            "localization": self.meter.take().row(),
            **self.losses,
        }

    def state(self) -> Row:
        """All but the model that another run of the same needs to go on, as JSON can hold it."""
        usage = self.simulator.usage
        return {
            "update": self.update,
            "account": self._account.state(),
            "usage": {f.name: getattr(usage, f.name) for f in dataclasses.fields(usage)}
            | {"endings": {ending.value: n for ending, n in usage.endings.items()}},
            "tally": dataclasses.asdict(self.meter.tally),
            "losses": self.losses,
            "memory": memory_of(self.watched),
        }

    def restore(self, state: Row) -> None:
        """Go on from a :meth:`state`."""
        self.update, self.losses = state["update"], dict(state["losses"])
        self._account = Account.of(state["account"])
        usage = dict(state["usage"])
        if "finishes" in usage:  # the name in older checkpoints
            usage["endings"] = usage.pop("finishes")
        endings = Counter({TextEnding(name): n for name, n in usage["endings"].items()})
        readings = Counter(usage.get("readings", {}))  # older checkpoints have none
        self.simulator.usage = Usage(**usage | {"endings": endings, "readings": readings})
        self.meter.tally = LocalizationTally(**state["tally"])
        # Older checkpoints have none, of algorithms that remember nothing.
        self.watched = recalling(self.watched, state.get("memory"))

    def _scores(self, problems: list[Problem], sampling: Sampling) -> tuple[float, float]:
        """Pass rate and mean reward of one rollout per problem, not counted in the budget."""
        judge = self.simulator.changed(sampling=sampling)
        keys = self.key.child("evaluate", self.update).integers(len(problems))
        rollouts = judge.rollout(judge.start_states(problems), keys)
        passed = sum(not r.failed for r in rollouts)
        return passed / len(rollouts), sum(r.reward for r in rollouts) / len(rollouts)


def _localizer(spec: TrainSpec, world: OpenModel) -> Localizer:
    """Who names first errors for the method of `spec`."""
    check_localizer(spec, world.simulator.task)
    check_demonstrations(spec, world.simulator.task)
    ours, named = world.simulator, spec.method.localizer
    if isinstance(named, str):
        chosen = world.oracle if named == "oracle" else ours.localizer
        assert chosen is not None
        return chosen
    return make_localizer(spec.world, ours.task, ours.sampler, ours.vocabulary, named)
