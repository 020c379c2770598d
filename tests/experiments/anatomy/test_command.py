"""Resets of a tiny model's own failures: what is drawn, what is matched, what is counted."""

from __future__ import annotations

import pytest
from rich.console import Console

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments.anatomy.command import run
from experiments.anatomy.config import AnatomyConfig
from experiments.anatomy.samples import AnatomySpec, Failures, PreparedLanguageWorld, reset_rows
from experiments.anatomy.summary import (
    accuracy,
    corrections,
    deviations,
    gaps,
    passk,
    signals,
)
from experiments.anatomy.tree import TreeSpec, tree_rows
from experiments.execution.settings import Execution
from experiments.runs.store import Run
from experiments.worlds.language import ArithmeticWorld
from llm.models.settings import TINY_NAME, ModelSettings

SHORT = ArithmeticWorld("short", horizon=5, hard_steps=2)
SPEC = AnatomySpec(SHORT, ModelSettings(TINY_NAME), prompts=10, rollouts=6, parents=2, suffixes=3)
KINDS = {"self", "random", "start", "oracle", "first hard"}
KINDS |= {"self control", "random control", "oracle control"}


@pytest.fixture(scope="module")
def rows():
    return reset_rows(SPEC)


def by_parent(rows, kind):
    return {(r["prompt"], r["parent"]): r for r in rows if r["kind"] == kind}


def test_every_parent_is_reset_in_every_way_once(rows):
    parents = set(by_parent(rows, "start"))
    assert {r["kind"] for r in rows} == KINDS
    for kind in KINDS:
        assert set(by_parent(rows, kind)) == parents
    assert len(rows) == len(KINDS) * len(parents)
    for row in rows:
        drawn = 0 if row["step"] is None else SPEC.suffixes
        assert len(row["rewards"]) == drawn
        assert row["passed"] == sum(row["rewards"])
        assert (row["step"] is None) == ("reason" in row)
        assert row["step"] is None or 0 <= row["step"] < row["length"]
        if "control" not in row["kind"]:
            assert row["source"] == [row["prompt"], row["parent"]]


def test_the_oracle_resets_to_the_first_error_and_the_start_to_the_start(rows):
    for row in rows:
        if row["kind"] == "oracle":
            assert row["step"] == row["first_error"]
        if row["kind"] == "start":
            assert row["step"] == 0


@pytest.mark.parametrize("kind", ["self", "random", "oracle"])
def test_controls_keep_as_many_thoughts_of_another_failure(rows, kind):
    prepared, key = PreparedLanguageWorld.load(SPEC), SPEC.key
    failures = Failures.draw(prepared, SPEC.rollouts, key).by_prompt
    matched = 0
    for parent, control in by_parent(rows, f"{kind} control").items():
        own = by_parent(rows, kind)[parent]
        assert control["step"] == own["step"]
        if own["step"] is None:
            continue
        matched += 1
        prompt, number = control["source"]
        assert (prompt, number) != parent
        (source,) = [f for f in failures[prompt] if f.number == number]
        assert source.rollout.failed
        state = source.rollout.states[control["step"]]
        assert len(state.thoughts) == own["step"]  # the same depth
        assert source.first_error == control["first_error"]
        reach = [f for f in failures[parent[0]] if len(f.rollout) > own["step"]]
        others_of_prompt = [f for f in reach if f.number != parent[1]]
        assert (prompt == parent[0]) == bool(others_of_prompt)
    assert matched > 3


def test_what_is_drawn_for_a_prompt_does_not_depend_on_the_others(rows):
    fewer = reset_rows(AnatomySpec(SHORT, SPEC.model, 4, 6, 2, 3))
    same = [r for r in rows if r["prompt"] < 4]
    own = [r for r in fewer if r["source"][0] == r["prompt"]]
    assert own == [r for r in same if (r["prompt"], r["parent"], r["kind"]) in labels(own)]
    assert len(own) > 10


def labels(rows):
    return {(r["prompt"], r["parent"], r["kind"]) for r in rows}


def made(prompt, kind, step, rewards, first_error=3, parent=0):
    return {
        "world": "w",
        "prompt": prompt,
        "parent": parent,
        "kind": kind,
        "source": [prompt, parent],
        "length": 10,
        "first_error": first_error,
        "step": step,
        "rewards": rewards,
    }


def one(rows, **wanted):
    (found,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return found


def test_accuracy_and_deviations_count_what_is_named():
    rows = [
        made(0, "self", 3, [1, 1]),
        made(1, "self", 4, [0, 0]),
        made(2, "self", 9, [0, 0]),
        made(3, "self", None, []),
        made(4, "self", 1, [1, 0], first_error=None),  # nobody knows: not counted
    ]
    expected = {"exact": 1 / 4, "within one": 2 / 4, "late": 2 / 4, "refused": 1 / 4}
    for measure, share in expected.items():
        row = one(accuracy(rows), measure=measure)
        assert (row["estimate"], row["asked"]) == (share, 4)
        assert row["lower"] < share < row["upper"]
    assert one(deviations(rows), deviation=4)["share"] == pytest.approx(1 / 3)  # 6 late is cut
    assert sum(r["share"] for r in deviations(rows)) == pytest.approx(1)


def test_corrections_sort_a_control_by_what_it_controls():
    rows = [
        *(made(i, "self", 4, [1, 0]) for i in range(3)),
        *(made(i, "self control", 4, [0, 0], first_error=8) for i in range(3)),
    ]
    found = corrections(rows)
    assert one(found, kind="self", deviation=1)["rate"] == 0.5
    assert one(found, kind="self control", deviation=1)["rate"] == 0
    assert {r["deviation"] for r in found} == {None, 1}
    assert one(found, kind="self", deviation=None)["prompts"] == 3


def test_equal_depth_undoes_what_depth_alone_does():
    """Clean resets are early here and early ones do better: nothing is left at equal depth."""
    early, late = [1, 1, 1, 0], [1, 0, 0, 0]
    rows = [made(i, "self", 1, early, first_error=5) for i in range(6)]
    rows += [made(6 + i, "self", 6, late, first_error=9) for i in range(2)]
    rows += [made(8 + i, "self", 1, early, first_error=0) for i in range(2)]
    rows += [made(10 + i, "self", 6, late, first_error=0) for i in range(6)]
    found = gaps(rows, 200, Key.of(0))
    plain = one(found, first="clean prefix")
    equal = one(found, first="clean prefix, equal depth")
    assert plain["difference"] == pytest.approx(0.625 - 0.375)
    assert equal["difference"] == pytest.approx(0)
    assert equal["lower"] <= 0 <= equal["upper"]


def test_gaps_compare_parents_that_drew_both():
    rows = [made(i, "self", 2, [1, 1]) for i in range(4)]
    rows += [made(i, "self control", 2, [0, 1]) for i in range(3)]
    rows.append(made(3, "self control", None, []))
    row = one(gaps(rows, 10, Key.of(0)), second="self control")
    assert row["difference"] == 0.5


def test_passk_splits_prefixes_and_their_controls():
    rows = [made(i, "self", 3, [1, 0]) for i in range(3)]
    rows += [made(i, "self control", 3, [0, 0]) for i in range(3)]
    rows += [made(i, "random", 7, [0, 0]) for i in range(3)]
    found = passk(rows)
    assert one(found, prefix="clean", k=1)["value"] == 0.5
    assert one(found, prefix="clean", k=2)["value"] == 1
    assert one(found, prefix="clean control", k=2)["value"] == 0
    assert one(found, prefix="erroneous", k=2)["value"] == 0
    assert not [r for r in found if r["prefix"] == "erroneous control"]


def test_a_level_of_success_below_one_decides_what_passed():
    rows = [made(i, "self", 3, [0.5, 0.25]) | {"passed": 1} for i in range(3)]
    assert one(passk(rows), prefix="clean", k=1)["value"] == 0.5


def test_a_tree_shows_one_prompt_with_its_signal():
    rows = tree_rows(TreeSpec(SPEC))
    shown = [r for r in rows if r["kind"] == "rollout"]
    assert len(shown) == 8
    assert sum(r["role"] == "suffix" for r in shown) == 4
    for row in shown:
        own = len(row["thoughts"]) - row["first"]
        assert len(row["tokens"]) == len(row["signal"]) == own
        assert (max(row["signal"]) > 0) == (row["advantage"] != 0)
        assert len(row["right"]) == len(row["thoughts"])
    (parent,) = [r for r in shown if r["reset"] is not None]
    kept = [r["thoughts"][: r["first"]] for r in shown if r["role"] == "suffix"]
    assert kept == [parent["thoughts"][: parent["reset"]]] * 4
    signals = [r for r in rows if r["kind"] == "signal"]
    assert len({r["prompt"] for r in signals}) == SPEC.prompts
    assert all((r["signal"] > 0) == r["informative"] for r in signals)


def test_signals_are_means_over_tokens_with_constant_groups_in():
    tree = []
    for prompt in range(6):
        for role, tokens, signal in (("base", 50, 5.0), ("suffix", 10, 4.0 * (prompt % 2))):
            row = {"kind": "signal", "world": "w", "prompt": prompt, "role": role}
            tree.append(row | {"tokens": tokens, "signal": signal, "informative": signal > 0})
    found = signals(tree, 100, Key.of(0))
    base, suffix = one(found, quantity="base"), one(found, quantity="suffix")
    assert (base["estimate"], base["informative"]) == (pytest.approx(0.1), 1)
    assert (suffix["estimate"], suffix["informative"]) == (pytest.approx(0.2), 0.5)
    ratio = one(found, quantity="suffix / base")
    assert ratio["estimate"] == pytest.approx(2)
    assert ratio["lower"] < 2 < ratio["upper"]


def test_a_run_is_stored_and_continued(tmp_path):
    config = AnatomyConfig(
        worlds=("short",), prompts=5, rollouts=4, suffixes=2, resamples=20, more=(SHORT,)
    )
    quiet = Console(quiet=True)
    assert run(config, tmp_path, Execution(workers=1), quiet) == 0
    record = Run.existing(tmp_path, "anatomy")
    tables = {"resets", "tree", "accuracy", "deviations", "corrections", "gaps", "passk"}
    tables.add("signals")
    assert set(record.tables()) == tables
    before = {table: record.read(table) for table in tables}
    shards = sorted(record.directory.rglob("shards/*/*"))
    times = [path.stat().st_mtime_ns for path in shards]
    assert run(config, tmp_path, Execution(workers=1), quiet) == 0
    assert {table: record.read(table) for table in tables} == before
    assert [path.stat().st_mtime_ns for path in shards] == times


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"worlds": ("sprase",)}, r"worlds\[0\] = 'sprase'"),
        ({"prompts": 1}, "prompts = 1"),
        ({"suffixes": 0}, "suffixes = 0"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(InvalidInput, match=message):
        AnatomyConfig(**changes)
