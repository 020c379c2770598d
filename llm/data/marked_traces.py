"""Solutions whose first wrong step somebody has marked, from files in two public schemas.

They are read strictly: a record that lacks a column, or whose mark is no step of its own, is
refused with its place, for a trace that is left out in silence changes the numbers of all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cpi_theory.checks import InvalidInput
from llm.data.problems import question_digest
from llm.data.records import READABLE, Record, read_records
from llm.task import NO_REFERENCE, Problem

BIG_BENCH_MISTAKE, PROCESS_BENCH = "BIG-Bench Mistake", "ProcessBench"
"""Names of the schemas."""


@dataclass(frozen=True, slots=True)
class MarkedTrace:
    """A solution in steps with a judgement of them.

    Attributes:
        id: where it stands, or what its record says.
        question: what was asked.
        steps: texts, at least one; some may be empty.
        first_error: the first wrong step, 0-based; None: no step is wrong.
        reference: the right answer; None: the file does not hold it.
        failed: whether its own answer is wrong, which is another thing than a wrong step; None: the
            file does not say.
    """

    id: str
    question: str
    steps: tuple[str, ...]
    first_error: int | None
    reference: str | None = None
    failed: bool | None = None

    @property
    def problem(self) -> Problem:
        """The question as a problem, named after its words."""
        name = question_digest(self.question)
        return Problem(name, self.question, self.reference or NO_REFERENCE, "exact")


@dataclass(frozen=True, slots=True)
class MarkedFile:
    """The traces of a file.

    Attributes:
        schema: which of the two it is written in.
        task: the name of the file, without its ending.
        traces: in the file's order.
    """

    schema: str
    task: str
    traces: tuple[MarkedTrace, ...]


def read_marked(path: str) -> MarkedFile:
    """Read the traces of a file.

    The schema follows from the first record: BIG-Bench Mistake has ``input``, ``target``,
    ``answer``, ``steps`` and ``mistake_index`` (0-based, null where there is none), ProcessBench
    ``problem``, ``steps`` and ``label`` (0-based, -1 where there is none), and where it is known
    ``id`` and ``final_answer_correct``.

    Args:
        path: a JSONL, parquet or Arrow file.

    Raises:
        InvalidInput: there is no such file, it is empty or in neither schema, or a record is
            unusable; with its place, column and value.

    Source: Tyen et al. (2023), arXiv 2311.08516; Zheng et al. (2024), arXiv 2412.06559.
    """
    if Path(path).suffix not in READABLE:
        remedy = f"give a file that ends in {' or '.join(sorted(READABLE))}"
        raise InvalidInput("traces", path, "not a kind of file that is read", remedy)
    records = list(read_records(path, "traces"))
    if not records:
        raise InvalidInput("traces", path, "holds no trace", "give a file with records")
    schema = _schema(records[0])
    traces = tuple(_READERS[schema](record) for record in records)
    return MarkedFile(schema, Path(path).stem, traces)


def _schema(record: Record) -> str:
    marks = {"mistake_index": BIG_BENCH_MISTAKE, "label": PROCESS_BENCH}
    for column, schema in marks.items():
        if column in record.values:
            return schema
    problem = f"no column {' or '.join(marks)}, in which first errors are marked"
    remedy = "write one of the two schemas that docs/language_models.md names"
    raise InvalidInput(record.place, sorted(record.values), problem, remedy)


def _mistake(record: Record) -> MarkedTrace:
    steps, mark = _steps(record), _column(record, "mistake_index")
    answer, reference = _column(record, "answer"), _text(record, "target")
    return MarkedTrace(
        record.place.rpartition("/")[2],
        _text(record, "input"),
        steps,
        None if mark is None else _index(record, "mistake_index", mark, steps, "null"),
        reference,
        # A trace without an answer has failed.
        answer is None or str(answer).strip() != reference,
    )


def _process(record: Record) -> MarkedTrace:
    steps, label = _steps(record), _column(record, "label")
    right = record.values.get("final_answer_correct")
    if right is not None and not isinstance(right, bool):
        remedy = "give true, false or null"
        place = f"{record.place}, column final_answer_correct"
        raise InvalidInput(place, right, "neither true nor false", remedy)
    clean = label == -1 and not isinstance(label, bool)
    return MarkedTrace(
        str(record.values.get("id", record.place.rpartition("/")[2])),
        _text(record, "problem"),
        steps,
        None if clean else _index(record, "label", label, steps, "-1"),
        failed=None if right is None else not right,
    )


_READERS: Mapping[str, Callable[[Record], MarkedTrace]] = {
    BIG_BENCH_MISTAKE: _mistake,
    PROCESS_BENCH: _process,
}


def _column(record: Record, name: str) -> object:
    if name not in record.values:
        remedy = "add the column to every record"
        raise InvalidInput(f"{record.place}, column {name}", None, "missing", remedy)
    return record.values[name]


def _text(record: Record, name: str) -> str:
    _column(record, name)
    return record.text(name)


def _steps(record: Record) -> tuple[str, ...]:
    steps = _column(record, "steps")
    if not isinstance(steps, list) or not steps or not all(isinstance(s, str) for s in steps):
        remedy = "give the steps in order, one text each"
        raise InvalidInput(f"{record.place}, column steps", steps, "not a list of texts", remedy)
    return tuple(steps)


def _index(record: Record, name: str, mark: object, steps: tuple[str, ...], clean: str) -> int:
    if type(mark) is int and 0 <= mark < len(steps):  # True is an integer in Python, but no index
        return mark
    problem = f"not the index of one of its {len(steps)} steps"
    remedy = f"count from 0, and write {clean} where no step is wrong"
    raise InvalidInput(f"{record.place}, column {name}", mark, problem, remedy)
