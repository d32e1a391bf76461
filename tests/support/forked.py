"""`vibes-router` in processes that are forked from one which has imported it: of a start, that takes most."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
"""Makes processes that need not import the router: what they are to do is a function of a module."""
FORKS.set_forkserver_preload(
    ["router.commands.serving", "router.api.app", "router.observe.observer", "router.serve", "uvloop"]
)


class ForkedRouter:
    """A running `vibes-router`, handled like a `subprocess.Popen`. It ends with this process at the latest.

    Args:
        arguments: behind the program's name.
        environ: all of its environment.
        log: file at whose end it writes what it says.
    """

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        call = (tuple(arguments), dict(environ), log.resolve(), Path.cwd())
        self._process = FORKS.Process(target=_run, args=call, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("vibes-router", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(arguments: tuple[str, ...], environ: dict[str, str], log: Path, folder: Path) -> None:
    """What the command does from its first line on, in the new process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.argv = ["vibes-router", *arguments]
    from router.cli import main

    main()
