"""Questions of knowledge and common sense, most of them with lettered options."""

from __future__ import annotations

import string
from collections.abc import Callable

from cpi_theory.checks import InvalidInput
from llm.data.problems import question_digest
from llm.data.recipes.filters import field_is, holds, lacks
from llm.data.recipes.recipe import Filter, Licence, Recipe, TestOnly
from llm.data.recipes.sources import Hub
from llm.data.recipes.wording import choice, mixed, texts
from llm.data.records import Record
from llm.task import Problem


def _labelled(record: Record, mark: str) -> Problem:
    """A problem from ``choices`` with texts and labels, and the right label."""
    labels, key = texts(record, "choices.label"), record.text("answerKey")
    if key not in labels:
        remedy = "leave the record out"
        raise InvalidInput(f"{record.place}, field answerKey", key, f"none of {labels}", remedy)
    options = texts(record, "choices.text")
    return choice(mark, record.text("question"), options, labels.index(key))


def _csqa(record: Record) -> Problem:
    return _labelled(record, f"csqa-{record.text('id')}")


def _strategyqa(record: Record) -> Problem:
    answer = record.values["answer"]
    if not isinstance(answer, bool):
        remedy = "leave the record out"
        raise InvalidInput(f"{record.place}, field answer", answer, "not true or false", remedy)
    question = f"{record.text('question')}\nAnswer yes or no."
    mark = f"strategyqa-{record.text('qid')}"
    return Problem(mark, question, "yes" if answer else "no", "exact")


def _sciknoweval(domain: str) -> Callable[[Record], Problem]:
    def columns(record: Record) -> Problem:
        mark = f"sciknoweval-{domain.lower()}-{question_digest(record.text('question'))[:12]}"
        if record.text("type") != "true_or_false":
            return _labelled(record, mark)
        question = f"{record.text('question')}\nAnswer true or false."
        answer = record.text("answer").lower()
        if answer not in ("true", "false"):
            place = f"{record.place}, field answer"
            raise InvalidInput(place, answer, "not true or false", "leave the record out")
        return Problem(mark, question, answer, "exact")

    return columns


def _gpqa(record: Record) -> Problem:
    mark = f"gpqa-{record.text('Record ID')}"
    wrong = [record.text(f"Incorrect Answer {i}") for i in (1, 2, 3)]
    options, index = mixed(mark, record.text("Correct Answer"), wrong)
    return choice(mark, record.text("Question"), options, index)


def _mmlu_pro(record: Record) -> Problem:
    index = string.ascii_uppercase.find(record.text("answer"))
    options = texts(record, "options")
    return choice(f"mmlu-pro-{record.text('question_id')}", record.text("question"), options, index)


def _theoremqa(record: Record) -> Problem:
    question, kind = record.text("Question"), record.text("Answer_type")
    mark, answer = f"theoremqa-{question_digest(question)[:12]}", record.text("Answer")
    if kind == "bool":
        return Problem(mark, f"{question}\nAnswer true or false.", answer.lower(), "exact")
    return Problem(mark, question, answer, "choice" if kind == "option" else "math")


_CHECKABLE = ("mcq-2-choices", "mcq-4-choices", "mcq-5-choices", "true_or_false")

CHECKABLE = Filter(
    "checkable",
    "an option or true/false is asked for: there is no fair comparison for open answers",
    lambda row: row.text("type") in _CHECKABLE,
)
"""Rule on the records of SciKnowEval. The paper's release looks for the reference anywhere in the
text, where "12" is found in "125"."""

LEVEL_3 = Filter("level L3", "`details.level` is 'L3'", lambda r: r.text("details.level") == "L3")
"""Rule on the records of SciKnowEval."""


def _sciknoweval_recipe(domain: str) -> Recipe:
    return Recipe(
        f"sciknoweval_{domain.lower()}",
        f"SciKnowEval v2, level L3, {domain.lower()}, at most 500 problems",
        Hub("hicai-zju/SciKnowEval", split="test"),
        Licence("MIT", True),
        ("question", "choices", "answerKey", "type", "domain", "details", "answer"),
        _sciknoweval(domain),
        TestOnly(500),
        (field_is("domain", domain), LEVEL_3, CHECKABLE),
    )


CSQA = Recipe(
    "csqa",
    "CommonsenseQA, at most 500 problems of the validation split (the test split has no answers)",
    Hub("tau/commonsense_qa", split="validation"),
    Licence("MIT", True),
    ("id", "question", "choices", "answerKey"),
    _csqa,
    TestOnly(500),
    (holds("answerKey", "answered"),),
)

STRATEGYQA = Recipe(
    "strategyqa",
    "StrategyQA, at most 500 problems of the test split",
    Hub("ChilleD/StrategyQA", split="test"),
    Licence("MIT", True, "of the original release; the copy on the hub states none"),
    ("qid", "question", "answer"),
    _strategyqa,
    TestOnly(500),
)

GPQA = Recipe(
    "gpqa",
    "GPQA Diamond, 198 problems; options in an order that hangs on the problem",
    Hub("Idavidrein/gpqa", ("gpqa_diamond",)),
    Licence("CC-BY-4.0", False, "gated; its authors ask that no example appear in plain text"),
    (
        *("Record ID", "Question", "Correct Answer"),
        *("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"),
    ),
    _gpqa,
)

MMLU_PRO = Recipe(
    "mmlu_pro",
    "MMLU-Pro, at most 500 problems of the test split",
    Hub("TIGER-Lab/MMLU-Pro", split="test"),
    Licence("MIT", True),
    ("question_id", "question", "options", "answer"),
    _mmlu_pro,
    TestOnly(500),
)

THEOREMQA = Recipe(
    "theoremqa",
    "TheoremQA, at most 500 problems without pictures; decimals count as they are written",
    Hub("TIGER-Lab/TheoremQA", split="test"),
    Licence("MIT", True),
    ("Question", "Answer", "Answer_type", "Picture"),
    _theoremqa,
    TestOnly(500),
    (lacks("Picture", "no picture"),),
)

SCIKNOWEVAL = tuple(map(_sciknoweval_recipe, ("Biology", "Chemistry", "Material", "Physics")))

RECIPES = (CSQA, STRATEGYQA, *SCIKNOWEVAL, GPQA, MMLU_PRO, THEOREMQA)
"""All of this file."""
