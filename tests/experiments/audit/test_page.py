"""The table of docs/audit.md is what the committed records say, and these hold what is known."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from experiments.audit.subjects import METHODS

FOLDER = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("audit_page", FOLDER / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(page):
    assert page.page() == page.PAGE.read_text(), "run python docs/audit.py"


def test_records_of_the_methods_hold_what_is_known_of_them(page):
    found = {row["estimator"]: row for row in page.rows("audit-methods")}
    assert set(found) == set(METHODS)
    for name in ("RLOO", "VinePPO", "SPO-chain"):
        assert found[name]["verdict"] == "unbiased"
    for name in ("VPPO", "CAPO"):  # a localiser's word is no advantage
        assert found[name]["verdict"] == "biased"
    # (n - 1) / n of groups of eight, and of three siblings.
    low, high = found["Dr. GRPO"]["scale_low"], found["Dr. GRPO"]["scale_high"]
    assert low < 7 / 8 < high
    assert found["SPO-tree"]["scale_low"] == pytest.approx(2 / 3)


def test_records_hold_every_estimator_and_the_known_verdicts(page):
    found = {row["estimator"]: row for run in page.RUNS for row in page.rows(run)}
    assert sum(name.startswith("verl:") for name in found) == 14 + 1
    assert sum(name.startswith("trl:") for name in found) == 10
    for name in ("rloo", "trl:rloo", "verl:rloo", "verl:rloo_vectorized", "verl:remax"):
        assert found[name]["verdict"] == "unbiased"
    for name in ("dr-grpo", "trl:dr_grpo", "verl:grpo-no-std"):
        assert found[name]["verdict"] == "scaled"
        assert found[name]["scale_low"] == pytest.approx(found[name]["scale_high"])
    for name in ("grpo", "trl:grpo", "verl:grpo"):
        assert not found[name]["holds"]
    assert all(not row["must_not_notice"] for row in found.values())
