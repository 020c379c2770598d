"""verl's registered estimators as installed; run by `make audit-peers`, where verl is."""

from __future__ import annotations

import pytest

from llm.audit import verl

if not verl.installed():
    pytest.skip("verl is not installed here", allow_module_level=True)

from cpi_theory import GRPO
from cpi_theory.audit.judgement import judge
from cpi_theory.audit.law import law
from cpi_theory.audit.subject import Subject
from cpi_theory.audit.worlds import small_worlds

WORLDS = {world.name: world for world in small_worlds()}


def test_all_fourteen_are_there():
    assert len(verl.names()) == 14


@pytest.mark.parametrize(
    ("name", "world", "verdict"),
    [
        ("rloo", "go on or stop", "unbiased"),
        ("rloo_vectorized", "two difficulties", "unbiased"),
        ("remax", "lock", "unbiased"),
        ("grpo", "two difficulties", "reweighted"),
        ("grpo-no-std", "two difficulties", "scaled"),
        ("opo", "go on or stop", "biased"),
    ],
)
def test_verdicts(name, world, verdict):
    found = law(Subject(name, GRPO(4), verl.estimator(name)), WORLDS[world])
    assert judge(found).verdict == verdict
