"""OpenAI's API over HTTP, spoken by most companies and local servers.

Source: https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import quote

from mini_llm.answer import Completion
from mini_llm.deployment import Deployment
from mini_llm.providers.base import Provider, UpstreamStream
from mini_llm.providers.counting import Counting, CountingReader
from mini_llm.providers.limits import OPENAI_LIMITS, LimitHeaders
from mini_llm.providers.responses_answer import ResponsesAsChat, chat_completion
from mini_llm.providers.responses_asked import as_response, is_for_responses
from mini_llm.providers.wire import Endpoint
from mini_llm.request import Request
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.base import Dialect, StreamReader
from mini_llm.surfaces.chat_needs import with_effort_for
from mini_llm.transport import Timeouts, Transport

CHAT_PATHS: Final[Mapping[str, str]] = {"chat": "/chat/completions"}
EMBEDDING_PATHS: Final = {**CHAT_PATHS, "embeddings": "/embeddings"}
OPENAI_PATHS: Final = {**EMBEDDING_PATHS, "responses": "/responses"}
SERVED_PATHS: Final = {**OPENAI_PATHS, "messages": "/messages"}
"""Where servers of OpenAI's format usually take each surface that they take."""
PLAIN: Final = Dialect()


class OpenAIProvider(Provider):
    """One address that speaks OpenAI's API.

    ``paths`` says which formats it takes and where, after ``base_url``; ``{model}`` in a path is the
    deployment's upstream name, and ``query`` follows every one.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        http: Transport,
        *,
        headers: Mapping[str, str] | None = None,
        paths: Mapping[str, str] = CHAT_PATHS,
        query: str = "",
        dialect: Dialect = PLAIN,
        counting: Counting | None = None,
        limits: tuple[LimitHeaders, ...] = OPENAI_LIMITS,
        id_header: str = "x-request-id",
        timeouts: Timeouts | None = None,
    ) -> None:
        self.name = name
        # A format that no surface reads is not offered.
        base, end = base_url.rstrip("/"), f"?{query}" if query else ""
        self._urls = {name: f"{base}{path}{end}" for name, path in paths.items() if name in SURFACES}
        self.surfaces = frozenset(self._urls)
        self._dialect, self._counting = dialect, counting
        self._endpoint = Endpoint(
            name, http, headers or {}, timeouts or Timeouts(), limits=limits, id_header=id_header
        )

    async def complete(self, request: Request, deployment: Deployment) -> Completion:
        """See ``Provider.complete``."""
        asked = self._asked(request, deployment)
        url, body = self._call(asked, deployment)
        read = SURFACES[request.surface].read_answer if asked is request else chat_completion
        reading = partial(read, self.name)
        completion = await self._endpoint.answer(url, body, reading, deployment.timeouts, request.headers)
        if self._counting and request.surface == "chat":
            return self._counting.recount(completion)
        return completion

    async def open_stream(self, request: Request, deployment: Deployment) -> UpstreamStream:
        """See ``Provider.open_stream``."""
        asked = self._asked(request, deployment)
        url, body = self._call(asked, deployment)
        reader = self._reader(request.surface) if asked is request else ResponsesAsChat(self.name)
        return await self._endpoint.stream(url, body, reader, deployment.timeouts, request.headers)

    def _reader(self, surface: str) -> StreamReader:
        if self._counting and surface == "chat":
            return CountingReader(self.name, self._counting)
        return SURFACES[surface].reader(self.name)

    def _asked(self, request: Request, deployment: Deployment) -> Request:
        """The request itself, or as a response a chat that OpenAI's model would refuse as such."""
        if request.surface != "chat" or not self._dialect.openai or "responses" not in self.surfaces:
            return request
        told = with_effort_for(request, deployment.capabilities)
        return as_response(told) if is_for_responses(told, deployment.upstream_model) else request

    def _call(self, request: Request, deployment: Deployment) -> tuple[str, bytes]:
        """Address and body of a call."""
        model = deployment.upstream_model
        url = self._urls[request.surface]
        if "{model}" in url:
            url = url.replace("{model}", quote(model, safe=""))
        cap = deployment.output_cap(request.output_cap)
        request = with_effort_for(request, deployment.capabilities)
        return url, SURFACES[request.surface].upstream_body(request, model, cap, self._dialect)
