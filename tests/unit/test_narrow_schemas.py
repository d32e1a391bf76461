"""Schemas as Claude and Gemini take them; Anthropic's own client says what Claude takes."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import transform_schema
from pydantic import BaseModel, Field

from mini_llm.providers.schemas import for_claude, for_gemini


class Part(BaseModel):
    weight: float = Field(gt=0, description="In kilograms.")
    made: str = Field(json_schema_extra={"format": "date"})


class Order(BaseModel):
    name: str = Field(min_length=1, pattern="^a")
    parts: list[Part] = Field(min_length=1, max_length=9)
    spare: Part | None = Field(None, description="Beside a reference.")
    site: str = Field(json_schema_extra={"format": "idn-email"})


def described(schema: Any, words: list[str]) -> Any:
    """A schema without its descriptions, which go to ``words``."""
    if isinstance(schema, list):
        return [described(one, words) for one in schema]
    if not isinstance(schema, dict):
        return schema
    words += [value for name, value in schema.items() if name == "description" and isinstance(value, str)]
    return {name: described(value, words) for name, value in schema.items() if name != "description"}


def test_claude_gets_what_its_own_client_would_send() -> None:
    schema, words = Order.model_json_schema(), list[str]()
    assert described(for_claude(schema), words) == described(transform_schema(schema), [])
    assert 'In kilograms. {"exclusiveMinimum":0}' in words
    assert '{"minLength":1,"pattern":"^a"}' in words
    assert Order.model_json_schema() == schema


@pytest.mark.parametrize(
    ("schema", "narrow"),
    [
        ({"type": "object"}, {"type": "object"}),
        ({"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}, None),
        (
            {"$schema": "x", "properties": {"a": {"oneOf": [{"const": 1}, {"type": "null"}]}}},
            {"properties": {"a": {"anyOf": [{"const": 1}, {"type": "null"}]}}, "additionalProperties": False},
        ),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": '{"minItems":2}'}),
        (True, True),
    ],
)
def test_claude(schema: Any, narrow: Any) -> None:
    """An object of any properties stays one: Claude refuses it, and a closed one would say something else."""
    if narrow is None:
        integer = {"type": "integer", "description": '{"minimum":1}'}
        narrow = {"type": "object", "additionalProperties": integer}
    assert for_claude(schema) == narrow


def test_gemini() -> None:
    schema = {"type": "object", "properties": {"const": {"const": "a", "minLength": 1}}, "$comment": "x"}
    assert for_gemini(schema) == {"type": "object", "properties": {"const": {"enum": ["a"]}}}
