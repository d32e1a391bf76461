"""The Gemini API's own wire format: ``generateContent`` untouched, chat and embeddings by translation.

Source: https://ai.google.dev/api
"""

from __future__ import annotations

import base64
import struct
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from mini_llm.answer import Completion
from mini_llm.deployment import Deployment
from mini_llm.errors import BadRequest, UpstreamProtocolError
from mini_llm.price import Usage, plausible
from mini_llm.providers.base import Provider, UpstreamStream
from mini_llm.providers.company import Company, Wiring
from mini_llm.providers.google_answer import GeminiAsChat, chat_completion
from mini_llm.providers.google_request import generate_request
from mini_llm.providers.openai import PLAIN
from mini_llm.request import Request, encode
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.chat_needs import with_effort_for
from mini_llm.surfaces.embeddings import google_options
from mini_llm.surfaces.gemini_stream import usage_of
from mini_llm.surfaces.lenient import at, member
from mini_llm.surfaces.wording import json_or_none

GEMINI: Final = "gemini"
EMBEDDINGS: Final = "embeddings"


class GoogleProvider(Provider):
    """The Gemini API, or another address that speaks its format."""

    surfaces = frozenset({"chat", GEMINI, EMBEDDINGS})

    def __init__(self, wiring: Wiring) -> None:
        self.name, self._url = wiring.name, wiring.base_url
        self._endpoint = wiring.endpoint()

    async def complete(self, request: Request, deployment: Deployment) -> Completion:
        """See ``Provider.complete``."""
        if request.surface == EMBEDDINGS:
            return await self._embed(request, deployment)
        url = self._method(deployment, "generateContent")
        read = SURFACES[GEMINI].read_answer if request.surface == GEMINI else chat_completion
        body = _body(request, deployment)
        return await self._endpoint.answer(url, body, partial(read, self.name), deployment.timeouts)

    async def open_stream(self, request: Request, deployment: Deployment) -> UpstreamStream:
        """See ``Provider.open_stream``."""
        native = request.surface == GEMINI
        reader = SURFACES[GEMINI].reader(self.name) if native else GeminiAsChat(self.name)
        url = self._method(deployment, "streamGenerateContent") + "?alt=sse"
        return await self._endpoint.stream(url, _body(request, deployment), reader, deployment.timeouts)

    async def count_tokens(self, request: Request, deployment: Deployment) -> int:
        """See ``Provider.count_tokens``."""
        asked = json_or_none(_body(request, deployment)) | {"model": f"models/{deployment.upstream_model}"}
        url = self._method(deployment, "countTokens")
        counted = await self._endpoint.post_json(url, encode({"generateContentRequest": asked}))
        total = plausible(at(counted, "totalTokens"))
        if total is None:
            raise UpstreamProtocolError(self.name, "the body has no 'totalTokens'")
        return total

    async def _embed(self, request: Request, deployment: Deployment) -> Completion:
        url = self._method(deployment, "batchEmbedContents")
        asked = encode(embed_request(request, deployment.upstream_model))
        return await self._endpoint.answer(
            url, asked, partial(self._vectors, request, deployment), deployment.timeouts
        )

    def _vectors(self, request: Request, deployment: Deployment, body: bytes) -> Completion:
        """Google's vectors as OpenAI's."""
        answer = json_or_none(body)
        vectors = member(answer, "embeddings")
        if not isinstance(vectors, list):
            raise UpstreamProtocolError(self.name, "the body has no 'embeddings'")
        usage = usage_of(answer.get("usageMetadata"))
        encoded = request.fields.get("encoding_format") == "base64"
        try:
            data = [
                {"object": "embedding", "index": index, "embedding": _vector(vector["values"], encoded)}
                for index, vector in enumerate(vectors)
            ]
        except (KeyError, TypeError, struct.error):
            raise UpstreamProtocolError(self.name, "an embedding has no 'values'") from None
        read = 0 if usage is None else usage.prompt_tokens
        told = {
            "object": "list",
            "data": data,
            "model": deployment.upstream_model,
            "usage": {"prompt_tokens": read, "total_tokens": read},
        }
        return Completion(encode(told), usage and Usage(read, 0))

    def _method(self, deployment: Deployment, method: str) -> str:
        return f"{self._url}/models/{quote(deployment.upstream_model, safe='')}:{method}"


def embed_request(request: Request, model: str) -> dict[str, Any]:
    """An embeddings request of OpenAI's format as ``batchEmbedContents``.

    Raises:
        BadRequest: the input is tokens of another company's tokenizer, or what stands beside it is malformed.
    """
    asked = request.fields.get("input")
    texts = asked if isinstance(asked, list) else [asked]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequest("this provider embeds text, not tokens", "input")
    size = request.fields.get("dimensions")
    common = {"model": f"models/{model}"} | ({} if size is None else {"outputDimensionality": size})
    options = google_options(request.fields) or [{}] * len(texts)
    return {
        "requests": [
            {**common, **own, "content": {"parts": [{"text": text}]}}
            for text, own in zip(texts, options, strict=True)
        ]
    }


def _vector(values: list[float], encoded: bool) -> list[float] | str:
    """A vector as numbers, or as OpenAI's base64 of little-endian 32-bit floats."""
    if not encoded:
        return list(values)
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def _body(request: Request, deployment: Deployment) -> bytes:
    cap, model = deployment.output_cap(request.output_cap), deployment.upstream_model
    if request.surface == GEMINI:
        return SURFACES[GEMINI].upstream_body(request, model, cap, PLAIN)
    return encode(generate_request(with_effort_for(request, deployment.capabilities), model, cap))


GOOGLE: Final = Company(
    type="google",
    title="Google Gemini API",
    source="https://ai.google.dev/api",
    url="https://generativelanguage.googleapis.com/v1beta",
    key_variable="GEMINI_API_KEY",
    models=("gemini-*", "gemma-*", "learnlm-*", "text-embedding-00*", "embedding-00*"),
    key_header="x-goog-api-key",
    key_prefix="",
    paths={"gemini": "/models/{model}:generateContent", "embeddings": "/models/{model}:batchEmbedContents"},
    limits=(),
    wire=GoogleProvider,
)
"""The row of Google."""
