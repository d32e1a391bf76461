"""`mini-llm chat` as a process and in a terminal."""

from __future__ import annotations

import json
import signal
import subprocess

import pexpect
import pytest
from conftest import COMMAND, Cli
from support.model_server import TEXT, ModelServer


def test_the_answer_is_all_that_standard_output_has(ready: Cli) -> None:
    ended = ready.run("chat", "-m", "llama3.2", "Why is the sky blue?")
    assert (ended.returncode, ended.stdout) == (0, f"{TEXT}\n")
    assert "home/llama3.2 · 9 tokens read, 5 written · $0 · " in ended.stderr
    assert "\x1b" not in ended.stdout + ended.stderr
    quiet = ready.run("chat", "-q", "-m", "llama3.2", "Why?")
    assert (quiet.stdout, quiet.stderr) == (f"{TEXT}\n", "")


def test_what_is_said(ready: Cli, server: ModelServer) -> None:
    said = (
        "chat",
        "-m",
        "llama3.2",
        "-s",
        "Be brief.",
        "--max-tokens",
        "7",
        "--temperature",
        "0.5",
        "Look",
        "at",
    )
    assert ready.run(*said, "--no-stream", said="a file\n").stdout == f"{TEXT}\n"
    call = server.calls[-1]
    assert call["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look at\n\na file"},
    ]
    assert (call["max_tokens"], call["temperature"], call.get("stream")) == (7, 0.5, None)
    assert ready.run("chat", "-m", "llama3.2", said="only this").returncode == 0
    assert server.calls[-1]["messages"] == [{"role": "user", "content": "only this"}]
    nothing = ready.run("chat", "-m", "llama3.2")
    assert (nothing.returncode, nothing.stderr) == (2, 'error: say something: mini-llm chat "Hello"\n')


def test_json(ready: Cli) -> None:
    told = ready.json("chat", "-m", "home/llama3.2", "Why?")
    assert isinstance(told["hops"][0].pop("ms"), int)
    assert told == {
        "model": "home/llama3.2",
        "text": TEXT,
        "provider": "home",
        "deployment": "home/llama3.2",
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
        "cost_usd": "0",
        "hops": [{"provider": "home", "deployment": "home/llama3.2", "outcome": "ok", "reason": None}],
    }


def test_the_default_model(ready: Cli, server: ModelServer) -> None:
    unsaid = ready.run("chat", "Hello")
    assert unsaid.returncode == 2
    assert "mini-llm alias set default=MODEL" in unsaid.stderr
    assert ready.run("alias", "set", "default=llama3.2").returncode == 0
    assert ready.run("chat", "Hello").stdout == f"{TEXT}\n"
    assert server.calls[-1]["model"] == "llama3.2"


def test_who_was_asked_in_vain_is_told(ready: Cli) -> None:
    ready.run("alias", "set", "fast=http-401,http-500,llama3.2")
    ended = ready.run("chat", "-m", "fast", "Hello")
    assert (ended.returncode, ended.stdout) == (0, f"{TEXT}\n")
    *vain, served = ended.stderr.splitlines()
    assert vain[0].startswith("failed before: home/http-401: provider 'home' answered with status 401 (")
    assert vain[-1].startswith("failed before: home/http-500: provider 'home' answered with status 500 (")
    assert served.startswith("home/llama3.2 · ")
    failed = ready.run("chat", "-m", "home/http-401", "Hello")
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "error: provider 'home' answered with status 401",
        "       it says: told to: http-401",
        "       it does not take the key: set it anew (`mini-llm providers add home`, or where doctor says)",
    ]


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({}, 5, "mini-llm is not set up"),
        ({"providers": {"home": {"base_url": "http://127.0.0.1:9/v1"}}}, 3, "cannot be reached"),
        ({"providers": {"home": {"bose_url": "x"}}}, 2, "providers.home.bose_url"),
        ({"providers": {"home": {"base_url": "http://x/v1", "api_key": "${NOPE}"}}}, 2, "export NOPE="),
    ],
    ids=["not set up", "unreachable", "misspelt", "variable"],
)
def test_failures_and_their_codes(cli: Cli, fields: dict[str, object], code: int, words: str) -> None:
    cli.write(**fields)
    ended = cli.run("chat", "-m", "m", "Hello")
    assert (ended.returncode, ended.stdout) == (code, "")
    assert words in ended.stderr
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr


def test_a_stream_that_breaks_off_is_told_and_not_begun_again(ready: Cli, server: ModelServer) -> None:
    ended = ready.run("chat", "-m", "breaks", "Hello")
    assert (ended.returncode, ended.stdout) == (1, "The sky\n")
    assert "broke off" in ended.stderr
    assert len(server.calls) == 1


def test_a_terminal_sees_pieces_as_they_come(ready: Cli, server: ModelServer) -> None:
    shown = ready.terminal("chat", "-m", "held", "Hello")
    shown.expect_exact("The")
    assert not server.release.is_set()
    server.release.set()
    shown.expect_exact(TEXT.removeprefix("The"))
    shown.expect_exact("\x1b[2mhome/held")
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 0


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_no_colours_where_they_are_not_wanted(ready: Cli, variable: dict[str, str]) -> None:
    shown = ready.terminal("chat", "-m", "llama3.2", "Hello", **variable)
    shown.expect(pexpect.EOF)
    assert TEXT in str(shown.before)
    assert "\x1b" not in str(shown.before)


def test_a_text_cannot_take_over_the_terminal(ready: Cli) -> None:
    shown = ready.terminal("chat", "-m", "escapes", "Hello", NO_COLOR="1")
    shown.expect(pexpect.EOF)
    assert "\x1b" not in str(shown.before)
    assert "[2Jred\r\nline" in str(shown.before)
    assert (
        ready.run("chat", "-m", "escapes", "Hello").stdout == "\x1b[2Jred\x07\nline\n"
    )  # a file gets it as it is


def test_ctrl_c_ends_the_call_without_a_word(ready: Cli, server: ModelServer) -> None:
    shown = ready.terminal("chat", "-m", "held", "Hello")
    shown.expect_exact("The")
    shown.sendintr()
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 130
    assert "Traceback" not in str(shown.before)
    assert server.gone.wait(20)


def test_a_reader_that_leaves_is_no_fault(ready: Cli, server: ModelServer) -> None:
    process = subprocess.Popen(
        [*COMMAND, "chat", "-m", "held", "Hello"],
        env=ready.surroundings(),
        cwd=ready.project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(3) == "The"
    process.stdout.close()
    server.release.set()
    assert process.wait(30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_signal_that_ends_it_leaves_no_trace(ready: Cli, server: ModelServer) -> None:
    process = subprocess.Popen(
        [*COMMAND, "chat", "-m", "held", "Hello"],
        env=ready.surroundings(),
        cwd=ready.project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.read(3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert json.loads(json.dumps(server.calls[-1]))["model"] == "held"
