"""Runs `vibes audit` as a user would, if need be against a node that lies."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from bridge.cli import main

Lie = Callable[[str, list[Any], Any], Any]
"""Gets method, parameters and true result of a JSON-RPC call; returns the answer or raises `Refused`."""


class Refused(Exception):
    """The node answers with an error, some nodes also with an HTTP status of errors."""

    def __init__(self, message: str, status: int = 200) -> None:
        self.status = status
        super().__init__(message)


@dataclass
class Audited:
    """What the command printed and returned."""

    code: int
    output: str
    errors: str

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.output)

    @property
    def mismatch(self) -> dict[str, Any]:
        found = self.report["first_mismatch"]
        assert self.code == 1, self.output
        assert self.report["ok"] is False
        return found


def run_audit(url: str, settlement: str, receipts: Path | None, *options: str) -> Audited:
    """`vibes audit` with these options, of the chain alone if there are no receipts."""
    arguments = ["audit", "--rpc", url, "--settlement", settlement, *options]
    arguments += [] if receipts is None else ["--receipts", str(receipts)]
    result = CliRunner(mix_stderr=False).invoke(main, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Audited(result.exit_code, result.stdout, result.stderr)


@contextmanager
def lying_node(url: str, lie: Lie) -> Iterator[str]:
    """A real HTTP proxy before a node, which rewrites results; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310
            with urllib.request.urlopen(request) as response:  # noqa: S310
                answer = json.load(response)
            call, status = json.loads(body), 200
            if "result" in answer:
                try:
                    answer["result"] = lie(call["method"], call.get("params", []), answer["result"])
                except Refused as refusal:
                    del answer["result"]
                    answer["error"] = {"code": -32005, "message": str(refusal)}
                    status = refusal.status
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_OPTIONS(self) -> None:
            """A browser asks before it asks a node of another site."""
            self.send_response(204)
            self.end_headers()

        def end_headers(self) -> None:
            self.send_header("access-control-allow-origin", "*")
            self.send_header("access-control-allow-headers", "*")
            super().end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
