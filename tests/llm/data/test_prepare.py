"""What preparation writes, reads and refuses."""

from __future__ import annotations

import json

import datasets
import pyarrow
import pytest
from pyarrow import ipc, parquet

from cpi_theory.checks import InvalidInput
from llm.data.prepare import MANIFEST, prepare
from llm.data.prepared import read_manifest, read_split
from llm.data.recipes.catalogue import find_recipe
from llm.tasks.dataset import Fields, load_task
from tests.llm.data.sources import ROWS, TWO_SPLITS, livecodebench
from tests.llm.data.test_recipes import jsonl

HMMT = find_recipe("hmmt_nov_2025")
LCB = find_recipe("livecodebench_medium")
TESTS = '{"streams": [["1", "1"]]}'
HARD = livecodebench(1, "hard")
ROW = ROWS["hmmt_nov_2025"]


def as_parquet(path, table):
    parquet.write_table(table, path)


def as_stream(path, table):
    with ipc.new_stream(str(path), table.schema) as sink:
        sink.write_table(table)


def as_file(path, table):
    with ipc.new_file(str(path), table.schema) as sink:
        sink.write_table(table)


@pytest.mark.parametrize(
    ("name", "write"),
    [("x.parquet", as_parquet), ("x.arrow", as_stream), ("x.arrow", as_file)],
)
def test_local_exports(tmp_path, name, write):
    write(tmp_path / name, pyarrow.Table.from_pylist([{**ROW[0], "problem_type": ["A"]}]))
    assert prepare(HMMT, tmp_path / "made", tmp_path / name)["splits"]["test"]["rows"] == 1


def test_a_folder_that_datasets_saved(tmp_path):
    datasets.Dataset.from_list(ROWS["csqa"]).save_to_disk(tmp_path / "saved")
    found = prepare(find_recipe("csqa"), tmp_path / "made", tmp_path / "saved")
    assert found["splits"]["test"]["rows"] == 1


def test_of_a_folder_with_splits_the_recipes_split_is_read(tmp_path):
    other = {**ROW[0], "problem": "Another one?", "problem_idx": 2}
    jsonl(tmp_path / "export" / "train.jsonl", ROW)
    jsonl(tmp_path / "export" / "test.jsonl", [other])
    prepare(HMMT, tmp_path / "made", tmp_path / "export")
    assert [p.question for p in read_split(tmp_path / "made", "test").problems] == ["How many?"]


@pytest.fixture
def made(tmp_path):
    prepare(HMMT, tmp_path / "made", jsonl(tmp_path / "x.jsonl", ROW))
    return tmp_path / "made"


def test_the_same_export_gives_the_same_files(made, tmp_path):
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    prepare(HMMT, made, tmp_path / "x.jsonl")
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_a_changed_row_is_found(made):
    table = parquet.read_table(made / "test.parquet").to_pylist()
    parquet.write_table(
        pyarrow.Table.from_pylist([{**table[0], "answers": ["1"]}]), made / "test.parquet"
    )
    with pytest.raises(InvalidInput, match="not what was prepared; prepare it again"):
        read_split(made, "test")


def test_a_lost_row_is_found(made):
    manifest = json.loads((made / MANIFEST).read_text())
    manifest["splits"]["test"]["digests"]["more"] = "0"
    (made / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InvalidInput, match="lacks 1 problems"):
        read_split(made, "test")


def test_without_a_manifest_nothing_is_read(made):
    with pytest.raises(InvalidInput, match="choose one of 'test'"):
        read_split(made, "train")
    (made / MANIFEST).unlink()
    with pytest.raises(InvalidInput, match="no manifest"):
        read_manifest(made)


def test_a_failure_leaves_what_was_prepared(made, tmp_path):
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    with pytest.raises(InvalidInput):
        prepare(HMMT, made, jsonl(tmp_path / "y.jsonl", [{"problem": "x"}]))
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_a_data_set_task_reads_what_is_prepared(tmp_path):
    for split, rows in TWO_SPLITS["gsm8k"].items():
        jsonl(tmp_path / "export" / f"{split}.jsonl", rows)
    prepare(find_recipe("gsm8k"), tmp_path / "made", tmp_path / "export")
    fields = Fields(id="id", kind="kind", answer="answers")
    files = [str(tmp_path / "made" / f"{split}.parquet") for split in ("train", "test")]
    task = load_task(*files, fields=fields)
    assert [p.answer for p in (*task.train, *task.test)] == ["2", "3"]


def test_what_may_not_be_passed_on_is_ignored_by_git(tmp_path, made):
    assert not (made / ".gitignore").exists()
    found = prepare(
        find_recipe("gpqa"), tmp_path / "gpqa", jsonl(tmp_path / "g.jsonl", ROWS["gpqa"])
    )
    assert (tmp_path / "gpqa" / ".gitignore").read_text() == "*\n"
    assert found["licence"]["redistribute"] is False


def test_nothing_of_the_users_is_lost(tmp_path):
    for split, rows in TWO_SPLITS["gsm8k"].items():
        jsonl(tmp_path / "export" / f"{split}.jsonl", rows)
    before = {path: path.read_bytes() for path in (tmp_path / "export").iterdir()}
    with pytest.raises(InvalidInput, match=r"to = .*holds .*export, which would be replaced"):
        prepare(find_recipe("gsm8k"), tmp_path / "export", tmp_path / "export")
    assert {path: path.read_bytes() for path in (tmp_path / "export").iterdir()} == before
    asked = find_recipe("gpqa"), tmp_path / "mine", jsonl(tmp_path / "g.jsonl", ROWS["gpqa"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".gitignore").write_text("*.tmp\n")
    with pytest.raises(InvalidInput, match="gitignore of its own, and gpqa must not get into"):
        prepare(*asked)
    assert (tmp_path / "mine" / ".gitignore").read_text() == "*.tmp\n"
    (tmp_path / "mine" / ".gitignore").unlink()
    prepare(*asked)
    prepare(*asked)  # what was prepared is replaced


def test_what_has_no_revision_is_given_none(tmp_path):
    with pytest.raises(
        InvalidInput, match=r"revision = 'abc': .*x\.jsonl is no data set on the hub"
    ):
        prepare(HMMT, tmp_path / "made", jsonl(tmp_path / "x.jsonl", ROW), revision="abc")
    with pytest.raises(InvalidInput, match=r"revision = 'abc': .* is no data set on the hub"):
        prepare(find_recipe("humaneval"), tmp_path / "made", revision="abc")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        (
            "hmmt_nov_2025",
            [{"problem": "x"}],
            r"'problem_idx', 'answer' missing",
        ),
        (
            "hmmt_nov_2025",
            [{**ROW[0], "answer": "5++"}],
            "no problem is left of 1 records: 1 that cannot be read .the first: cannot be read",
        ),
        (
            "numinamath_olympiads",
            ROWS["numinamath_olympiads"][:5],
            r"split test = 5: no problem is left of 5 records; the 5 that are left go to the other "
            r"split, which takes \d+; give an export of .* with more than \d+ problems",
        ),
        ("csqa", [{**ROWS["csqa"][0], "choices": "A"}], "no problem is left"),
        ("csqa", [{**ROWS["csqa"][0], "answerKey": "Z"}], "none of"),
        ("mmlu_pro", [{**ROWS["mmlu_pro"][0], "answer": "Z"}], "not one of the options"),
        ("mmlu_pro", [{**ROWS["mmlu_pro"][0], "options": ["a"]}], "not one of the options"),
        ("strategyqa", [{**ROWS["strategyqa"][0], "answer": "perhaps"}], "not true or false"),
        ("mbpp_plus", [{**ROWS["mbpp_plus"][0], "test_list": ["assert 1"]}], "calls no function"),
        ("mbpp_plus", [{**ROWS["mbpp_plus"][0], "test_list": ["assert ("]}], "not Python"),
        (
            "livecodebench_hard",
            [{**livecodebench(1, "hard"), "public_test_cases": "?"}],
            "no tests",
        ),
        (
            "livecodebench_hard",
            [{**livecodebench(1, "hard", "add"), "metadata": "?"}],
            "no JSON object",
        ),
    ],
)
def test_records_that_cannot_be_used(tmp_path, name, rows, message):
    with pytest.raises(InvalidInput, match=message):
        prepare(find_recipe(name), tmp_path / "made", jsonl(tmp_path / "x.jsonl", rows))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"a,b", "not a kind of file that is read; use one of .arrow"),
        ("x.pkl", b"\x80\x04N.", "not a kind of file"),
        ("x.arrow", b"nothing", "not an Arrow file"),
        ("x.parquet", b"nothing", "not a parquet file"),
        ("x.json", b"{", "cannot be read as JSON"),
        ("x.json", b"[1]", "not a JSON object"),
        ("x.jsonl.gz", b"{}", "cannot be read as JSON"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        prepare(HMMT, tmp_path / "made", tmp_path / name)


def test_places_without_records(tmp_path):
    with pytest.raises(InvalidInput, match="no such file or folder"):
        prepare(HMMT, tmp_path / "made", tmp_path / "nowhere")
    jsonl(tmp_path / "export" / "validation.jsonl", ROW)
    with pytest.raises(InvalidInput, match="no such file whose name begins with 'train'"):
        prepare(HMMT, tmp_path / "made", tmp_path / "export")
    with pytest.raises(InvalidInput, match="one file, but two splits are needed"):
        prepare(find_recipe("gsm8k"), tmp_path / "made", tmp_path / "export" / "validation.jsonl")


def test_a_hub_that_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InvalidInput, match=r"cannot be loaded from the hub.*--from PATH"):
        prepare(HMMT, tmp_path / "made")


def test_a_package_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="package not installed; pip install champ-dataset"):
        prepare(find_recipe("champ"), tmp_path)
