"""The same work on a running Dask cluster (the extra `cluster`)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from cpi_theory.checks import InvalidInput
from experiments.errors import WorkerLost

Result = TypeVar("Result")

_RETRIES = 3
_CONNECT_SECONDS = 10.0


def run_on_cluster(
    task: Callable[[int, Any], Result],
    jobs: Sequence[tuple[int, Any]],
    address: str,
    timeout: float = _CONNECT_SECONDS,
) -> Iterator[Result]:
    """Results of ``task(index, spec)`` in the order of finishing.

    The tasks of a worker that dies are run again on the others, as long as there is one.

    Args:
        task: picklable; the workers must have this package installed.
        jobs: (index, spec) pairs.
        address: of the Dask scheduler.
        timeout: seconds to wait for the scheduler.

    Raises:
        InvalidInput: no scheduler answers, or the extra is not installed.
        WorkerLost: one task's workers died again and again, or the scheduler ended.
    """
    client = _connect(address, timeout)
    with _silent():
        try:
            yield from _gather(client, task, jobs, address)
        finally:
            client.close()


@contextlib.contextmanager
def _losses_explained(address: str) -> Iterator[None]:
    """Say in one sentence that the connection to the scheduler was lost in this block."""
    try:
        yield
    except (OSError, asyncio.CancelledError, concurrent.futures.CancelledError) as error:
        raise WorkerLost(
            "cluster",
            address,
            "the Dask scheduler has ended",
            "start it and its workers again, then the same command; finished results are kept",
        ) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep Dask from logging, with tracebacks, what is said here in one sentence."""
    known = logging.Logger.manager.loggerDict
    loggers = [logging.getLogger(name) for name in known if name.split(".")[0] == "distributed"]
    before = [logger.level for logger in loggers]
    for logger in loggers:  # each has a level of its own
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _gather(
    client: Any, task: Callable[[int, Any], Result], jobs: Sequence[tuple[int, Any]], address: str
) -> Iterator[Result]:
    distributed: Any = importlib.import_module("distributed")  # without type hints
    indices, specs = zip(*jobs, strict=True)
    with _losses_explained(address):
        # Not pure: results of an earlier sweep that the scheduler still holds must not come back.
        futures = client.map(task, indices, specs, pure=False, retries=_RETRIES)
        finished = distributed.as_completed(futures, loop=client.loop)
    while True:
        with _losses_explained(address):
            future = next(finished, None)
        if future is None:
            return
        yield _result(future, address, distributed.KilledWorker)
        future.release()


def _result(future: Any, address: str, killed: Any) -> Any:
    """What a task returned; an error of its own is raised as it is, whatever its class."""
    # The state tells the two apart: an OSError may be the task's, or that of a lost connection.
    if future.status != "error":
        with _losses_explained(address):
            return future.result()
    try:
        return future.result()
    except killed as error:
        raise WorkerLost(
            "cluster",
            address,
            f"the workers of one task died {_RETRIES + 1} times ({error.task})",
            "give the workers more memory and run again; finished results are kept",
        ) from error


def _reach(address: str, timeout: float) -> None:
    """Open a plain connection to an address of Dask's, and close it."""
    from distributed.comm.addressing import get_address_host_port

    host, port = get_address_host_port(address, strict=True)
    socket.create_connection((host, port), timeout).close()


def _connect(address: str, timeout: float) -> Any:
    """A client of the scheduler."""
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise InvalidInput(
            "cluster", address, "Dask is not installed", "pip install 'cpi-resets[cluster]'"
        ) from error
    # Asked first by a plain connection: a client that finds no scheduler complains at exit.
    try:
        _reach(address, timeout)
        return distributed.Client(address, timeout=timeout, set_as_default=False)
    except OSError as error:
        raise InvalidInput(
            "cluster",
            address,
            f"no Dask scheduler answers there ({error.strerror or error})",
            "start one with `dask scheduler` and workers with `dask worker ADDRESS`",
        ) from error
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            "cluster",
            address,
            "not the address of a Dask scheduler",
            "give the one that `dask scheduler` prints, such as tcp://10.0.0.1:8786",
        ) from error
