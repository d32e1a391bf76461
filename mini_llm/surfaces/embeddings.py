"""OpenAI's embeddings. They are no conversation, so only a provider that offers them can serve them.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mini_llm.answer import Completion
from mini_llm.errors import BadRequest, UpstreamProtocolError
from mini_llm.price import Usage
from mini_llm.request import EMBEDS_ONLY, Need, Request, billed_beside_tokens, encode, model_name, read_object
from mini_llm.surfaces.base import Dialect, StreamReader, StreamTranslator, Surface
from mini_llm.surfaces.chat import ChatReader
from mini_llm.surfaces.wording import json_or_none, objects, untranslatable

MAX_INPUTS: Final = 2048
"""Most inputs of one call, as at OpenAI."""
GOOGLE: Final = "google"
"""Field of what Google takes beside each input, which its provider alone can say: a list of objects."""
GOOGLE_OPTIONS: Final = ("taskType", "title")
_NOT_CHAT: Final = "embeddings are no conversation; this provider does not offer them"


class EmbeddingsSurface(Surface):
    """`POST /v1/embeddings`: text or tokens, one input or a list; every other field passes through."""

    name = "embeddings"
    headers = ("openai-beta",)

    def parse(self, body: bytes, model: str | None = None, stream: bool | None = None) -> Request:
        """See ``Surface.parse``."""
        fields, size_bytes = read_object(body)
        google_options(fields)
        return Request(
            surface=self.name,
            fields=fields,
            size_bytes=size_bytes,
            parts=len(_inputs(fields.get("input"))),
            model=model_name(fields.get("model")),
            stream=False,
            choices=1,
            output_cap=None,
            wants_usage=False,
            needs=EMBEDS_ONLY | ({Need.HOSTED} if billed_beside_tokens(fields, ()) else set()),
        )

    def upstream_body(
        self, request: Request, upstream_model: str, output_cap: int | None, dialect: Dialect
    ) -> bytes:
        """See ``Surface.upstream_body``; nothing is generated, so there is no cap to send."""
        for options in google_options(request.fields):
            for name in options:
                raise untranslatable(name, f"'{name}'")
        fields = {name: value for name, value in request.fields.items() if name != GOOGLE}
        return encode(fields | {"model": upstream_model})

    def to_chat(self, request: Request) -> Request:
        """See ``Surface.to_chat``."""
        raise BadRequest(_NOT_CHAT, "model")

    def from_chat(self, request: Request, answer: Mapping[str, Any], usage: Usage) -> bytes:
        """Never asked for, since ``to_chat`` refuses."""
        raise BadRequest(_NOT_CHAT, "model")

    def stream_from_chat(self, request: Request) -> StreamTranslator:
        """Never asked for, since ``to_chat`` refuses."""
        raise BadRequest(_NOT_CHAT, "model")

    def read_answer(self, provider: str, body: bytes) -> Completion:
        """See ``Surface.read_answer``."""
        answer = json_or_none(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
            raise UpstreamProtocolError(provider, "the body has no 'data'")
        usage = Usage.from_openai(answer.get("usage"))
        if usage is not None and usage.completion_tokens:  # vectors are not charged by length
            usage = Usage.split(usage.prompt_tokens, 0, cached_tokens=usage.cached_tokens)
        return Completion(body, usage)

    def reader(self, provider: str) -> StreamReader:
        """Never asked for: embeddings do not stream."""
        return ChatReader(provider)

    def prompt_texts(self, request: Request) -> list[str]:
        """See ``Surface.prompt_texts``; a token counts as a word."""
        texts = []
        for item in _inputs(request.fields.get("input")):
            texts.append(item if isinstance(item, str) else " ".join(map(str, item)))
        return texts

    def unsaid_texts(self, request: Request) -> list[str]:
        """See ``Surface.unsaid_texts``: titles of what is embedded."""
        return [option["title"] for option in google_options(request.fields) if "title" in option]

    def answer_text(self, raw: bytes) -> str:
        """Nothing is generated."""
        return ""


def google_options(fields: Mapping[str, Any]) -> list[dict[str, str]]:
    """What Google is told beside each input; empty if nothing.

    Raises:
        BadRequest: it is malformed, or not as many as there are inputs.
    """
    given = fields.get(GOOGLE)
    if given is None:
        return []
    options = objects(given, GOOGLE)
    for option in options:
        for name, value in option.items():
            if name not in GOOGLE_OPTIONS or not isinstance(value, str):
                raise BadRequest(f"'{name}' must be one of {', '.join(GOOGLE_OPTIONS)}, and text", name)
    if len(options) != len(_inputs(fields.get("input"))):
        raise BadRequest(f"'{GOOGLE}' must have an object for each input", GOOGLE)
    return options


def _inputs(value: object) -> list[str | list[int]]:
    """The inputs: strings, or lists of token numbers."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(type(token) is int for token in value):
        return [value]
    if not isinstance(value, list) or not 0 < len(value) <= MAX_INPUTS:
        raise BadRequest(f"'input' must be text, tokens, or a list of 1 to {MAX_INPUTS} of them", "input")
    for position, item in enumerate(value):
        tokens = isinstance(item, list) and item and all(type(token) is int for token in item)
        if not isinstance(item, str) and not tokens:
            raise BadRequest("each input must be text or a list of tokens", f"input.{position}")
    return value
