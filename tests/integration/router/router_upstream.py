"""An upstream for the router's tests: speaks OpenAI's chat API over real HTTP and fails on demand.

What it does follows from the model's name, so tests that share one server do not disturb each other.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

WORDS = ["the", "rails", "carry", "each", "call", "from", "a", "user", "to", "its", "provider", "and", "back"]
PROMPT_TOKENS = 11
PAUSE_S = 0.02
WEATHER_CALLS: list[dict[str, Any]] = [
    {
        "index": number,
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": "weather", "arguments": json.dumps({"city": city})},
    }
    for number, city in enumerate(("Bern", "Chur"))
]
FAILURES = {
    "http-400": (
        400,
        {"error": {"message": "temperature is too hot", "param": "temperature", "code": "hot"}},
    ),
    "http-401": (401, {"error": {"message": "Incorrect API key provided: sk-operator-secret"}}),
    "http-404": (404, {"error": "no such model in /srv/secret"}),
    "http-429": (429, {"error": {"message": "slow down"}}),
    "http-500": (500, {"error": {"message": "stack trace with secrets"}}),
    "http-503": (503, {"detail": "overloaded"}),
}


class Upstream:
    """The server and what it saw."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.embedded: list[dict[str, Any]] = []
        self.responded: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.pieces_sent: dict[str, int] = {}
        self.cut_off = threading.Event()
        self.release = threading.Event()
        self.refuse_once: set[str] = set()  # last messages of calls that fail the first time
        self.url = ""
        self.stop: Callable[[], None] = lambda: None
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.chat)
        self.app.post("/v1/embeddings")(self.embeddings)
        self.app.post("/v1/responses")(self.responses)
        self.app.get("/v1/models")(self.models)

    def calls_of(self, marker: str) -> list[dict[str, Any]]:
        """Calls whose last message is the marker."""
        return [call for call in self.calls if call["messages"][-1]["content"] == marker]

    async def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "llama-local", "object": "model"}]}

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append(body)
        self.headers.append(dict(request.headers))
        model = body["model"]
        if isinstance(last := body["messages"][-1]["content"], str) and last in self.refuse_once:
            self.refuse_once.discard(last)
            return JSONResponse(FAILURES["http-401"][1], FAILURES["http-401"][0])
        if model in FAILURES:
            status, error = FAILURES[model]
            return JSONResponse(error, status, headers={"retry-after": "7"} if status == 429 else {})
        if model == "silent":
            await asyncio.sleep(20)
        if model == "held":
            await asyncio.to_thread(self.release.wait, 60)
        if model == "not-json":
            return Response("<html>hello</html>", media_type="text/html")
        if model == "huge":
            return Response(b"x" * (65 * 2**20), media_type="application/json")
        if body.get("stream"):
            return StreamingResponse(self.stream(body), media_type="text/event-stream")
        return JSONResponse(self.answer(body))

    async def responses(self, request: Request) -> Response:
        """OpenAI's Responses API; says what it was asked, so that a test sees what came through."""
        body = await request.json()
        self.responded.append(body)
        text = {"type": "output_text", "text": "As you said.", "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        whole = body | {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "output": [message | {"content": [text]}],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": body.get("tools", []),
            "usage": {
                "input_tokens": 8,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 2},
                "total_tokens": 13,
            },
        }
        if not body.get("stream"):
            return JSONResponse(whole)
        begun = {"type": "response.created", "response": whole | {"output": [], "usage": None}}
        delta = {"type": "response.output_text.delta", "delta": "As you said.", "item_id": "msg_1"}
        told = [begun, delta | {"output_index": 0, "content_index": 0, "logprobs": []}]
        told.append({"type": "response.completed", "response": whole})
        events = "".join(
            f"event: {one['type']}\ndata: {json.dumps(one | {'sequence_number': number})}\n\n"
            for number, one in enumerate(told)
        )
        return Response(events, media_type="text/event-stream")

    async def embeddings(self, request: Request) -> Response:
        body = await request.json()
        self.embedded.append(body)
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        vector: Any = [0.5, -0.25]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
        data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(len(inputs))]
        counted = {"prompt_tokens": 5, "total_tokens": 5}
        return JSONResponse({"object": "list", "model": body["model"], "data": data, "usage": counted})

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        words = WORDS[: body.get("max_tokens", len(WORDS))]
        message: dict[str, Any] = {"role": "assistant", "content": " ".join(words)}
        answer: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {"index": i, "message": message, "finish_reason": "stop"} for i in range(body.get("n") or 1)
            ],
            "usage": usage(len(words) * (body.get("n") or 1)),
            "x_unknown": body.get("x_unknown"),
        }
        if body["model"] == "no-usage":
            del answer["usage"]
        if body["model"] == "tools":
            message |= {"content": None, "tool_calls": WEATHER_CALLS}
            answer["choices"][0]["finish_reason"] = "tool_calls"
        if body["model"] == "thinks":
            message["reasoning_content"] = "Let me see."
        if body["model"] == "schema":
            message["content"] = '{"city": "Bern", "degrees": 9}'
        if body["model"] == "liar":
            answer["usage"] = usage(10**9)
        return answer

    async def stream(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        model, marker = body["model"], body["messages"][-1]["content"]
        endless = model.startswith("endless") or model == "bulky"
        words = iter(lambda: "word", None) if endless else iter(WORDS[: body.get("max_tokens", len(WORDS))])
        count = 0
        try:
            yield event(model, {"role": "assistant", "content": ""})
            if model == "ponders":
                await asyncio.to_thread(self.release.wait, 60)
            if model == "breaks-before":
                raise ConnectionResetError
            if model == "error-before":
                yield b'data: {"error": {"message": "GPU on fire at 10.0.0.7", "code": 500}}\n\n'
                return
            if model == "tools":
                words = iter(())
                for piece in tool_pieces():
                    yield event(model, {"tool_calls": [piece]})
            if model == "schema":
                words = iter(('{"city": "Bern", ', '"degrees": 9}'))
            if model == "thinks":
                yield event(model, {"reasoning_content": "Let me see."})
            for word in words:
                count += 1
                running = usage(count) if model == "endless-counted" else None
                self.pieces_sent[marker] = count
                yield event(model, {"content": word + " "}, running=running, padding=model == "bulky")
                if model == "dawdles" or endless:
                    await asyncio.sleep(0 if model in ("endless-fast", "bulky") else PAUSE_S)
                if count == 3 and model == "pauses":
                    await asyncio.to_thread(self.release.wait, 60)
                if count == 3:
                    await asyncio.sleep(5 * PAUSE_S)  # what came before a break gets through before it
                    if model == "breaks":
                        raise ConnectionResetError
                    if model == "error-event":
                        yield b'data: {"error": {"message": "GPU on fire at 10.0.0.7", "code": 500}}\n\n'
                        return
                    if model == "stops-short":
                        return
                    if model == "goes-silent":
                        await asyncio.sleep(20)
            yield event(model, {}, finish="tool_calls" if model == "tools" else "stop")
            if (body.get("stream_options") or {}).get("include_usage") and model != "no-usage":
                chunk = {
                    "id": "c",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": model,
                    "choices": [],
                }
                yield b"data: " + json.dumps(chunk | {"usage": usage(count)}).encode() + b"\n\n"
            yield b"data: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            self.cut_off.set()
            raise


def tool_pieces() -> Iterator[dict[str, Any]]:
    """The two calls as chunks carry them: id and name first, arguments in halves."""
    for call in WEATHER_CALLS:
        function = call["function"]
        half = len(function["arguments"]) // 2
        yield call | {"function": function | {"arguments": ""}}
        for arguments in (function["arguments"][:half], function["arguments"][half:]):
            yield {"index": call["index"], "function": {"arguments": arguments}}


def usage(completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": PROMPT_TOKENS + completion_tokens,
    }


def event(
    model: str,
    delta: dict[str, Any],
    finish: str | None = None,
    running: dict[str, int] | None = None,
    padding: bool = False,
) -> bytes:
    chunk: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    if running:
        chunk["usage"] = running
    if padding:  # as long logprobs are
        chunk["choices"][0]["logprobs"] = {"content": ["x" * 10**6]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@contextmanager
def running_upstream() -> Iterator[Upstream]:
    """Serves on a free port, in a thread of this process, until the block ends."""
    upstream = Upstream()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(upstream.app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    upstream.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    def stop() -> None:
        upstream.release.set()
        server.should_exit = True
        thread.join(10)
        listener.close()

    upstream.stop = stop
    try:
        yield upstream
    finally:
        stop()
