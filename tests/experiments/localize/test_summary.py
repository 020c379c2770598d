"""Scores worked by hand, and localisers of known quality that must give their numbers back."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.seam import FailedLocalization, Localization, Reason
from experiments.localize.report import gain_verdicts, wide
from experiments.localize.samples import Judged, answer_row
from experiments.localize.summary import (
    ALL_TASKS,
    BLIND,
    LAST,
    MODAL,
    NONE,
    UNIFORM,
    gains,
    positions,
    refusals,
    scores,
)
from llm.localizers.base import Located


def trace(number, steps, first_error, said=None, task="t", question=None, failed=True):
    judged = Judged(
        "d", task, f"{task}-{number}", question or f"q{number}", steps, first_error, failed
    )
    return judged.row() | {"said": said or {}}


def answer(named, told=False):
    """A step, None for "no step is wrong", or a reason."""
    if isinstance(named, int):
        return answer_row(Located(Localization(named)), told)
    return answer_row(Located(FailedLocalization(named or Reason.NO_ERROR)), told)


def value(rows, localizer, measure, **labels):
    wanted = {"localizer": localizer, "measure": measure, "task": "t", "asked": "all"} | labels
    (found,) = (row for row in rows if all(row[k] == v for k, v in wanted.items()))
    return found


# Four steps each; wrong at 1, 1 and 3, and two without a wrong step.
TRUTHS = (1, 1, 3, None, None)
SAID = (1, 2, Reason.UNPARSABLE, None, 0)


def five():
    return [
        trace(i, 4, truth, {"A": answer(named)})
        for i, (truth, named) in enumerate(zip(TRUTHS, SAID, strict=True))
    ]


def test_baselines_and_f1_worked_by_hand():
    table = scores(five())
    expected = {
        "A": (1 / 3, 2 / 3, 1 / 2, 2 / 5, 1 / 5),
        MODAL: (2 / 3, 2 / 3, 0, 0, 0),
        # A neighbour of step 1 is one of three in four, of step 3 one of two.
        UNIFORM: (1 / 4, (3 / 4 + 3 / 4 + 2 / 4) / 3, 0, 0, 0),
        NONE: (0, 0, 1, 0, 0),
        LAST: (1 / 3, 1 / 3, 0, 0, 0),
    }
    for name, numbers in expected.items():
        for measure, number in zip(
            ("exact", "within one", "clean", "f1", "refused"), numbers, strict=True
        ):
            row = value(table, name, measure)
            assert row["estimate"] == pytest.approx(number), (name, measure)
            assert row["lower"] <= row["estimate"] <= row["upper"]
            assert row["blind"] == (name in BLIND)
    assert [value(table, "A", m)["traces"] for m in ("exact", "clean", "f1")] == [3, 2, 5]


def test_refusals_and_positions_worked_by_hand():
    (row,) = refusals(five())
    assert (row["reason"], row["count"], row["estimate"]) == ("unparsable", 1, 0.2)
    found = {r["quarter"]: r for r in positions(five()) if r["localizer"] == "A"}
    assert {q: (r["estimate"], r["traces"]) for q, r in found.items()} == {2: (0.5, 2), 4: (0.0, 1)}


def test_the_best_baseline_is_what_a_localizer_is_compared_with():
    rows = five()
    exact, f1 = gains(rows)
    assert (exact["measure"], exact["baseline"]) == ("exact", MODAL)
    assert exact["difference"] == pytest.approx(-1 / 3)
    assert f1["difference"] == pytest.approx(2 / 5)
    sentences = gain_verdicts(scores(rows), gains(rows))
    assert "d, t: A, exact of 3 traces: 33.3%" in sentences[0]
    assert "not shown" in sentences[0]
    assert wide(scores(rows))[0]["erroneous"] == 3


def test_tasks_have_modal_indexes_of_their_own():
    rows = [trace(i, 4, 0, task="a") for i in range(3)] + [
        trace(i, 4, 3, task="b") for i in range(3)
    ]
    table = scores(rows)
    assert value(table, MODAL, "exact", task=ALL_TASKS)["estimate"] == 1.0
    # Questions of the two tasks have the same names: they are clusters of two.
    assert value(table, MODAL, "exact", task=ALL_TASKS)["questions"] == 3


def test_who_is_told_of_a_failure_is_measured_on_failures():
    rows = [
        trace(0, 4, 1, {"T": answer(1, True), "N": answer(2)}),
        trace(1, 4, 1, {"T": answer(Reason.NOT_FAILED, True), "N": answer(1)}, failed=False),
        trace(2, 4, None, {"T": answer(Reason.NOT_FAILED, True), "N": answer(None)}, failed=False),
        trace(3, 4, None, {"T": answer(0, True), "N": answer(None)}),
    ]
    table = scores(rows)
    told = value(table, "T", "exact", asked="failures")
    assert (told["estimate"], told["traces"]) == (1.0, 1)
    assert value(table, "N", "exact")["traces"] == 2
    assert value(table, LAST, "exact", asked="failures")["traces"] == 1
    assert not [row for row in table if row["asked"] == "failures" and row["measure"] == "f1"]
    assert not [row for row in table if row["localizer"] == "T" and row["asked"] == "all"]
    assert refusals(rows) == []


def test_traces_of_one_question_are_one_cluster():
    alone = [trace(i, 4, 1, {"A": answer(i % 2)}) for i in range(40)]
    alike = [trace(i, 4, 1, {"A": answer(i // 20)}, question=f"q{i // 10}") for i in range(40)]
    narrow, wide_ = (value(scores(rows), "A", "exact") for rows in (alone, alike))
    assert narrow["estimate"] == wide_["estimate"] == 0.5
    assert wide_["upper"] - wide_["lower"] > 2 * (narrow["upper"] - narrow["lower"])


def test_what_cannot_be_known_is_said_to_be_unknown():
    (row,) = (r for r in scores([trace(0, 4, 1)]) if (r["localizer"], r["measure"]) == (NONE, "f1"))
    assert (row["estimate"], row["lower"]) == (None, None)


@pytest.mark.parametrize(("right", "refusing"), [(0.8, 0.0), (0.5, 0.3), (0.0, 0.9)])
def test_localizers_of_known_quality_give_their_numbers_back(right, refusing):
    """Exact with one chance, refusing with another, else a wrong step or a wrong "none"."""
    rng, rows = np.random.default_rng(int(100 * right)), []
    for i in range(3000):
        steps = int(rng.integers(4, 12))
        truth = None if rng.random() < 0.4 else int(rng.integers(steps))
        draw = rng.random()
        if draw < right:
            named = truth
        elif draw < right + refusing:
            named = Reason.TRUNCATED
        else:
            named = 0 if truth is None else (truth + 2) % steps
        rows.append(trace(i, steps, truth, {"A": answer(named), "mute": answer(None)}))
    table = scores(rows)
    for measure in ("exact", "clean", "f1"):
        row = value(table, "A", measure)
        # 99.9 % rather than 95 %: what is looked at is whether it is the same number.
        slack = 0.7 * (row["upper"] - row["lower"])
        assert abs(row["estimate"] - right) <= slack
        assert slack < 0.06
    refused = value(table, "A", "refused")
    assert refused["lower"] - 0.01 <= refusing <= refused["upper"] + 0.01
    for measure in ("exact", "clean", "f1", "within one"):
        assert value(table, "mute", measure)["estimate"] == value(table, NONE, measure)["estimate"]
    assert value(table, "mute", "clean")["estimate"] == 1.0
    uniform = value(table, UNIFORM, "exact")
    assert uniform["estimate"] == pytest.approx(np.mean([1 / n for n in range(4, 12)]), abs=0.01)
