"""Programs are judged once each, several at a time, while the caller does something else."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from cpi_theory.checks import InvalidInput
from llm.rewards.sandbox import pool as pools
from llm.rewards.sandbox.limits import Limits
from llm.rewards.sandbox.pool import JudgePool, shared_pool
from tests.llm.rewards.sandbox.sandboxed import needs_sandbox, prints, returns

pytestmark = needs_sandbox

SLEEPER = "import time\ntime.sleep(1)\nprint('x')"


@pytest.fixture
def pool():
    made = JudgePool(Limits(wall_seconds=10.0), workers=4)
    yield made
    made.close()


def test_submitting_waits_for_nothing_and_programs_run_side_by_side(pool):
    began = time.monotonic()
    judging = [pool.submit(f"{SLEEPER}  # {i}", prints("x")) for i in range(4)]
    assert time.monotonic() - began < 0.5
    assert all(one.result().all_passed for one in judging)
    # One after another they would take four seconds; starting them takes a while on a busy machine.
    assert time.monotonic() - began < 3.5


def test_a_program_is_run_once_however_often_it_is_asked_about(pool):
    judging = [pool.submit("print('x')", prints("x")) for _ in range(5)]
    assert len({id(one) for one in judging}) == 1
    assert judging[0].result().all_passed
    assert pool.submit("print('x')", prints("x")).result().all_passed
    assert pool.judged == 1
    assert not pool.submit("print('x')", prints("y")).result().all_passed
    assert pool.judged == 2


def test_what_was_judged_long_ago_is_forgotten(pool, monkeypatch):
    monkeypatch.setattr(pools, "REMEMBERED", 2)
    for i in (1, 2, 3, 1):
        pool.submit(f"print({i})", prints("1")).result()
    assert pool.judged == 4


def test_tests_that_are_broken_are_told_when_the_judgement_is_asked_for(pool):
    judging = pool.submit("def f(x): return x", returns("f", ("[", "1")))
    with pytest.raises(InvalidInput, match="not JSON"):
        judging.result()


def in_a_fork(pool, answers):
    answers.put(pool.submit("print('y')", prints("y")).result().all_passed)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_has_threads_of_its_own(pool):
    assert pool.submit("print('x')", prints("x")).result().all_passed
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=in_a_fork, args=(pool, answers))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert answers.get() == 1.0


def test_tasks_share_a_pool():
    assert shared_pool(Limits(), 2) is shared_pool(Limits(), 2)
    assert shared_pool(Limits(), 2) is not shared_pool(Limits(memory=1 << 29), 2)


def test_a_pool_without_workers_is_refused():
    with pytest.raises(InvalidInput, match="workers = 0"):
        JudgePool(workers=0)
