"""Model servers on this machine, found on their usual ports. They cost nothing and are not settled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from mini_llm.answer import Completion
from mini_llm.deployment import CHAT_NEEDS, HOUSE_PARTNER, Deployment
from mini_llm.errors import ProviderError, UnknownModel, UpstreamTimeout, UpstreamUnreachable
from mini_llm.price import Price
from mini_llm.providers.base import Provider, UpstreamStream
from mini_llm.providers.local_servers import ModelFacts, ask_server
from mini_llm.providers.openai import EMBEDDING_PATHS, OpenAIProvider
from mini_llm.providers.wire import Endpoint
from mini_llm.request import Request
from mini_llm.transport import Timeouts, Transport

USUAL_SERVERS: Final = {
    "Ollama": "http://127.0.0.1:11434/v1",
    "llama.cpp": "http://127.0.0.1:8080/v1",
    "vLLM": "http://127.0.0.1:8000/v1",
    "LM Studio": "http://127.0.0.1:1234/v1",
}
PROBE: Final = Timeouts(connect_s=1.0, first_byte_s=1.0, idle_s=1.0, total_s=2.0)
MISSED_LOOKS: Final = 6
"""After so many looks in a row that a server did not answer with its models, they are forgotten."""
_NOBODY: Final = "ConnectionRefusedError"
UNKNOWN_CONTEXT_TOKENS: Final = 2**20
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
        urls = tuple(dict.fromkeys(url.rstrip("/") for url in servers))
        self._servers = {
            url: OpenAIProvider(name, url, http, paths=EMBEDDING_PATHS, timeouts=timeouts) for url in urls
        }
        self.surfaces = frozenset(EMBEDDING_PATHS).intersection(
            *(server.surfaces for server in self._servers.values())
        )
        self._probe = Endpoint(name, http, {}, PROBE)
        self._serving: dict[str, OpenAIProvider] = {}
        self._facts: dict[str, dict[str, ModelFacts]] = {url: {} for url in urls}
        self._missed = dict.fromkeys(urls, 0)

    async def discover(self) -> Sequence[Deployment]:
        """Asks each server for its models and what they can do; one that was never there is passed over."""
        await asyncio.gather(*map(self._look, self._servers))
        self._serving = {}
        deployments = []
        for url, server in self._servers.items():
            for model, facts in self._facts[url].items():
                if model not in self._serving:
                    self._serving[model] = server
                    deployments.append(self._deployment(model, facts))
        return deployments

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

    async def _look(self, url: str) -> None:
        """What one server has now; models that it had before are not asked about again.

        A server that is busy, such as one that loads a model or answers one call after the other, keeps those
        that it had: nobody knows better, and a call that fails says more than a model that is not there.
        """
        try:
            self._facts[url] = await ask_server(self._probe, url, self._facts[url])
            self._missed[url] = 0
        except UpstreamTimeout:  # somebody took the connection
            pass
        except ProviderError as error:
            self._missed[url] += 1
            nobody = isinstance(error, UpstreamUnreachable) and error.reason == _NOBODY
            if nobody or self._missed[url] >= MISSED_LOOKS:
                self._facts[url] = {}

    def _deployment(self, model: str, facts: ModelFacts) -> Deployment:
        return Deployment(
            id=f"{self.name}/{model}",
            model=model,
            provider=self.name,
            upstream_model=model,
            partner_id=HOUSE_PARTNER,
            price=Price(0, 0),
            context_tokens=facts.context_tokens or UNKNOWN_CONTEXT_TOKENS,
            max_output_tokens=None,
            capabilities=CHAT_NEEDS if facts.capabilities is None else facts.capabilities,
        )
