"""Exact evaluation and solving against what users take today, on one core.

Every row first passes a correctness gate, then its contestants run interleaved in rotating order;
only ratios of medians inside one row mean anything. Times are CPU seconds of one thread, which on
a quiet machine are what passes (`benchmarks.conditions` says how quiet it was). JAX runs in a
process of its own, because rows that follow it in one process are slowed. Run as ``python -m
benchmarks.bench_evaluation [--quick]``; `rows` gives the table to a common runner.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from benchmarks.conditions import cpu_seconds, level

if __name__ in ("__main__", "__mp_main__"):
    level()

import numpy as np
from numba import njit
from scipy import sparse

from benchmarks.evaluation_peers import (
    BRANCHING,
    Tables,
    World,
    csr,
    einsum_peer,
    gather_peer,
    gemv_peer,
    gmres_peer,
    jax_peer,
    scipy_peer,
    splu_peer,
    torch_peer,
)
from tabular.evaluation.evaluate import evaluate, evaluate_many
from tabular.evaluation.optimal import solve
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.operators import packed_tables
from tabular.mdp.policies import as_policies, as_policy

TOLERANCE = 1e-10


# --- timing


class Contestant:
    """Something that can be timed."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def result(self) -> Any:
        """What it computes."""
        return self._call()

    def run(self, loops: int = 1) -> float:
        """CPU seconds that one of `loops` calls in a row takes."""
        begin = cpu_seconds()
        for _ in range(loops):
            self._call()
        return (cpu_seconds() - begin) / loops


class Given:
    """A result that is there already, for the gate."""

    def __init__(self, tables: Any) -> None:
        self._tables = tables

    def result(self) -> Any:
        """What was computed."""
        return self._tables


class Remote:
    """A contestant in a process of its own, which times itself."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def result(self) -> Any:
        """What it computes."""
        return self._ask(None)

    def run(self, loops: int = 1) -> float:
        """CPU seconds that one of `loops` calls in a row takes there."""
        return float(self._ask(loops))

    def _ask(self, request: int | None) -> Any:
        self._connection.send(request)
        return self._connection.recv()


def serve(connection: Any, world: World) -> None:
    """What the JAX process does."""
    contestant = Contestant(jax_peer(world.tables()))
    for request in iter(connection.recv, "stop"):
        if request is None:
            connection.send(tuple(np.asarray(table) for table in contestant.result()))
        else:
            connection.send(contestant.run(request))


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and those it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def jax_process(world: World) -> Iterator[Remote]:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, world), daemon=True)
    process.start()
    there.close()
    try:
        yield Remote(here)
    finally:
        here.send("stop")
        process.join()


def medians(contestants: dict[str, Any], seconds: float = 3.0) -> dict[str, float]:
    """Median milliseconds of each, interleaved in rotating order for about `seconds`.

    Short calls are repeated in a row, so that a turn takes at least two milliseconds.
    """
    names = list(contestants)
    cost = {name: min(one.run() for _ in range(3)) for name, one in contestants.items()}
    loops = {name: max(1, round(0.002 / cost[name])) for name in names}
    turn_cost = sum(cost[name] * loops[name] for name in names)
    times: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(int(np.clip(seconds / turn_cost, 5, 200))):
        turn = round_ % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(contestants[name].run(loops[name]) * 1e3)
    return {name: statistics.median(found) for name, found in times.items()}


def installed(*modules: str) -> bool:
    from importlib.util import find_spec

    return all(find_spec(module) is not None for module in modules)


@njit(cache=True, fastmath=True)
def read(table: Any) -> float:
    """Sum of a flat table: the read bandwidth that a loop can have."""
    total = 0.0
    for i in range(table.size):
        total += table[i]
    return total


def gate(reference: Any, contestants: dict[str, Any]) -> None:
    """Refuse to time a contestant that does not give what ours gives."""
    for name, contestant in contestants.items():
        for one, other in zip(reference, contestant.result(), strict=True):
            difference = float(np.abs(np.asarray(one) - np.asarray(other)).max())
            if not difference <= TOLERANCE:
                raise SystemExit(f"{name} differs from ours by {difference:.3g}: not timed")


def row(
    workload: str, size: str, times: dict[str, float], goal: float, against: str = "best peer"
) -> dict[str, Any]:
    """A table row; times in ms, the first being ours."""
    ours, *peers = times
    best = min(peers, key=times.__getitem__) if against == "best peer" else against
    ratio = times[best] / times[ours]
    return {
        "workload": workload,
        "size": size,
        "row": f"against {best}",
        "ours": times[ours],
        "theirs": times[best],
        "unit": "ms",
        "ratio": ratio,
        "goal": goal,
        "met": ratio >= goal,
        "peers": {name: times[name] for name in peers},
    }


# --- rows


def evaluation_rows(world: World) -> list[dict[str, Any]]:
    """One world against all peers; dense worlds also against the same run's read bandwidth."""
    tables = world.tables()
    mdp = _mdp(world, tables)
    policy = as_policy(mdp, tables[3])
    result = evaluate(mdp, policy)
    reference = (result.values, result.q_values, result.advantages, result.visits)
    makers = [("einsum", einsum_peer), ("gemv", gemv_peer), ("torch", torch_peer)]
    if world.kind == "sparse":
        makers = [("scipy", scipy_peer), ("gather", gather_peer)]
    makers = [(name, maker) for name, maker in makers if name != "torch" or installed("torch")]
    peers: dict[str, Any] = {name: Contestant(maker(tables)) for name, maker in makers}
    with _maybe_jax(world) as jax:
        peers |= jax
        gate(reference, peers)
        ours = {"ours": Contestant(lambda: evaluate(mdp, policy))}
        probe = _read_probe(mdp) if world.kind == "dense" else _copy_probe(mdp)
        times = medians(ours | peers | {"probe": probe})
    limit = times.pop("probe")
    return list(_judged(world, times, limit, tables))


def _read_probe(mdp: FiniteHorizonMDP) -> Contestant:
    """One reading of dense transitions."""
    flat = mdp.transitions.reshape(-1)
    return Contestant(lambda: read(flat))


def _copy_probe(mdp: FiniteHorizonMDP) -> Contestant:
    """A copy that moves as many bytes as an evaluation on packed tables has to.

    It reads those and the policy twice and the rewards once, and writes Q and A.
    """
    packed = packed_tables(mdp)
    assert packed is not None, "rows of four are what is measured"
    cells = mdp.horizon * mdp.states * mdp.actions * 8
    moved = 2 * sum(part.nbytes for part in packed) + 2 * cells + mdp.rewards.nbytes + 2 * cells
    source, target = np.ones(moved // 16), np.zeros(moved // 16)
    return Contestant(lambda: np.copyto(target, source))


def _mdp(world: World, tables: Tables) -> FiniteHorizonMDP:
    transitions, rewards, start, _ = tables
    if world.kind == "sparse":
        layers = zip(*transitions, strict=True)
        transitions = [csr(*layer, world.states) for layer in layers]
    return FiniteHorizonMDP(transitions, rewards, start, world.horizon)


@contextmanager
def _maybe_jax(world: World) -> Iterator[dict[str, Any]]:
    cells = world.horizon * world.states**2 * world.actions if world.kind == "dense" else 0
    if not installed("jax") or cells > 10**8:  # a second copy would not fit
        yield {}
        return
    with jax_process(world) as remote:
        yield {"jax": remote}


def _judged(
    world: World, times: dict[str, float], limit: float, tables: Tables
) -> Iterator[dict[str, Any]]:
    """The rows of a world; `limit` is the time of the probe that its memory allows."""
    if world.kind == "sparse":
        yield row("sparse evaluation", world.size, times, 3.0)
        share = {"ours": times["ours"], "a copy of its bytes": limit}
        yield row("sparse evaluation, share of copy bandwidth", world.size, share, 0.3)
        return
    size = f"{world.size} P={tables[0].nbytes / 1e6:.0f} MB"
    if tables[0].nbytes < 60e6:
        yield row("dense evaluation, in cache", size, times, 1.2)
        return
    yield row("dense evaluation", size, times, 1.0)
    share = {"ours": times["ours"], "reading P twice": 2 * limit}
    yield row("dense evaluation, share of read bandwidth", size, share, 0.95)


def many_rows(world: World, policies: int = 8) -> list[dict[str, Any]]:
    """K policies at once against K calls for one policy each."""
    tables = world.tables()
    mdp = _mdp(world, tables)
    rng = np.random.default_rng(1)
    shape = (policies, world.horizon, world.states)
    batch = as_policies(mdp, rng.dirichlet(np.ones(world.actions), shape))
    together = evaluate_many(mdp, batch)
    for k, policy in enumerate(batch):
        single = evaluate(mdp, policy)
        gate(
            (together.q_values[k], together.visits[k]),
            {"one by one": Contestant(lambda e=single: (e.q_values, e.visits))},
        )
    contestants = {
        "ours": Contestant(lambda: evaluate_many(mdp, batch)),
        "one by one": Contestant(lambda: [evaluate(mdp, policy) for policy in batch]),
    }
    # Both passes multiply each transition by a number for each policy.
    flops = 4 * policies * tables[0].size
    square = np.ones((round((flops / 2) ** (1 / 3)),) * 2)
    times = medians(contestants | {"matrices": Contestant(lambda: square @ square)})
    share = {"ours": times["ours"], "a product of square matrices": times.pop("matrices")}
    name = f"{policies} policies at once"
    return [
        row(name, world.size, times, 4.0),
        row(f"{name}, share of BLAS", world.size, share, 0.5),
    ]


def solve_rows(states: int, accuracy: float = 1e-6) -> list[dict[str, Any]]:
    """Sparse optimal values against QuantEcon's modified policy iteration."""
    if not installed("quantecon"):
        return []
    from quantecon.markov import DiscreteDP

    rng = np.random.default_rng(0)
    rows_ = states * 4
    indices = rng.integers(0, states, (rows_, BRANCHING), dtype=np.int32)
    table = csr(indices, rng.dirichlet(np.ones(BRANCHING), rows_), states)
    rewards, start = rng.random((states, 4)), np.full(states, 1 / states)
    mdp = DiscountedMDP(table, rewards, start, 0.99)
    peer = DiscreteDP(
        rewards.reshape(-1),
        sparse.csr_matrix(mdp.transitions),
        0.99,
        *np.divmod(np.arange(rows_), 4),
    )
    truth = solve(mdp, 1e-10).values

    def theirs() -> Any:
        return peer.solve(method="modified_policy_iteration", epsilon=accuracy)

    worst = max(np.abs(solve(mdp, accuracy).values - truth).max(), np.abs(theirs().v - truth).max())
    if worst > accuracy:
        raise SystemExit(f"a solver is off by {worst:.3g}: not timed")
    contestants = {
        "ours": Contestant(lambda: solve(mdp, accuracy)),
        "quantecon MPI": Contestant(theirs),
    }
    return [row("sparse optimal values", f"S={states} A=4", medians(contestants), 1.0)]


def discounted_rows(
    states: int, makers: dict[str, Any], goals: dict[str, float]
) -> list[dict[str, Any]]:
    """A stochastic policy on a discounted random graph, from a uniform start.

    Ours is certified: it is timed only where its bounds prove values and visits to the tolerance.
    Visits are compared in the sum norm, since a probability of 1e-6 says little in the largest.
    """
    rng = np.random.default_rng(0)
    rows_ = states * 4
    indices = rng.integers(0, states, (rows_, BRANCHING), dtype=np.int32)
    table = csr(indices, rng.dirichlet(np.ones(BRANCHING), rows_), states)
    rewards, start = rng.random((states, 4)) / 100, np.full(states, 1 / states)
    mdp = DiscountedMDP(table, rewards, start, 0.99)
    policy = as_policy(mdp, rng.dirichlet(np.ones(4), states))
    found = evaluate(mdp, policy)
    proven = max(found.error_bound, found.visits_error_bound)
    if proven > TOLERANCE:
        raise SystemExit(f"ours is proven to {proven:.3g} only: not timed")
    peers = {name: Contestant(make(mdp, policy)) for name, make in makers.items()}
    for name, peer in peers.items():
        *tables, visits = peer.result()
        gate((found.values, found.q_values, found.advantages), {name: Given(tables)})
        if np.abs(visits - found.visits).sum() > TOLERANCE:
            raise SystemExit(f"{name}'s visits differ from ours: not timed")
    times = medians({"ours": Contestant(lambda: evaluate(mdp, policy))} | peers)
    size = f"S={states} A=4 gamma=0.99"
    return [row("discounted evaluation", size, times, goal, name) for name, goal in goals.items()]


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """All rows; `quick` keeps to the small worlds."""
    with one_core():
        return list(_rows(quick))


def _rows(quick: bool) -> Iterator[dict[str, Any]]:
    dense = [(10, 100, 4), (10, 100, 16), (50, 100, 4)]
    gapped = [(10, 100, 4), (10, 1000, 4), (10, 1000, 16)]
    if not quick:
        dense += [(50, 100, 16), (10, 1000, 4), (10, 1000, 16)]
        gapped += [(50, 1000, 4), (50, 1000, 16)]
    for sizes in dense:
        yield from evaluation_rows(World("dense", *sizes))
    for sizes in gapped:
        yield from evaluation_rows(World("sparse", *sizes))
    for sizes in [(10, 100, 4), (10, 1000, 4)][: 1 if quick else 2]:
        yield from many_rows(World("dense", *sizes))
    for states in (10_000, 100_000)[: 1 if quick else 2]:
        yield from solve_rows(states)
    # The LU decomposition takes 1 s at 2,000 states, 13 s at 4,000 and minutes at 20,000.
    lu = {"splu": splu_peer, "gmres": gmres_peer}
    yield from discounted_rows(2_000, lu, {"splu": 20.0, "gmres": 1.0})
    for states in (20_000, 1_000_000)[: 1 if quick else 2]:
        yield from discounted_rows(states, {"gmres": gmres_peer}, {"gmres": 1.0})


def main(arguments: list[str] | None = None) -> int:
    """Print the rows as JSON lines."""
    given = sys.argv[1:] if arguments is None else arguments
    for one in rows(quick="--quick" in given):
        sys.stdout.write(json.dumps(one) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
