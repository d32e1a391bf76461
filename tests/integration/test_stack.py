"""`vibes up` as a newcomer meets it: what is missing is named, a call is paid, nothing stays behind."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from support.anvil import artifact
from web3 import Web3

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import tools  # noqa: E402
import up  # noqa: E402
from upstream import NoLiveServer, find_live_server, router_config  # noqa: E402


def processes_in(folder: str) -> list[str]:
    """Command lines of the running processes whose environment or arguments name a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if folder in command or folder.encode() in (process / "environ").read_bytes():
                found.append(command)
        except OSError:
            continue
    return found


def test_what_up_says_can_be_pasted_wherever_the_checkout_is() -> None:
    facts = dict.fromkeys(up.NAMES, "x") | {"account": 1, "environment": "/home/me/a checkout/env.sh"}
    (line,) = [one for one in up.explain(facts).splitlines() if "env.sh" in one]
    assert shlex.split(line.partition(":  ")[2]) == [".", "/home/me/a checkout/env.sh"]


def test_up_serves_a_paid_call_and_leaves_nothing_behind() -> None:
    command = [str(Path(sys.executable).parent / "vibes"), "up", "--json", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as up:
        try:
            assert up.stdout is not None
            facts = json.loads(up.stdout.readline())
            folder = str(Path(facts["environment"]).parent)
            with openai.OpenAI(base_url=facts["base_url"], api_key=facts["api_key"], max_retries=0) as client:
                answer = client.chat.completions.with_raw_response.create(
                    model="pithy-1", messages=[{"role": "user", "content": "Who signs receipts?"}]
                )
                assert answer.parse().choices[0].message.content
                assert int(answer.headers["x-vibes-charge-base"]) > 0
                offered = {model.id for model in client.models.list()}
                assert offered == {*facts["models"], "auto", "auto:cheap", "auto:best"}
            assert "Sign in" in httpx.get(facts["pages"]).text
            operator = {"authorization": f"Bearer {facts['admin_key']}"}
            accounts = facts["operator_pages"].replace("/operator", "/admin/v1/accounts")
            assert httpx.get(accounts, headers=operator).json()["accounts"]
            script = f". {shlex.quote(facts['environment'])} && vibes-router keys list && vibes status --json"
            subprocess.run(["bash", "-c", script], env={"PATH": "/usr/bin:/bin"}, timeout=60, check=True)
            assert len(processes_in(folder)) >= 2  # bridge and router
            checked = f". {facts['environment']} && {command[0]}-router config check $VIBES_CONFIG"
            told = subprocess.run(["bash", "-c", checked], capture_output=True, text=True)
            assert told.returncode == 0, told.stderr
            port = str(urlsplit(facts["pages"]).port)
            second = subprocess.run([*command[:-1], port], capture_output=True, text=True, cwd=ROOT)
            assert (second.returncode, second.stdout) == (1, "")
            assert f"port {port} is in use" in second.stderr
            w3 = Web3(Web3.HTTPProvider(facts["rpc_url"]))
            assert w3.eth.get_balance(facts["wallet"]) > 10**18
            token = w3.eth.contract(facts["token"], abi=artifact("VibesToken")[0])
            assert token.functions.balanceOf(facts["wallet"]).call() == 500_000_000
            up.send_signal(signal.SIGINT)
            assert up.wait(60) == 0
        finally:
            up.terminate()
    assert processes_in(folder) == []
    for url in (facts["base_url"], facts["rpc_url"]):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


def test_everything_missing_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tools.MissingTools) as error:
        tools.check(tmp_path)
    node, anvil, *circuits = error.value.missing
    assert "apt-get install nodejs" in node
    assert anvil.startswith("anvil")
    assert [line.split("(")[1].split(")")[0] for line in circuits] == [
        "build/circuits/batch4",
        "build/circuits/batch10",
    ]
    assert all(line.endswith("make setup") for line in (anvil, *circuits))


def test_nothing_is_missing_here() -> None:
    tools.check(ROOT)


class ModelServer(BaseHTTPRequestHandler):
    """Lists what an Ollama with an embedding model lists."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.end_headers()
        self.wfile.write(b'{"object": "list", "data": [{"id": "nomic-embed-text"}, {"id": "qwen3:0.6b"}]}')

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def live_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), ModelServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_a_live_server_answers_for_every_model(live_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upstream.KNOWN_SERVERS", (("gone", "http://127.0.0.1:9/v1"), ("Ollama", live_url)))
    live = find_live_server("1")
    assert (live.name, live.model) == ("Ollama", "qwen3:0.6b")
    config = router_config({"pithy-1": live.base_url, "deep-1": live.base_url}, live)
    assert {row["upstream_model"] for row in config["deployments"]} == {"qwen3:0.6b"}
    assert {row["base_url"] for row in config["providers"].values()} == {live_url}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "no url"])
def test_without_a_live_server_the_demo_says_where_it_looked(url: str) -> None:
    with pytest.raises(NoLiveServer, match=url):
        find_live_server(url)
