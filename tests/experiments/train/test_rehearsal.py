"""Localisations learned beside the groups: what is added, what it teaches, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Collection, Group, Localization
from experiments.cli import main
from experiments.exit_codes import MISTAKE
from experiments.train.engines import training_curve
from experiments.train.rehearsal import Exercises, Remembering, VerifiedAnswers, rehearsing
from experiments.train.spec import Rehearsal
from experiments.train.training import Training
from llm.engines.lean import completion_logprobs
from llm.localizers.base import Located
from llm.localizers.self_localizer import SelfLocalizer
from llm.tasks.arithmetic.locating import LOCATE
from llm.training.rows import pad_rows
from tests.experiments.train.test_command import BUDGET, spec, without_seconds

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def training():
    return Training(spec())


def likelihood(training, rows):
    """Mean log-probability of the replies, in nats per token."""
    batch = pad_rows(rows)
    with torch.no_grad():
        found = completion_logprobs(training.model, batch, 1.0)
    return float(found[batch.completion_mask].mean())


def test_exercises_are_what_the_model_was_taught(training):
    vocabulary = training.simulator.vocabulary
    source = Exercises(training.task, vocabulary, Rehearsal("exercises", rows=12, weight=0.5))
    rows = source.rows(Collection((), 0, 0), Key.of(3))
    assert len(rows) == 12
    assert all(row.informative and (row.advantages == 0.5).all() for row in rows)
    texts = [(vocabulary.decode(row.prompt), vocabulary.decode(row.completion)) for row in rows]
    assert all(LOCATE in asked and "boxed" in said for asked, said in texts)
    assert likelihood(training, rows) > -0.2
    # A reply to another question is no likelier than that.
    mixed = [
        dataclasses.replace(
            a, completion=b.completion, logprobs=b.logprobs, advantages=b.advantages
        )
        for a, b in zip(rows, rows[1:] + rows[:1], strict=True)
    ]
    assert likelihood(training, mixed) < -0.5
    again = source.rows(Collection((), 0, 0), Key.of(3))
    assert [row.prompt for row in rows] == [row.prompt for row in again]


def failure_and_suffixes(training):
    """A failed rollout with the step that its model names, and four rollouts from there."""
    world = training.simulator
    world.sampler.sync(training.model)
    problems = training.problems("train", 24, Key.of(7))
    starts = world.start_states(problems)
    rollouts = world.rollout(starts, Key.of(8).integers(len(starts)))
    failed = [r for r in rollouts if r.failed and len(r) > 1]
    inner = training.meter.inner
    said = inner.locate(failed, Key.of(9).integers(len(failed)))
    for parent, found in zip(failed, said, strict=True):
        if isinstance(found.answer, Localization):
            step = found.answer.step
            suffixes = world.rollout([parent.states[step]] * 4, Key.of(10).integers(4))
            return parent, found, step, suffixes
    raise LookupError("no failure was localised")


def group(parent, step, suffixes, solved):
    told = [dataclasses.replace(r, failed=not solved, reward=float(solved)) for r in suffixes]
    return Group.of(told, np.ones(len(told)), 0, parent, step)


def test_answers_are_verified_by_a_success_from_the_step_that_they_name(training):
    parent, found, step, suffixes = failure_and_suffixes(training)
    vocabulary, inner = training.simulator.vocabulary, training.meter.inner
    assert isinstance(inner, SelfLocalizer)

    def rows(*groups, answer=found, most=8):
        heard = Remembering(inner, [(parent, answer)])
        source = VerifiedAnswers(inner, heard, vocabulary, Rehearsal("resets", most, 2.0))
        made = source.rows(Collection(groups, 0, 0), Key.of(0))
        assert heard.said == []
        return made

    good, bad = (group(parent, step, suffixes, solved) for solved in (True, False))
    (row,) = rows(good)
    assert row.prompt == inner.prompt_ids(parent)
    assert vocabulary.decode(row.completion).strip() == found.text.strip()
    assert (row.advantages == 2.0).all()
    assert rows(bad) == []
    assert rows(group(None, None, suffixes, True)) == []
    elsewhere = Located(Localization(step + 1 if step == 0 else step - 1), text=found.text)
    assert rows(good, answer=elsewhere) == []
    assert len(rows(good, bad, good)) == 2
    assert len(rows(good, good, most=1)) == 1


@pytest.mark.parametrize("source", ["exercises", "resets"])
def test_what_is_rehearsed_becomes_likelier(source):
    after = {}
    for name in ("none", source):
        budget = dataclasses.replace(BUDGET, prompts=8)
        one = Training(spec(rehearsal=Rehearsal(name, 8, 5.0), budget=budget))
        added = []
        if one.rehearsal is not None:
            inner = one.rehearsal.rows
            one.rehearsal = _Watched(inner, added)
        before = one.simulator.usage.generated
        one.advance()
        after[name] = (one, added, one.simulator.usage.generated - before)
    (plain, _, tokens), (rehearsed, added, generated) = after["none"], after[source]
    assert tokens == generated  # nothing is sampled for it
    assert added
    assert likelihood(rehearsed, added) > likelihood(plain, added)


class _Watched:
    """Notes the rows that are added."""

    def __init__(self, inner, added):
        self.inner, self.added = inner, added

    def rows(self, collection, key):
        found = self.inner(collection, key)
        self.added += found
        return found


def test_a_curve_with_a_rehearsal_is_another_one_and_the_same_again():
    chosen = Rehearsal("exercises", 4)
    first, second = (training_curve(spec(rehearsal=chosen)) for _ in range(2))
    assert without_seconds(first) == without_seconds(second)
    plain = training_curve(spec())
    assert without_seconds(first) != without_seconds(plain)
    assert first[1]["rollouts"] == plain[1]["rollouts"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rows": 0}, "rehearsal.rows = 0"),
        ({"weight": -1.0}, "rehearsal.weight = -1.0"),
        ({"source": "labels"}, "rehearsal.source = 'labels'"),
    ],
)
def test_bad_settings_are_refused(given, says):
    with pytest.raises(InvalidInput, match=says):
        Rehearsal(**given)


def test_where_there_is_nothing_to_rehearse_it_is_said(training):
    chosen = spec(rehearsal=Rehearsal("exercises"))
    with pytest.raises(InvalidInput, match="has no exercises in localising"):
        rehearsing(chosen, object(), training.meter.inner, training.simulator.vocabulary)
    with pytest.raises(InvalidInput, match="ORACLE does not ask the model itself"):
        Training(spec("ORACLE", rehearsal=Rehearsal("resets")))
    with pytest.raises(InvalidInput, match="TRL learns from groups alone"):
        spec(engine="trl", rehearsal=Rehearsal("exercises"))


def test_the_command_line_refuses_what_it_cannot_rehearse(tmp_path, capsys):
    common = ("--output", str(tmp_path), "--seeds", "1", "--methods", "SRPO")
    assert main(["train", *common, "--rehearsal.rows", "0"]) == MISTAKE
    assert "rehearsal.rows = 0" in capsys.readouterr().err
