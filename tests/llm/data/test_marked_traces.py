"""Marked traces in two schemas, and records that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cpi_theory.checks import InvalidInput
from llm.data.marked_traces import BIG_BENCH_MISTAKE, PROCESS_BENCH, read_marked

HERE = Path(__file__).parent
MISTAKE = json.loads((HERE / "mistakes.jsonl").read_text().splitlines()[1])
PROCESS = json.loads((HERE / "process.jsonl").read_text().splitlines()[1])


def written(tmp_path: Path, record: object) -> str:
    path = tmp_path / "made.jsonl"
    path.write_text("" if record is None else json.dumps(record))
    return str(path)


def test_both_schemas_are_read() -> None:
    file = read_marked(str(HERE / "mistakes.jsonl"))
    assert (file.schema, file.task) == (BIG_BENCH_MISTAKE, "mistakes")
    assert [trace.first_error for trace in file.traces] == [None, 1, 0]
    # The third has a wrong step and a right answer.
    assert [trace.failed for trace in file.traces] == [False, True, False]
    assert [trace.reference for trace in file.traces] == ["14", "-2", "9"]
    assert file.traces[1].id == "mistakes.jsonl, line 2"
    file = read_marked(str(HERE / "process.jsonl"))
    assert (file.schema, file.task) == (PROCESS_BENCH, "process")
    assert [(t.id, t.first_error, t.failed) for t in file.traces] == [
        ("made-0", None, False),
        ("made-1", 1, True),
    ]
    assert file.traces[0].reference is None


def test_an_answer_that_is_missing_has_failed(tmp_path: Path) -> None:
    (trace,) = read_marked(written(tmp_path, MISTAKE | {"answer": None})).traces
    assert trace.failed is True


def test_what_a_file_does_not_say_is_unknown(tmp_path: Path) -> None:
    record = {k: v for k, v in PROCESS.items() if k not in ("id", "final_answer_correct")}
    (trace,) = read_marked(written(tmp_path, record)).traces
    assert (trace.failed, trace.id) == (None, "made.jsonl, line 1")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "holds no trace; give a file with records"),
        ({"input": "?"}, "no column mistake_index or label"),
        ({k: v for k, v in MISTAKE.items() if k != "steps"}, "column steps = None: missing; add"),
        ({k: v for k, v in MISTAKE.items() if k != "target"}, "column target = None: missing"),
        (MISTAKE | {"steps": []}, "column steps = .*: not a list of texts"),
        (MISTAKE | {"steps": ["a", 3]}, "column steps = .*: not a list of texts"),
        (MISTAKE | {"mistake_index": 3}, "mistake_index = 3: not the index of one of its 3 steps"),
        (MISTAKE | {"mistake_index": -1}, "mistake_index = -1: .*write null where"),
        (MISTAKE | {"mistake_index": True}, "mistake_index = True: not the index"),
        (PROCESS | {"label": 2}, "label = 2: not the index of one of its 2 steps; .* -1 where"),
        (PROCESS | {"label": None}, "label = None: not the index"),
        (PROCESS | {"final_answer_correct": 1}, "final_answer_correct = 1: neither true nor false"),
    ],
)
def test_bad_records_are_named(record: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_marked(written(tmp_path, record))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"traces = 'x.txt': not a kind of file"):
        read_marked("x.txt")
    with pytest.raises(InvalidInput, match="no such file"):
        read_marked(str(tmp_path / "x.jsonl"))
