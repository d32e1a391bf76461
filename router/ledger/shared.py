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
from typing import Any, Final

from sqlalchemy import Engine

from router.ledger.calls import CallOperation
from router.ledger.commits import GROUP_LIMIT, Commits
from router.ledger.errors import LedgerError
from router.ledger.jobs import Job
from router.ledger.pipe import GREETING, Pipe

_LOG: Final = logging.getLogger(__name__)


class SharedLedger:
    """Serves links; the process's main thread does nothing else.

    Args:
        engine: from `router.db.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._commits = Commits(engine)
        self._selector = selectors.DefaultSelector()
        self._names: dict[Pipe, int] = {}
        self._greeted: set[Pipe] = set()
        self._ready: set[int] = set()
        self._heard_s: dict[int, float] = {}
        self._leaving: set[Pipe] = set()  # that ask for nothing more

    def new_link(self, name: int) -> socket.socket:
        """A socket for a worker that is about to be started. The caller closes its copy once it is."""
        ours, theirs = socket.socketpair()
        self._ready.discard(name)
        pipe = Pipe(ours)
        self._names[pipe] = name
        self._selector.register(pipe, selectors.EVENT_READ, pipe)
        return theirs

    def was_ready(self, name: int) -> bool:
        """Whether the last worker of this name has started."""
        return name in self._ready

    def heard_s(self, name: int) -> float | None:
        """When a worker that has started last gave a sign of life, monotonic seconds; None of another one."""
        return self._heard_s.get(name) if name in self._ready else None

    def turn(self, timeout_s: float | None) -> list[int]:
        """Waits for operations, commits them, and answers. Returns the workers that closed their links."""
        asked: list[tuple[Pipe, int, Job]] = []
        for key, events in self._selector.select(timeout_s):
            pipe: Pipe = key.data
            if events & selectors.EVENT_WRITE:
                self._flush(pipe)
            if events & selectors.EVENT_READ:
                try:
                    for message in self._messages(pipe):
                        asked += [(pipe, number, Job(operation)) for number, operation in message]
                except EOFError:
                    self._leaving.add(pipe)
        for start in range(0, len(asked), GROUP_LIMIT):
            self._commit(asked[start : start + GROUP_LIMIT])
        return [self._end(pipe) for pipe in list(self._leaving) if not self._has_to_flush(pipe)]

    def close(self) -> None:
        """Closes the links, and gives the database's connection up."""
        for pipe in self._names:
            pipe.close()
        self._selector.close()
        self._commits.close()

    def _messages(self, pipe: Pipe) -> list[list[tuple[int, CallOperation[Any]]]]:
        messages = pipe.receive()
        name = self._names[pipe]
        if messages and pipe not in self._greeted:
            if messages.pop(0) != GREETING:
                _LOG.error("worker %d is of another release: stop the router and start it again", name)
                raise EOFError
            self._greeted.add(pipe)
        if messages:  # the first one says no more than that
            self._ready.add(name)
            self._heard_s[name] = time.monotonic()
        return messages

    def _commit(self, asked: list[tuple[Pipe, int, Job]]) -> None:
        began_s = time.perf_counter()
        self._commits.commit([job for _, _, job in asked])
        seconds = time.perf_counter() - began_s
        outcomes: defaultdict[Pipe, list[tuple[int, Any, BaseException | None]]] = defaultdict(list)
        for pipe, number, job in asked:
            outcomes[pipe].append((number, job.result, job.error and _portable(job.error)))
        for pipe, told in outcomes.items():
            try:
                pipe.send((seconds, told))
            except OSError:
                self._lose(pipe)
            self._watch(pipe)

    def _flush(self, pipe: Pipe) -> None:
        try:
            pipe.flush()
        except OSError:
            self._lose(pipe)
        self._watch(pipe)

    def _lose(self, pipe: Pipe) -> None:
        """The worker is gone: what it asked for is done, and nobody hears of it. Reading will say so, too."""
        _LOG.warning("worker %d does not hear what became of its operations", self._names[pipe])
        pipe.drop_unsent()

    def _has_to_flush(self, pipe: Pipe) -> bool:
        """Whether a worker that leaves still has to hear something; it is watched for nothing else then."""
        self._watch(pipe)
        return pipe.has_unsent

    def _watch(self, pipe: Pipe) -> None:
        events = 0 if pipe in self._leaving else selectors.EVENT_READ
        events |= selectors.EVENT_WRITE if pipe.has_unsent else 0
        watched = pipe in self._selector.get_map()
        if events and watched:
            self._selector.modify(pipe, events, pipe)
        elif events:
            self._selector.register(pipe, events, pipe)
        elif watched:
            self._selector.unregister(pipe)

    def _end(self, pipe: Pipe) -> int:
        self._leaving.discard(pipe)
        self._greeted.discard(pipe)
        pipe.close()
        return self._names.pop(pipe)


def _portable(error: BaseException) -> BaseException:
    """The error, or one that says the same if it cannot be sent."""
    if isinstance(error, LedgerError):
        return error
    try:
        sent: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return sent
