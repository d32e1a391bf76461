"""Anthropic's own wire format: Messages untouched, chat by translation.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from mini_llm.answer import Completion
from mini_llm.deployment import Deployment
from mini_llm.errors import UpstreamProtocolError
from mini_llm.price import plausible
from mini_llm.providers.anthropic_answer import MessagesAsChat, chat_completion
from mini_llm.providers.anthropic_request import messages_request
from mini_llm.providers.base import Provider, UpstreamStream
from mini_llm.providers.company import Company, Wiring
from mini_llm.providers.limits import LimitHeaders
from mini_llm.providers.openai import PLAIN
from mini_llm.request import Need, Request, encode
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.lenient import at
from mini_llm.surfaces.wording import json_or_none

MESSAGES: Final = "messages"
LIMITS: Final = tuple(
    LimitHeaders(kind, *(f"anthropic-ratelimit-{kind}-{what}" for what in ("limit", "remaining", "reset")))
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
)
VERSION: Final = "2023-06-01"
"""Of the two versions there are, the one that takes all that the later one (2026-10-21) takes, and sampling.

Source: https://platform.claude.com/docs/en/api/migration-2026-10-21
"""
BETA: Final = "anthropic-beta"
LONG_CONTEXT: Final = "context-1m"
USUAL_CONTEXT_TOKENS: Final = 200_000
_COUNTED: Final = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
)
"""Fields of a request that counting its tokens takes."""


class AnthropicProvider(Provider):
    """Anthropic, or another address that speaks its format."""

    surfaces = frozenset({"chat", MESSAGES})

    def __init__(self, wiring: Wiring) -> None:
        self.name = wiring.name
        self._url = f"{wiring.base_url}/messages"
        self._endpoint = wiring.endpoint()

    async def complete(self, request: Request, deployment: Deployment) -> Completion:
        """See ``Provider.complete``."""
        read = SURFACES[MESSAGES].read_answer if request.surface == MESSAGES else chat_completion
        body, headers = _body(request, deployment), _headers(request, deployment)
        reading = partial(read, self.name)
        return await self._endpoint.answer(self._url, body, reading, deployment.timeouts, headers)

    async def open_stream(self, request: Request, deployment: Deployment) -> UpstreamStream:
        """See ``Provider.open_stream``."""
        native = request.surface == MESSAGES
        reader = SURFACES[MESSAGES].reader(self.name) if native else MessagesAsChat(self.name)
        body, headers = _body(request, deployment), _headers(request, deployment)
        return await self._endpoint.stream(self._url, body, reader, deployment.timeouts, headers)

    async def count_tokens(self, request: Request, deployment: Deployment) -> int:
        """See ``Provider.count_tokens``."""
        fields = json_or_none(_body(request, deployment))
        asked = encode({name: value for name, value in fields.items() if name in _COUNTED})
        url, headers = f"{self._url}/count_tokens", _headers(request, deployment)
        counted = plausible(at(await self._endpoint.post_json(url, asked, headers), "input_tokens"))
        if counted is None:
            raise UpstreamProtocolError(self.name, "the body has no 'input_tokens'")
        return counted


def _body(request: Request, deployment: Deployment) -> bytes:
    cap, model = deployment.output_cap(request.output_cap), deployment.upstream_model
    if request.surface == MESSAGES:
        return SURFACES[MESSAGES].upstream_body(request, model, cap, PLAIN)
    return encode(messages_request(request, model, cap))


def _headers(request: Request, deployment: Deployment) -> Mapping[str, str] | None:
    """The call's own, if it came in this format. A longer context than the deployment is priced for is not
    asked for: Anthropic bills all of a longer prompt at a higher price."""
    if request.surface != MESSAGES or not request.headers:
        return None
    if BETA not in request.headers or deployment.context_tokens > USUAL_CONTEXT_TOKENS:
        return request.headers
    betas = [name.strip() for name in request.headers[BETA].split(",")]
    asked = ",".join(name for name in betas if not name.startswith(LONG_CONTEXT))
    return {name: value for name, value in {**request.headers, BETA: asked}.items() if value}


ANTHROPIC: Final = Company(
    type="anthropic",
    title="Anthropic",
    source="https://platform.claude.com/docs/en/api/messages",
    url="https://api.anthropic.com/v1",
    key_variable="ANTHROPIC_API_KEY",
    models=("claude-*",),
    key_header="x-api-key",
    key_prefix="",
    headers=(("anthropic-version", VERSION),),
    paths={"messages": "/messages"},
    limits=LIMITS,
    id_header="request-id",
    lacks=frozenset({Need.LOGPROBS, Need.MANY, Need.AUDIO}),
    wire=AnthropicProvider,
)
"""The row of Anthropic."""
