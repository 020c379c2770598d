"""What a run of evaluate has stored of texts, sorted by model and problem."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput
from experiments.runs.files import Row
from experiments.runs.store import Run


@dataclass(frozen=True, eq=False)
class Chain:
    """An attempt and its corrections.

    Attributes:
        name: what it is called, such as "sampled 0" or "self, own 0".
        rounds: its rows, the first attempt and each correction.
    """

    name: str
    rounds: Sequence[Row]

    @property
    def last(self) -> Row:
        """The row whose answer stands."""
        return self.rounds[-1]

    @property
    def upper_bound(self) -> bool:
        """Whether the reference chose when to stop."""
        return self.last.get("stop") == "oracle"

    def thoughts(self, number: int) -> list[Row]:
        """All thoughts of the attempt of a round, those that it kept included."""
        row = self.rounds[number]
        kept = self.thoughts(number - 1)[: row["step"]] if self.parent(number) else []
        return [*kept, *row["thoughts"]]

    def parent(self, number: int) -> bool:
        """Whether a round kept thoughts, or might have, of the round before it."""
        return self.rounds[number].get("step") is not None


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem with all that one model wrote.

    Attributes:
        id, question, reference, prompt, prompt_tokens: as :func:`text_fields` stores them.
        chains: greedy and sampled attempts, then chains of corrections.
    """

    id: str
    question: str
    reference: str
    prompt: str
    prompt_tokens: Sequence[int]
    chains: list[Chain] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Written:
    """What one model wrote about one benchmark.

    Attributes:
        benchmark, method, seed: which.
        problems: by their ids.
    """

    benchmark: str
    method: str
    seed: int | None
    problems: dict[str, Problem] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """A name for files, without what file systems do not like."""
        name = f"{self.benchmark}-{self.method}"
        name += "" if self.seed is None else f"-{self.seed}"
        return re.sub(r"[^\w.]+", "-", name).strip("-.") or "model"


def stored_run(source: str) -> Run:
    """Return a run of evaluate.

    Raises:
        InvalidInput: it is no such run.
    """
    folder = Path(source).expanduser()
    if not (folder / "run.json").is_file():
        remedy = "give the folder of a run of evaluate, such as results/evaluate"
        raise InvalidInput("source", source, "holds no run", remedy)
    run = Run.existing(folder.parent, folder.name)
    if not isinstance(run.config, dict) or run.config.get("type") != "EvaluateConfig":
        problem = "is no run of evaluate: other commands keep no texts"
        raise InvalidInput("source", source, problem, "run cpi-resets evaluate --texts")
    return run


def read_written(source: str) -> list[Written]:
    """Read all texts of a run of evaluate.

    Raises:
        InvalidInput: it is no such run, or has kept no texts.
    """
    run = stored_run(source)
    if not run.config.get("texts"):
        problem = "was made without texts"
        raise InvalidInput("source", source, problem, "run evaluate with --texts, under a new name")
    attempts = run.read("attempts")
    chains = run.read("chains") if run.has("chains") else []
    return sort_written(attempts, chains)


def sort_written(attempts: Sequence[Row], chains: Sequence[Row]) -> list[Written]:
    """Sort rows with texts.

    Args:
        attempts: of :func:`experiments.evaluate.samples.attempt_rows`.
        chains: of :func:`experiments.evaluate.chains.chain_rows`.
    """
    found: dict[Any, Written] = {}
    # Greedy ones first: where one answer is to be shown, it is theirs.
    for row in sorted(attempts, key=lambda row: row["kind"] != "greedy"):
        name = f"{row['kind']} {row['attempt']}"
        _problem_of(found, row).chains.append(Chain(name, [row]))
    rounds: dict[Any, list[Row]] = {}
    for row in chains:
        model = (row["benchmark"], row["method"], row["seed"], row["problem"])
        rounds.setdefault((*model, row["localizer"], row["stop"], row["chain"]), []).append(row)
    for rows in rounds.values():
        ordered = sorted(rows, key=lambda row: row["round"])
        first = ordered[0]
        name = f"{first['localizer']}, {first['stop']} {first['chain']}"
        _problem_of(found, first).chains.append(Chain(name, ordered))
    return list(found.values())


def _problem_of(found: dict[Any, Written], row: Row) -> Problem:
    model = (row["benchmark"], row["method"], row["seed"])
    written = found.setdefault(model, Written(*model))
    known = written.problems.get(row["problem"])
    if known is None:
        about = (row[n] for n in ("problem", "question", "reference", "prompt", "prompt_tokens"))
        known = written.problems[row["problem"]] = Problem(*about)
    return known


def text_of(thoughts: Sequence[Row]) -> str:
    """Thoughts as the text that they were."""
    return "".join(thought["text"] for thought in thoughts)
