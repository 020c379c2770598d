"""Scores and comparisons worked by hand."""

from __future__ import annotations

import pytest

from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import clustered_proportion
from cpi_theory.statistics.paired import mean_score
from experiments.evaluate.report import comparison_verdicts, unpaired_verdicts
from experiments.evaluate.summary import (
    aggregates,
    comparisons,
    methods,
    models,
    scores_by_problem,
)

ENDINGS = {True: "answered", False: "token limit"}


def attempts(method, seed, right, benchmark="b", kind="sampled", answers=None):
    """`right`: per problem, a text of 1 and 0 per attempt."""
    return [
        {
            "benchmark": benchmark,
            "method": method,
            "seed": seed,
            "problem": f"p{p}",
            "kind": kind,
            "attempt": i,
            "reward": float(hit),
            "right": hit == "1",
            "answer": answers[p][i] if answers else hit,
            "tokens": 10 + i,
            "ending": ENDINGS[hit == "1"],
        }
        for p, hits in enumerate(right)
        for i, hit in enumerate(hits)
    ]


def test_scores_worked_by_hand() -> None:
    rows = attempts("A", 0, ["110", "000"], answers=["xxy", "uvw"])
    rows += attempts("A", 0, ["1", "0"], kind="greedy")
    (found,) = models(rows, scores_by_problem(rows, ks=(1, 2)))
    assert (found["sampled"], found["pass@1"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found["pass@2"] == pytest.approx(1 / 2)
    assert found["majority"] == 1 / 2
    assert found["greedy"] == 1 / 2
    assert found["tokens"] == 11
    assert found["endings"] == {
        "answered": pytest.approx(1 / 3),
        "token limit": pytest.approx(2 / 3),
    }


def test_scores_of_a_model_have_intervals_over_problems() -> None:
    # Eight attempts at four problems are four problems: all of one agree.
    rows = attempts("A", 0, ["1111", "0000", "0000", "1111"])
    (found,) = models(rows, scores_by_problem(rows, ks=(1,)))
    expected = clustered_proportion([4, 0, 0, 4], [4, 4, 4, 4])
    for measure in ("sampled", "majority", "pass@1"):
        ends = (found[f"{measure}_lower"], found[measure], found[f"{measure}_upper"])
        assert ends == pytest.approx((expected.lower, 0.5, expected.upper))
    alike = attempts("A", 0, ["1100"] * 4)
    (narrow,) = models(alike, scores_by_problem(alike))
    # Where problems differ no more than by chance all sixteen attempts count.
    expected = clustered_proportion([2, 2, 2, 2], [4, 4, 4, 4])
    ends = (narrow["sampled_lower"], narrow["sampled_upper"])
    assert ends == pytest.approx((expected.lower, expected.upper))
    assert narrow["sampled_lower"] > found["sampled_lower"]


def test_scores_of_a_method_are_those_of_all_its_seeds() -> None:
    rows = attempts("A", 0, "0011") + attempts("A", 1, "0111") + attempts("B", None, "0001")
    rows += attempts("A", 0, "10", "c", kind="greedy")
    found = {
        (r["benchmark"], r["method"], r["measure"]): r
        for r in methods(rows, scores_by_problem(rows))
    }
    assert set(found) == {
        *((b, m, s) for b, m in (("b", "A"), ("b", "B")) for s in ("sampled", "majority")),
        ("c", "A", "greedy"),
    }
    ours = found["b", "A", "sampled"]
    expected = mean_score([[0, 0, 1, 1], [0, 1, 1, 1]])
    assert (ours["estimate"], ours["seeds"], ours["problems"]) == (0.625, 2, 4)
    assert (ours["lower"], ours["upper"]) == (expected.lower, expected.upper)


def test_pairs_share_seed_and_problem() -> None:
    # In every seed B solves what A does and one problem more; the seeds are far apart.
    rows = attempts("A", 0, "0000") + attempts("B", 0, "0001")
    rows += attempts("A", 1, "0110") + attempts("B", 1, "0111")
    rows += attempts("A", 2, "1110") + attempts("B", 2, "1111")
    (found,) = (r for r in comparisons(scores_by_problem(rows)) if r["measure"] == "sampled")
    assert (found["first"], found["second"], found["seeds"], found["problems"]) == ("B", "A", 3, 4)
    assert found["difference"] == 0.25
    assert found["sign_flips"] == 0.25


def test_seeds_that_only_one_method_has_are_left_out() -> None:
    rows = attempts("A", 0, "01") + attempts("A", 1, "00") + attempts("B", 1, "11")
    (found,) = (r for r in comparisons(scores_by_problem(rows)) if r["measure"] == "sampled")
    assert (found["seeds"], found["difference"]) == (1, 1.0)
    assert "One seed" in comparison_verdicts([found])[0]
    apart = attempts("A", 0, "01") + attempts("B", 1, "11")
    assert comparisons(scores_by_problem(apart)) == []


def test_pairs_without_a_common_seed_are_said_not_to_be_compared() -> None:
    rows = attempts("A", 0, "01") + attempts("A", 2, "01") + attempts("B", 1, "11")
    rows += attempts("start", None, "00") + attempts("C", 2, "11")
    (first, second) = unpaired_verdicts(models(rows, scores_by_problem(rows)))
    assert first.startswith("b: B (seed 1) and A (seeds 0, 2) were not compared, as they have no ")
    assert second.startswith("b: C (seed 2) and B (seed 1) were not compared")


def test_a_model_without_a_seed_stands_for_all() -> None:
    rows = attempts("start", None, "0100") + attempts("B", 0, "0110") + attempts("B", 1, "1111")
    (found,) = (r for r in comparisons(scores_by_problem(rows)) if r["measure"] == "sampled")
    assert (found["seeds"], found["difference"]) == (2, 0.5)


def test_several_benchmarks_are_adjusted() -> None:
    rows = []
    for benchmark, ours in (("b", "111111110111"), ("c", "001100110011")):
        for seed in range(3):
            rows += attempts("A", seed, "001100000100", benchmark)
            rows += attempts("B", seed, ours, benchmark)
    found = [r for r in comparisons(scores_by_problem(rows)) if r["measure"] == "sampled"]
    first, second = sorted(found, key=lambda row: row["p"])
    assert first["holm"] == pytest.approx(2 * first["p"])
    assert second["holm"] == max(first["holm"], second["p"])
    for row, sentence in zip(found, comparison_verdicts(found), strict=True):
        assert ("B is ahead" in sentence) == row["shown"] == (row["holm"] < 0.05)


def test_aggregates_need_seeds_in_every_benchmark() -> None:
    rows = [
        row
        for method, seeds in (("A", 3), ("B", 1), ("C", 5))
        for seed in range(seeds)
        for benchmark in ("b", "c")
        for row in attempts(method, seed, ["1" * (seed % 4) + "0" * (3 - seed % 4)] * 2, benchmark)
    ]
    found = aggregates(scores_by_problem(rows), 500, Key.of(0))
    few, many = (row for row in found if row["measure"] == "sampled")
    # Of 0, 0, 1/3, 1/3, 2/3, 2/3 the middle half; how far another seed lies three do not say.
    assert (few["method"], few["value"]) == ("A", pytest.approx(1 / 3))
    assert few["lower"] is few["upper"] is None
    assert many["method"] == "C"
    assert 0 <= many["lower"] < many["value"] < many["upper"] <= 1
    assert (few["benchmarks"], few["seeds"]) == (2, 3)
