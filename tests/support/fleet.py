"""A Dask scheduler and workers as an operator starts them, on free ports of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.anvil import ROOT
from support.ports import free_port

START_S = 60


@dataclass
class Fleet:
    """A scheduler and its workers by their process ids."""

    address: str
    folder: Path
    circuits_dir: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    scheduler: int = 0

    def start_scheduler(self) -> int:
        """Starts the scheduler at the fleet's address and waits until it listens."""
        port = self.address.rpartition(":")[2]
        process = self.run("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        wait_for_port(int(port))
        return process

    def add_worker(self, *options: str) -> int:
        """Starts a worker of one thread; it joins the scheduler by itself."""
        command = [
            "worker",
            self.address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--memory-limit",
            "0",
        ]
        return self.run(*command, "--local-directory", str(self.folder), *options)

    def run(self, *arguments: str) -> int:
        """Starts a command of dask and returns its process id; its output is in `folder`/dask.log."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.folder)]),
            "TMPDIR": str(self.folder),
            "VIBES_CIRCUITS_DIR": str(self.circuits_dir),
        }
        with (self.folder / "dask.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments], env=environment, stdout=log, stderr=log
            )
        self.processes[process.pid] = process
        return process.pid

    def stop(self) -> None:
        """Ends whatever still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()


@contextmanager
def running_fleet(folder: Path, circuits_dir: Path) -> Iterator[Fleet]:
    """A scheduler without workers."""
    port = free_port()
    fleet = Fleet(f"tcp://127.0.0.1:{port}", folder, circuits_dir)
    try:
        fleet.scheduler = fleet.start_scheduler()
        yield fleet
    finally:
        fleet.stop()


def wait_for_port(port: int) -> None:
    """Returns when something listens there."""
    deadline = time.monotonic() + START_S
    while True:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "the scheduler did not start"
        time.sleep(0.05)
