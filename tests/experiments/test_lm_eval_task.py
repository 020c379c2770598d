"""The task file for lm-eval in the documentation: its data are the world's, and it runs."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from experiments.worlds.sums import SUMS
from llm.models.settings import TINY_FOLDER
from llm.task import Problem

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "examples" / "lm_eval"

needs_lm_eval = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm-eval is not installed; it wants an environment of its own",
)


def questions() -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / "sums.jsonl").read_text().splitlines()]


def test_its_questions_are_held_out_ones_of_the_world() -> None:
    task = SUMS["sums-four"].task()
    expected = [(p.question, p.answer) for p in task.problems("test", 64, 0)]
    assert [(q["question"], q["answer"]) for q in questions()] == expected


def test_its_filter_reads_what_the_world_reads() -> None:
    (pattern,) = re.findall(r"regex_pattern: '(.*)'", (FOLDER / "sums.yaml").read_text())
    task = SUMS["sums-four"].task()
    for text, right in (
        ("6 - 4 = 2\n2 + 5 = 7\n\\boxed{7}", True),
        ("so \\boxed{ 7 }", True),
        ("\\boxed{8}", False),
        ("\\boxed{7} and then \\boxed{8}", False),
        ("7", False),
    ):
        found = re.findall(pattern, text)
        assert bool(found and found[-1] == "7") == right
        assert (task.verify(Problem("p", "What is 6 - 4 + 5?", "7"), text).reward == 1) == right


@needs_lm_eval
@pytest.mark.slow
def test_lm_eval_runs_it(tmp_path: Path) -> None:
    """On a random model with the tokenizer of the tiny one: what it says does not matter."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(TINY_FOLDER)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu"]
    command += ["--model_args", f"pretrained={tmp_path / 'model'},dtype=float32"]
    command += ["--include_path", str(FOLDER), "--tasks", "cpi_resets_sums", "--limit", "2"]
    command += ["--output_path", str(tmp_path / "out")]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | offline, capture_output=True)
    (result,) = (tmp_path / "out").rglob("results_*.json")
    scores = json.loads(result.read_text())["results"]["cpi_resets_sums"]
    assert 0 <= scores["exact_match,boxed"] <= 1
