"""Providers, aliases, settings and export, as a person sets them up."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pexpect
import pytest
from conftest import COMMAND, Cli
from support.model_server import TEXT, ModelServer

KEY = "sk-very-secret"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def saved(cli: Cli) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli.file.read_text())
    return found


def test_a_server_of_ones_own(cli: Cli, server: ModelServer) -> None:
    added = cli.run("providers", "add", "custom", "--url", server.url)
    assert added.returncode == 0, added.stderr
    assert added.stdout.splitlines()[0] == f"added custom in {cli.file}"
    assert added.stdout.splitlines()[1].startswith("ok   custom: answers in ")
    assert saved(cli) == {"providers": {"custom": {"type": "openai", "base_url": f"{server.url}/v1"}}}
    assert (mode(cli.file), mode(cli.file.parent)) == (0o600, 0o700)
    assert cli.run("chat", "-m", "llama3.2", "Hello").stdout == f"{TEXT}\n"
    again = cli.run(
        "providers", "add", "custom", "--url", f"{server.url}/v1/", "--model", "llama*", "--no-test"
    )
    assert again.stdout == f"replaced custom in {cli.file}\n"
    assert saved(cli)["providers"]["custom"] == {
        "type": "openai",
        "base_url": f"{server.url}/v1",
        "models": ["llama*"],
    }


@pytest.mark.parametrize("keyring", [True, False], ids=["keyring", "file"])
def test_a_key_from_standard_input_goes_where_it_is_safe(
    cli: Cli, server: ModelServer, tmp_path: Path, keyring: bool
) -> None:
    kept = tmp_path / "keyring.json"
    if keyring:
        cli.environ |= {
            "PYTHON_KEYRING_BACKEND": "support.keyrings.FileKeyring",
            "TEST_KEYRING": str(kept),
        }
    server.key = KEY
    added = cli.run("providers", "add", "home", "--url", server.url, "--key", "-", said=f"{KEY}\n")
    assert added.returncode == 0, added.stderr
    assert ("key kept in file of the test" in added.stdout) is keyring
    assert ("which only you can read" in added.stdout) is not keyring
    assert (KEY in cli.file.read_text()) is not keyring
    assert mode(cli.file) == 0o600
    assert cli.run("chat", "-m", "llama3.2", "Hello").stdout == f"{TEXT}\n"
    for shown in (
        ("providers",),
        ("config", "show"),
        ("export",),
        ("export", "--format", "json"),
        ("doctor",),
    ):
        told = cli.run(*shown)
        assert KEY not in told.stdout + told.stderr
    assert f"OPENAI_API_KEY={KEY}" in cli.run("export", "--show-keys").stdout
    assert cli.run("providers", "remove", "home").returncode == 0
    assert saved(cli) == {"providers": {}}
    assert not keyring or json.loads(kept.read_text()) == {}


def test_a_key_that_is_asked_for_is_not_shown(cli: Cli, server: ModelServer) -> None:
    server.key = KEY
    shown = cli.terminal("providers", "add", "openai", "--url", server.url)
    shown.expect_exact("API key of openai (empty for none): ")
    shown.sendline(KEY)
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 0
    assert KEY not in str(shown.before)
    assert "\x1b[32mok" in str(shown.before)
    assert saved(cli)["providers"]["openai"]["api_key"] == KEY


def test_ctrl_c_at_the_prompt_changes_nothing(cli: Cli) -> None:
    shown = cli.terminal("providers", "add", "openai")
    shown.expect_exact("API key of OpenAI: ")
    shown.sendintr()
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 130
    assert "Traceback" not in str(shown.before)
    assert not cli.file.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "nobody"), "say --url http://"),
        (("add", "openai"), "mini-llm providers add openai --key -"),
        (("add", "openai", "--key", "-"), "no key on standard input"),
        (("add", "x", "--url", "localhost:8080"), "http://localhost:8080"),
        (("add", "azure", "--key", "k"), "base_url: is missing"),
        (("add", "wallet", "--url", "http://localhost:1"), "the name is the wallet's"),
        (("test", "nobody"), "there is no provider 'nobody'"),
        (("add",), "Missing argument 'NAME': see `mini-llm providers add --help`"),
    ],
    ids=["unknown", "no key", "empty input", "no scheme", "no address", "reserved", "test", "usage"],
)
def test_mistakes_are_told_in_one_line(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    ended = cli.run("providers", *arguments)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert words in ended.stderr
    assert not cli.file.exists()


def test_providers_are_listed_with_where_they_are_set(ready: Cli, server: ModelServer) -> None:
    ready.environ["GROQ_API_KEY"] = KEY
    (ready.project / "mini-llm.config.json").write_text(
        json.dumps({"providers": {"box": {"base_url": "http://127.0.0.1:9/v1"}}})
    )
    listed = ready.json("providers", "list")["providers"]
    assert [(one["name"], one["type"], one["key"]) for one in listed] == [
        ("box", "openai", False),
        ("home", "openai", False),
        ("groq", "groq", True),
    ]
    assert [one["origin"] for one in listed] == [
        str(ready.project / "mini-llm.config.json"),
        str(ready.file),
        "environment GROQ_API_KEY",
    ]
    assert listed[2]["base_url"] == "https://api.groq.com/openai/v1"
    elsewhere = ready.run("providers", "remove", "groq")
    assert elsewhere.returncode == 1
    assert "it is set up in environment GROQ_API_KEY" in elsewhere.stderr


def test_providers_are_tested(ready: Cli, server: ModelServer) -> None:
    (told,) = ready.json("providers", "test")["providers"]
    assert isinstance(told.pop("latency_ms"), int)
    assert told == {"name": "home", "healthy": True, "state": "ok", "detail": "answers", "models": 2}
    server.key = KEY
    (told,) = ready.json("providers", "test", "home", code=4)["providers"]
    assert (told["state"], told["models"]) == ("key refused", None)
    server.key = None
    ready.write(providers={"dead": {"base_url": "http://127.0.0.1:9/v1"}})
    (told,) = ready.json("providers", "test", code=4)["providers"]
    assert (told["state"], told["latency_ms"]) == ("unreachable", None)


def test_aliases(ready: Cli, server: ModelServer) -> None:
    assert ready.run("alias", "set", "fast=llama3.2", "smart=http-500,llama3.2").returncode == 0
    assert ready.run("chat", "-q", "-m", "smart", "Hello").stdout == f"{TEXT}\n"
    assert [one["models"] for one in ready.json("alias", "list")["aliases"]] == [
        ["llama3.2"],
        ["http-500", "llama3.2"],
    ]
    assert ready.run("alias", "remove", "smart").returncode == 0
    assert saved(ready)["aliases"] == {"fast": "llama3.2"}
    assert ready.run("alias", "remove", "smart").returncode == 1
    for wrong in ("fast", "=m", "fast=", "fast=a,,b"):
        assert ready.run("alias", "set", wrong).returncode == 2
    assert saved(ready)["aliases"] == {"fast": "llama3.2"}


def test_models(ready: Cli, server: ModelServer) -> None:
    ready.run("alias", "set", "fast=llama3.2")
    told = ready.json("models")
    own = {"fast", "home/llama3.2", "home/nomic-embed"}
    assert {one["name"] for one in told["models"]} == own | {"auto", "auto:cheap", "auto:best"}
    assert told["unreachable"] == []
    assert ready.run("models", "nomic").stdout.splitlines()[1].split() == ["home/nomic-embed", "home"]
    assert ready.run("models", "no-such").returncode == 1
    pipe = f"{' '.join(COMMAND)} models | head -1"
    surroundings = ready.surroundings()
    ended = subprocess.run(
        ["sh", "-c", pipe], env=surroundings, cwd=ready.project, capture_output=True, text=True, check=True
    )
    assert (ended.stdout.split()[0], ended.stderr) == ("MODEL", "")


def test_the_places_of_settings(ready: Cli) -> None:
    places = ready.json("config", "path")
    assert places["user"] == {"path": str(ready.file), "exists": True}
    assert places["project"]["exists"] is False
    assert ready.json("config", "check") == {"ok": True, "errors": []}
    own = ready.project / "own.json"
    own.write_text('{"providers": {\n"x": {"bose_url": "http://y"}}}')
    wrong = ready.json("--config", str(own), "config", "check", code=2)
    assert wrong["errors"][0]["where"] == f"{own}:2: providers.x.bose_url"


def test_export(ready: Cli, server: ModelServer) -> None:
    ready.environ |= {"GROQ_API_KEY": KEY, "ANTHROPIC_API_KEY": "sk-ant"}
    told = json.loads(ready.run("export", "--format", "json").stdout)
    assert told["providers"]["groq"] == {
        "base_url": "https://api.groq.com/openai/v1",
        "api_key": None,
        "has_key": True,
        "key_variable": "GROQ_API_KEY",
    }
    assert ready.run("export").stdout.splitlines() == [
        f"export OPENAI_BASE_URL={server.url}/v1",
        "export OPENAI_API_KEY=none",
    ]
    assert 'export OPENAI_API_KEY="$GROQ_API_KEY"' in ready.run("export", "--provider", "groq").stdout
    odd = "it's a $(key) # `x`"
    ready.environ["GROQ_API_KEY"] = odd
    script = ready.run("export", "--provider", "groq", "--show-keys").stdout + 'printf %s "$OPENAI_API_KEY"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == odd
    assert ready.run("export", "--provider", "nobody").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(cli: Cli, shell: str) -> None:
    assert "_MINI_LLM_COMPLETE" in cli.run("completion", shell).stdout
    asked = cli.run(_MINI_LLM_COMPLETE="bash_complete", COMP_WORDS="mini-llm prov", COMP_CWORD="1")
    assert asked.stdout == "plain,providers\n"


def test_every_command_teaches_by_example(cli: Cli) -> None:
    top = cli.run("--help").stdout
    assert "141" in top
    for command in (
        "chat",
        "models",
        "start",
        "usage",
        "alias",
        "config",
        "export",
        "completion",
        "status",
        "doctor",
    ):
        assert f"  {command} " in top
        assert "mini-llm " in cli.run(command, "--help").stdout.partition("\n")[2]
    for command in ("add", "list", "remove", "test"):
        assert "Example" in cli.run("providers", command, "--help").stdout
    assert cli.run().stdout == top
    assert cli.run("--version").stdout.startswith("mini-llm, version ")


@pytest.mark.parametrize("home", ["", "/proc"], ids=["unset", "read-only"])
def test_without_a_home_to_write_to(ready: Cli, server: ModelServer, home: str) -> None:
    config = ready.project / "mini-llm.config.json"
    config.write_text(ready.file.read_text())
    environ = ready.surroundings(HOME=home)
    if not home:
        del environ["HOME"]
        environ["MINI_LLM_HOME"] = "/proc/nowhere"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=environ,
            cwd=ready.project,
            input="",
            capture_output=True,
            text=True,
            timeout=60,
        )

    ended = run("chat", "-q", "-m", "llama3.2", "Hello")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{TEXT}\n", "")
    refused = run("alias", "set", "a=b")
    assert refused.returncode == 2
    assert "cannot be written" in refused.stderr
    assert run("doctor").returncode == 0


@pytest.mark.parametrize("key", ["sk-one\nsk-two", "sk-\x7f", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_not_kept(cli: Cli, server: ModelServer, key: str) -> None:
    refused = cli.run("providers", "add", "home", "--url", server.url, "--key", key)
    assert refused.returncode == 2
    assert "this key contains a line break or another character" in refused.stderr
    assert not cli.json("providers", "list")["providers"]
