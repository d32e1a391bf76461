"""`mini-llm login`, `approve` and `logout` as processes, against a real router."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from people_world import Person, Town, make_public_town
from support.anvil import ROOT

from router.people.device import MAX_FROM_ONE

WAIT_S = 60


@pytest.fixture(scope="module")
def place(new_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A router whose public address is the one that the command is given."""
    return make_public_town(new_world, tmp_path_factory.mktemp("keys"))


class Home:
    """A user's home, and commands that are run in it."""

    def __init__(self, folder: Path, place: Town) -> None:
        self.folder, self.url = folder, place.url.removesuffix("/v1")
        self.file = folder / ".mini-llm" / "config.json"
        self.person = Person(place.url)
        self.person.user = place.world.user(owner=self.person.address)
        self.key_file = folder / "wallet.key"
        self.key_file.write_text("0x" + bytes(self.person.wallet.key).hex())
        self.key_file.chmod(0o600)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        keyring = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring", "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "mini_llm.cli", *arguments],
            env=kept | keyring,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=WAIT_S)
        return process.returncode, out, err

    def login(self, *more: str) -> tuple[subprocess.Popen[str], str]:
        """The running command, and the code that it shows."""
        process = self.start("login", "--url", self.url, "--no-browser", *more)
        shown = process.stderr if "--json" in more else process.stdout
        assert shown is not None
        for line in shown:
            if found := re.search(r"type the code +(\S+)", line):
                return process, found[1]
        pytest.fail(f"no code was shown: {process.stderr.read() if process.stderr else ''}")

    def sign_in(self, *more: str) -> tuple[str, str]:
        """A login to its end; what it printed."""
        process, code = self.login(*more)
        done, _, err = self.run("approve", code, "--url", self.url, "--key-file", str(self.key_file), "--yes")
        assert done == 0, err
        out, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, err
        return out, err

    @property
    def wallet(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.file.read_text()).get("wallet", {})
        return told


@pytest.fixture
def home(place: Town, tmp_path: Path) -> Home:
    return Home(tmp_path, place)


def test_login_saves_a_key_that_works_until_logout(home: Home) -> None:
    process, code = home.login()
    done, out, err = home.run(
        "approve", code, "--url", home.url, "--key-file", str(home.key_file), "--day-limit", "7", "--yes"
    )
    assert (done, "approved" in out) == (0, True), err
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    assert home.file.stat().st_mode & 0o777 == 0o600
    wallet = home.wallet
    assert wallet["endpoint"].rstrip("/") == home.url
    assert home.person.user is not None
    assert wallet["account"] == home.person.user.idx
    assert home.person.ask("GET", "/account", wallet["api_key"]).status_code == 200
    assert wallet["api_key"] not in out + err

    done, out, err = home.run("balance", "--json")
    assert done == 0, err
    assert json.loads(out)["router"]["account"] == home.person.user.idx

    done, out, err = home.run("balance")
    assert (done, "can be spent now" in out) == (0, True), err

    done, out, err = home.run("logout")
    assert done == 0, err
    assert home.wallet == {}
    assert home.person.ask("GET", "/account", wallet["api_key"]).status_code == 401
    assert home.run("logout")[0] == 5


def test_a_new_login_ends_the_key_of_the_last_one(home: Home) -> None:
    home.sign_in()
    first = home.wallet
    home.file.write_text(json.dumps({"wallet": first | {"step_usd": "0.5"}, "providers": {}}))
    home.sign_in()
    assert home.wallet["step_usd"] == "0.5"
    assert home.wallet["key_id"] != first["key_id"]
    assert home.person.ask("GET", "/account", first["api_key"]).status_code == 401
    assert home.person.ask("GET", "/account", home.wallet["api_key"]).status_code == 200


def test_login_and_logout_for_programs(home: Home) -> None:
    out, _ = home.sign_in("--json")
    told = json.loads(out)
    assert home.person.user is not None
    assert (told["endpoint"], told["account"]) == (home.url, home.person.user.idx)
    assert told["key_id"] == home.wallet["key_id"]
    assert 89 * 86_400 < told["expires_in_s"] <= 90 * 86_400
    assert home.wallet["api_key"] not in out
    done, out, err = home.run("logout", "--json")
    assert (done, json.loads(out)) == (0, {"ended": True, "key_id": told["key_id"]}), err


def test_a_login_is_the_users_own_where_a_project_has_a_wallet_too(home: Home) -> None:
    project = {"type": "custom", "endpoint": "http://127.0.0.1:9", "api_key": "k"}
    (home.folder / "mini-llm.config.json").write_text(json.dumps({"wallet": project}))
    assert "which is used instead" in home.sign_in()[1]
    key = home.wallet["api_key"]
    done, out, err = home.run("logout")
    assert (done, "the key is revoked" in out) == (0, True), err
    assert home.person.ask("GET", "/account", key).status_code == 401
    done, _, err = home.run("logout")
    assert (done, "mini-llm.config.json" in err) == (5, True)


@pytest.fixture
def liar() -> Iterator[dict[str, Any]]:
    """A router that tells what it is told to tell: by path, or a redirect to `location`."""
    told: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Silence."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps(told.get(self.path, {})).encode()
            self.send_response(301 if "location" in told else 200)
            self.send_header("location", told.get("location", ""))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told["url"] = f"http://127.0.0.1:{server.server_port}"
    codes = {"device_code": "d", "user_code": "BBBB-BBBB", "expires_in": 60, "interval": 1}
    told["/v1/device/code"] = codes | {"verification_uri": told["url"]}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "lie",
    [{"settlement": "0x12"}, {"account": 2**40}, {"chain_id": -1}, {"access_token": "${HOME}"}],
    ids=lambda lie: next(iter(lie)),
)
def test_impossible_credentials_are_not_written_down(
    home: Home, liar: dict[str, Any], lie: dict[str, Any]
) -> None:
    liar["/v1/device/token"] = {"access_token": "sk-new", "key_id": "k"} | lie
    home.file.parent.mkdir()
    before = '{"wallet": {"endpoint": "http://127.0.0.1:9", "api_key": "sk-old"}}'
    home.file.write_text(before)
    done, _, err = home.run("login", "--url", liar["url"], "--no-browser")
    assert (done, "impossible" in err) == (3, True), err
    assert home.file.read_text() == before


def test_a_router_that_sends_elsewhere_is_not_followed(home: Home, liar: dict[str, Any]) -> None:
    liar["location"] = "https://elsewhere.example/v1/device/code"
    done, _, err = home.run("login", "--url", liar["url"], "--no-browser")
    assert (done, "elsewhere.example" in err) == (3, True), err


def test_a_denied_login_leaves_no_trace(home: Home) -> None:
    process, code = home.login()
    home.person.sign_in_at(home.url)
    assert home.person.ask("POST", "/device/deny", user_code=code).status_code == 204
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "the wallet refused" in err
    assert not home.file.exists()


def test_nobody_to_ask_means_no(home: Home) -> None:
    process, code = home.login()
    done, _, _ = home.run("approve", code, "--url", home.url, "--key-file", str(home.key_file))
    process.kill()
    process.communicate()
    assert done == 130


def test_ctrl_c_ends_a_login_cleanly(home: Home) -> None:
    process, _ = home.login()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not home.file.exists()


def test_a_router_that_cannot_be_reached_is_exit_code_3(home: Home) -> None:
    done, _, err = home.run("login", "--url", "http://127.0.0.1:9")
    assert done == 3
    assert "cannot be reached" in err


def test_login_without_a_router_says_what_to_do(home: Home) -> None:
    done, _, err = home.run("login")
    assert done == 2
    assert "mini-llm login --url" in err


def test_a_key_that_others_can_read_is_refused(home: Home) -> None:
    home.key_file.chmod(0o644)
    done, _, err = home.run("approve", "BBBB-BBBB", "--url", home.url, "--key-file", str(home.key_file))
    assert done == 1
    assert "chmod 600" in err


def test_one_address_cannot_begin_them_all(home: Home) -> None:  # the last: it leaves no room for others
    with httpx.Client() as http:
        for _ in range(MAX_FROM_ONE + 1):
            answer = http.post(f"{home.url}/v1/device/code", data={"client_id": "flood"})
            if answer.status_code != 200:
                break
    assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
    assert 0 < int(answer.headers["retry-after"]) <= 600
    done, _, err = home.run("login", "--url", home.url)
    assert (done, "too many logins" in err) == (1, True)
