"""Plans that are watched draw what they draw alone, and the record says what happened."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.prefix_starts import PrefixStarts, Stages
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO
from cpi_theory.seam import scheduled
from experiments.errors import CorruptFile
from experiments.explore.tables import Tables
from experiments.methods import FAMILY, REVISING
from experiments.rollouts.files import read_visits, write_visits
from experiments.rollouts.visits import ELSEWHERE, visit_row
from experiments.rollouts.witness import Witnessed
from tabular import TabularSimulator, reasoning_tree

TREE = reasoning_tree(horizon=5, hard_steps=2, right_probability=0.4)


def world() -> TabularSimulator:
    return TabularSimulator(TREE.mdp, TREE.policy)


def visits(algorithm: Any, key: int = 0, prompts: int = 6) -> list[dict[str, Any]]:
    watched, simulator = Witnessed(algorithm), world()
    starts = simulator.start_states(prompts, 3)
    collection = collect(watched, simulator, starts, key)
    tables = Tables(simulator, 0.05, 1e-9)
    return [
        visit_row(seen, [g for g in collection if g.prompt == prompt], tables)
        for prompt, seen in watched.seen.items()
    ]


METHODS = {"SRPO": SRPO(on_refusal="fresh"), "published": SRPO(parent="published")} | {
    name: one for name, one in FAMILY.items() if name not in REVISING
}


@pytest.mark.parametrize("name", METHODS)
def test_a_watched_method_draws_what_it_draws_alone(name: str) -> None:
    simulator, watched = world(), Witnessed(METHODS[name])
    starts = simulator.start_states(4, 1)
    alone, seen = (collect(one, simulator, starts, 7) for one in (METHODS[name], watched))
    assert seen.generated_rollouts == alone.generated_rollouts
    assert seen.refusals == alone.refusals
    assert [g.advantages.tolist() for g in seen] == [g.advantages.tolist() for g in alone]
    # Whatever was drawn was seen, but for what reset policies draw by themselves.
    drawn = sum(len(one.drawn) for one in watched.seen.values())
    assert drawn == alone.generated_rollouts or name == "ValueDropReset"
    assert watched.rows_per_prompt == METHODS[name].rows_per_prompt


def test_a_schedule_is_watched_too() -> None:
    method = PrefixStarts(8, Stages())
    watched = Witnessed(method)
    later = scheduled(watched, 0.75)
    assert isinstance(later, Witnessed)
    assert later.algorithm == scheduled(method, 0.75) != method
    assert later.seen is watched.seen


def test_what_an_engine_asks_of_an_algorithm_is_the_algorithm_s() -> None:
    watched = Witnessed(SRPO(normalization="none"))
    assert watched.normalization == "none"
    assert not hasattr(watched, "no such setting")
    with pytest.raises(AttributeError):
        watched._private  # noqa: B018


def test_suffixes_begin_where_their_parent_was_reset() -> None:
    resets = 0
    for visit in visits(SRPO(on_refusal="fresh")):
        rollouts = visit["rollouts"]
        for group in visit["groups"]:
            if group["parent"] is None:
                assert all(rollouts[i]["from"] is None for i in group["rollouts"])
                continue
            resets += 1
            parent = rollouts[group["parent"]]
            (named,) = parent["named"]
            assert named == {"by": "FirstErrorReset", "step": group["step"], "localizes": True}
            assert parent["true"] == group["step"]  # this world's localiser is exact
            assert parent["reward"] == 0
            for i in group["rollouts"]:
                assert rollouts[i]["from"] == [group["parent"], group["step"]]
                assert rollouts[i]["states"][0] == parent["states"][group["step"]]
    assert resets


def test_steps_have_their_exact_numbers() -> None:
    simulator = world()
    for visit in visits(RRPO()):
        for rollout in visit["rollouts"]:
            for k, (h, s) in enumerate(rollout["states"]):
                action = rollout["actions"][k]
                exact = simulator.advantages[h, s, action]
                assert rollout["exact"][k] == pytest.approx(exact, rel=1e-3, abs=1e-12)
                chance = simulator.policy[h, s, action]
                assert rollout["logprobs"][k] == pytest.approx(np.log(chance), rel=1e-3)
                assert rollout["best"][k] >= rollout["exact"][k] or k == 0
            if "true" in rollout and rollout["true"] is not None:
                assert rollout["exact"][rollout["true"]] < 0
                assert all(a >= -1e-9 for a in rollout["exact"][: rollout["true"]])


def test_advantages_are_the_groups_and_spread_answers_name_no_step() -> None:
    watched, simulator = Witnessed(RRPO(on_refusal="fresh")), world()
    collection = collect(watched, simulator, simulator.start_states(3, 3), 0)
    named = 0
    for prompt, seen in watched.seen.items():
        groups = [g for g in collection if g.prompt == prompt]
        visit = visit_row(seen, groups, Tables(simulator, 0.05, 1e-9))
        for row, group in zip(visit["groups"], groups, strict=True):
            assert row["advantages"] == pytest.approx(group.advantages.tolist(), rel=1e-3)
        for rollout in visit["rollouts"]:
            for one in rollout["named"]:
                named += 1
                assert one == {"by": "UniformReset", "step": None, "localizes": False}
    assert named


def test_refusals_are_told_with_their_reasons() -> None:
    never = reasoning_tree(horizon=4, hard_steps=1, right_probability=1.0, easy_probability=1.0)
    simulator, watched = TabularSimulator(never.mdp, never.policy), Witnessed(SRPO())
    collection = collect(watched, simulator, simulator.start_states(1, 0), 0)
    (seen,) = watched.seen.values()
    visit = visit_row(seen, collection.groups, Tables(simulator, 0.1, 1e-9))
    assert visit["refused"] == ["not failed"]
    assert [len(g["rollouts"]) for g in visit["groups"]] == [8]
    assert visit["groups"][0]["advantages"] == [0.0] * 8


def test_what_was_not_drawn_here_says_what_it_was_given() -> None:
    found = [
        rollout
        for visit in visits(PrefixStarts(4, Stages(order="mixed")))
        for rollout in visit["rollouts"]
        if rollout["from"] == ELSEWHERE
    ]
    assert found
    assert all(rollout["given"].startswith("state ") for rollout in found)


def test_the_graph_counts_every_step_once() -> None:
    simulator, watched = world(), Witnessed(SRPO(on_refusal="fresh"))
    collect(watched, simulator, simulator.start_states(1, 0), 0)
    (seen,) = watched.seen.values()
    rollouts = [r for r, _ in seen.drawn]
    graph = Tables(simulator, 0.05, 1e-9).graph(rollouts)
    steps = sum(map(len, rollouts))
    assert sum(edge[5] for edge in graph["edges"]) == steps
    assert sum(node[5] for node in graph["nodes"]) == steps
    for layer, state, value, best, improvable, _ in graph["nodes"]:
        assert value == pytest.approx(simulator.evaluation.values[layer, state], rel=1e-3)
        assert improvable == (simulator.evaluation.best_advantages[layer, state] >= 0.05)
        assert best >= 0
    for at, action, to, *_ in graph["edges"]:
        if to is not None:
            (h, s), (k, t) = graph["nodes"][at][:2], graph["nodes"][to][:2]
            assert k == h + 1
            assert simulator.mdp.transitions[h, s, action, t] > 0


# --- on disk -------------------------------------------------------------------------------------


def test_records_come_back_in_order(tmp_path: Path) -> None:
    for update in (10, 2):
        write_visits(tmp_path, update, [{"prompt": p, "text": "<b>\u2028"} for p in range(2)])
    found = [(update, row["prompt"]) for update, row in read_visits(tmp_path)]
    assert found == [(2, 0), (2, 1), (10, 0), (10, 1)]
    before = write_visits(tmp_path, 10, [{"prompt": 0}]).read_bytes()
    assert write_visits(tmp_path, 10, [{"prompt": 0}]).read_bytes() == before


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(b"no json\n", mtime=0), gzip.compress(b"", mtime=0)[:-4]]
)
def test_damaged_records_are_named(tmp_path: Path, data: bytes) -> None:
    path = write_visits(tmp_path, 1, [{"prompt": 0}])
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match="000001"):
        list(read_visits(tmp_path))


def test_a_record_is_json(tmp_path: Path) -> None:
    for visit in visits(SRPO()):
        assert json.loads(json.dumps(visit, allow_nan=False)) == visit
