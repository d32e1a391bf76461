"""An upstream that answers at once: OpenAI's chat completions, whole and streaming, on one port.

A model's name says how it streams: `mock-d<ms until the first chunk>-c<chunks>-g<ms between chunks>`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

import uvloop

CHUNKS = 50
SHAPE = re.compile(r"-d(\d+)|-c(\d+)|-g(\d+)")
USAGE = {"prompt_tokens": 25, "completion_tokens": CHUNKS, "total_tokens": 25 + CHUNKS}
WORDS = "The quick brown fox jumps over the lazy dog. "


def encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "mock"}
    data = b"data: " + encoded(body | {"choices": [choice]}) + b"\n\n"
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


MESSAGE = {"role": "assistant", "content": WORDS * 5}
WHOLE = encoded(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "mock",
        "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n\r\n"
ANSWER = HEAD % (b"application/json", b"content-length: %d" % len(WHOLE)) + WHOLE
STREAM_HEAD = HEAD % (b"text/event-stream", b"transfer-encoding: chunked")
FIRST, WORD, LAST = (
    event({"role": "assistant", "content": ""}),
    event({"content": "word "}),
    event({}, "stop"),
)
TAIL = b'data: {"choices":[],"usage":' + encoded(USAGE) + b"}\n\ndata: [DONE]\n\n"
END = LAST + f"{len(TAIL):x}\r\n".encode() + TAIL + b"\r\n0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not blank or len(body) < (size := int(length[1]) if length else 0):
            return
        self.received = body[size:]
        asked = json.loads(body[:size] or b"{}")
        if asked.get("stream"):
            self.task = asyncio.ensure_future(self.stream(asked["model"]))
        else:
            self.transport.write(ANSWER)

    async def stream(self, model: str) -> None:
        shape = [int(one) for found in SHAPE.findall(model) for one in found if one]
        delay_ms, chunks, gap_ms = shape if len(shape) == 3 else (0, CHUNKS, 0)
        await asyncio.sleep(delay_ms / 1000)
        self.transport.write(STREAM_HEAD + FIRST)
        for _ in range(chunks):
            self.transport.write(WORD)
            if gap_ms:
                await asyncio.sleep(gap_ms / 1000)
        self.transport.write(END)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
