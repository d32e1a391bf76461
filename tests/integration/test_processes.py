"""Nothing that the demo starts may outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from processes import ChildFailed, Processes  # noqa: E402

# A program with a child of its own; both write their process id, and neither listens to SIGTERM.
STUBBORN_FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print("id", os.getpid(), flush=True)
time.sleep(600)
"""

PARENT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import processes
processes.STOP_S = 0.2
with processes.Processes(Path(sys.argv[2]), {}, Path(sys.argv[2])) as children:
    child = children.start("family", [sys.executable, "-c", sys.argv[3]])
    child.wait_until(lambda: child.log.read_text().count("\\n") == 2, 20)
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("processes.STOP_S", 0.2)
    with Processes(tmp_path / "logs", {"GREETING": "hello"}, tmp_path) as processes:
        yield processes


def family(log: Path) -> list[int]:
    return [int(line.split()[1]) for line in log.read_text().splitlines()]


def is_alive(pid: int) -> bool:
    """False for a zombie too: it waits for a reaper that a container may not have."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still running: {pids}"
        time.sleep(0.02)


def test_stop_reaches_grandchildren_that_ignore_sigterm(processes: Processes) -> None:
    child = processes.start("family", [sys.executable, "-c", STUBBORN_FAMILY])
    child.wait_until(lambda: len(child.log.read_text().splitlines()) == 2, 20)
    assert all(is_alive(pid) for pid in family(child.log))
    processes.stop()
    assert_gone(family(child.log))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_parent_stops_the_family(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(SCRIPTS), str(tmp_path), STUBBORN_FAMILY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        os.kill(parent.pid, number)
        assert parent.wait(20) != 0
    assert_gone(family(tmp_path / "family.log"))


def test_waiting_for_a_program_that_ends_shows_its_log(processes: Processes) -> None:
    child = processes.start("broken", [sys.executable, "-c", "raise SystemExit('no such table')"])
    with pytest.raises(ChildFailed, match=r"(?s)broken ended with exit code 1.*no such table"):
        child.wait_http("http://127.0.0.1:9/healthz")


def test_waiting_ends(processes: Processes) -> None:
    child = processes.start("slow", [sys.executable, "-c", "import time; time.sleep(600)"])
    with pytest.raises(ChildFailed, match=r"slow was not ready within 0\.3 s"):
        child.wait_line("never", timeout_s=0.3)


def test_run_gives_the_output_and_refuses_a_failure(processes: Processes) -> None:
    show = "import os, sys; print(os.environ['GREETING'], os.environ['NAME']); sys.exit(int(sys.argv[1]))"
    assert processes.run("show", [sys.executable, "-c", show, "0"], {"NAME": "world"}) == "hello world\n"
    with pytest.raises(ChildFailed, match=r"(?s)exit code 3.*hello again"):
        processes.run("show", [sys.executable, "-c", show, "3"], {"NAME": "again"})
    with pytest.raises(ChildFailed, match="did not end within"):
        processes.run("hang", [sys.executable, "-c", "import time; time.sleep(600)"], timeout_s=0.3)
