"""Methods with parameters of a user's own, from a file to the tables."""

from __future__ import annotations

import pytest
from rich.console import Console

from cpi_theory import GRPO, RRPO, SRPO, Adaptive, FrontierGRPO, PrefixStarts, VinePPO
from cpi_theory.algorithms.parent_choice import FirstErrorModel
from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.resets.first_error import FirstErrorReset
from experiments.config import load_config
from experiments.execution.settings import Execution
from experiments.methods import (
    LANGUAGE_METHODS,
    GroupMethod,
    LanguageMethod,
    MethodVariant,
    choose_methods,
)
from experiments.runs.encoding import canonical, digest
from experiments.runs.store import Run
from experiments.train.command import run
from experiments.train.config import TrainConfig
from experiments.train.spec import TrainBudget
from experiments.train.summary import CONTRASTS, contrasts
from experiments.worlds.writing import Writing
from llm.training.settings import LossSettings

FILE = """
name = "variants"
worlds = ["short"]
methods = ["GRPO", "wide", "two parents"]
seeds = 2
resamples = 20

[budget]
prompts = 2
updates = 2
every = 2
held_out = 8

[[more]]
type = "ArithmeticWorld"
name = "short"
horizon = 4

[[more_methods]]
name = "wide"
algorithm = "GRPO"
rollouts = 12
normalization = "leave-one-out"

[[more_methods]]
name = "two parents"
algorithm = "SRPO"
localizer = "oracle"
layout = "2x4"
rollouts = 10
"""


def test_a_file_names_variants(tmp_path):
    (tmp_path / "run.toml").write_text(FILE)
    config = load_config(TrainConfig, tmp_path / "run.toml")
    assert [spec.method for spec in config.specs()[:3]] == [
        LANGUAGE_METHODS["GRPO"],
        LanguageMethod("wide", GRPO(12, "leave-one-out")),
        LanguageMethod(
            "two parents",
            ResetGRPO(FirstErrorReset(), base=2, suffix=4, parents=2, on_refusal="fresh"),
            "oracle",
        ),
    ]
    assert run(config, tmp_path, Execution(workers=1), Console(quiet=True)) == 0
    record = Run.existing(tmp_path, "variants")
    drawn = {row["method"]: row["rollouts"] for row in record.read("collections")}
    assert drawn == {"GRPO": 2 * 2 * 8, "wide": 2 * 2 * 12, "two parents": 2 * 2 * 10}
    compared = {(row["first"], row["second"]) for row in record.read("pairs")}
    assert compared == {("wide", "GRPO"), ("two parents", "GRPO"), ("two parents", "wide")}


@pytest.mark.parametrize(
    ("given", "algorithm"),
    [
        ({"algorithm": "GRPO"}, GRPO(8)),
        ({"algorithm": "RRPO"}, RRPO(on_refusal="fresh")),
        ({"algorithm": "SRPO"}, SRPO(on_refusal="fresh")),
        ({"algorithm": "SRPO", "on_refusal": "drop", "suffix": 6}, SRPO(suffix=6)),
        (
            {"algorithm": "SRPO", "layout": "1x8"},
            SRPO(base=4, suffix=8, train_base=False, on_refusal="fresh"),
        ),
        (
            {"algorithm": "RRPO", "layout": "1x8", "parent": "published"},
            RRPO(base=0, suffix=8, parent="published", on_refusal="fresh"),
        ),
        (
            {"algorithm": "Frontier", "parent": 2, "accuracy": 0.7, "keep_parent": False},
            FrontierGRPO(FirstErrorModel(0.7), parent=2),
        ),
    ],
)
def test_a_variant_is_the_algorithm_with_those_parameters(given, algorithm):
    assert MethodVariant("mine", **given).method() == LanguageMethod("mine", algorithm)


def test_a_table_names_a_class_of_the_family(tmp_path):
    (tmp_path / "run.toml").write_text(
        """
        methods = ["vine", "back"]
        [[more_methods]]
        name = "vine"
        algorithm = { type = "VinePPO", rollouts = 2, continuations = 5 }
        [[more_methods]]
        name = "back"
        algorithm = { type = "PrefixStarts", schedule = { type = "Adaptive", probes = 2 } }
        """
    )
    config = load_config(TrainConfig, tmp_path / "run.toml")
    assert [spec.method for spec in config.specs()[:2]] == [
        LanguageMethod("vine", VinePPO(2, 5)),
        LanguageMethod("back", PrefixStarts(schedule=Adaptive(probes=2))),
    ]
    for algorithm, message in (
        ('"VinePO"', r"algorithm = 'VinePO': .*did you mean 'VinePPO'"),
        ('{ type = "VinePO" }', r"\[0\]\.algorithm\.type = 'VinePO'.*'VinePPO'"),
        ('{ type = "VinePPO", k = 3 }', r"algorithm\.k = 3: unknown key"),
        ('{ type = "VinePPO", rollouts = 0 }', r"rollouts = 0"),
    ):
        text = f'[[more_methods]]\nname = "x"\nalgorithm = {algorithm}\n'
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(InvalidInput, match=message):
            load_config(TrainConfig, tmp_path / "bad.toml")
    with pytest.raises(InvalidInput, match=r"x\.rollouts = 8: VinePPO outside it has no such"):
        MethodVariant("x", VinePPO(), rollouts=8)


def test_later_fields_change_no_name_of_a_stored_method():
    """Those that resets and methods of tables have been stored without so far."""
    assert "failures_only" not in canonical(RRPO())
    assert "failures_only" in canonical(RRPO(failures_only=False))
    assert "revises" not in canonical(GroupMethod("x", RRPO()))
    assert "mask_above" not in canonical(LossSettings())
    assert "revision" not in canonical(Writing())


def test_without_parameters_a_variant_is_the_method_of_that_name():
    for name in ("GRPO", "RRPO", "SRPO", "Frontier"):
        assert MethodVariant("mine", name).method().algorithm == LANGUAGE_METHODS[name].algorithm


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"algorithm": "GRPO", "suffix": 4}, r"mine\.suffix = 4: GRPO has no such"),
        ({"algorithm": "SRPO", "accuracy": 0.5}, r"mine\.accuracy = 0.5: SRPO has no such"),
        ({"algorithm": "SRPO", "rollouts": 8}, r"mine\.rollouts = 8: says nothing without a"),
        ({"algorithm": "SRPO", "layout": "1x4", "base": 2}, r"mine\.base = 2: the layout says"),
        ({"algorithm": "SRPO", "layout": "4"}, r"mine\.layout = '4'.*RxS"),
        ({"algorithm": "SRPO", "parent": "posterior"}, r"mine\.parent = 'posterior'"),
        ({"algorithm": "Frontier", "parent": "published"}, r"mine\.parent = 'published'"),
        ({"algorithm": "GRPO", "rollouts": 1}, r"mine\.rollouts = 1"),
    ],
)
def test_what_an_algorithm_cannot_do_is_refused_by_name(given, message):
    with pytest.raises(InvalidInput, match=message):
        MethodVariant("mine", **given)


def test_names_are_folders_and_new():
    with pytest.raises(InvalidInput, match="not a name of a folder"):
        MethodVariant("a/b", "GRPO")
    with pytest.raises(InvalidInput, match=r"more_methods\[0\]\.name = 'SRPO'"):
        choose_methods("methods", ["SRPO"], [MethodVariant("SRPO", "GRPO")])


def test_what_came_later_changes_no_name_of_a_stored_run():
    assert digest(TrainConfig()) == digest(TrainConfig(budget=TrainBudget(top_p=1.0)))
    assert digest(TrainBudget(top_p=0.9)) != digest(TrainBudget())
    variant = TrainConfig(more_methods=(MethodVariant("mine", "GRPO"),))
    assert digest(variant) != digest(TrainConfig())


def test_known_methods_are_compared_as_before():
    assert contrasts(["GRPO", "SRPO"]) == CONTRASTS
    assert contrasts(["mine", "GRPO", "other"])[len(CONTRASTS) :] == (
        ("mine", "GRPO"),
        ("other", "GRPO"),
        ("other", "mine"),
    )
