"""One call as its client sent it, read only as far as routing and price need."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from mini_llm.errors import BadRequest

MAX_CHOICES: Final = 128
"""Most answers (``n``) that one request may ask for, as at OpenAI."""
MAX_MODEL_NAME: Final = 200
MAX_OUTPUT_TOKENS: Final = 2**31


class Need:
    """What a request asks of a deployment beside text; one that cannot do it is not asked."""

    TOOLS: Final = "tools"
    JSON_SCHEMA: Final = "json_schema"
    IMAGES: Final = "images"
    AUDIO: Final = "audio"
    FILES: Final = "files"
    LOGPROBS: Final = "logprobs"
    REASONING: Final = "reasoning"
    MANY: Final = "many"  # several choices (n > 1)
    EMBEDDINGS: Final = "embeddings"
    HOSTED: Final = "hosted"  # what a provider bills beside tokens: tools that it runs, faster service


NEEDS: Final = frozenset(value for name, value in vars(Need).items() if name.isupper())
"""Every need there is."""
EMBEDS_ONLY: Final = frozenset({Need.EMBEDDINGS})
"""What a deployment can do that writes nothing."""
_TIERS: Final = frozenset(
    {"auto", "default", "flex", "on_demand", "standard", "standard_only", "unspecified"}
)
"""Ways of being served that cost no more than a token's price."""
_ROUTERS: Final = frozenset({"models", "provider", "preset", "plugins", "providerOptions", "fallbacks"})
"""Fields by which OpenRouter, Vercel and other routers, in whatever format, are told to take other models or
dearer places, or to search."""
_MEDIA: Final = frozenset({Need.IMAGES, Need.AUDIO, Need.FILES})


class Request(NamedTuple):
    """One call in the format of its surface. Fields that nobody here knows pass through untouched.

    Attributes:
        surface: name of the wire format, a key of ``mini_llm.surfaces.SURFACES``.
        fields: the whole request.
        size_bytes: length of the request as compact JSON in UTF-8: no part of it holds more bytes of text.
        parts: messages, items or inputs, each of which a chat template may wrap.
        model: the model asked for.
        stream: answer as server-sent events.
        choices: how many answers (``n``).
        output_cap: most completion tokens per choice, None if the client named none.
        wants_usage: a streaming client asked for the usage event.
        needs: what it asks of a deployment, of ``NEEDS``.
        headers: those that belong to the format, for a provider that takes it untouched.
    """

    surface: str
    fields: Mapping[str, Any]
    size_bytes: int
    parts: int
    model: str
    stream: bool
    choices: int
    output_cap: int | None
    wants_usage: bool
    needs: frozenset[str]
    headers: Mapping[str, str] | None = None

    @property
    def text_only(self) -> bool:
        """No image, audio or file, whose tokens do not follow from the request's size."""
        return not self.needs & _MEDIA


def billed_beside_tokens(
    fields: Mapping[str, Any], tools: Collection[object], names: frozenset[str] = frozenset()
) -> bool:
    """True if a provider that gets the call as it is bills more than its tokens.

    Args:
        fields: the call's.
        tools: those that are not the client's own.
        names: fields of the format that ask for such a thing, even by an empty object.
    """
    tier = fields.get("service_tier") or fields.get("serviceTier") or "auto"
    if tools or not isinstance(tier, str) or tier.lower() not in _TIERS:
        return True
    if any(fields[name] for name in fields.keys() & _ROUTERS):
        return True
    return any(fields[name] not in (None, False) for name in fields.keys() & names)


def read_object(body: bytes) -> tuple[dict[str, Any], int]:
    """A request body as a JSON object, and its size as compact JSON in UTF-8.

    Raises:
        BadRequest: it is none.
    """
    # pydantic's parser bounds nesting by itself; the standard library's rests on the interpreter's recursion
    # limit, which other packages raise, and then deep nesting crashes the process.
    try:
        fields = from_json(body, allow_inf_nan=False)
        # Encoding again refuses what JSON cannot say, such as the infinity that 1e999 was read as.
        size_bytes = len(encode(fields))
    except ValueError:
        raise BadRequest("the body is not valid JSON in UTF-8") from None
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    return fields, size_bytes


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8.

    Raises:
        ValueError: something in it is no JSON, such as an infinity or a lone surrogate.
    """
    text = to_json(value, inf_nan_mode="constants", fallback=_fields)
    if b"Infinity" in text or b"NaN" in text:  # in a string, or a number that is none
        from_json(text, allow_inf_nan=False)
    return text


def _fields(value: Any) -> dict[str, Any]:
    """What the library's own records and other mappings hold: an answer's message goes back as it came."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON")


def model_name(value: object) -> str:
    """The ``model`` of a request.

    Raises:
        BadRequest: it is no name.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_MODEL_NAME:
        raise BadRequest("'model' must be the name of a model", "model")
    return value


def integer(fields: Mapping[str, Any], name: str, most: int = MAX_OUTPUT_TOKENS) -> int | None:
    """A positive integer of a request, None if it is absent or null.

    Raises:
        BadRequest: it is something else, or above ``most``.
    """
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= most:  # bool is an int, and True is no count
        raise BadRequest(f"'{name}' must be an integer from 1 to {most}", name)
    return value


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """A boolean of a request, False if it is absent or null.

    Raises:
        BadRequest: it is something else.
    """
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"'{name}' must be true or false", name)
    return bool(value)
