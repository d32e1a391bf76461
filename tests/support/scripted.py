"""An upstream of OpenAI's format that answers byte for byte as told, by the model that it is asked for."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


class Scripted:
    """The server.

    Attributes:
        url: its address, up to and with ``/v1``.
        answers: by model what it sends to each request of a connection, the last one to all that follow;
            nothing is the end of the connection.
        asked: the models of all requests.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Sequence[bytes]] = {}
        self.asked: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        served, came = 0, b""
        with closing(connection), suppress(OSError):
            while True:
                while (request := _request(came)) is None:
                    if not (more := connection.recv(2**16)):
                        return
                    came += more
                body, came = request
                model = json.loads(body)["model"]
                self.asked.append(model)
                answers = self.answers[model]
                if not (answer := answers[min(served, len(answers) - 1)]):
                    return
                served += 1
                connection.sendall(answer)


def _request(came: bytes) -> tuple[bytes, bytes] | None:
    """The body of the first request, and what follows it; None if it is not whole."""
    head, end, rest = came.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    size = int(length[1]) if length else 0
    return (rest[:size], rest[size:]) if end and len(rest) >= size else None


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Serves until the block ends."""
    server = Scripted()
    with closing(server):
        yield server


def whole(body: bytes | dict[str, Any], headers: bytes = b"content-type: application/json\r\n") -> bytes:
    """A whole answer."""
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n" % (len(said), headers) + said


def streamed(*parts: bytes, headers: bytes = b"content-type: text/event-stream\r\n") -> bytes:
    """A stream whose parts are chunks of HTTP."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + headers + b"\r\n" + chunks + b"0\r\n\r\n"


def completion(content: str, **more: Any) -> dict[str, Any]:
    """A chat completion."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice]} | more


def event(**fields: Any) -> bytes:
    """An event of a chat stream."""
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up"}
    return b"data: " + json.dumps(head | fields).encode() + b"\n\n"


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """An event with one choice, or without a delta with none."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return event(choices=choices, **more)
