"""What Google takes beside a text to embed, in OpenAI's format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mini_llm.errors import BadRequest
from mini_llm.request import Request
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.base import Dialect

EMBEDDINGS = SURFACES["embeddings"]


def embeddings(**fields: Any) -> Request:
    return EMBEDDINGS.parse(json.dumps({"model": "m", "input": ["a", "b"]} | fields).encode())


@pytest.mark.parametrize(
    ("google", "param"),
    [
        ({"taskType": "X"}, "google"),
        ([{"taskType": "X"}], "google"),
        ([{"taskType": 1}, {}], "taskType"),
        ([{"task": "X"}, {}], "task"),
    ],
)
def test_malformed_options_are_refused(google: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        embeddings(google=google)
    assert refused.value.param == param


def test_options_go_to_nobody_else_and_titles_count() -> None:
    request = embeddings(google=[{}, {"title": "ten words"}])
    assert EMBEDDINGS.counted_texts(request) == ["a", "b", "ten words"]
    with pytest.raises(BadRequest) as refused:
        EMBEDDINGS.upstream_body(request, "up", None, Dialect())
    assert refused.value.param == "title"
    empty = EMBEDDINGS.upstream_body(embeddings(google=[{}, {}]), "up", None, Dialect())
    assert json.loads(empty) == {"model": "up", "input": ["a", "b"]}
