"""Two small extractive answerers over this project's documentation, served over OpenAI's HTTP API.

They are no language models and claim to be none: they find a sentence (``pithy-1``) or some passages
(``deep-1``) of the documentation with BM25 and return them word for word. What the demo needs of an upstream
is real all the same: HTTP, an answer computed per question, streaming token by token, token counts that
follow from the texts.

A token is what ``TOKEN`` matches: up to eight letters or digits, or one other character, with the white space
before it. Prompts and completions are counted alike, and the tokens of an answer join to the answer.

Run ``python scripts/answerers.py --port 0``; the first line on stdout is JSON with the base URL. If the
environment has ``ANSWERERS_API_KEY``, requests must carry it as a bearer token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from corpus import Index
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

TOKEN = re.compile(r"\s*\w{1,8}|\s*[^\w\s]|\s+$")
CONTEXT_TOKENS = 8192
MODELS = ("pithy-1", "deep-1")
DEEP_PASSAGES = 3
NOTHING_FOUND = "The documentation says nothing about that."


class ApiError(Exception):
    """An error answer in OpenAI's shape."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param


class TextPart(BaseModel):
    """A part of a message; only text is understood."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """The message's text, parts joined by newlines."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """Usage in a last chunk, or (``continuous_usage_stats``, vLLM's name) in every chunk."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class ChatRequest(BaseModel):
    """The part of OpenAI's chat request that changes an extractive answer; sampling options do not."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Literal[1] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None


class Answerers:
    """The models of one server over one corpus."""

    def __init__(self, root: Path, models: tuple[str, ...] = MODELS) -> None:
        self.models = models
        self._index = Index(root)

    def answer(self, model: str, question: str) -> str:
        """The whole answer to a question.

        Raises:
            ApiError: 404, no such model here.
        """
        if model not in self.models:
            offered = ", ".join(self.models)
            raise ApiError(
                404, f"The model '{model}' does not exist; there is: {offered}", "model_not_found", "model"
            )
        if model == "pithy-1":
            return self._index.best_sentence(question) or NOTHING_FOUND
        found = self._index.best_passages(question, DEEP_PASSAGES)
        return "\n\n".join(f"[{passage.source}]\n{passage.text}" for passage in found) or NOTHING_FOUND


def tokens(text: str) -> list[str]:
    """Cuts a text into tokens that join to the text again."""
    return TOKEN.findall(text)


class Completion:
    """One answer: its tokens within the limit, the counts, and OpenAI's wire forms of it."""

    def __init__(self, answerers: Answerers, request: ChatRequest) -> None:
        prompt = [message.text for message in request.messages]
        asked = next((m.text for m in reversed(request.messages) if m.role == "user"), prompt[-1])
        everything = tokens(answerers.answer(request.model, asked))
        self.prompt_tokens = sum(len(tokens(text)) for text in prompt)
        room = CONTEXT_TOKENS - self.prompt_tokens
        if room < 1:
            raise ApiError(
                400,
                f"This model's maximum context length is {CONTEXT_TOKENS} tokens; "
                f"your messages have {self.prompt_tokens}.",
                "context_length_exceeded",
                "messages",
            )
        limit = min(room, request.max_completion_tokens or request.max_tokens or room)
        self.tokens = everything[:limit]
        self.finish_reason = "stop" if len(everything) <= limit else "length"
        self._frame = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": request.model,
        }

    def usage(self, completion_tokens: int) -> dict[str, int]:
        """Token counts once ``completion_tokens`` of the answer are out."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }

    def body(self) -> dict[str, Any]:
        """The plain answer."""
        message = {"role": "assistant", "content": "".join(self.tokens), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        usage = self.usage(len(self.tokens))
        return {**self._frame, "object": "chat.completion", "choices": [choice], "usage": usage}

    def _chunk(self, delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._frame, "object": "chat.completion.chunk", "choices": [choice]}

    async def events(self, options: StreamOptions) -> AsyncIterator[str]:
        """The server-sent events of the streamed answer, a token each."""
        chunks = [
            self._chunk({"role": "assistant", "content": ""}, None),
            *(self._chunk({"content": token}, None) for token in self.tokens),
            self._chunk({}, self.finish_reason),
        ]
        for number, chunk in enumerate(chunks):
            if options.continuous_usage_stats:
                chunk["usage"] = self.usage(min(number, len(self.tokens)))
            elif options.include_usage:
                chunk["usage"] = None
            yield f"data: {json.dumps(chunk)}\n\n"
            await asyncio.sleep(0)
        if options.include_usage:
            last = {**chunks[-1], "choices": [], "usage": self.usage(len(self.tokens))}
            yield f"data: {json.dumps(last)}\n\n"
        yield "data: [DONE]\n\n"


def _error_body(error: ApiError) -> JSONResponse:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
    return JSONResponse({"error": body}, status_code=error.status)


def create_app(answerers: Answerers, api_key: str | None = None) -> FastAPI:
    """The HTTP surface.

    Args:
        answerers: what answers.
        api_key: the bearer token that requests must carry, none if None.
    """
    app = FastAPI(title="Extractive answerers over the documentation (no language models)")

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return _error_body(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"][1:])
        return _error_body(ApiError(400, f"{place}: {first['msg']}", "invalid_value", place or None))

    def authenticate(request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if api_key is not None and not secrets.compare_digest(given, f"Bearer {api_key}".encode()):
            raise ApiError(401, "Incorrect API key provided.", "invalid_api_key")

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        authenticate(request)
        cards = [
            {"id": m, "object": "model", "created": 0, "owned_by": "vibes-demo"} for m in answerers.models
        ]
        return {"object": "list", "data": cards}

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(request: Request, body: ChatRequest) -> dict[str, Any] | StreamingResponse:
        authenticate(request)
        completion = await asyncio.to_thread(Completion, answerers, body)
        if not body.stream:
            return completion.body()
        options = body.stream_options or StreamOptions()
        return StreamingResponse(completion.events(options), media_type="text/event-stream")

    return app


def main() -> None:
    """Serves on 127.0.0.1 until stopped."""
    parser = argparse.ArgumentParser(description="Extractive answerers over the documentation (no LLM)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    options = parser.parse_args()
    app = create_app(Answerers(options.root, tuple(options.models)), os.environ.get("ANSWERERS_API_KEY"))
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        print(json.dumps({"base_url": base_url, "models": options.models}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
