"""Behaviour that companies of OpenAI's format share; what differs is in their ``Facts``."""

from __future__ import annotations

import json
import re
from typing import Any

from aiohttp import web

from support.companies.error_bodies import Body
from support.companies.facts import CALL, Facts
from support.companies.server import ASKED_HOST, stream

KEY = "sk-test"
PIECES = ("Hel", "lo, ", "wörld")
TEXT = "".join(PIECES)
CALL_ID = "call_abc"
REQUEST_ID = "req-42"
REFUSED = "words of the company"


class Company:
    """Answers as one company does; what does not fit its documentation is kept in ``complaints``."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.complaints: list[str] = []
        self.asked: list[Body] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        facts, body = self.facts, json.loads(await request.read())
        self.asked.append(body)
        header, prefix = facts.auth
        self._check(request.headers.get(ASKED_HOST) == facts.host, f"host {request.headers.get(ASKED_HOST)}")
        self._check((request.method, request.path) == ("POST", facts.path), f"path {request.path}")
        self._check(request.query_string == facts.query, f"query {request.query_string}")
        self._check(request.headers.get(header) == prefix + KEY, f"no key in {header}")
        self._check(body.get(facts.cap_field) == 9, f"no limit in {facts.cap_field}")
        self._check(not facts.refuses & body.keys(), f"refused: {sorted(facts.refuses & body.keys())}")
        if facts.takes is not None:
            self._check(body.keys() <= facts.takes, f"extra_forbidden: {sorted(body.keys() - facts.takes)}")
        self._check_turns(body["messages"])
        marked = [tool for tool in body.get("tools") or () if "cache_control" in tool]
        self._check(facts.marks or not (marked or "cache_control" in body), "extra inputs: cache_control")
        headers = {facts.id_header: REQUEST_ID}
        last = str(body["messages"][-1].get("content"))
        if last.startswith("refuse "):
            return self._refuse(int(last.split()[1]))
        if self.complaints:
            return self._refuse(400)
        if last == "fail":
            return await self._fail(request, body, headers)
        if body.get("stream"):
            usage = facts.usage if not facts.asked or body.get("stream_options") else None
            events = getattr(self, f"_{facts.stream}")(body, usage)
            cut = last == "cut"
            return await stream(request, events[:2] if cut else events, headers, cut=cut)
        return web.json_response(self._whole(body), headers=headers)

    def _check(self, right: bool, complaint: str) -> None:
        if not right:
            self.complaints.append(complaint)

    def _check_turns(self, messages: list[Body]) -> None:
        """Turns may have what the company documents, and nothing else."""
        facts, beside = self.facts, frozenset({"role", "content"})
        for turn in messages:
            role = turn["role"]
            self._check(facts.developer or role != "developer", "unknown role 'developer'")
            self._check("name" not in turn or role in facts.named, f"a {role} message has a name")
            known = {"assistant": facts.turn, "tool": beside | {"tool_call_id"}}.get(role, beside) | {"name"}
            parts = turn["content"] if isinstance(turn.get("content"), list) else []
            marked = [one for one in (turn, *parts) if "cache_control" in one]
            self._check(facts.marks or not marked, "extra inputs: cache_control")
            extra = turn.keys() - known - {"cache_control"}
            self._check(not extra, f"unsupported in a {role} message: {sorted(extra)}")
            thoughtless = turn.get("tool_calls") and not turn.get("reasoning_content")
            self._check(not (facts.insists and thoughtless), "reasoning_content is missing")
            said = any(turn.get(name) for name in ("content", "tool_calls", "refusal"))
            self._check(said, "an assistant's message must not be empty")
            for call in turn.get("tool_calls") or ():
                self._check(call.keys() <= CALL, f"unsupported in a tool call: {sorted(call.keys() - CALL)}")
        calls = [call["id"] for turn in messages for call in turn.get("tool_calls") or ()]
        results = [turn["tool_call_id"] for turn in messages if turn["role"] == "tool"]
        self._check(calls == results or not results, f"results of {results}, not of {calls}")
        odd = [one for one in calls if not re.fullmatch(self.facts.call_id, one)]
        self._check(not odd, f"Tool call id was {odd}")

    def _refuse(self, status: int) -> web.Response:
        headers = {self.facts.id_header: REQUEST_ID} | (self.facts.busy if status == 429 else {})
        return web.json_response(self.facts.error(status, REFUSED), status=status, headers=headers)

    async def _fail(self, request: web.Request, body: Body, headers: dict[str, str]) -> web.StreamResponse:
        """The provider behind OpenRouter fails when the call has been accepted: with 200, in the choice."""
        failed: Body = {"index": 0, "finish_reason": "error", "error": {"code": 503, "message": REFUSED}}
        if not body.get("stream"):
            choices = [failed | {"message": {"role": "assistant", "content": ""}}]
            answer = self._head("chat.completion") | {"choices": choices, "usage": self.facts.usage}
            return web.json_response(answer, headers=headers)
        chunk = self._head("chat.completion.chunk") | {"choices": [failed | {"delta": {"content": ""}}]}
        events = [*map(event, self._chunks(body)[:2]), event(chunk), "data: [DONE]\n\n"]
        return await stream(request, events, headers)

    def _whole(self, body: Body) -> Body:
        message: Body = {"role": "assistant", "content": TEXT}
        if body.get("tools"):
            function = {"name": "look_up", "arguments": '{"word": "x"}'}
            call = {"id": CALL_ID, "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": "tool_calls" if body.get("tools") else "stop",
        }
        return self._head("chat.completion") | {"choices": [choice], "usage": self.facts.usage}

    def _head(self, kind: str) -> Body:
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "upstream-1"}

    def _chunks(self, body: Body) -> list[Body]:
        deltas: list[Any] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in PIECES)]
        if body.get("tools"):
            start = {"index": 0, "id": CALL_ID, "type": "function"}
            deltas = [
                {"role": "assistant", "content": None},
                {"tool_calls": [start | {"function": {"name": "look_up", "arguments": ""}}]},
                *(
                    {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
                    for part in ('{"wo', 'rd": "x"}')
                ),
            ]
        finish = "tool_calls" if body.get("tools") else "stop"
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": finish})
        return [self._head("chat.completion.chunk") | {"choices": [choice]} for choice in choices]

    def _plain(self, body: Body, usage: Body | None) -> list[str]:
        chunks = self._chunks(body)
        if usage:
            chunks.append(self._head("chat.completion.chunk") | {"choices": [], "usage": usage})
        return [*map(event, chunks), "data: [DONE]\n\n"]

    def _azure(self, body: Body, usage: Body | None) -> list[str]:
        filtered = {"choices": [], "id": "", "model": "", "prompt_filter_results": [{"prompt_index": 0}]}
        return [event(filtered), *self._plain(body, usage)]

    def _comments(self, body: Body, usage: Body | None) -> list[str]:
        return [": OPENROUTER PROCESSING\n\n" * 2, *self._plain(body, usage)]

    def _keep_alive(self, body: Body, usage: Body | None) -> list[str]:
        return [": keep-alive\n\n", *self._plain(body, usage)]

    def _with_last(self, body: Body, usage: Body | None) -> list[str]:
        chunks = self._chunks(body)
        chunks[-1]["usage"] = usage
        return [*map(event, chunks), "data: [DONE]\n\n"]

    def _every(self, body: Body, usage: Body | None) -> list[str]:
        """Perplexity tells the count so far in each chunk, and the message so far beside the delta."""
        chunks = self._chunks(body)
        for chunk in chunks:
            chunk["usage"] = (usage or {}) | {"completion_tokens": 1, "reasoning_tokens": 0}
            chunk["citations"] = ["https://example.com"]
        chunks[-1]["usage"] = usage
        return [event(chunk) for chunk in chunks]

    def _groq(self, body: Body, usage: Body | None) -> list[str]:
        chunks = self._chunks(body)
        chunks[0]["x_groq"] = {"id": "req_1"}
        chunks[-1]["x_groq"] = {"id": "req_1", "usage": usage}
        return [*map(event, chunks), "data: [DONE]\n\n"]


def event(chunk: Body) -> str:
    return f"data: {json.dumps(chunk)}\n\n"
