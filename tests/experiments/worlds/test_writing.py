"""How a model is asked, writes and localises: read from settings, stored with runs, digested."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from cpi_theory.checks import InvalidInput
from experiments.config import load_config
from experiments.runs.encoding import canonical, digest, plain
from experiments.runs.fingerprint import fingerprint
from experiments.worlds.language import WORLDS, DatasetWorld, LanguageWorld
from experiments.worlds.writing import AskChecker, AskSeveral, Example, TextFile, Unsure, Writing
from llm.localizers.self_localizer import Disclosure
from llm.text.answers import AnswerLine, WholeText
from llm.text.boundaries import CutPoints, Delimiter, Line, Pattern, Published


@dataclass(frozen=True)
class Settings:
    more: tuple[LanguageWorld, ...] = ()


def world(tmp_path: Path, text: str) -> LanguageWorld:
    file = tmp_path / "settings.toml"
    file.write_text('[[more]]\ntype = "DatasetWorld"\nname = "x"\nsource = "q.jsonl"\n' + text)
    (one,) = load_config(Settings, file).more
    return one


OLD = {
    "type": "DatasetWorld",
    "name": "x",
    "source": "q.jsonl",
    "test_source": None,
    "test_share": 0.2,
    "fields": {
        "type": "Fields",
        "question": "question",
        "answer": "answer",
        "id": None,
        "kind": None,
        "default_kind": "math",
        "answer_after": None,
    },
    "duplicates": "refuse",
    "max_thoughts": 8,
    "max_tokens": 5120,
    "thought_tokens": None,
    "chat": True,
    "localization_temperature": 0.3,
    "localization_tokens": 64,
}
"""What was stored of a world before its writing had a table of its own."""


def test_older_settings_are_read_and_keep_their_digest(tmp_path: Path) -> None:
    old = world(tmp_path, "chat = true\nmax_thoughts = 8\nlocalization_tokens = 64")
    new = world(tmp_path, "[more.writing]\nchat = true\nmax_thoughts = 8\nlocalization_tokens = 64")
    assert old == new == DatasetWorld("x", "q.jsonl", writing=old.writing)  # type: ignore[arg-type]
    assert plain(old) == OLD
    assert digest(old) == digest(OLD)
    assert old.writing.asks_single  # type: ignore[union-attr]


def test_whatever_is_chosen_is_stored(tmp_path: Path) -> None:
    chosen = world(
        tmp_path,
        """max_thoughts = 8
[more.writing]
boundary = { type = "Pattern", pattern = "Step [0-9]+:" }
answer = { type = "AnswerLine", label = "Result:" }
prompt = "Q: {{question}}"
system = { file = "system.txt" }
examples = [{ question = "1 + 1?", solution = "Result: 2" }]
template_arguments = { enable_thinking = false }
localizer = { type = "AskSeveral", votes = 3 }
disclosure = "not told"
readings = ["bare number", "step number"]
""",
    )
    writing = chosen.writing
    assert writing == Writing(
        boundary=Pattern("Step [0-9]+:"),
        answer=AnswerLine("Result:"),
        prompt="Q: {{question}}",
        system=TextFile("system.txt"),
        examples=(Example("1 + 1?", "Result: 2"),),
        template_arguments={"enable_thinking": False},
        max_thoughts=8,
        localizer=AskSeveral(3),
        disclosure=Disclosure.NOT_TOLD,
        readings=("bare number", "step number"),
    )
    assert not writing.asks_single
    assert {chosen: 1}[chosen] == 1
    for field in dataclasses.fields(Writing):
        default = dataclasses.replace(writing, **{field.name: getattr(Writing(), field.name)})
        changed = dataclasses.replace(chosen, writing=default)  # type: ignore[type-var]
        same = getattr(default, field.name) == getattr(writing, field.name)
        assert (canonical(changed) == canonical(chosen)) == same, field.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_thoughts = 3\n[more.writing]\nmax_thoughts = 4", "given as writing.max_thoughts too"),
        ('[more.writing]\nboundary = { type = "Lines" }', "unknown class"),
        ('[more.writing]\nboundary = { type = "Pattern", pattern = "(" }', "not a regular expr"),
        ('[more.writing]\nboundary = { type = "Pattern", pattern = "a*" }', "nothing at all"),
        ('[more.writing]\nreadings = ["any"]', "not a choice"),
        (
            '[more.writing]\nboundary = { type = "Published" }\nanswer = { type = "WholeText" }',
            "nothing would end a text",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        world(tmp_path, text)


def test_a_changed_prompt_file_is_another_run(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("{{question}}")
    mine = DatasetWorld("x", "q.jsonl", writing=Writing(prompt=TextFile(str(file))))
    before = fingerprint(mine)
    assert list(before) == [str(file)]
    file.write_text("Think. {{question}}")
    assert fingerprint(mine) != before
    assert digest(mine) != digest(DatasetWorld("x", "q.jsonl"))


@pytest.mark.parametrize("name", ["prompt", "system", "localization_prompt"])
def test_prompts_have_the_placeholders_that_they_need(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("{{quetsion}}")
    writing = Writing(**{name: TextFile(str(file))})
    use = {
        "prompt": writing.template,
        "system": lambda: writing.around(str),
        "localization_prompt": lambda: writing.locating(own=True),
    }[name]
    with pytest.raises(InvalidInput, match=r"mine\.txt.*\{\{que") as refusal:
        use()
    assert refusal.value.value == ("{{quetsion}}" if name == "system" else "{{question}}")
    file.unlink()
    with pytest.raises(InvalidInput, match="cannot be read"):
        use()


def test_the_words_ask_for_what_is_read() -> None:
    assert "{{delimiter}}" in Writing().template().text
    lines = Writing(boundary=Line(), answer=AnswerLine("Result:")).template()
    assert lines.placeholders == {"question"}
    assert "on a line of its own" in lines.text
    assert '"Result:"' in lines.text
    assert "boxed" not in lines.text
    silent = Writing(boundary=CutPoints(), answer=WholeText()).template().text
    assert "\n\n\n" not in silent
    assert Writing(boundary=Published()).form().ends == Published()
    assert Writing().form().boundary is None
    assert Writing(boundary=Delimiter("</s>")).delimiter == "</s>"


def test_arithmetic_is_stored_as_before_unless_it_is_written_otherwise() -> None:
    sparse = WORLDS["sparse"]
    assert "writing" not in plain(sparse)
    other = dataclasses.replace(sparse, writing=Writing(localizer=Unsure()))  # type: ignore[type-var]
    assert plain(other)["writing"] == plain(Writing(localizer=Unsure()))
    assert digest(other) != digest(
        dataclasses.replace(other, writing=Writing(localizer=AskChecker()))
    )  # type: ignore[type-var]
