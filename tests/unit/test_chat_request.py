"""What the gateway reads of a chat request, and what it refuses."""

from __future__ import annotations

import json

import pytest

from mini_llm.errors import BadRequest
from mini_llm.request import Need, Request
from mini_llm.surfaces import CHAT
from mini_llm.surfaces.base import Dialect

MESSAGES = [{"role": "user", "content": "hello"}]


def parse(**fields: object) -> Request:
    return CHAT.parse(json.dumps({"model": "m", "messages": MESSAGES} | fields).encode())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"null", None),
        (b'"text"', None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b'{"model": "m", "messages": [{"role": "user"}], "x": NaN}', None),
        (b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}', None),
        (b'{"model": "m", "messages": [{"role": "user"}], "x": ' + b"9" * 5000 + b"}", None),
        (b'{"messages": [{"role": "user"}]}', "model"),
        (b'{"model": 1, "messages": [{"role": "user"}]}', "model"),
        (b'{"model": "", "messages": [{"role": "user"}]}', "model"),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m", "messages": {"role": "user"}}', "messages"),
        (b'{"model": "m", "messages": ["hi"]}', "messages.0"),
        (b'{"model": "m", "messages": [{"role": "user"}, {"role": 1}]}', "messages.1"),
    ],
)
def test_malformed_bodies_are_refused(body: bytes, param: str | None) -> None:
    with pytest.raises(BadRequest) as refused:
        CHAT.parse(body)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 0),
        ("n", 129),
        ("n", True),
        ("n", 1.0),
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_tokens", "9"),
        ("max_completion_tokens", 2**40),
        ("stream", "yes"),
        ("stream", 1),
        ("stream_options", []),
        ("include_usage", 1),
    ],
)
def test_fields_that_price_rests_on_are_checked(name: str, value: object) -> None:
    fields = {"stream_options": {name: value}} if name == "include_usage" else {name: value}
    with pytest.raises(BadRequest) as refused:
        parse(**fields)
    assert refused.value.param == name


def test_null_means_absent() -> None:
    request = parse(n=None, max_tokens=None, stream=None, stream_options=None)
    assert (request.choices, request.output_cap, request.stream, request.wants_usage) == (
        1,
        None,
        False,
        False,
    )


def test_the_smaller_of_two_caps_holds() -> None:
    assert parse(max_tokens=5, max_completion_tokens=9).output_cap == 5


def test_size_is_that_of_the_text_not_of_its_escapes() -> None:
    plain, escaped = (
        parse(x="zh"),
        CHAT.parse(json.dumps({"model": "m", "messages": MESSAGES, "x": "中"}, ensure_ascii=True).encode()),
    )
    assert escaped.size_bytes == plain.size_bytes + 1  # 3 bytes of UTF-8 against 2 letters


def test_upstream_gets_unknown_fields_its_own_model_name_and_one_cap() -> None:
    request = parse(max_tokens=5, max_completion_tokens=9, top_k=3, stream=True, stream_options={"x": 1})
    body = CHAT.upstream_body(request, "up", 5, Dialect("max_completion_tokens"))
    assert json.loads(body) == {
        "model": "up",
        "messages": MESSAGES,
        "top_k": 3,
        "stream": True,
        "stream_options": {"x": 1, "include_usage": True},
        "max_completion_tokens": 5,
    }
    assert request.fields["stream_options"] == {"x": 1}


def test_images_are_not_taken_for_text() -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]
    text = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None},
    ]
    assert not parse(messages=image).text_only
    assert parse(messages=text).text_only


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"tools": [{"type": "function"}]}, {Need.TOOLS}),
        ({"tools": [{"type": "web_search"}]}, {Need.TOOLS, Need.HOSTED}),
        ({"tools": [], "functions": None, "logprobs": False, "audio": {}}, set()),
        ({"functions": [{"name": "f"}], "logprobs": True}, {Need.TOOLS, Need.LOGPROBS}),
        ({"reasoning_effort": "low"}, {Need.REASONING}),
        ({"reasoning_effort": "none"}, set()),
        ({"reasoning": {"effort": "low"}, "n": 2}, {Need.REASONING, Need.MANY}),
        ({"audio": {"voice": "a"}}, {Need.AUDIO}),
        ({"modalities": ["text", "audio"]}, {Need.AUDIO}),
        ({"modalities": ["text"]}, set()),
        ({"modalities": None}, set()),
        ({"modalities": 5}, {Need.AUDIO}),
        ({"response_format": {"type": "json_schema"}}, {Need.JSON_SCHEMA}),
        ({"plugins": [{"id": "web"}], "models": None, "deferred": False}, {Need.HOSTED}),
        ({"service_tier": "priority"}, {Need.HOSTED}),
        ({"service_tier": "Flex"}, set()),
    ],
)
def test_what_a_deployment_must_be_able_to_do(fields: dict[str, object], needs: set[str]) -> None:
    assert parse(**fields).needs == needs
