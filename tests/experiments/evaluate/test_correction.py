"""Self-correction from the command line, and its accounts worked by hand."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.evaluate.chains import chain_rows
from experiments.evaluate.config import EvaluateConfig
from experiments.evaluate.correction_summary import (
    BEST,
    FIRST,
    MAJORITY,
    corrections,
    rivals,
    table_of,
)
from experiments.evaluate.report import correction_verdicts
from experiments.evaluate.spec import Attempts, Correction, CorrectionSpec, EvaluatedModel
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.language import ArithmeticWorld
from experiments.worlds.named_localizers import LOCALIZERS
from llm.models.settings import TINY_NAME, ModelSettings

SHORT = ArithmeticWorld("short", horizon=4, hard_steps=2)
TINY = EvaluatedModel("tiny", ModelSettings(TINY_NAME))


def rows(stop: Any = "own", first: int = 0, count: int = 8, **options: Any) -> list[Row]:
    correction = Correction(rounds=3, **{"chains": 2, **options})
    (name,) = correction.localizers
    asked = LOCALIZERS[name]
    spec = CorrectionSpec(SHORT, TINY, Attempts(), correction, asked, stop, 8, first, count, 0)
    return chain_rows(spec)


def by_chain(found: list[Row]) -> dict[Any, list[Row]]:
    chains: dict[Any, list[Row]] = {}
    for row in found:
        chains.setdefault((row["problem"], row["chain"]), []).append(row)
    return chains


# --- chains --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["own", "oracle"])
def test_a_chain_hangs_on_its_model_problem_and_number_alone(stop: Any) -> None:
    whole = by_chain(rows(stop))
    parts = by_chain([*rows(stop, 0, 3), *rows(stop, 3, 5)])
    assert whole == parts
    more = by_chain(rows(stop, chains=3))
    assert all(more[name] == chain for name, chain in whole.items())


def test_the_oracle_stops_at_the_first_success_and_asks_about_failures_alone() -> None:
    for chain in by_chain(rows("oracle", localizers=("checker",))).values():
        assert not any(row["right"] for row in chain[:-1])
        assert chain[-1]["right"] or len(chain) == 4
        assert all((row["said"] is not None) == (row is not chain[-1]) for row in chain)


def test_rounds_keep_what_was_said_to_be_right() -> None:
    chains = by_chain(rows("oracle", localizers=("checker",)))
    seen = 0
    for chain in chains.values():
        for before, after in itertools.pairwise(chain):
            assert after["step"] == before["said"]["step"]
            seen += 1
    assert seen > 5
    # The checker's steps never go back: what is before a first error is right.
    steps = [[row["step"] for row in chain[1:]] for chain in chains.values()]
    assert all(some == sorted(some) for some in steps)


def test_all_that_is_asked_is_counted() -> None:
    plain, verified = by_chain(rows()), by_chain(rows(verify=True))
    for chain in plain.values():
        for row in chain[:-1]:
            assert row["said"]["generated"] > 0
            assert row["said"]["prompt"] > 0
    # The tiny model was never taught to judge: what it says is no verdict, and is no step either.
    assert all(chain[0]["said"]["generated"] > 0 for chain in verified.values())
    assert all(chain[0]["tokens"] == plain[name][0]["tokens"] for name, chain in verified.items())


# --- accounts worked by hand ---------------------------------------------------------------------


def chain(problem: str, *rounds: tuple[int, int], reason: str | None = None, stop="own", number=0):
    """Attempts as (right, tokens); 5 tokens are asked after each but the last."""
    found = []
    for n, (right, tokens) in enumerate(rounds):
        last = n == len(rounds) - 1
        said = {"step": None if last else 1, "reason": reason if last else None, "reading": "box"}
        said |= {"generated": 5, "prompt": 50}
        found.append(
            {
                "benchmark": "b",
                "method": "m",
                "seed": None,
                "localizer": "self",
                "stop": stop,
                "problem": problem,
                "chain": number,
                "round": n,
                "right": bool(right),
                "tokens": tokens,
                "said": None if last and reason is None else said,
            }
        )
    return found


def samples(problem: str, right: str, answers: str, tokens: int = 10) -> list[Row]:
    model = {"benchmark": "b", "method": "m", "seed": None, "problem": problem, "kind": "sampled"}
    return [
        model | {"right": hit == "1", "answer": answer, "tokens": tokens, "discarded": 0}
        for hit, answer in zip(right, answers, strict=True)
    ]


ATTEMPTS = samples("p", "1100", "aabc") + samples("q", "0001", "xxyz")
CHAINS = chain("p", (0, 10), (1, 6), reason="no error found") + chain("q", (1, 10), (0, 4), (0, 5))


def test_shares_and_tokens_worked_by_hand() -> None:
    first, second, third = corrections(table_of(CHAINS, ATTEMPTS), 2)
    assert (first["accuracy"], first["tokens"], first["asking"]) == (0.5, 10, 0)
    # p: 10 + 5 + 6, and q: 10 + 5 + 4.
    assert (second["tokens"], second["asking"], second["read"]) == (20, 5, 50)
    assert (second["mended"], second["spoiled"]) == (0.5, 0.5)
    assert second["accepted"] == 0
    # In round 2 p was asked about again, and accepted: that costs, too.
    assert third["tokens"] == (21 + 5 + 19 + 5 + 5) / 2
    assert (third["accepted"], third["unnamed"], third["accuracy"]) == (0.5, 0, 0.5)


def test_rivals_have_the_same_tokens_in_the_mean() -> None:
    found = {(r["round"], r["rival"]): r for r in rivals(table_of(CHAINS, ATTEMPTS), 2, 0)}
    majority = found[1, MAJORITY]
    assert majority["samples"] == 2.0
    # Of p's six pairs aa is right, and each of the four with one a is a tie: (1 + 4 / 2) / 6; of
    # q's, z is in three: 3 / 2 / 6.
    assert majority["score"] == pytest.approx((0.5 + 0.25) / 2)
    assert majority["difference"] == pytest.approx(0.5 - 0.375)
    assert found[1, BEST]["score"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert (majority["like"], found[1, BEST]["like"]) == (True, False)
    # 27.5 tokens are a quarter of a third attempt and three quarters of the second one.
    best = found[2, BEST]
    assert best["samples"] == 2.75
    two, three = (5 / 6 + 1 / 2) / 2, (1 + 3 / 4) / 2
    assert best["score"] == pytest.approx(0.25 * two + 0.75 * three)
    assert found[2, FIRST]["difference"] == 0
    assert not found[2, FIRST]["equal_tokens"]


def test_a_rival_that_was_not_sampled_often_enough_is_named() -> None:
    few = samples("p", "1", "a") + samples("q", "0", "x")
    table = table_of(CHAINS, few)
    (majority,) = (r for r in rivals(table, 1, 0) if r["rival"] == MAJORITY)
    assert (majority["samples"], majority["score"], majority["holm"]) == (2.0, None, None)
    sentences = correction_verdicts(corrections(table, 1), rivals(table, 1, 0))
    assert "set attempts.samples to 2" in sentences[1]
    none = rivals(table_of(CHAINS, []), 1, 0)
    assert {r["samples"] for r in none} == {1.0, None}


def test_the_oracle_is_called_an_upper_bound() -> None:
    chains = chain("p", (0, 10), (1, 6), stop="oracle") + chain("q", (1, 10), stop="oracle")
    table = table_of(chains, ATTEMPTS)
    found = corrections(table, 1)
    assert [row["upper_bound"] for row in found] == [True, True]
    (about, beside) = correction_verdicts(found, rivals(table, 1, 0))
    assert "upper bound, no pass@1" in about
    assert BEST in beside


# --- who may be asked ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("benchmark", "localizer", "options", "message"),
    [
        ("natural", "checker", {}, "knows the right answer"),
        ("natural", "blurred", {}, "knows the right answer"),
        ("sums", "self-answer-given", {}, "knows the right answer"),
        ("sums", "self-answer-shown", {"verify": True}, "knows the right answer"),
        ("sums", "self-told-wrong", {}, "nobody knows without the reference"),
        ("sums", "self", {}, "nobody knows without the reference"),
    ],
)
def test_who_knows_the_answer_ends_nothing_by_itself(
    benchmark: str, localizer: str, options: Any, message: str
) -> None:
    correction = Correction(rounds=1, localizers=(localizer,), **options)
    config = EvaluateConfig(benchmarks=(benchmark,), correction=correction)
    with pytest.raises(InvalidInput, match=message) as caught:
        config.correction_specs()
    (advised,) = re.findall(r"choose ([\w-]+)", caught.value.remedy)
    taken = Correction(rounds=1, localizers=(advised,))
    assert EvaluateConfig(benchmarks=(benchmark,), correction=taken).correction_specs()
    alone = Correction(rounds=1, localizers=(localizer,), stops=("oracle",), **options)
    assert EvaluateConfig(benchmarks=(benchmark,), correction=alone).correction_specs()


def test_a_verdict_of_the_models_own_allows_to_say_that_it_is_wrong() -> None:
    correction = Correction(rounds=1, localizers=("self-told-wrong", "unsure"), verify=True)
    config = EvaluateConfig(benchmarks=("sums",), correction=correction)
    assert len(config.correction_specs()) == 4


# --- the command ---------------------------------------------------------------------------------

WORLD = """
[[more]]
type = "ArithmeticWorld"
name = "short"
horizon = 4
hard_steps = 2

[correction]
rounds = 2
localizers = ["self", "unsure"]
chains = 2
"""


def test_corrections_are_measured_resumed_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(WORLD)
    asked = ["evaluate", "--config", str(file), "--benchmarks", "short", "--problems", "6"]
    asked += ["--attempts.samples", "6", "--part", "3", "--workers", "1"]
    asked += ["--output", str(tmp_path)]
    assert main(asked) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "model corrected by self, 2 rounds, alone: right" in text
    assert "stopped by the oracle (an upper bound, no pass@1): right" in text
    record = Run.existing(tmp_path, "evaluate")
    chains = record.read("chains")
    assert (
        len(by_chain([r for r in chains if r["localizer"] == "self" and r["stop"] == "own"])) == 12
    )
    # Nobody is asked where the model was unsure: it costs no token.
    unsure = [r for r in chains if r["localizer"] == "unsure" and r["said"]]
    assert unsure
    assert {r["said"]["generated"] for r in unsure} == {0}
    # A part that is missing is made again, and is the same.
    folder = tmp_path / "evaluate" / "shards" / "chains"
    before = (tmp_path / "evaluate" / "chains.jsonl").read_bytes()
    shards = sorted(folder.iterdir())
    assert len(shards) == 2 * 2 * 2
    kept = {path: path.stat().st_mtime_ns for path in shards[1:]}
    shards[0].unlink()
    assert main(asked) == 0
    assert (tmp_path / "evaluate" / "chains.jsonl").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in shards[1:]} == kept
    assert main(["report", "--vector", "none", "--output", str(tmp_path)]) == 0
    report = (tmp_path / "report" / "report.md").read_text()
    assert "Self-correction at inference" in report
    assert "upper bound" in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--correction.rounds", "-1"], "correction.rounds = -1"),
        (["--correction.rounds", "1", "--correction.localizers", "slef"], "= 'slef': unknown"),
        (["--correction.rounds", "1", "--correction.chains", "0"], "correction.chains = 0"),
        (
            ["--correction.rounds", "1", "--correction.localizers", "self", "self"],
            "named twice",
        ),
    ],
)
def test_bad_input_is_named(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *options, "--output", str(tmp_path)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
