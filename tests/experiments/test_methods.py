"""The methods that commands know by name: their page, and how they are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.methods import FAMILY, LANGUAGE_METHODS, TABULAR_METHODS, GroupMethod

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"


def test_the_page_has_a_row_for_every_method_and_a_section_for_every_row():
    text = PAGE.read_text()
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[2])}
    tabular = {n for n, m in TABULAR_METHODS.items() if isinstance(m, GroupMethod)}
    known = (tabular | set(LANGUAGE_METHODS)) - {"SRPO-70", "SRPO-40", "Frontier-70", "ORACLE"}
    assert named == known
    assert set(FAMILY) <= named
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("## ")
    }
    assert {re.search(r"\(#([^)]+)\)", row)[1] for row in rows} <= headings
    for link in re.findall(r"\]\((\.\./[^)#]+|[a-z_]+\.md)\)", text):
        assert (PAGE.parent / link).exists(), link


def test_every_method_of_the_family_cites_its_source_and_its_cost():
    for name, algorithm in FAMILY.items():
        text = type(algorithm).__doc__
        assert "Source:" in text, name
        if not name.endswith(("Reset", ", any")) and name not in ("Dr. GRPO", "RLOO"):
            assert "Cost:" in text, name


def test_learn_runs_them_from_the_command_line(tmp_path, capsys):
    arguments = ["--worlds", "lock", "--methods", "GRPO", "GiGPO", "SCoRe", "--sampled-worlds"]
    small = ["--seeds", "2", "--budget.updates", "2", "--budget.every", "1", "--workers", "1"]
    assert main(["learn", "--output", str(tmp_path), *arguments, *small]) == 0
    rows = [json.loads(line) for line in (tmp_path / "learn/curves.jsonl").read_text().splitlines()]
    assert {row["method"] for row in rows} == {"GRPO", "GiGPO", "SCoRe"}
    assert {row["method"] for row in rows if "second" in row} == {"SCoRe"}
    assert "GiGPO - GRPO" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["R3", "AdaBack"])
def test_train_refuses_what_a_task_cannot_show_before_it_loads_a_model(tmp_path, capsys, method):
    (tmp_path / "questions.jsonl").write_text(
        "".join(f'{{"question": "{i} + 1?", "answer": "{i + 1}"}}\n' for i in range(9))
    )
    (tmp_path / "run.toml").write_text(
        f'''
        worlds = ["mine"]
        methods = ["GRPO", "{method}"]
        [[more]]
        type = "DatasetWorld"
        name = "mine"
        source = "{tmp_path}/questions.jsonl"
        '''
    )
    code = main(["train", "--config", str(tmp_path / "run.toml"), "--output", str(tmp_path)])
    assert code == 2
    assert f"method = '{method}'" in (said := capsys.readouterr().err)
    assert "writes no demonstrations" in said
