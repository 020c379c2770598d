"""A few records in the real schema of each source, written for these tests: none is copied."""

from __future__ import annotations

import base64
import json
import pickle
import zlib


def packed(text):
    """As LiveCodeBench packs private tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(text))).decode()


def numinamath(i, answer, source="olympiads"):
    return {
        "source": source,
        "problem": f"Problem number {i} asks something about the number {i * i + 1}.",
        "solution": f"We see that it is \\boxed{{{answer}}}.",
        "messages": [{"role": "user", "content": "..."}],
    }


def hendrycks(i, level="Level 5"):
    return {
        "problem": f"What is {i} plus {i}?",
        "level": level,
        "type": "Algebra",
        "solution": f"It is $\\boxed{{{2 * i}}}$.",
    }


def case(stdin, stdout, kind="stdin"):
    return {"input": stdin, "output": stdout, "testtype": kind}


def livecodebench(i, difficulty="medium", function=None, tests=4):
    """A problem on standard input and output, or one on a function."""
    kind = "functional" if function else "stdin"
    private = [case(f"{k}" if function else f"{k}\n", f"{k + i}", kind) for k in range(2, tests)]
    starter = f"class Solution:\n    def {function}(self, x: int) -> int:\n        " * bool(
        function
    )
    return {
        "question_title": f"Add {i}",
        "question_content": f"Add the number {i} to what is given and print the sum of both.",
        "platform": "atcoder",
        "question_id": f"abc{i:03}_c",
        "contest_id": f"abc{i:03}",
        "contest_date": "2025-01-04T00:00:00",
        "starter_code": starter,
        "difficulty": difficulty,
        "public_test_cases": json.dumps([case("0", str(i), kind), case("1", str(1 + i), kind)]),
        "private_test_cases": packed(json.dumps(private)) if private else "[]",
        "metadata": json.dumps({"func_name": function} if function else {}),
    }


LETTERS = ["A", "B", "C", "D"]

SCIKNOWEVAL = {
    "prompt": {"default": "Choose."},
    "question": "Which of these is an acid?",
    "choices": {"text": ["NaOH", "HCl", "NaCl", "KOH"], "label": LETTERS},
    "answerKey": "B",
    "type": "mcq-4-choices",
    "domain": "Chemistry",
    "details": {"level": "L3", "task": "t", "subtask": "s", "source": "x"},
    "answer": "",
}

ROWS = {
    "numinamath_olympiads": [numinamath(i, i) for i in range(1, 1511)],
    "acereason_math": [{"problem": "What is two plus three?", "answer": "5"}],
    "hmmt_nov_2025": [
        {"problem_idx": 1, "problem": "How many?", "answer": "\\dfrac{1}{2}", "problem_type": []}
    ],
    "aime_2024": [
        {
            "id": 60,
            "problem": "Find N.",
            "solution": "...",
            "answer": "204",
            "url": "",
            "year": "2024",
        }
    ],
    "aime_2025": [{"problem_idx": 1, "problem": "Find N.", "answer": 70, "problem_type": ["A"]}],
    "csqa": [
        {
            "id": "a1",
            "question": "Where is a bed?",
            "question_concept": "bed",
            "choices": {"label": [*LETTERS, "E"], "text": ["sea", "room", "sky", "sun", "car"]},
            "answerKey": "B",
        }
    ],
    "strategyqa": [
        {
            "qid": "q1",
            "term": "Sun",
            "description": "star",
            "question": "Is the Sun a star?",
            "answer": True,
            "facts": "It is.",
            "decomposition": [],
        }
    ],
    **{
        f"sciknoweval_{name.lower()}": [{**SCIKNOWEVAL, "domain": name}]
        for name in ("Biology", "Chemistry", "Material", "Physics")
    },
    "gpqa": [
        {
            "Record ID": "rec1",
            "Question": "Which one?",
            "Correct Answer": "this",
            "Incorrect Answer 1": "that",
            "Incorrect Answer 2": "the other",
            "Incorrect Answer 3": "none",
        }
    ],
    "mmlu_pro": [
        {
            "question_id": 7,
            "question": "Which one?",
            "options": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
            "answer": "I",
            "answer_index": 8,
            "cot_content": "",
            "category": "law",
            "src": "x",
        }
    ],
    "theoremqa": [
        {"Question": "How large?", "Answer": "0.25", "Answer_type": "float", "Picture": None}
    ],
    "livecodebench_medium": [livecodebench(i) for i in range(1, 104)],
    "livecodebench_hard": [livecodebench(i, "hard", "add") for i in range(1, 104)],
    "humaneval_plus": [
        {
            "task_id": "HumanEval/0",
            "prompt": "def double(x):\n    '''Twice x.'''\n",
            "canonical_solution": "    return 2 * x\n",
            "entry_point": "double",
            "test": "def check(candidate):\n    for inp, exp in zip([[1], [2]], [2, 4]):\n"
            "        assert candidate(*inp) == exp\n",
        }
    ],
    "mbpp_plus": [
        {
            "task_id": 2,
            "code": "def double(x):\n    return 2 * x\n",
            "prompt": "Write a function that doubles.",
            "source_file": "x",
            "test_imports": [],
            "test_list": ["assert double(1) == 2"],
            "test": "for inp, exp in zip([[1], [2]], [2, 4]):\n    assert double(*inp) == exp\n",
        }
    ],
}
"""Recipe -> records of a source of one table."""

TWO_SPLITS = {
    "math_level5": {
        "train": [hendrycks(i) for i in range(1, 4)] + [hendrycks(9, "Level 1")],
        "test": [hendrycks(i) for i in range(10, 12)],
    },
    "gsm8k": {
        "train": [{"question": "What is 1 + 1?", "answer": "Add them.\n#### 2"}],
        "test": [{"question": "What is 1 + 2?", "answer": "Add them.\n#### 3"}],
    },
}
"""Recipe -> split -> records of a source with splits of its own."""
