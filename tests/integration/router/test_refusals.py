"""Bad input and failing providers: the right status in OpenAI's shape, and nothing charged."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import openai
import pytest
from router_upstream import WORDS
from router_world import World, read_when

from mini_llm.errors import UpstreamRefused
from router.api.errors import told
from router.ledger import chain, create_api_key, leaving, reverse
from router.ledger.grants import Grant, Scope
from router.ledger.models import Kind

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
BODY = {"model": "plain", "messages": MESSAGES}


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object, in OpenAI's shape."""
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    return error


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer sk-vibes-unknown"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": "Bearer " + "x" * 5000},
    ],
)
def test_unknown_key_is_401(world: World, headers: dict[str, str]) -> None:
    for method, path in (
        ("POST", "/chat/completions"),
        ("GET", "/models"),
        ("GET", "/account"),
        ("POST", "/account/ceiling"),
        ("GET", "/receipts/" + "0" * 64),
    ):
        response = httpx.request(method, world.router.url + path, headers=headers)
        assert response.status_code == 401, path
        assert error_of(response)["code"] == "invalid_api_key"


def test_openai_client_raises_its_own_error_for_401(world: World) -> None:
    client = openai.OpenAI(base_url=world.router.url, api_key="sk-vibes-no", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="plain", messages=MESSAGES)


def test_no_money_is_402_with_what_there_is_and_what_it_takes(world: World) -> None:
    user = world.user(deposit_base=1000)
    with user.http() as client:
        response = client.post("/chat/completions", json=BODY)
    assert response.status_code == 402
    error = error_of(response)
    assert error["code"] == "insufficient_funds"
    assert error["available_base"] == "1000"
    assert int(error["needed_base"]) > 100 * 2000  # the cap alone
    assert "0.001000" in error["message"]
    assert user.view().reserved_base == 0


def test_ceiling_limits_spending_like_the_balance(world: World) -> None:
    with world.user(ceiling_base=1234).http() as client:
        response = client.post("/chat/completions", json=BODY)
    assert (response.status_code, error_of(response)["available_base"]) == (402, "1234")


def test_money_that_the_chain_took_back_is_402_until_it_is_covered(world: World) -> None:
    user = world.user(deposit_base=10**9)
    with user.http() as client:
        assert client.post("/chat/completions", json=BODY).status_code == 200
        spent_base = user.settled_view().spent_base
        user.ledger.run(lambda c: reverse(c, [(Kind.DEPOSIT, f"deposit:{user.idx}")]))
        response = client.post("/chat/completions", json=BODY)
        assert (response.status_code, error_of(response)["code"]) == (402, "account_in_deficit")
        assert error_of(response)["deficit_base"] == str(spent_base)
        assert client.get("/account").json()["deficit_base"] == str(spent_base)
        blind = Grant(scopes=frozenset({Scope.CHAT}))
        made = user.ledger.run(lambda c: create_api_key(c, user.idx, "no look", grant=blind))
        bearer = {"authorization": f"Bearer {made.secret}"}
        refused = client.post("/chat/completions", json=BODY, headers=bearer)
        assert (refused.status_code, error_of(refused)["code"]) == (402, "account_in_deficit")
        assert str(spent_base) not in refused.text
        assert "deficit_base" not in refused.text
        user.ledger.run(lambda c: chain.credit_deposit(c, user.idx, 10**9, f"again:{user.idx}"))
        assert client.post("/chat/completions", json=BODY).status_code == 200


def test_an_account_that_left_is_403_and_says_why(world: World) -> None:
    user = world.user(deposit_base=10**9)
    user.ledger.run(lambda c: leaving.freeze_account(c, user.idx, 10**9, f"freeze:{user.idx}"))
    with user.http() as client:
        response = client.post("/chat/completions", json=BODY)
        assert client.get("/account").json()["status"] == "frozen"
    assert (response.status_code, error_of(response)["code"]) == (403, "account_closed")
    assert "frozen on chain" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("content", "param"),
    [
        (b"", None),
        (b"{not json", None),
        (b"[]", None),
        (b"[" * 200_000, None),
        (b'{"model": "plain"}', "messages"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model"),
        (
            b'{"model": "plain", "messages": [{"role": "user", "content": "x"}], "max_tokens": -1}',
            "max_tokens",
        ),
        (b'{"model": "plain", "messages": [{"role": "user", "content": "x"}], "n": 0}', "n"),
        (b'{"model": "plain", "messages": "hello"}', "messages"),
        (b'{"model": "plain", "messages": [{"role": "user", "content": "\\ud800"}]}', None),
    ],
)
def test_malformed_body_is_400(world: World, content: bytes, param: str | None) -> None:
    user = world.user()
    with user.http() as client:
        response = client.post("/chat/completions", content=content)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert user.view().reserved_base == 0


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_bad_idempotency_key_is_400(world: World, key: str) -> None:
    with world.user().http() as client:
        response = client.post("/chat/completions", json=BODY, headers={"Idempotency-Key": key})
    assert (response.status_code, error_of(response)["code"]) == (400, "bad_idempotency_key")


def test_unknown_model_is_404_and_lists_what_there_is(world: World) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        world.user().client().chat.completions.create(model="gpt-99", messages=MESSAGES)
    assert refused.value.code == "model_not_found"
    assert "plain" in refused.value.message
    assert "llama-local" in refused.value.message


def test_unknown_path_and_method_keep_the_error_shape(world: World) -> None:
    with world.user().http() as client:
        assert error_of(client.get("/nothing"))["type"] == "invalid_request_error"
        assert client.get("/chat/completions").status_code == 405
        assert error_of(client.get("/chat/completions"))["code"] == "invalid_request"


def test_oversized_body_is_413_announced_or_not(world: World) -> None:
    padding = "x" * (5 * 2**20)
    content = b'{"model": "plain", "messages": [{"role": "user", "content": "' + padding.encode() + b'"}]}'

    def in_pieces() -> Any:
        for start in range(0, len(content), 2**16):
            yield content[start : start + 2**16]

    user = world.user()
    with user.http() as client:
        announced = client.post("/chat/completions", content=content)
        chunked = client.post("/chat/completions", content=in_pieces())
        after = client.post("/chat/completions", json=BODY)
    for response in (announced, chunked):
        assert response.status_code == 413
        assert error_of(response)["code"] == "body_too_large"
    assert after.status_code == 200


def test_announced_length_is_refused_before_the_body_is_sent(world: World) -> None:
    user = world.user()
    with socket.create_connection(("127.0.0.1", world.router.port), timeout=10) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.api_key}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 5000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("detail", "status"),
    [("The model `x` does not exist", 404), ("models/x is not found", 404), ("Cannot POST /v2", 502)],
)
def test_a_provider_without_the_model_is_told_from_one_that_is_not_there(detail: str, status: int) -> None:
    answer = told(UpstreamRefused("p", 404, detail))
    assert answer.status == status
    assert detail not in answer.message


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("http-400", 400, "hot"),
        ("http-401", 502, "upstream_failed"),
        ("http-404", 404, "model_not_found"),
        ("http-429", 503, "upstream_busy"),
        ("http-500", 502, "upstream_failed"),
        ("http-503", 503, "upstream_busy"),
        ("silent", 504, "upstream_timeout"),
        ("unreachable", 502, "upstream_unreachable"),
        ("not-json", 502, "upstream_failed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_failing_provider_is_mapped_and_voided(
    world: World, model: str, status: int, code: str, stream: bool
) -> None:
    user = world.user()
    with user.http() as client:
        body = {"model": model, "messages": MESSAGES, "stream": stream}
        response = client.post("/chat/completions", json=body, headers={"Idempotency-Key": "k"})
        again = client.post(
            "/chat/completions", json=body | {"model": "plain"}, headers={"Idempotency-Key": "l"}
        )
    assert response.status_code == status
    error = error_of(response)
    assert error["code"] == code
    assert "secret" not in response.text
    if model == "http-400":
        assert (error["message"], error["param"]) == ("temperature is too hot", "temperature")
    if model == "http-429":
        assert response.headers["retry-after"] == "7"
    assert again.status_code == 200
    view = user.view()
    assert (view.reserved_base, view.sequence) == (0, 1)  # only the call that was answered


def test_key_of_a_voided_call_can_be_used_again(world: World) -> None:
    user = world.user()
    with user.http() as client:
        body = {"model": "http-500", "messages": [{"role": "user", "content": "voided key"}]}
        codes = [
            client.post("/chat/completions", json=body, headers={"Idempotency-Key": "k"}).status_code
            for _ in range(2)
        ]
    assert codes == [502, 502]
    assert len(world.upstream.calls_of("voided key")) == 2  # not charged, so tried again
    assert user.view().spent_base == 0


@pytest.mark.parametrize("model", ["breaks", "error-event", "stops-short", "goes-silent"])
def test_provider_that_breaks_off_a_stream_costs_nothing(world: World, model: str) -> None:
    user = world.user()
    stream = user.client().chat.completions.create(model=model, messages=MESSAGES, stream=True)
    seen = []
    with pytest.raises(openai.APIError, match="nothing was charged"):
        seen += [chunk.choices[0].delta.content for chunk in stream]
    with user.http() as client:
        text = client.post(
            "/chat/completions", json={"model": model, "messages": MESSAGES, "stream": True}
        ).text
    assert WORDS[2] in text
    assert "[DONE]" not in text
    assert "10.0.0.7" not in text
    view = user.view()
    assert (view.spent_base, view.reserved_base) == (0, 0)


def test_logs_hold_no_prompts_keys_or_answers(world: World) -> None:
    user = world.user()
    secret = "do-not-log-this-prompt"
    for model in ("plain", "http-400", "http-500", "no-usage"):
        with user.http() as client:
            client.post(
                "/chat/completions", json={"model": model, "messages": [{"role": "user", "content": secret}]}
            )
    log = read_when(world.router.log, f'"account":{user.idx},')
    assert f'"account":{user.idx},' in log
    for text in (secret, user.api_key, "sk-operator-secret", " ".join(WORDS)):
        assert text not in log
