"""Problems that a package makes rather than carries."""

from __future__ import annotations

from typing import Any

from llm.data.recipes.recipe import Licence, Recipe, Shuffled
from llm.data.recipes.sources import Package
from llm.data.records import Record
from llm.task import Problem

SEED = 42
QUESTIONS = 500


def _chain_sums() -> list[dict[str, Any]]:
    import reasoning_gym

    made = reasoning_gym.create_dataset("chain_sum", seed=SEED, size=QUESTIONS)
    return [
        {"index": i, "question": e["question"], "answer": e["answer"]} for i, e in enumerate(made)
    ]


def _chain_sum(record: Record) -> Problem:
    mark = f"chain-sum-{record.text('index')}"
    return Problem(mark, record.text("question"), record.text("answer"))


CHAIN_SUM = Recipe(
    "reasoning_gym_chain_sum",
    "reasoning-gym, chain_sum, 400 and 100 made problems (a ReasoningGymWorld makes all others)",
    Package("reasoning_gym", "reasoning-gym", made=_chain_sums),
    Licence("Apache-2.0", True),
    ("index", "question", "answer"),
    _chain_sum,
    Shuffled(400, 100),
)

RECIPES = (CHAIN_SUM,)
"""All of this file."""
