"""Rollouts against what users write today, on one core, and two cores against one.

Every contestant first passes a gate: the mean return agrees with the exact value within |z| < 4.
Then all of them run interleaved in rotating order and the medians of their rates are compared;
only ratios of one row mean anything. Rates are per CPU second of one thread, but for two threads,
where the clock on the wall counts; they count the actions really taken, not those after the
end. JAX runs in a process of its own, tied to one core, because rows that follow it in one
process are slowed. Run as ``python -m benchmarks.bench_rollouts [--quick]``; `rows` gives the
table to a common runner.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any, NamedTuple

from benchmarks.conditions import cpu_seconds, is_quiet, level, other_work

if __name__ in ("__main__", "__mp_main__"):
    level()

import numpy as np
from numba import njit
from scipy import sparse

from cpi_theory.randomness import Key
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.sampling.kernels import GOLDEN, mix
from tabular.sampling.paths import numbered_keys
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.from_gymnasium import from_gymnasium
from tabular.worlds.trees import reasoning_tree

ACTIONS, BRANCHING = 4, 4
MILLION = "M steps/s"


class Tables(NamedTuple):
    """What every contestant gets: a stationary world under a stationary policy.

    Rows of `successors` and `next_cdf` belong to state * A + action; cumulative rows end in 1.
    """

    policy: np.ndarray
    rewards: np.ndarray
    successors: np.ndarray
    chances: np.ndarray
    terminal: np.ndarray
    starts: np.ndarray
    horizon: int

    def cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        """Cumulative action probabilities (S, A) and next-state probabilities (S * A, b)."""
        tables = np.cumsum(self.policy, axis=1), np.cumsum(self.chances, axis=1)
        for table in tables:
            table[:, -1] = 1.0
        return tables


class Outcome(NamedTuple):
    """Return of each rollout and the number of actions taken in all of them."""

    returns: np.ndarray
    steps: int


@dataclass(frozen=True)
class World:
    """A workload, small enough to be sent to another process, which makes its own tables."""

    name: str
    states: int
    horizon: int
    rollouts: int

    @property
    def size(self) -> str:
        """States, actions, horizon and rollouts."""
        return f"S={self.states} A={ACTIONS} H={self.horizon} n={self.rollouts}"

    def tables(self) -> Tables:
        """The same tables in every process."""
        return self._lake() if self.name == "FrozenLake8x8" else self._garnet()

    def _garnet(self) -> Tables:
        rng = np.random.default_rng(1)
        rows = self.states * ACTIONS
        return Tables(
            rng.dirichlet(np.ones(ACTIONS), self.states),
            rng.random((self.states, ACTIONS)) / self.horizon,
            rng.integers(self.states, size=(rows, BRANCHING), dtype=np.int32),
            rng.dirichlet(np.ones(BRANCHING), rows),
            np.zeros(self.states, bool),
            rng.integers(self.states, size=self.rollouts),
            self.horizon,
        )

    def _lake(self) -> Tables:
        mdp = from_gymnasium("FrozenLake-v1", self.horizon, map_name="8x8")
        rows = mdp.transitions.reshape(-1, mdp.states)
        order = np.argsort(-rows, axis=1, kind="stable")[:, :BRANCHING].astype(np.int32)
        return Tables(
            np.full((mdp.states, ACTIONS), 1 / ACTIONS),
            np.asarray(mdp.rewards),
            order,
            np.take_along_axis(rows, order, axis=1),
            np.asarray(mdp.terminal),
            np.random.default_rng(1).choice(mdp.states, self.rollouts, p=mdp.start),
            mdp.horizon,
        )


LAKE = World("FrozenLake8x8", 66, 50, 1 << 16)
SMALL = World("Garnet", 1_000, 20, 1 << 17)
BIG = World("Garnet", 1_000_000, 20, 1 << 16)


# --- contestants: each is made from tables and gives an Outcome per call


def as_mdp(tables: Tables) -> FiniteHorizonMDP:
    states, width = tables.terminal.size, tables.chances.shape[1]
    bounds = np.arange(0, tables.chances.size + 1, width)
    flat = tables.chances.reshape(-1), tables.successors.reshape(-1), bounds
    kernel = sparse.csr_array(flat, shape=(len(tables.chances), states))
    start = np.bincount(tables.starts, minlength=states) / tables.starts.size
    return FiniteHorizonMDP(kernel, tables.rewards, start, tables.horizon, terminal=tables.terminal)


def ours(tables: Tables, threads: int = 1) -> Callable[[], Outcome]:
    simulator = TabularSimulator(as_mdp(tables), tables.policy, threads=threads)
    runs = itertools.count()

    def run() -> Outcome:
        keys = numbered_keys(Key.of(3).child(next(runs)), tables.starts.size)
        drawn = simulator.simulate(0, tables.starts, keys, paths=False)
        return Outcome(drawn.returns, int(drawn.lengths.sum()))

    return run


def numpy_peer(tables: Tables) -> Callable[[], Outcome]:
    """All rollouts in step, those that ended left out."""
    action_cdf, next_cdf = tables.cumulative()
    rng = np.random.default_rng(0)

    def run() -> Outcome:
        returns, steps = np.zeros(tables.starts.size), 0
        alive, states = np.arange(tables.starts.size), tables.starts
        for _ in range(tables.horizon):
            draws = rng.random((2, states.size))
            actions = (draws[0][:, None] >= action_cdf[states]).sum(axis=1)
            returns[alive] += tables.rewards[states, actions]
            steps += states.size
            rows = states * tables.policy.shape[1] + actions
            picked = (draws[1][:, None] >= next_cdf[rows]).sum(axis=1)
            states = tables.successors[rows, picked]
            if tables.terminal.any():
                going = ~tables.terminal[states]
                alive, states = alive[going], states[going]
        return Outcome(returns, steps)

    return run


def jax_peer(tables: Tables) -> Callable[[], Outcome]:
    """A jitted scan over the layers with one block of draws a step for all rollouts."""
    import jax
    import jax.numpy as jnp

    action_cdf, next_cdf = (jnp.asarray(t, jnp.float32) for t in tables.cumulative())
    rewards = jnp.asarray(tables.rewards, jnp.float32).reshape(-1)
    successors, ends = jnp.asarray(tables.successors), jnp.asarray(tables.terminal)
    starts = jnp.asarray(tables.starts, jnp.int32)
    width, early = tables.policy.shape[1], bool(tables.terminal.any())

    def step(carry: Any, key: Any) -> Any:
        states, returns, steps = carry
        draws = jax.random.uniform(key, (2, states.size))
        actions = (draws[0][:, None] >= action_cdf[states]).sum(axis=1)
        rows = states * width + actions
        picked = (draws[1][:, None] >= next_cdf[rows]).sum(axis=1)
        taken = (~ends[states]).sum() if early else states.size
        return (successors[rows, picked], returns + rewards[rows], steps + taken), None

    @jax.jit
    def roll(key: Any) -> Any:
        keys = jax.random.split(key, tables.horizon)
        first = (starts, jnp.zeros(starts.size), jnp.int32(0))
        return jax.lax.scan(step, first, keys)[0]

    key = jax.random.key(0)

    def run() -> Outcome:
        nonlocal key
        key, now = jax.random.split(key)
        _, returns, steps = jax.block_until_ready(roll(now))
        return Outcome(np.asarray(returns), int(steps))

    return run


@njit(cache=True)
def _plain_loop(
    action_cdf: Any,
    next_cdf: Any,
    successors: Any,
    rewards: Any,
    terminal: Any,
    starts: Any,
    horizon: int,
    returns: Any,
) -> int:
    steps = 0
    for i in range(starts.size):
        s, gain, t = starts[i], 0.0, 0
        while t < horizon and not terminal[s]:
            u, a = np.random.random(), 0  # noqa: NPY002  (numba compiles this one)
            while u >= action_cdf[s, a]:
                a += 1
            gain += rewards[s, a]
            row = s * action_cdf.shape[1] + a
            u, b = np.random.random(), 0  # noqa: NPY002
            while u >= next_cdf[row, b]:
                b += 1
            s = successors[row, b]
            t += 1
        returns[i] = gain
        steps += t
    return steps


@njit  # not cached: numba would not notice a change of `mix`
def _counter_loop(
    action_cdf: Any,
    next_cdf: Any,
    successors: Any,
    rewards: Any,
    terminal: Any,
    starts: Any,
    horizon: int,
    seed: Any,
    returns: Any,
) -> int:
    steps = 0
    for i in range(starts.size):
        s, gain, t, state = starts[i], 0.0, 0, mix(seed + np.uint64(i) * GOLDEN)
        while t < horizon and not terminal[s]:
            state += GOLDEN
            u, a = (mix(state) >> np.uint64(11)) * 2.0**-53, 0
            while u >= action_cdf[s, a]:
                a += 1
            gain += rewards[s, a]
            row = s * action_cdf.shape[1] + a
            state += GOLDEN
            u, b = (mix(state) >> np.uint64(11)) * 2.0**-53, 0
            while u >= next_cdf[row, b]:
                b += 1
            s = successors[row, b]
            t += 1
        returns[i] = gain
        steps += t
    return steps


def plain_numba_peer(tables: Tables) -> Callable[[], Outcome]:
    """What users write: numba, np.random, cumulative rows."""
    model = *tables.cumulative(), tables.successors, tables.rewards, tables.terminal

    def run() -> Outcome:
        returns = np.empty(tables.starts.size)
        steps = _plain_loop(*model, tables.starts, tables.horizon, returns)
        return Outcome(returns, steps)

    return run


def counter_numba_peer(tables: Tables) -> Callable[[], Outcome]:
    """The same with a counter-based generator instead of the Mersenne twister."""
    model = *tables.cumulative(), tables.successors, tables.rewards, tables.terminal
    calls = 0

    def run() -> Outcome:
        nonlocal calls
        calls += 1
        returns = np.empty(tables.starts.size)
        seed = np.uint64(calls << 40)
        steps = _counter_loop(*model, tables.starts, tables.horizon, seed, returns)
        return Outcome(returns, steps)

    return run


def gymnasium_peer(tables: Tables, episodes: int = 150) -> Callable[[], Outcome]:
    """The usual loop over `env.step`, uniform actions."""
    import gymnasium

    env = gymnasium.make("FrozenLake-v1", map_name="8x8", max_episode_steps=tables.horizon - 1)
    env.action_space.seed(0)
    env.reset(seed=0)

    def run() -> Outcome:
        returns, steps = np.zeros(episodes), 0
        for episode in range(episodes):
            env.reset()
            over = False
            while not over:
                _, reward, ended, cut, _ = env.step(env.action_space.sample())
                returns[episode] += float(reward)
                steps += 1
                over = ended or cut
        return Outcome(returns, steps)

    return run


# --- gate and timing


class Contestant:
    """Something that rolls out."""

    def __init__(
        self, call: Callable[[], Outcome], clock: Callable[[], float] = cpu_seconds
    ) -> None:
        self.outcome = call
        self._clock = clock

    def rate(self) -> float:
        """Million steps per second of one call."""
        begin = self._clock()
        steps = self.outcome().steps
        return steps / (self._clock() - begin) / 1e6


class Remote:
    """A contestant in a process of its own, which times itself."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def outcome(self) -> Outcome:
        """What one call gives."""
        return Outcome(*self._ask("outcome"))

    def rate(self) -> float:
        """Million steps per second of one call."""
        return float(self._ask("rate"))

    def _ask(self, request: str) -> Any:
        self._connection.send(request)
        return self._connection.recv()


def _serve(connection: Any, world: World) -> None:
    """What the JAX process does."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    contestant = Contestant(jax_peer(world.tables()))
    for request in iter(connection.recv, "stop"):
        connection.send(contestant.rate() if request == "rate" else tuple(contestant.outcome()))


@contextmanager
def jax_process(world: World) -> Iterator[dict[str, Any]]:
    """JAX as a contestant, or none where it is not installed."""
    if find_spec("jax") is None:
        yield {}
        return
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, world), daemon=True)
    process.start()
    there.close()
    try:
        yield {"JAX batched scan": Remote(here)}
    finally:
        here.send("stop")
        process.join()


def exact_values(tables: Tables) -> np.ndarray:
    """V_0(s), shape (S,), by backward induction on the tables themselves."""
    values = np.zeros(tables.terminal.size)
    for _ in range(tables.horizon):
        ahead = np.einsum("rb,rb->r", tables.chances, values[tables.successors])
        q_values = tables.rewards + ahead.reshape(tables.rewards.shape)
        values = np.einsum("sa,sa->s", tables.policy, q_values)
    return values


def gate(tables: Tables, contestants: dict[str, Any], calls: int = 3) -> None:
    """Refuse to time a contestant whose mean return is not the exact value."""
    values = exact_values(tables)
    expected = values[tables.starts].mean()
    variance = _returns_bound(tables, values)
    for name, contestant in contestants.items():
        found = np.concatenate([contestant.outcome().returns for _ in range(calls)])
        error = max(found.std(), variance**0.5) / found.size**0.5
        z = (found.mean() - expected) / error
        if not abs(z) < 4:
            raise SystemExit(f"{name}: mean {found.mean():.6g}, exact {expected:.6g}, z = {z:.1f}")


def _returns_bound(tables: Tables, values: np.ndarray) -> float:
    """A variance for samples too few to show one: that of a 0/1 outcome where rewards are 0/1."""
    if set(np.unique(tables.rewards)) != {0.0, 1.0}:
        return 0.0
    p = float(values[tables.starts].mean())
    return p * (1 - p)


def medians(contestants: dict[str, Any], rounds: int) -> dict[str, float]:
    """Median rate of each, interleaved in rotating order."""
    names = list(contestants)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(contestants[name].rate())
    return {name: statistics.median(found) for name, found in rates.items()}


def row(
    world: World, against: str, mine: float, theirs: float, goal: float, unit: str = MILLION
) -> dict[str, Any]:
    """A line of the table; a higher ratio is better."""
    ratio = theirs / mine if unit == "us" else mine / theirs
    return {
        "workload": f"rollouts, {world.name}",
        "size": world.size,
        "row": f"against {against}",
        "ours": round(mine, 4),
        "theirs": round(theirs, 4),
        "ratio": round(ratio, 3),
        "goal": goal,
        "met": ratio >= goal,
        "unit": unit,
    }


# --- rows


def peer_rows(world: World, goals: dict[str, float], rounds: int) -> list[dict[str, Any]]:
    """One world against every peer that has a goal there."""
    tables = world.tables()
    makers = {
        "numpy, vectorised": numpy_peer,
        "numba, np.random and cdf": plain_numba_peer,
        "numba, counter and cdf": counter_numba_peer,
        "Gymnasium loop": gymnasium_peer,
    }
    peers: dict[str, Any] = {
        name: Contestant(maker(tables)) for name, maker in makers.items() if name in goals
    }
    with jax_process(world) as jax:
        contestants = {"ours": Contestant(ours(tables)), **peers, **jax}
        gate(tables, contestants)
        rates = medians(contestants, rounds)
    mine = rates.pop("ours")
    return [row(world, name, mine, rate, goals[name]) for name, rate in rates.items()]


@njit(cache=True)
def _read_at_random(words: Any, count: int) -> Any:
    """Sum of `count` words from independent random places: one cache line each."""
    state, total = np.uint64(1), np.uint64(0)
    for _ in range(count):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        # The upper half as a fraction of the table: a division would take as long as the read.
        total += words[((state >> np.uint64(32)) * np.uint64(words.size)) >> np.uint64(32)]
    return total


def limit_rows(world: World, rounds: int) -> list[dict[str, Any]]:
    """Rollouts of a world that fits no cache against reads at random from a table as large."""
    tables = world.tables()
    words = np.ones(world.states * ACTIONS * BRANCHING * 4, np.uint64)
    count = world.rollouts * world.horizon

    def reads() -> Outcome:
        _read_at_random(words, count)
        return Outcome(np.empty(0), count)

    rates = medians({"ours": Contestant(ours(tables)), "reads": Contestant(reads)}, rounds)
    name = "independent reads at random"
    return [row(world, name, rates["ours"], rates["reads"], 0.4)]


def scaling_rows(world: World, rounds: int) -> list[dict[str, Any]]:
    """Two threads against one, which must give the same bits."""
    if (os.cpu_count() or 1) < 2 or not is_quiet(other_work()):
        sys.stderr.write("two threads are left out: they need two cores and a quiet machine\n")
        return []
    tables = world.tables()
    one, two = ours(tables, threads=1), ours(tables, threads=2)
    np.testing.assert_array_equal(one().returns, two().returns)
    wall = time.perf_counter
    rates = medians({"two": Contestant(two, wall), "one": Contestant(one, wall)}, rounds)
    return [row(world, "one core, ours on two", rates["two"], rates["one"], 1.8)]


def setup_rows(rounds: int = 300) -> list[dict[str, Any]]:
    """What a learning loop pays each iteration: new tables, then a group of eight rollouts."""
    tree = reasoning_tree(horizon=20)
    policy = np.asarray(tree.policy, np.float64)
    simulator = TabularSimulator(tree.mdp, policy)
    world = World("reasoning tree", tree.mdp.states, 20, 8)
    keys = np.arange(8, dtype=np.uint64)
    calls = {
        "100 us for new tables": lambda: simulator.with_policy(policy),
        "100 us for 8 rollouts": lambda: simulator.rollout([(0, 0)] * 8, keys),
    }
    found = {}
    for name, call in calls.items():
        times = []
        for _ in range(rounds):
            begin = cpu_seconds()
            call()
            times.append((cpu_seconds() - begin) * 1e6)
        found[name] = statistics.median(times)
    return [row(world, name, time_, 100.0, 1.0, "us") for name, time_ in found.items()]


SMALL_GOALS = {
    "JAX batched scan": 4.0,
    "numba, np.random and cdf": 6.0,
    "numba, counter and cdf": 6.0,
    "numpy, vectorised": 25.0,
}
BIG_GOALS = {"JAX batched scan": 5.0, "numba, counter and cdf": 6.0}


def rows(quick: bool = False) -> Iterator[dict[str, Any]]:
    """The table; `quick` leaves out the big world and runs few rounds."""
    rounds = 5 if quick else 25
    yield from peer_rows(LAKE, SMALL_GOALS | {"Gymnasium loop": 1000.0}, rounds)
    yield from peer_rows(SMALL, SMALL_GOALS, rounds)
    if not quick:
        yield from peer_rows(BIG, BIG_GOALS, rounds)
        yield from limit_rows(BIG, rounds)
    yield from scaling_rows(World("Garnet", 1_000, 20, 1 << 19), rounds)
    yield from setup_rows()


def main() -> int:
    """Print one JSON object per row."""
    for line in rows(quick="--quick" in sys.argv[1:]):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
