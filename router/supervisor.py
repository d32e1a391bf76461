"""Several workers on one port, and this process, which commits their calls and starts anew who falls."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

from router.db import open_database
from router.ledger.pipe import BEAT_S
from router.ledger.shared import SharedLedger

LEAVE_S: Final = 10.0
"""How long a worker may take to end once it was told to or has closed its link, beside its drain."""
ABSENT_S: Final = 2 * BEAT_S
"""A pause of this process itself after which nobody is called silent: the machine slept, a disk was slow."""
RESTART_S: Final = 5.0
"""Least seconds between two starts in one worker's place."""
_POLL_S: Final = 0.05
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """A worker's place: who fills it, since when, since when its link is closed (monotonic seconds); whether
    one who filled it before was ready."""

    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    closed_s: float | None = None
    was_ready: bool = False


class Supervisor:
    """Runs workers until SIGTERM or SIGINT, which it hands on to them, as it does SIGHUP.

    Args:
        ledger_url: as in `router.db.open_database`.
        commands: of each worker; `--ledger-fd` and a descriptor are added.
        drain_s: seconds that a worker's drain may take.
        silent_s: seconds without a sign of life after which a worker is replaced, but for a place's first
            one while it starts; 0: never.
    """

    def __init__(
        self, ledger_url: str, commands: Sequence[Sequence[str]], drain_s: float, silent_s: float
    ) -> None:
        self._leave_s, self._silent_s = drain_s + LEAVE_S, silent_s
        self._here_s = self._looked_s = time.monotonic()
        self._engine = open_database(ledger_url)
        self._ledger = SharedLedger(self._engine)
        self._commands = commands
        self._places = [_Place() for _ in commands]
        self._stopping = False
        self._end_by_s = 0.0  # when nobody has any longer to stop
        self._status = 0

    def run(self) -> int:
        """Returns the exit status once all workers have ended and what they asked for is committed."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, self._on_signal)
        try:
            self._look_after_all()
            while not self._is_over:
                for number in self._ledger.turn(self._pause_s):
                    place = self._places[number]
                    place.closed_s = None if place.process is None else time.monotonic()
                self._look_after_all()
        finally:
            self._ledger.close()
            self._engine.dispose()
        return self._status

    @property
    def _is_over(self) -> bool:
        return self._stopping and all(place.process is None for place in self._places)

    @property
    def _pause_s(self) -> float:
        """How long nothing has to be done here unless a worker wants something."""
        if any(place.closed_s is not None for place in self._places):
            return _POLL_S
        empty = [place.started_s + RESTART_S for place in self._places if place.process is None]
        if self._stopping:
            return BEAT_S if len(empty) < len(self._places) else 0.0
        return min(BEAT_S, max(0.0, min(empty) - time.monotonic())) if empty else BEAT_S

    def _look_after_all(self) -> None:
        now_s = time.monotonic()
        if now_s > self._looked_s + ABSENT_S:
            self._here_s = now_s
        self._looked_s = now_s
        for number, place in enumerate(self._places):
            if place.process is None:
                if not self._stopping and (not place.started_s or now_s >= place.started_s + RESTART_S):
                    self._start(number, place)
            elif place.closed_s is not None:
                status = place.process.poll()
                if status is not None:
                    place.process = place.closed_s = None
                    self._ended(number, place, status)
                elif now_s > place.closed_s + self._leave_s:
                    place.process.kill()
            elif self._stopping:
                if now_s > self._end_by_s:
                    _LOG.error("worker %d has not stopped: it is killed", number)
                    place.process.kill()
            elif self._is_silent(number, place, now_s):
                _LOG.error("worker %d gave no sign of life for %g s: it is killed", number, self._silent_s)
                place.process.kill()

    def _is_silent(self, number: int, place: _Place, now_s: float) -> bool:
        heard_s = self._ledger.heard_s(number)
        if heard_s is None and place.was_ready:  # the first ones start all at once, which may take long
            heard_s = place.started_s
        if not self._silent_s or heard_s is None:
            return False
        return now_s > max(heard_s, self._here_s) + self._silent_s

    def _start(self, number: int, place: _Place) -> None:
        place.started_s = time.monotonic()
        try:
            with self._ledger.new_link(number) as end:
                # in a group of its own: a terminal's Ctrl-C comes to the supervisor alone, which hands it on
                place.process = subprocess.Popen(
                    [*self._commands[number], "--ledger-fd", str(end.fileno())],
                    pass_fds=(end.fileno(),),
                    process_group=0,
                )
        except OSError as error:  # no memory, no descriptors: the others go on
            if not place.was_ready:
                raise
            _LOG.error("worker %d cannot be started: %s", number, error)
            return
        _LOG.info("worker %d is process %d", number, place.process.pid)
        if self._stopping:  # the signal came while there was nobody to hand it on to
            place.process.terminate()

    def _ended(self, number: int, place: _Place, status: int) -> None:
        place.was_ready |= self._ledger.heard_s(number) is not None
        if self._stopping:
            return
        if place.was_ready:
            _LOG.error("worker %d ended with status %d: another one takes its place", number, status)
        else:  # what keeps it from starting keeps the others, too
            _LOG.error("worker %d ended with status %d before it was ready", number, status)
            self._status = status if status > 0 else 1
            self._stop(signal.SIGTERM)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGHUP:  # who is about to start reads the file anyway, and has no handler yet
            for number, place in enumerate(self._places):
                if place.process is not None and self._ledger.heard_s(number) is not None:
                    place.process.send_signal(signum)
        else:
            self._stop(signum)

    def _stop(self, signum: int) -> None:
        if not self._stopping:
            self._end_by_s = time.monotonic() + self._leave_s
        self._stopping = True
        for place in self._places:
            if place.process is not None:
                place.process.send_signal(signum)
