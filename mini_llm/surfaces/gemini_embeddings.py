"""Google's embeddings as OpenAI's: texts in, vectors of numbers out.

Source: https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.request import encode, read_object
from mini_llm.surfaces.embeddings import GOOGLE, GOOGLE_OPTIONS
from mini_llm.surfaces.gemini_contents import content_list
from mini_llm.surfaces.lenient import member, objects_in
from mini_llm.surfaces.wording import Wording, camel, json_or_none, objects, untranslatable

EMBED_ONE: Final = "embedContent"
EMBED_MANY: Final = "batchEmbedContents"
FIELDS: Final = Wording(
    said=frozenset({"model", "content", "outputDimensionality", *GOOGLE_OPTIONS}),
    dropped={"autoTruncate": "the provider's default is used"},
)


def embeddings_request(body: bytes, model: str, many: bool) -> bytes:
    """A request for one vector or many as OpenAI's.

    Raises:
        BadRequest: malformed, or OpenAI's API cannot say it.
    """
    fields = camel(read_object(body)[0])
    asked = [camel(one) for one in objects(fields.get("requests"), "requests")] if many else [fields]
    if not asked:
        raise BadRequest("'requests' must have at least one request", "requests")
    made: dict[str, Any] = {
        "model": model,
        "input": [_text(one) for one in asked],
        "encoding_format": "float",
    }
    sizes = [one["outputDimensionality"] for one in asked if one.get("outputDimensionality") is not None]
    if any(size != sizes[0] for size in sizes):
        raise untranslatable("requests", "vectors of several lengths in one call")
    if sizes:
        made["dimensions"] = sizes[0]
    options = [{name: one[name] for name in GOOGLE_OPTIONS if one.get(name) is not None} for one in asked]
    if any(options):
        made[GOOGLE] = options
    return encode(made)


def embeddings_answer(body: bytes, many: bool) -> bytes:
    """OpenAI's answer as Google's."""
    answer = json_or_none(body)
    rows = objects_in(member(answer, "data"))
    vectors = [{"values": row["embedding"]} for row in rows if "embedding" in row]
    return encode({"embeddings": vectors} if many else {"embedding": vectors[0] if vectors else {}})


def _text(fields: Mapping[str, Any]) -> str:
    FIELDS.check(fields)
    content = content_list(fields.get("content"), "content")
    parts = [part for one in content for part in one.get("parts") or ()]
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise untranslatable("content", "embedding anything but text")
    return "\n".join(part["text"] for part in parts)
