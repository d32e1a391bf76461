"""Model servers on this machine, found on their usual ports. They cost nothing and are not settled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mini_llm.answer import Completion
from mini_llm.deployment import HOUSE_PARTNER, Deployment
from mini_llm.errors import ProviderError, UnknownModel
from mini_llm.price import Price
from mini_llm.providers.base import Provider, UpstreamStream
from mini_llm.providers.openai import OpenAIProvider
from mini_llm.request import Request
from mini_llm.transport import Timeouts, Transport

USUAL_SERVERS = {
    "Ollama": "http://127.0.0.1:11434/v1",
    "llama.cpp": "http://127.0.0.1:8080/v1",
    "vLLM": "http://127.0.0.1:8000/v1",
    "LM Studio": "http://127.0.0.1:1234/v1",
}
PROBE = Timeouts(connect_s=1.0, first_byte_s=1.0, idle_s=1.0)
UNKNOWN_CONTEXT_TOKENS = 2**20
"""Stands for a context that a local server does not tell; it prices nothing, since local calls are free."""


class LocalProvider(Provider):
    """The OpenAI-compatible servers of this machine; of two with the same model, the first serves it."""

    def __init__(
        self,
        name: str,
        http: Transport,
        *,
        servers: Sequence[str] = tuple(USUAL_SERVERS.values()),
        timeouts: Timeouts | None = None,
    ) -> None:
        self.name = name
        self.surfaces = frozenset({"chat"})
        self._http, self._servers = http, tuple(servers)
        self._timeouts = timeouts
        self._serving: dict[str, OpenAIProvider] = {}

    async def discover(self) -> Sequence[Deployment]:
        """Asks each server for its models; one that is not there is passed over."""
        found = await asyncio.gather(*map(self._probe, self._servers))
        self._serving = {}
        for url, models in zip(self._servers, found, strict=True):
            server = OpenAIProvider(self.name, url, self._http, timeouts=self._timeouts)
            for model in models:
                self._serving.setdefault(model, server)
        return [
            Deployment(
                id=f"{self.name}/{model}",
                model=model,
                provider=self.name,
                upstream_model=model,
                partner_id=HOUSE_PARTNER,
                price=Price(0, 0),
                context_tokens=UNKNOWN_CONTEXT_TOKENS,
                max_output_tokens=None,
            )
            for model in self._serving
        ]

    async def complete(self, request: Request, deployment: Deployment) -> Completion:
        """See ``Provider.complete``."""
        return await self._server(deployment).complete(request, deployment)

    async def open_stream(self, request: Request, deployment: Deployment) -> UpstreamStream:
        """See ``Provider.open_stream``."""
        return await self._server(deployment).open_stream(request, deployment)

    def _server(self, deployment: Deployment) -> OpenAIProvider:
        try:
            return self._serving[deployment.upstream_model]
        except KeyError:  # it went away between look-up and call
            raise UnknownModel(deployment.model, tuple(self._serving)) from None

    async def _probe(self, url: str) -> list[str]:
        server = OpenAIProvider(self.name, url, self._http, timeouts=PROBE)
        try:
            return await server.model_names()
        except ProviderError:
            return []
