from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Localization
from llm.evaluation.arithmetic import Attempts, localization, measure, world
from llm.localizers.oracle import OracleLocalizer
from llm.models.tiny import TinyModel, load, save, tokenizer
from llm.tasks.arithmetic.task import REGIMES, ArithmeticTask
from llm.tasks.splits import split_of
from llm.training.demonstrations import IGNORED, Demonstrations, as_tensors
from llm.training.warm_start import Training, WarmStart, train

TASK = ArithmeticTask(horizon=4)
TOKENS = tokenizer(TASK)
WORDS = TOKENS.get_vocab()
SHORT = WarmStart(
    Demonstrations(TASK),
    TinyModel(width=16, heads=2, layers=1, feed_forward=32),
    steps=60,
    tokens=400,
    rate=1e-2,
    warm_up=5,
)


def demonstrations(seed: int, count: int = 50, **options: Any) -> list[Any]:
    source = Demonstrations(TASK, **options)
    stream = TASK.exercises("train", Key.of(seed))
    return source.draw([next(stream) for _ in range(count)], Key.of(seed).child("draw"))


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_the_trace_names_the_first_error_that_the_checker_finds(seed: int) -> None:
    for one in demonstrations(seed, 10):
        question, chain, reply = one.parts
        thoughts = [t.strip() for t in chain.split("</thought>")]
        problem = TASK._problem(one.exercise.text)
        assert question == TASK.prompt(problem)
        error = TASK.first_error(problem, thoughts)
        assert reply.endswith(f"\\boxed{{{0 if error is None else error + 1}}}")
        assert reply.split()[-2] == ("right" if error is None else "wrong")
        assert split_of(one.exercise.text) == "train"


def test_chains_to_localise_have_their_first_error_anywhere_and_some_have_none() -> None:
    rows = demonstrations(1, 4000, localize_only=1.0, faultless=0.2)
    assert not any(one.solves for one in rows)
    first = [
        next((i for i, (a, b) in enumerate(zip(o.right, o.stated, strict=True)) if a != b), 4)
        for o in rows
    ]
    shares = np.bincount(first, minlength=5) / 4000
    assert np.abs(shares - 0.2).max() < 0.03


def test_solutions_slip_like_their_writer_and_two_thirds_are_learnt() -> None:
    rows = demonstrations(2, 6000)
    solved = [one for one in rows if one.solves]
    assert abs(len(solved) / 6000 - 2 / 3) < 0.03
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for one in solved:
        step = TASK.operations.index(one.exercise.operations[0])
        hard = bool(TASK.facts.hard[step, one.exercise.start])
        hits[hard].append(one.right[0] == one.stated[0])
    assert abs(np.mean(hits[True]) - 0.3) < 0.06
    assert abs(np.mean(hits[False]) - 0.99) < 0.01


def test_targets_are_the_next_words_of_chain_and_trace_and_the_end_after_answers() -> None:
    learnt, only = (
        next(one for one in demonstrations(3) if one.solves == solves) for solves in (True, False)
    )
    inputs, targets = as_tensors([learnt, only], WORDS)
    for row, one in enumerate((learnt, only)):
        question, chain, reply = (p.split() for p in one.parts)
        words = question + chain + reply
        wanted = [*(words[1:]), "<eos>"]
        wanted[len(question) + len(chain) - 1] = "<eos>"
        keep = len(question) - 1 if one.solves else len(question) + len(chain)
        text = TOKENS.convert_ids_to_tokens(inputs[row].tolist())
        assert text == words + ["<eos>"] * (inputs.shape[1] - len(words))
        assert (targets[row, :keep] == IGNORED).all()
        assert (targets[row, len(words) :] == IGNORED).all()
        learnt_words = TOKENS.convert_ids_to_tokens(targets[row, keep : len(words)].tolist())
        assert learnt_words == wanted[keep:]


def test_chains_grow_to_full_length_and_a_tenth_is_shorter() -> None:
    recipe = WarmStart(steps=300)
    lengths = [recipe.horizon_at(step) for step in range(300)]
    assert lengths[0] == 2
    assert lengths == sorted(lengths)
    assert set(lengths[:100]) == set(range(2, 11))
    assert set(lengths[100:]) == {10}
    seen: set[int] = set()
    for step in range(200, 215):
        inputs, _ = recipe.batch(step, WORDS)
        texts = [TOKENS.decode(row).split(" start ")[0] for row in inputs.tolist()]
        counts = np.bincount([len(re.findall(r"\d+:", text)) for text in texts])
        assert counts[10] == 36
        assert counts.sum() == 40
        seen |= set(np.flatnonzero(counts).tolist())
    assert len(seen) > 4


def test_learning_rate_rises_and_falls() -> None:
    recipe = WarmStart(steps=100, warm_up=10, rate=1.0)
    rates = [recipe.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[:11] == sorted(rates[:11])
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert rates[50] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))


def test_a_short_warm_start_lowers_the_loss_and_survives_saving(tmp_path: Path) -> None:
    losses: list[float] = []
    training = train(SHORT, watch=lambda _, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.75 * losses[0]
    save(training.model, training.tokens, tmp_path)
    model, _ = load(tmp_path)
    inputs, _ = SHORT.batch(0, WORDS)
    with torch.no_grad():
        a, b = (m.eval()(input_ids=inputs).logits for m in (training.model, model))
    assert torch.equal(a, b)


def test_an_interrupted_warm_start_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    state = tmp_path / "state.pt"
    recipe = dataclasses.replace(SHORT, steps=8)

    def interrupt(training: Training, _: float) -> None:
        if training.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, state, every=2, watch=interrupt)
    steps: list[int] = []
    resumed = train(recipe, state, every=2, watch=lambda t, _: steps.append(t.step))
    assert steps == [5, 6, 7, 8]
    whole = train(recipe)
    for a, b in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(InvalidInput, match="another recipe"):
        train(dataclasses.replace(recipe, rate=1e-3), state)


def scripted_attempts(regime: str = "natural", count: int = 30) -> tuple[Any, Attempts]:
    """Attempts of an untrained model, which go wrong at once."""
    simulator = world(SHORT.model.build(TOKENS, 0), TOKENS, REGIMES[regime])
    problems = REGIMES[regime].problems("test", count, 0)
    return simulator, Attempts.sample(simulator, problems, Key.of(0))


def test_attempts_of_an_untrained_model_fail_at_once_and_the_oracle_localises_them() -> None:
    simulator, attempts = scripted_attempts()
    assert (attempts.first_errors == 0).all()
    assert attempts.visited.sum() == len(attempts.rollouts)
    assert attempts.right(hard=False) == attempts.right(hard=True) == 0
    oracle = OracleLocalizer(simulator.task, simulator.vocabulary)
    found = localization(oracle, attempts, Key.of(1))
    assert found["exact"] == 1
    assert found["asked"] == (attempts.rewards == 0).sum() > 20  # one may answer right by luck


def test_shares_of_right_steps_count_the_path_up_to_the_first_error() -> None:
    hard = np.array([[False, True, False], [True, False, True], [False, False, False]])
    attempts = Attempts((), np.zeros(3), np.array([1, 2, -1]), hard)
    assert attempts.visited.sum(axis=1).tolist() == [2, 3, 3]
    assert attempts.right(hard=True) == pytest.approx(1 / 3)  # wrong, right, wrong
    assert attempts.right(hard=False) == 1


class Names:
    """Always names one step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def locate(self, rollouts: Any, keys: Any) -> list[Any]:
        from llm.localizers.base import Located

        return [Located(Localization(self.step)) for _ in rollouts]


def test_localisation_is_scored_against_the_first_error() -> None:
    _, attempts = scripted_attempts(count=12)
    one_off = localization(Names(1), attempts, Key.of(0))
    far = localization(Names(2), attempts, Key.of(0))
    assert (one_off["exact"], one_off["within one"], one_off["refused"]) == (0, 1, 0)
    assert (far["exact"], far["within one"]) == (0, 0)
    failed = attempts.hard[attempts.rewards == 0]
    hard_first = failed[:, 0] | ~failed.any(axis=1)
    assert far["first hard step"] == pytest.approx(hard_first.mean())


def test_measures_are_reproducible() -> None:
    model = SHORT.model.build(TOKENS, 0)
    assert measure(model, TOKENS, TASK, 10) == measure(model, TOKENS, TASK, 10)


@pytest.mark.parametrize(
    "dials", [{"steps": 0}, {"rate": 0.0}, {"curriculum": 1.5}, {"warm_up": -1}, {"shorter": 2.0}]
)
def test_refuses_recipes_that_cannot_run(dials: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(dials))):
        WarmStart(**dials)
