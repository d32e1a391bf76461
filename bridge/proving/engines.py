"""The pools that proofs are made in: processes on this machine, or a fleet of Dask workers.

Both are a `concurrent.futures.Executor`. A fleet's scheduler and workers exchange pickles with the bridge, so
they must be machines of the operator's own; what they compute is checked all the same.

Source: https://distributed.dask.org, `Client.get_executor`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from bridge.errors import BridgeError
from bridge.workers import new_pool

CONNECT_TIMEOUT_S: Final = 10
JOIN_TIMEOUT_S: Final = 30
FLEET_TIMEOUT_S: Final = 900
"""Longest wait for one proof of a fleet, its time in the queue included."""


class SchedulerUnavailable(BridgeError):
    """The fleet's scheduler does not answer, or no worker has joined it."""

    def __init__(self, address: str, reason: str) -> None:
        self.address, self.reason = address, reason
        super().__init__(f"the proving fleet at {address} cannot be used: {reason}")


class FleetNotInstalled(BridgeError):
    """A scheduler is configured, but the package that talks to it is not there."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(f"the proving fleet at {address} needs `pip install vibes-rails[fleet]`")


@dataclass(frozen=True)
class Engine:
    """A kind of pool.

    start: opens a pool.
    stop: closes a pool, whatever its state.
    lost: what a job raises when its worker, or the way to it, is gone.
    timeout_s: longest wait for one job, None for as long as its worker lives.
    remote: True if the workers have a file system of their own.
    """

    start: Callable[[], Executor]
    stop: Callable[[Executor], None]
    lost: tuple[type[BaseException], ...]
    timeout_s: int | None
    remote: bool


def local_engine(workers: int) -> Engine:
    """Processes on this machine, each of which takes one job at a time and ends with this process."""

    def start() -> Executor:
        return new_pool(workers)

    def stop(pool: Executor) -> None:
        pool.shutdown(wait=True, cancel_futures=True)

    return Engine(start, stop, (BrokenProcessPool,), timeout_s=None, remote=False)


def fleet_engine(address: str) -> Engine:
    """The workers of a Dask scheduler.

    Args:
        address: of the scheduler, e.g. tcp://10.0.0.5:8786; for tls:// see Dask's configuration.

    Raises:
        FleetNotInstalled: the extra `fleet` is not installed.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise FleetNotInstalled(address) from error
    closed = distributed.client.ClosedClientError

    def start() -> Executor:
        try:
            client = distributed.Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError; an unknown scheme a ValueError
            raise SchedulerUnavailable(address, f"no scheduler answers ({type(error).__name__})") from error
        try:
            client.wait_for_workers(1, timeout=JOIN_TIMEOUT_S)
        except TimeoutError as error:
            client.close()
            raise SchedulerUnavailable(address, "no worker has joined the scheduler") from error
        executor: Executor = client.get_executor(pure=False)  # each attempt is a job of its own
        return executor

    def stop(pool: Any) -> None:
        with suppress(closed):  # it closes itself when the scheduler is gone
            pool.shutdown(wait=False)
        pool._client.close()  # the executor does not close the client that it came from

    lost = (distributed.KilledWorker, CancelledError, closed)
    return Engine(start, stop, lost, timeout_s=FLEET_TIMEOUT_S, remote=True)
