"""One process commits the calls of several workers, so that they share groups and copies of rows.

Each worker has a socket to it (`link.Link`) and leaves its operations on calls to it. Everything else a
worker writes by itself, as does whoever is not one of these workers: transactions take turns.
"""

from __future__ import annotations

import logging
import pickle
import selectors
import socket
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine

from router.ledger.calls import CallOperation
from router.ledger.commits import GROUP_LIMIT, Commits
from router.ledger.errors import LedgerError
from router.ledger.jobs import Job
from router.ledger.pipe import GREETING, Pipe

_LOG: Final = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Worker:
    """A worker's link: who it is, and when it last gave a sign of life since it has started (monotonic)."""

    name: int
    pipe: Pipe
    greeted: bool = False
    heard_s: float | None = None


class SharedLedger:
    """Serves links; the process's main thread does nothing else.

    Args:
        engine: from `router.db.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._commits = Commits(engine)
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, _Worker] = {}  # the last of each name
        self._leaving: set[_Worker] = set()  # that ask for nothing more

    def new_link(self, name: int) -> socket.socket:
        """A socket for a worker that is about to be started. The caller closes its copy once it is."""
        ours, theirs = socket.socketpair()
        worker = self._workers[name] = _Worker(name, Pipe(ours))
        self._selector.register(worker.pipe, selectors.EVENT_READ, worker)
        return theirs

    def heard_s(self, name: int) -> float | None:
        """When the last worker of this name last gave a sign of life, monotonic seconds; None before it has
        started."""
        return self._workers[name].heard_s if name in self._workers else None

    def turn(self, timeout_s: float | None) -> list[int]:
        """Waits for operations, commits them, and answers. Returns the workers that closed their links."""
        asked: list[tuple[_Worker, int, Job]] = []
        for key, events in self._selector.select(timeout_s):
            worker: _Worker = key.data
            if events & selectors.EVENT_WRITE:
                self._flush(worker)
            if events & selectors.EVENT_READ:
                try:
                    for message in _messages(worker):
                        asked += [(worker, number, Job(operation)) for number, operation in message]
                except EOFError:
                    self._leaving.add(worker)
        for start in range(0, len(asked), GROUP_LIMIT):
            self._commit(asked[start : start + GROUP_LIMIT])
        return [self._end(worker) for worker in list(self._leaving) if not self._has_to_flush(worker)]

    def close(self) -> None:
        """Closes the links, and gives the database's connection up."""
        for worker in self._workers.values():
            worker.pipe.close()
        self._selector.close()
        self._commits.close()

    def _commit(self, asked: list[tuple[_Worker, int, Job]]) -> None:
        began_s = time.perf_counter()
        self._commits.commit([job for _, _, job in asked])
        seconds = time.perf_counter() - began_s
        outcomes: defaultdict[_Worker, list[tuple[int, Any, BaseException | None]]] = defaultdict(list)
        for worker, number, job in asked:
            outcomes[worker].append((number, job.result, job.error and _portable(job.error)))
        for worker, told in outcomes.items():
            try:
                worker.pipe.send((seconds, told))
            except OSError:
                _lose(worker)
            self._watch(worker)

    def _flush(self, worker: _Worker) -> None:
        try:
            worker.pipe.flush()
        except OSError:
            _lose(worker)
        self._watch(worker)

    def _has_to_flush(self, worker: _Worker) -> bool:
        """Whether a worker that leaves still has to hear something; it is watched for nothing else then."""
        self._watch(worker)
        return worker.pipe.has_unsent

    def _watch(self, worker: _Worker) -> None:
        pipe = worker.pipe
        events = 0 if worker in self._leaving else selectors.EVENT_READ
        events |= selectors.EVENT_WRITE if pipe.has_unsent else 0
        watched = pipe in self._selector.get_map()
        if events and watched:
            self._selector.modify(pipe, events, worker)
        elif events:
            self._selector.register(pipe, events, worker)
        elif watched:
            self._selector.unregister(pipe)

    def _end(self, worker: _Worker) -> int:
        self._leaving.discard(worker)
        worker.pipe.close()
        return worker.name


def _messages(worker: _Worker) -> list[list[tuple[int, CallOperation[Any]]]]:
    messages = worker.pipe.receive()
    if messages and not worker.greeted:
        if messages.pop(0) != GREETING:
            _LOG.error("worker %d is of another release: stop the router and start it again", worker.name)
            raise EOFError
        worker.greeted = True
    if messages:  # the first one says no more than that
        worker.heard_s = time.monotonic()
    return messages


def _lose(worker: _Worker) -> None:
    """The worker is gone: what it asked for is done, and nobody hears of it. Reading will say so, too."""
    _LOG.warning("worker %d does not hear what became of its operations", worker.name)
    worker.pipe.drop_unsent()


def _portable(error: BaseException) -> BaseException:
    """The error, or one that says the same if it cannot be sent."""
    if isinstance(error, LedgerError):
        return error
    try:
        sent: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return sent
