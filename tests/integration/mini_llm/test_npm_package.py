"""The npm package: what it holds, how it finds the Python tool, and how it installs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pexpect
import pytest
from support.anvil import ROOT

NODE = shutil.which("node") or ""
NPM = shutil.which("npm") or ""
PACKAGE = ROOT / "npm"
SECONDS = 240

pytestmark = pytest.mark.skipif(not NODE or not NPM, reason="needs node and npm")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that npm would publish."""
    folder = tmp_path_factory.mktemp("npm")
    told = subprocess.run(
        [NPM, "pack", "--json", "--pack-destination", folder, PACKAGE],
        check=True,
        capture_output=True,
        text=True,
    )
    archive: Path = folder / json.loads(told.stdout)[0]["filename"]
    return archive


@pytest.fixture(scope="module")
def program(packed: Path) -> Path:
    subprocess.run(["tar", "--extract", "--file", packed, "--directory", packed.parent], check=True)
    made = packed.parent / "package" / "bin" / "mini-llm.js"
    made.chmod(0o755)  # as npm does when it installs
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python tool of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "mini_llm", source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, timeout=SECONDS)
    (made,) = folder.glob("*.whl")
    return made


class Machine:
    """A user with a home and a PATH of programs that the test chooses."""

    def __init__(self, folder: Path) -> None:
        self.home, self.bin = folder / "home", folder / "bin"
        self.home.mkdir()
        self.bin.mkdir()
        self.has("node", NODE)
        self.has("sh", shutil.which("sh") or "")
        self.has("env", shutil.which("env") or "")

    def has(self, name: str, target: str | Path) -> None:
        (self.bin / name).symlink_to(target)

    def script(self, name: str, text: str) -> None:
        file = self.bin / name
        file.write_text(text)
        file.chmod(0o755)

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
        return kept | {"HOME": str(self.home), "PATH": str(self.bin)} | more

    def run(self, program: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [NODE, program, *arguments],
            env=self.environ(**environ),
            cwd=self.home,
            input="",
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


TOOL = """#!/bin/sh
# python
if [ "$1" = wait ]; then
  trap "echo stopped; exit 7" TERM
  echo waiting
  while :; do sleep 0.1; done
fi
echo "tool $*"
exit 9
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_is_small_and_runs_nothing_when_installed(packed: Path) -> None:
    with tarfile.open(packed) as archive:
        names = set(archive.getnames())
    assert names == {
        f"package/{name}" for name in ("LICENSE", "README.md", "bin/mini-llm.js", "package.json")
    }
    told = json.loads((PACKAGE / "package.json").read_text())
    assert not {"dependencies", "optionalDependencies", "scripts"} & told.keys()
    sdk = (ROOT / "mini_llm" / "pyproject.toml").read_text()
    assert f'version = "{told["version"]}"' in sdk


def test_arguments_and_exit_code_pass_through(machine: Machine, program: Path) -> None:
    machine.script("mini-llm", TOOL)
    ended = machine.run(program, "chat", "-m", "a b", "--yes")
    assert (ended.returncode, ended.stdout, ended.stderr) == (9, "tool chat -m a b --yes\n", "")


def test_signals_pass_through(machine: Machine, program: Path) -> None:
    machine.script("mini-llm", TOOL)
    machine.has("sleep", shutil.which("sleep") or "")
    process = subprocess.Popen(
        [NODE, program, "wait"],
        env=machine.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "stopped\n"
    assert process.returncode == 7


def test_it_does_not_find_itself(machine: Machine, program: Path) -> None:
    machine.has("mini-llm", program)  # as npm puts it there
    other = machine.home / "bin"
    other.mkdir()
    (other / "mini-llm").write_text(TOOL)
    (other / "mini-llm").chmod(0o755)
    ended = machine.run(program, "x", PATH=f"{machine.bin}:{other}")
    assert (ended.returncode, ended.stdout) == (9, "tool x\n")


def test_without_python_it_says_what_is_missing(machine: Machine, program: Path) -> None:
    ended = machine.run(program, "--yes", "chat")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: mini-llm needs Python 3.11 or newer")
    machine.script("python3", "#!/bin/sh\nexit 1\n")  # an old one: every question to it fails
    assert machine.run(program, "--yes").stderr == ended.stderr


def test_nothing_is_installed_unasked(machine: Machine, program: Path) -> None:
    machine.has("python3", sys._base_executable)  # type: ignore[attr-defined]
    ended = machine.run(program, "chat")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"-m venv {machine.home}/.mini-llm/venv" in ended.stderr
    assert "npx mini-llm --yes" in ended.stderr
    assert list(machine.home.iterdir()) == []
    asked = pexpect.spawn(
        NODE,
        [str(program), "chat"],
        env=machine.environ(),
        encoding="utf-8",
        timeout=60,  # type: ignore[arg-type]
    )
    asked.expect_exact("Install it now? [y/N] ")
    asked.sendline("n")
    asked.expect_exact("nothing was installed")
    asked.expect(pexpect.EOF)
    asked.close()
    assert asked.exitstatus == 1
    assert list(machine.home.iterdir()) == []


def test_pipx_is_used_where_it_is(machine: Machine, program: Path) -> None:
    machine.has("python3", sys._base_executable)  # type: ignore[attr-defined]
    tools = machine.home / "tools"
    machine.script(
        "pipx",
        f'#!/bin/sh\nif [ "$1" = environment ]; then echo {tools}; exit; fi\necho "pipx $*" >&2\n'
        f"mkdir -p {tools}; printf '#!/bin/sh\\necho from pipx $*\\n' > {tools}/mini-llm\n"
        f"chmod +x {tools}/mini-llm\n",
    )
    for name in ("mkdir", "chmod"):
        machine.has(name, shutil.which(name) or "")
    ended = machine.run(program, "--yes", "hello", MINI_LLM_INSTALL_FROM="mini-llm==9")
    assert (ended.returncode, ended.stdout) == (0, "from pipx hello\n")
    assert "pipx install --python python3 mini-llm==9" in ended.stderr


def test_an_installation_that_fails_is_told(machine: Machine, program: Path) -> None:
    machine.script("uv", "#!/bin/sh\necho no network >&2\nexit 2\n")
    ended = machine.run(program, "hello", MINI_LLM_BOOTSTRAP="yes")
    assert ended.returncode == 1
    assert "no network\nerror: `uv venv" in ended.stderr


@pytest.mark.parametrize("way", ["venv", "uv"])
def test_it_installs_the_tool_and_runs_it(machine: Machine, program: Path, wheel: Path, way: str) -> None:
    machine.has("python3", sys._base_executable)  # type: ignore[attr-defined]
    if way == "uv":
        machine.has("uv", Path(sys.executable).parent / "uv")
    first = machine.run(program, "--yes", "--version", MINI_LLM_INSTALL_FROM=str(wheel))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("mini-llm, version ")
    assert f"Installed {machine.home}/.mini-llm/venv/bin/mini-llm" in first.stderr
    again = machine.run(program, "chat", "-m", "m", "Hello")
    assert (again.returncode, again.stdout) == (5, "")
    assert again.stderr.startswith("error: mini-llm is not set up")


def test_npx_runs_it(machine: Machine, packed: Path) -> None:
    machine.script("mini-llm", TOOL)
    found = os.pathsep.join([str(Path(NPM).parent), str(machine.bin)])
    ended = subprocess.run(
        [NPM, "exec", "--yes", "--offline", f"--package={packed}", "--", "mini-llm", "status"],
        env=machine.environ(PATH=f"{machine.bin}{os.pathsep}{found}"),
        cwd=machine.home,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (9, "tool status\n"), ended.stderr
