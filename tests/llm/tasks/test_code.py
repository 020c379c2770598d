"""Programming problems: the format that is scored is asked for, and judged beside generation."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path

import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.streaming import stream
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Draw
from llm.data.prepare import prepare
from llm.data.recipes.catalogue import find_recipe
from llm.rewards.sandbox.cases import CodeTests, Stream
from llm.rewards.sandbox.limits import Limits
from llm.rewards.sandbox.pool import JudgePool
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, judges_ahead
from llm.tasks import code
from llm.tasks.code import FORMAT, CodeTask, load_code
from llm.text.answers import CodeBlock
from llm.text.thoughts import ThoughtFormat
from tests.llm.canned import END, CannedSampler, byte_vocabulary
from tests.llm.data.sources import ROWS, livecodebench
from tests.llm.data.test_recipes import jsonl
from tests.llm.rewards.sandbox.sandboxed import needs_sandbox, prints, returns

LIMITS = Limits(cpu_seconds=2, wall_seconds=10.0)
RIGHT = "Add them." + END + "```python\nprint(sum(map(int, input().split())))\n```\n"
HALF = "Guess." + END + "```python\nprint(3)\n```\n"


def problems(count=3):
    tests = CodeTests(streams=(Stream("1 2", "3"), Stream("2 2", "4"))).as_text()
    return tuple(
        Problem(f"p{i}", f"Add numbers, version {i}.", tests, "scored") for i in range(count)
    )


def task(**more):
    return CodeTask(problems(), limits=LIMITS, **more)


def test_prompts_ask_for_the_format_that_is_scored():
    made = CodeTask(problems(), scoring="format")
    prompt = made.prompt(problems()[0])
    assert "fenced block that begins with a line ```python" in prompt
    assert END in prompt
    assert "boxed" not in prompt
    assert "Add numbers, version 0." in prompt


@needs_sandbox
@pytest.mark.parametrize(
    ("scoring", "rewards"),
    [("all passed", (1.0, 0.0)), ("fraction passed", (1.0, 0.5)), ("format", (1.0, 1.0))],
)
def test_what_programs_earn(scoring, rewards):
    made = task(scoring=scoring)
    problem = problems()[0]
    assert tuple(made.verify(problem, text).reward for text in (RIGHT, HALF)) == rewards
    for text in ("no program", "```python\nprint(3)\n", "```\n```\n", "```text\n3\n```\n"):
        found = made.verify(problem, text)
        assert (found.reward, found.answer) == (0.0, None)


@needs_sandbox
def test_both_numbers_are_to_be_had():
    found = task().judgement(problems()[0], HALF)
    assert (found.all_passed, found.fraction) == (0.0, 0.5)
    assert task().judgement(problems()[0], "none").failures == {"no program": 1}


@needs_sandbox
def test_delimiters_inside_a_program_are_taken_out():
    text = f"```python\nx = input().split(){END}\nprint(sum(map(int, x))){END}\n```\n"
    assert task().verify(problems()[0], text).reward == 1.0


def test_the_format_control_runs_nothing_and_needs_no_sandbox(monkeypatch):
    monkeypatch.setattr(code, "shared_pool", None)
    made = CodeTask(problems(), scoring="format")
    assert made.verify(problems()[0], "```python\nraise SystemExit\n```\n").reward == 1.0
    assert made.begin(problems()[0], RIGHT) is None


def world(made, reply):
    words = byte_vocabulary()
    return LanguageModelSimulator(
        CannedSampler(words, reply),
        words,
        made,
        ThoughtFormat(delimiter=END, answer=CodeBlock()),
    )


@needs_sandbox
@pytest.mark.parametrize("driver", [collect, stream])
def test_rollouts_are_judged_once_and_side_by_side(driver, monkeypatch):
    pool = JudgePool(LIMITS, 4)
    monkeypatch.setattr(CodeTask, "pool", lambda self: pool)

    def reply(prompt, key):
        return f"```python\nimport time\ntime.sleep(0.5)\nprint(3)  # {key}\n```\n"

    under_way, most, judge = 0, 0, pool._judge

    def counted(program, tests):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        found = judge(program, tests)
        under_way -= 1
        return found

    monkeypatch.setattr(pool, "_judge", counted)
    made = task(scoring="fraction passed")
    assert judges_ahead(made)
    simulator = world(made, reply)
    starts = simulator.start_states(made.problems("train", 2, 0))
    collection = driver(GRPO(4), simulator, starts, Key.of(0), [0, 1])
    rollouts = [r for group in collection for r in group.rollouts]
    assert [r.reward for r in rollouts] == [0.5] * 8
    assert pool.judged == len({r.tokens for r in rollouts}) == 8
    assert most > 1
    pool.close()


@needs_sandbox
def test_others_are_written_while_a_program_is_judged(monkeypatch):
    """Of two prompts in a stream one waits for a slow program; the other is written meanwhile."""
    pool = JudgePool(LIMITS, 2)
    monkeypatch.setattr(CodeTask, "pool", lambda self: pool)
    made = task()
    events = []

    def reply(prompt, key):
        events.append(("written", time.monotonic()))
        return "```python\nimport time\ntime.sleep(0.3)\nprint(3)\n```\n"

    simulator = world(made, reply)
    original = pool._judge

    def judged(program, tests):
        found = original(program, tests)
        events.append(("judged", time.monotonic()))
        return found

    monkeypatch.setattr(pool, "_judge", judged)
    open_stream = simulator.stream()
    starts = simulator.start_states(made.problems("train", 2, 0))
    first = open_stream.submit(Draw(starts[0], Key.of(1).integers(1)))
    # The first is written and waits for its judgement; nothing was handed over yet.
    second = None
    while second is None:
        open_stream._ask_again()
        for ticket, completion in open_stream._engine.finished():
            number, _ = open_stream._places.pop(ticket)
            pending = open_stream._open.pop(number)
            open_stream._go_on(number, pending.questions, [completion])
        assert open_stream._waiting
        second = open_stream.submit(Draw(starts[1], Key.of(2).integers(1)))
    done = []
    while len(done) < 2:
        done += [number for number, _ in open_stream.finished()]
    assert sorted(done) == [first, second]
    kinds = [kind for kind, _ in events]
    assert kinds[:2] == ["written", "written"]
    open_stream.close()
    pool.close()


@pytest.fixture
def prepared(tmp_path):
    rows = [livecodebench(i) for i in range(1, 104)]
    prepare(
        find_recipe("livecodebench_medium"), tmp_path / "lcb", jsonl(tmp_path / "x.jsonl", rows)
    )
    return tmp_path / "lcb"


@needs_sandbox
def test_a_prepared_benchmark_is_learned_by_some_tests_and_evaluated_by_others(prepared):
    made = load_code(prepared, limits=LIMITS)
    assert (len(made.train), len(made.test)) == (3, 100)
    held_out = load_code(prepared, "held-out tests", limits=LIMITS)
    assert {p.id for p in held_out.test} == {f"{p.id}-held-out" for p in held_out.train}
    for learned, judged in zip(held_out.train, held_out.test, strict=True):
        digests = [code.tests_of(p).digests() for p in (learned, judged)]
        assert not digests[0] & digests[1]
        number = int(learned.id.removeprefix("livecodebench-abc").removesuffix("_c"))
        text = f"```python\nprint(int(input()) + {number})\n```\n"
        assert made.verify(learned, text).reward == held_out.verify(judged, text).reward == 1.0


def test_benchmarks_that_cannot_be_loaded(tmp_path, prepared):
    with pytest.raises(InvalidInput, match="no manifest"):
        load_code(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="evaluation = 'tests'"):
        load_code(prepared, "tests")
    plus = tmp_path / "plus"
    prepare(
        find_recipe("humaneval_plus"), plus, jsonl(tmp_path / "p.jsonl", ROWS["humaneval_plus"])
    )
    with pytest.raises(InvalidInput, match="no tests were held out there"):
        load_code(plus, "held-out tests")
    other = tmp_path / "csqa"
    prepare(find_recipe("csqa"), other, jsonl(tmp_path / "c.jsonl", ROWS["csqa"]))
    for evaluation in ("test", "held-out tests"):
        with pytest.raises(InvalidInput, match="no programming problems: 'csqa-") as caught:
            load_code(other, evaluation, scoring="format")
        assert caught.value.value == other
        assert "neither tests nor an entry point" in caught.value.problem
        (named,) = re.findall(r'DatasetWorld" with source = "(.*?)"', caught.value.remedy)
        assert Path(named).is_file()


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(InvalidInput, match="scoring = 'most'"):
        CodeTask(problems(), scoring="most")
    with pytest.raises(InvalidInput, match="split = 'dev'"):
        CodeTask(problems(), scoring="format").problems("dev", 1, 0)
    with pytest.raises(InvalidInput, match="holds 3 problems"):
        CodeTask(problems(), scoring="format").problems("train", 4, 0)


FENCED = [
    ("a\n```python\nx = 1\n```\n", "x = 1"),
    ("```py\n  x = 1\n```", "  x = 1"),
    ("```\nx\n```", "x"),
    ("```python\nx\n```\ntext\n```output\n3\n```", "x"),
    ("```python\nx\n```\n```python\ny\n```", "y"),
    ("```python\nx\n```\n```python\ny", "x"),
    ("```output\n3\n```\n```python\nx\n```", "x"),
    ("```python\nx", None),
    ("```python\n\n```", None),
    ("```c\nx\n```", None),
    ("So.</thought>```python\nx\n```</thought>", "x"),
    ("x = 1", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "program"), FENCED)
def test_the_last_whole_block_is_the_program(text, program):
    assert FORMAT.read(text) == program


def test_a_text_is_over_with_the_line_that_ends_its_block():
    text = "```python\nx = 1\n```\n"
    over = [FORMAT.over(text[: i + 1], text[i]) for i in range(len(text))]
    assert over == [False] * (len(text) - 1) + [True]
    assert not dataclasses.replace(FORMAT, stops=False).over(text, "\n")
    with pytest.raises(InvalidInput, match="not a language"):
        CodeBlock("py thon")


@needs_sandbox
def test_functions_too():
    made = CodeTask(
        (Problem("f", "Write f.", returns("f", ("[1]", "2")).as_text(), "scored"),), limits=LIMITS
    )
    assert made.verify(made.train[0], "```python\ndef f(x): return x + 1\n```\n").reward == 1.0
    assert prints("x").function == ""
