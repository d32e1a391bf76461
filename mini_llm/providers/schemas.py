"""JSON schemas in the parts of the language that companies of other formats take.

Sources: https://ai.google.dev/gemini-api/docs/structured-output;
https://platform.claude.com/docs/en/build-with-claude/structured-outputs; the package ``anthropic``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mini_llm.surfaces.wording import json_text

_NAMED: Final = frozenset({"properties", "$defs", "definitions"})
"""Keywords that hold schemas by name."""
_LISTED: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
"""Keywords that hold a list of schemas."""
_SINGLE: Final = frozenset({"items", "additionalProperties"})
"""Keywords that hold a schema, or a boolean."""
_GEMINI: Final = frozenset(
    {
        *("$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items"),
        *("prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties"),
        *("additionalProperties", "required", "propertyOrdering"),
    }
)
_CLAUDE: Final = frozenset(
    {
        *("$defs", "definitions", "$ref", "type", "title", "description", "enum", "const", "items", "anyOf"),
        *("allOf", "properties", "additionalProperties", "required"),
    }
)
_FORMATS: Final = (
    *("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
)
_CLAUDE_VALUES: Final = (("minItems", 0), ("minItems", 1), *(("format", name) for name in _FORMATS))
"""Keywords that it takes with these values only."""
_BESIDE_REF: Final = frozenset({"$ref", "$defs", "definitions"})
_ABOUT: Final = frozenset({"$schema", "$id", "$comment"})
"""Keywords that say nothing to a model."""


def for_gemini(schema: Any) -> Any:
    """A schema with the keywords that Gemini takes; a constant becomes a choice of one. The others would only
    narrow what a model may write."""
    if not isinstance(schema, dict):
        return schema
    schema = {**schema, "enum": [schema["const"]]} if "const" in schema else schema
    return {word: _inner(word, value, for_gemini) for word, value in schema.items() if word in _GEMINI}


def for_claude(schema: Any) -> Any:
    """A schema with the keywords that Claude takes; what else it says stands in its description.

    An object with properties has no others. One whose properties are not listed stays open, which Claude
    refuses: closed it would be another, empty one.
    """
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:  # which stands alone
        schema = {word: value for word, value in schema.items() if word in _BESIDE_REF}
    told: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for word, value in schema.items():
        if word == "oneOf":
            told["anyOf"] = _inner(word, value, for_claude)
        elif word in _CLAUDE or (word, value) in _CLAUDE_VALUES:
            told[word] = _inner(word, value, for_claude)
        elif word not in _ABOUT:
            rest[word] = value
    if told.get("properties") and not isinstance(told.get("additionalProperties"), dict):
        told["additionalProperties"] = False
    if rest:
        told["description"] = " ".join([*filter(None, [told.get("description")]), json_text(rest)])
    return told


def _inner(word: str, value: Any, narrow: Callable[[Any], Any]) -> Any:
    """The value of a keyword, with the schemas in it narrowed."""
    if word in _NAMED and isinstance(value, dict):
        return {name: narrow(one) for name, one in value.items()}
    if word in _LISTED and isinstance(value, list):
        return [narrow(one) for one in value]
    return narrow(value) if word in _SINGLE else value
