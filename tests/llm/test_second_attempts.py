"""Second attempts, demonstrations and step probabilities of language models as worlds."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory import CritiqueGRPO, InvalidInput, Key, PrefixStarts, SCoRe, Stages, collect
from llm.engines.trl.rewards import PromptProblem, RewardFunctions, RewardSimulator
from llm.localizers.oracle import OracleLocalizer
from llm.models.settings import ModelSettings
from llm.opening import open_model
from llm.sampling.base import Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.text.chat import Chat
from llm.text.thoughts import ThoughtFormat
from llm.training.rows import training_rows
from tests.llm.words import END, Boxes, random_model, vocabulary

TASK = ArithmeticTask(horizon=3)
TURNS = (
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
WORDS = ("q", "a", "b", "again", "user", "assistant", END, "\\boxed{1}", "\\boxed{2}")


def world(template=False, context=128, revision="again {{question}}"):
    words, task = vocabulary(*WORDS), Boxes()
    if template:
        words.tokenizer.chat_template = TURNS
    return LanguageModelSimulator(
        TransformersSampler(random_model(len(WORDS) + 3, seed=24, context=context), words),
        words,
        task,
        ThoughtFormat(max_thoughts=4, max_tokens=10),
        localizer=OracleLocalizer(task, words),
        chat=Chat(template),
        revision=revision,
    )


def rollouts(ours, count=12):
    starts = ours.start_states(ours.task.problems("train", count, 0))
    return ours.rollout(starts, Key.of(1).integers(count))


def texts(ours, states):
    return [" ".join(ours.vocabulary.piece(t) for t in state.tokens) for state in states]


def test_a_second_attempt_stands_behind_the_first_and_the_words():
    ours = world()
    drawn = rollouts(ours)
    states = ours.revise(drawn, Key.of(0).integers(12))
    for rollout, state in zip(drawn, states, strict=True):
        own = [t for t in rollout.tokens if t not in ours.vocabulary.eos]
        words = ours.vocabulary.encode("again q")
        assert state.tokens == (*rollout.start.tokens, *own, *words)
        assert (state.kept, state.problem) == ((), rollout.start.problem)
    again = ours.rollout(states, Key.of(2).integers(12))
    # No loss can fall on the first attempt: it is in the prompt of what follows.
    assert all(a.start == s for a, s in zip(again, states, strict=True))


def test_of_a_later_state_the_whole_solution_is_the_first_attempt():
    ours = world()
    rollout = next(r for r in rollouts(ours) if len(r) > 1)
    (later,) = ours.rollout([rollout.states[1]], Key.of(3).integers(1))
    (state,) = ours.revise([later], Key.of(0).integers(1))
    begun = rollout.start.tokens + rollout.states[1].kept
    assert state.tokens[: len(begun)] == begun


def test_with_a_chat_template_it_is_a_further_turn():
    ours = world(template=True)
    drawn = rollouts(ours, 3)
    again = texts(ours, ours.revise(drawn, Key.of(0).integers(3)))
    for rollout, text in zip(drawn, again, strict=True):
        said = " ".join(ours.vocabulary.decode(rollout.tokens).split())
        assert text == f"user q assistant {said} user again q assistant"


def test_an_attempt_that_leaves_no_room_is_refused():
    ours = world(context=12, revision="again again again again again again")
    with pytest.raises(InvalidInput, match=r"of 12 tokens; lower max_tokens"):
        ours.revise(rollouts(ours), Key.of(0).integers(12))


def test_words_with_an_unknown_placeholder_are_refused():
    with pytest.raises(InvalidInput, match=r"revision '?\{\{answer\}\}|answer"):
        world(revision="the answer is {{answer}}")


def test_steps_are_as_likely_as_their_least_likely_token():
    ours = world()
    drawn = rollouts(ours)
    for rollout, scores in zip(drawn, ours.step_logprobs(drawn), strict=True):
        assert scores.shape == (len(rollout),)
        parts = [rollout.logprobs[a:b] for a, b in rollout.spans]
        np.testing.assert_array_equal(scores, [part.min() for part in parts])


def test_a_task_shows_how_it_is_done_and_nobody_pays():
    opened = open_model(TASK, ModelSettings("tiny"))
    ours, starts = opened.simulator, opened.start_states("train", 6, 0)
    shown = ours.demonstrate(starts, Key.of(0).integers(6))
    assert [(r.reward, r.failed, len(r)) for r in shown] == [(1.0, False, 3)] * 6
    assert (ours.usage.rollouts, ours.usage.tokens) == (0, 0)
    for rollout in shown:
        words = [ours.vocabulary.decode(thought) for thought in rollout.thoughts]
        assert TASK.first_error(rollout.start.problem, words) is None
    other = ours.demonstrate(starts, Key.of(1).integers(6))
    assert any(a.tokens != b.tokens for a, b in zip(shown, other, strict=True))
    groups = collect(PrefixStarts(2, Stages(3)), ours, starts, 0)
    for group in groups:
        assert group.step == 2
        assert all(r.start == group.parent.states[2] for r in group.rollouts)
    with pytest.raises(InvalidInput, match="ask at the start of a problem"):
        ours.demonstrate([shown[0].states[1]], Key.of(0).integers(1))


def test_a_task_that_shows_nothing_is_refused():
    ours = world()
    starts = ours.start_states(ours.task.problems("train", 2, 0))
    with pytest.raises(InvalidInput, match=r"'Boxes': cannot show.*own successes"):
        collect(PrefixStarts(2), ours, starts, 0)


def test_rows_carry_context_shaping_and_what_they_are_held_by():
    ours = world()
    starts = ours.start_states(ours.task.problems("train", 6, 0))
    rows = training_rows(collect(CritiqueGRPO(4, kept=2, gamma=0.3), ours, starts, 0))
    rewrites = [row for row in rows if row.shaping]
    assert rewrites
    assert {(r.shaping, r.off_policy, r.prompt) for r in rewrites} == {
        (0.3, True, starts[0].tokens)
    }
    held = training_rows(collect(SCoRe(3, hold=0.4), ours, starts, 0))
    first = [row for row in held if row.prompt == starts[0].tokens]
    assert {row.kl for row in first} == {0.4}
    assert {row.kl for row in held if row.prompt != starts[0].tokens} == {0.0}


def judged():
    """A world of TRL's: texts, or conversations, judged by a function."""
    words = vocabulary(*WORDS)
    words.tokenizer.chat_template = TURNS
    functions = RewardFunctions(
        [lambda completions, **_: [1.0] * len(completions)], ["one"], [1.0], [None]
    )
    sampler = TransformersSampler(random_model(len(WORDS) + 3, seed=24), words)
    form = ThoughtFormat(max_thoughts=4, max_tokens=10)
    return RewardSimulator(sampler, words, functions, form, Sampling(), None, {})


@pytest.mark.parametrize(
    ("prompt", "before"), [("q", "q"), ([{"role": "user", "content": "q"}], "user q assistant")]
)
def test_prompts_of_trl_are_asked_again_in_their_own_form(prompt, before):
    ours = judged()
    ours.revision = "again"
    starts = ours.start_states([PromptProblem.of(0, {"prompt": prompt})])
    drawn = ours.rollout(starts, Key.of(0).integers(1))
    (text,) = texts(ours, ours.revise(drawn, Key.of(0).integers(1)))
    assert text.startswith(before)
    assert text.endswith("again" if prompt == "q" else "user again assistant")


def test_a_task_may_ask_in_its_own_words():
    assert open_model(TASK, ModelSettings("tiny")).simulator.revision == "Q {{question}}"
    given = open_model(TASK, ModelSettings("tiny"), revision="so")
    assert given.simulator.revision == "so"
    assert given.with_localizer(given.oracle).revision == "so"
