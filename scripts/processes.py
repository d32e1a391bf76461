"""Child processes with logs, and the promise that none of them outlives the parent."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, Self, TypeVar

import httpx

Found = TypeVar("Found")
Command = Sequence[str | Path]
NOTHING: Mapping[str, str] = MappingProxyType({})

LOG_TAIL_LINES = 15
STOP_S = 10
"""How long a child may take to stop by itself before it is killed."""


class ChildFailed(Exception):
    """A child process ended, or was not ready in time; carries the end of its log."""

    def __init__(self, name: str, problem: str, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
        super().__init__("\n  ".join([f"{name} {problem}; the end of {log}:", *(lines or ["(empty)"])]))
        self.name, self.problem, self.log = name, problem, log


@dataclass(frozen=True)
class Child:
    """A running program, leader of its own process group, writing to ``log``."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises ChildFailed if the program has ended."""
        if (code := self.process.poll()) is not None:
            raise ChildFailed(self.name, f"ended with exit code {code}", self.log)

    def wait_line(self, start: str, timeout_s: float = 30) -> str:
        """Waits for a line that begins with ``start`` in the log and returns it."""

        def line() -> str | None:
            *lines, _unfinished = self.log.read_text(errors="replace").split("\n")
            return next((line for line in lines if line.startswith(start)), None)

        return self.wait_until(line, timeout_s)

    def wait_http(self, url: str, timeout_s: float = 30) -> None:
        """Waits until a GET of ``url`` answers below 400."""

        def answers() -> bool:
            try:
                return httpx.get(url, timeout=2).status_code < 400
            except httpx.TransportError:
                return False

        self.wait_until(answers, timeout_s)

    def wait_until(self, ready: Callable[[], Found | None], timeout_s: float) -> Found:
        """Calls ``ready`` until it gives something true, and returns that.

        Raises:
            ChildFailed: the program ended first, or ``timeout_s`` passed.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := ready():
                return found
            self.check()
            time.sleep(0.05)
        raise ChildFailed(self.name, f"was not ready within {timeout_s:g} s", self.log)

    def stop(self) -> None:
        """Asks the program's whole group to stop, then kills what is left of it."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Processes:
    """Starts programs and stops them all, last started first, however the ``with`` block ends.

    Ctrl-C, SIGTERM and SIGHUP end the block like an exception. A child is in a process group of its own, so a
    Ctrl-C in the terminal reaches only this process, which then stops the others in order.

    Args:
        logs: folder for one ``<name>.log`` a program.
        environment: the variables that every program gets.
        directory: where programs run.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str], directory: Path) -> None:
        self._logs, self._environment, self._directory = logs, environment, directory
        self._children: list[Child] = []
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        atexit.register(self.stop)
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, _exit_on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self.stop)
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def start(self, name: str, command: Command, variables: Mapping[str, str] = NOTHING) -> Child:
        """Starts a program that runs until ``stop``, with ``variables`` added to its environment."""
        return self._start(name, command, variables, None)

    def run(
        self, name: str, command: Command, variables: Mapping[str, str] = NOTHING, timeout_s: float = 300
    ) -> str:
        """Runs a program to its end and returns what it wrote to stdout.

        Raises:
            ChildFailed: it did not end with exit code 0 within ``timeout_s``.
        """
        child = self._start(name, command, variables, subprocess.PIPE)
        try:
            output, _ = child.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ChildFailed(name, f"did not end within {timeout_s:g} s", child.log) from None
        finally:
            child.stop()
            self._children.remove(child)
        if code := child.process.returncode:
            with child.log.open("ab") as log:
                log.write(output)
            raise ChildFailed(name, f"ended with exit code {code}", child.log)
        return output.decode()

    def check(self) -> None:
        """Raises ChildFailed if one of the started programs has ended."""
        for child in self._children:
            child.check()

    def stop(self) -> None:
        """Stops everything that is still running; a Ctrl-C meanwhile cannot leave anything behind."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            while self._children:
                self._children.pop().stop()
        finally:
            signal.signal(signal.SIGINT, before)

    def _start(self, name: str, command: Command, variables: Mapping[str, str], stdout: int | None) -> Child:
        path = self._logs / f"{name}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self._directory,
                env={**self._environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log,
                start_new_session=True,
            )
        child = Child(name, process, path)
        self._children.append(child)
        return child


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class PortTaken(Exception):
    """Something listens on the port already."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use: stop what listens there, or choose another with --port")
        self.port = port


def check_free(port: int) -> None:
    """Raises PortTaken if something listens on a TCP port of 127.0.0.1."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise PortTaken(port) from error


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
