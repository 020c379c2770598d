from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.localizers.base import whole_solution
from llm.models.settings import ModelSettings
from llm.opening import OpenModel, open_model
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.tasks.sums.task import SumsTask
from llm.teaching import locating_examples, read_examples, replayed, solving_examples
from llm.text.chat import Chat
from llm.text.thoughts import TextEnding
from tests.llm.bytes import TEMPLATE, byte_folder, byte_vocabulary

TASK = SumsTask(4, 2)


@pytest.fixture(scope="module", params=[TEMPLATE, None])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpenModel:
    folder = byte_folder(tmp_path_factory.mktemp("model") / "bytes", request.param)
    return open_model(TASK, ModelSettings(str(folder)), chat=None)


def test_solutions_continue_the_prompt_that_rollouts_begin_with(opened: OpenModel) -> None:
    problems = TASK.problems("train", 5, 0)
    examples = solving_examples(opened.simulator, problems, Key.of(0))
    starts = opened.simulator.start_states(problems)
    for problem, start, example in zip(problems, starts, examples, strict=True):
        assert example.prompt == start.prompt
        assert example.completion[-1] == opened.vocabulary.tokenizer.eos_token_id
        text = opened.vocabulary.decode(example.completion)
        assert text == "\n".join(TASK.solution(problem))
        assert example.skill == "solve"


def test_localisations_are_asked_as_the_localiser_asks_and_name_the_checkers_step(
    opened: OpenModel,
) -> None:
    problems = TASK.problems("train", 12, 0)
    examples = locating_examples(opened, problems, Key.of(0))
    assert len(examples) == 12
    named = set()
    for i, (problem, example) in enumerate(zip(problems, examples, strict=True)):
        lines = TASK.faulty(problem, Key.of(0).child(i)).split("\n")
        step = TASK.first_error(problem, lines)
        assert step is not None
        named.add(step)
        reply = opened.vocabulary.decode(example.completion)
        assert reply == f"\\boxed{{{step + 1}}}"
        prompt = opened.vocabulary.decode(example.prompt)
        numbered = "\n".join(f"Step {n}: {line}" for n, line in enumerate(lines, 1))
        assert problem.question in prompt
        assert numbered in prompt
        assert example.skill == "locate"
    assert named == {0, 1, 2}


def test_replayed_texts_are_the_rollouts_that_the_model_could_have_sampled(
    opened: OpenModel,
) -> None:
    problems = TASK.problems("train", 3, 0)
    right, wrong = TASK.demonstration(problems[0], Key.of(0)), TASK.faulty(problems[1], Key.of(0))
    texts = [right, wrong, "no idea"]
    before = opened.simulator.usage.rollouts
    found = replayed(opened.simulator, problems, texts)
    assert opened.simulator.usage.rollouts == before
    assert [r.failed for r in found] == [False, True, True]
    endings = [TextEnding.ANSWERED, TextEnding.ANSWERED, TextEnding.EOS]
    assert [r.text_ending for r in found] == endings
    lines = whole_solution(found[1], opened.vocabulary, opened.simulator.form.ends)
    assert lines == wrong.split("\n")
    assert opened.oracle is not None
    answers = opened.oracle.locate(found[1:2], np.zeros(1, np.uint64))
    assert answers[0].answer.step == TASK.first_error(problems[1], lines)  # type: ignore[union-attr]


def test_a_task_that_writes_nothing_is_refused() -> None:
    tiny = open_model(ArithmeticTask(), ModelSettings("tiny"))
    problems = tiny.problems("train", 2, 0)
    with pytest.raises(InvalidInput, match=r"ArithmeticTask.*writes no demonstrations"):
        solving_examples(tiny.simulator, problems, Key.of(0))


def test_examples_of_a_file_in_the_formats_of_trl(tmp_path: Path) -> None:
    vocabulary, file = byte_vocabulary(), tmp_path / "demos.jsonl"
    user, reply = {"role": "user", "content": "q "}, {"role": "assistant", "content": " a\n"}
    records: list[dict[str, object]] = [
        {"prompt": "q ", "completion": " a\n"},
        {"prompt": [user], "completion": [reply], "skill": "locate"},
        {"messages": [user, reply], "skill": "solve"},
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    as_chat = vocabulary.chat([user])
    for chat, first in ((Chat(True), as_chat), (Chat(), vocabulary.encode("q "))):
        examples = read_examples(str(file), vocabulary, chat)
        assert [one.prompt for one in examples] == [first, as_chat, as_chat]
        assert [one.skill for one in examples] == ["solve", "locate", "solve"]
        for one in examples:
            assert one.completion == (*vocabulary.encode(" a\n", special=False), 1)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": "q"}, "field completion.*missing"),
        ({"prompt": "q", "completion": " "}, "field completion.*empty"),
        ({"prompt": "q", "completion": "a", "skill": "x"}, "field skill"),
        ({"prompt": "q", "completion": 3}, "field completion.*not a list of messages"),
        (
            {"prompt": [{"role": "user"}], "completion": [{"role": "assistant", "content": "a"}]},
            "field prompt.*not a list of messages",
        ),
        ({"messages": [{"role": "user", "content": "q"}]}, "field messages.*does not end"),
        ({"messages": []}, "field messages.*not a list of messages"),
        (
            {
                "prompt": [{"role": "user", "content": "q"}],
                "completion": [
                    {"role": "assistant", "content": "a"},
                    {"role": "user", "content": "b"},
                ],
            },
            "field completion.*not one message",
        ),
    ],
)
def test_records_that_are_no_examples_are_refused_with_their_line(
    tmp_path: Path, record: dict[str, object], message: str
) -> None:
    file = tmp_path / "demos.jsonl"
    file.write_text('{"prompt": "q", "completion": "a"}\n' + json.dumps(record) + "\n")
    with pytest.raises(InvalidInput, match=f"demos.jsonl, line 2, {message}"):
        read_examples(str(file), byte_vocabulary(), Chat())
