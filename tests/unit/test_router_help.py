"""What the operators' command lines say of themselves, and of what is empty or open to all."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

import bridge.cli
import mini_llm.cli.app
import router.cli
from router.commands.serving import SETTINGS, warn_of_misspelt, warn_of_open_keys
from router.ledger import open_database


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it; groups too."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


ROUTERS = dict(commands(router.cli.main))


@pytest.mark.parametrize("name", [name for name, one in ROUTERS.items() if not isinstance(one, click.Group)])
def test_every_command_has_an_example(name: str) -> None:
    assert f"vibes-router {name}" in (ROUTERS[name].help or "") or name == "serve"


@pytest.mark.parametrize(
    ("words", "group"),
    [(name, one) for name, one in ROUTERS.items() if isinstance(one, click.Group)],
)
def test_lists_of_commands_cut_no_sentence(words: str, group: click.Group) -> None:
    shown = CliRunner().invoke(group, ["--help"], terminal_width=80).output
    assert "Commands:" in shown
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize("group", [router.cli.main, bridge.cli.main, mini_llm.cli.app.commands])
def test_every_command_is_where_the_help_says(group: click.Group) -> None:
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    assert {name: one and one.name for name, one in found.items()} == {name: name for name in found}


def test_help_and_workers_of_the_bridge_wait_for_no_command() -> None:
    code = "import sys; from bridge.cli import main; main(['--help'], standalone_mode=False)"
    code += "; sys.exit(bool({'web3', 'sqlalchemy', 'numpy', 'mini_llm.auto'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("keys", "list"), "no API keys"),
        (("conductor", "log"), "no decisions"),
        (("x402", "list"), "no payments"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_an_empty_list_says_so_beside_the_output(
    command: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIBES_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    open_database(f"sqlite:///{tmp_path}/ledger.db").dispose()
    done = CliRunner(mix_stderr=False).invoke(router.cli.main, [*command, "--json"])
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"{told}\n")


def test_settling_once_and_for_ever_is_one_too_many() -> None:
    for options, told in (
        (["--once", "--watch"], "say --once or --watch, not both"),
        ([], "say --once or --watch"),
    ):
        done = CliRunner().invoke(bridge.cli.main, ["settle", *options])
        assert done.exit_code == 2
        assert told in done.output


def test_the_version_is_told() -> None:
    done = CliRunner().invoke(router.cli.main, ["--version"])
    assert (done.exit_code, "version" in done.output) == (0, True)


@dataclass
class Told:
    """As much of `Settings` as names files with keys."""

    environ: dict[str, str]
    config: Any = field(default_factory=lambda: SimpleNamespace(relay=None))
    people: Any = field(default_factory=lambda: SimpleNamespace(master_key=None))


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o604, True), (0o640, False), (0o600, False)])
def test_a_key_that_everybody_may_read_is_told(
    mode: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "some.key"
    file.write_text("0x11")
    file.chmod(mode)
    relay = SimpleNamespace(relay=SimpleNamespace(key_file=file))
    told = Told({"VIBES_RECEIPT_KEY_FILE": str(file)}, relay, SimpleNamespace(master_key=f"file:{file}"))
    unusable = Told({"VIBES_RECEIPT_KEY_FILE": str(tmp_path / ("x" * 300))})
    with caplog.at_level(logging.WARNING):
        warn_of_open_keys(told)  # type: ignore[arg-type]
        warn_of_open_keys(unusable)  # type: ignore[arg-type]
    for name in ("VIBES_RECEIPT_KEY_FILE", "VIBES_MASTER_KEY", "relay.key_file"):
        assert (f"{name}: every user of this machine can read {file}: chmod 600" in caplog.text) is warned


def test_a_misspelt_setting_is_told_and_no_other_programs(caplog: pytest.LogCaptureFixture) -> None:
    given = {"VIBES_LEDGER_URL": "sqlite://", "VIBES_RECEIPT_KEY_FILE": "file"}
    page = Path(__file__).parents[2] / "docs" / "operations.md"
    others = set(re.findall(r"VIBES_[A-Z_]+", page.read_text())) - SETTINGS
    assert "VIBES_BRIDGE_URL" in others
    with caplog.at_level(logging.WARNING):
        warn_of_misspelt(given | dict.fromkeys(others, "1"))
        assert not caplog.records
        warn_of_misspelt(given | {"VIBES_TRUSTED_PROXY": "127.0.0.1", "VIBES_DRAIN_SECONDS": "5"})
    told = [one.getMessage().split(" is no setting")[0] for one in caplog.records]
    assert told == ["VIBES_DRAIN_SECONDS", "VIBES_TRUSTED_PROXY"]
    assert "did you mean VIBES_TRUSTED_PROXIES?" in caplog.text
