"""Calls in a provider's own format through the router: only what is documented changes.

The stand-ins check what they get against the types of the company's SDK. Each answer is compared with the one
that the stand-in gives when it is asked directly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors, types
from router_upstream import Upstream
from router_world import User, World, config, make_world
from support.companies import anthropic_api, gemini_api
from support.companies.server import serving_beside

from mini_llm.request import NEEDS

CLAUDE, GEMINI = "claude-sonnet-4-5", "gemini-3-flash"
TEXT = "Hello, wörld"
RECEIPT = re.compile(rb": vibes-receipt [^\n]*\n")
CAP = 100
CLAUDE_COST_BASE = 25 * 1000 + 9 * 2000
GEMINI_COST_BASE = 23 * 1000 + 9 * 2000
CACHE_RATES = {
    "cached_usd_per_mtok": "1",
    "cache_write_usd_per_mtok": "12.5",
    "cache_write_1h_usd_per_mtok": "30",
}
SAID: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
    ],
    "metadata": {"user_id": "né"},
    "system": "Be brief.",
    "max_tokens": 50,
}
ASKED: dict[str, Any] = {
    "contents": [{"role": "user", "parts": [{"text": "né"}]}],
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "generationConfig": {"maxOutputTokens": 50, "topK": 3},
}


@dataclass
class Natives:
    """A router in front of the stand-ins."""

    world: World
    claude: anthropic_api.Anthropic
    claude_url: str
    gemini: gemini_api.Gemini
    gemini_url: str

    def user(self) -> User:
        return self.world.user()


@pytest.fixture(scope="module")
def natives(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Natives]:
    claude, gemini = anthropic_api.Anthropic(), gemini_api.Gemini()
    with serving_beside(claude) as claude_url, serving_beside(gemini) as gemini_url:
        base = config(upstream.url, upstream.url)
        rate = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20"}
        limits = {"max_output_tokens": CAP, "context_tokens": 4000, "capabilities": sorted(NEEDS)}
        base["providers"] |= {
            "claude": {"type": "anthropic", "base_url": f"{claude_url}/v1", "api_key": anthropic_api.KEY},
            "gemini": {"type": "google", "base_url": f"{gemini_url}/v1beta", "api_key": gemini_api.KEY},
        }
        base["deployments"] += [
            {"model": "opus", "upstream_model": CLAUDE, "provider": "claude"} | rate | limits,
            {"model": "long", "upstream_model": CLAUDE, "provider": "claude"}
            | rate
            | limits
            | {"context_tokens": 10**6},
            {"model": "caches", "upstream_model": CLAUDE, "provider": "claude"} | rate | limits | CACHE_RATES,
            {"model": "flash", "upstream_model": GEMINI, "provider": "gemini"} | rate | limits,
            {"model": "usual", "upstream_model": GEMINI, "provider": "gemini"}
            | rate
            | {"max_output_tokens": CAP, "context_tokens": 4000},
        ]
        world = make_world(tmp_path_factory.mktemp("native"), upstream, base)
        yield Natives(world, claude, claude_url, gemini, gemini_url)
        world.router.stop()
        world.ledger.close()


def anthropic_client(user: User) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=user.url.removesuffix("/v1"), api_key=user.api_key, max_retries=0)


def google_client(user: User) -> genai.Client:
    options = types.HttpOptions(
        base_url=user.url.removesuffix("/v1"), retry_options=types.HttpRetryOptions(attempts=1)
    )
    return genai.Client(api_key=user.api_key, http_options=options)


def events(raw: bytes) -> list[Any]:
    """The data of the events of a stream, without the receipt."""
    lines = RECEIPT.sub(b"", raw).replace(b"\r\n", b"\n").split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]


def test_a_message_reaches_anthropic_as_it_is(natives: Natives) -> None:
    user = natives.user()
    made = anthropic_client(user).messages.with_raw_response.create(model="opus", **SAID)
    assert natives.claude.asked[-1] == SAID | {"model": CLAUDE}
    direct = httpx.post(
        f"{natives.claude_url}/v1/messages",
        json=SAID | {"model": CLAUDE},
        headers={"x-api-key": anthropic_api.KEY, "anthropic-version": "2023-06-01"},
    )
    assert made.http_response.content == direct.content
    assert made.parse().content[0].text == TEXT
    assert user.settled_view().spent_base == CLAUDE_COST_BASE


def test_a_streamed_message_reaches_anthropic_as_it_is(natives: Natives) -> None:
    user = natives.user()
    with anthropic_client(user).messages.stream(model="opus", **SAID) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert (text, final.stop_reason, final.usage.output_tokens) == (TEXT, "end_turn", 9)
    assert natives.claude.asked[-1] == SAID | {"model": CLAUDE, "stream": True}
    direct = httpx.post(
        f"{natives.claude_url}/v1/messages",
        json=SAID | {"model": CLAUDE, "stream": True},
        headers={"x-api-key": anthropic_api.KEY, "anthropic-version": "2023-06-01"},
    )
    with user.http() as http:
        raw = http.post("/messages", json=SAID | {"model": "opus", "stream": True}).content
    assert raw.count(b": vibes-receipt") == 1
    assert events(raw) == events(direct.content)
    before_end = direct.content.index(b"event: message_stop")
    assert RECEIPT.sub(b"", raw)[:before_end] == direct.content[:before_end]
    assert user.settled_view().spent_base == 2 * CLAUDE_COST_BASE


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_kept_for_an_hour_has_its_own_price(natives: Natives, stream: bool) -> None:
    user = natives.user()
    with user.http() as http:
        answer = http.post("/messages", json=SAID | {"model": "caches", "stream": stream})
        receipt = http.get(f"/receipts/{answer.headers['x-vibes-request-id']}").json()["receipt"]
    charge_base = 12 * 1000 + 8 * 100 + 3 * 1250 + 2 * 3000 + 9 * 2000
    assert user.settled_view().spent_base == charge_base == int(receipt["chargeBase"])
    assert int(receipt["promptTokens"]) == 25
    assert int(receipt["promptPriceBasePerMtok"]) == 3_000_000_000


def test_tokens_are_counted_by_anthropic(natives: Natives) -> None:
    counted = anthropic_client(natives.user()).beta.messages.count_tokens(
        model="opus", messages=SAID["messages"], betas=["token-counting-2024-11-01"]
    )
    assert counted.input_tokens == 25
    assert "token-counting-2024-11-01" in natives.claude.headers[-1]["anthropic-beta"]


def test_betas_may_come_in_several_lines(natives: Natives) -> None:
    lines = [("anthropic-version", "2023-06-01"), ("anthropic-beta", "a-1,b-2"), ("anthropic-beta", "c-3")]
    with natives.user().http() as http:
        assert http.post("/messages", json=SAID | {"model": "opus"}, headers=lines).status_code == 200
    assert natives.claude.headers[-1]["anthropic-beta"] == "a-1,b-2,c-3"


def test_the_headers_of_the_format_are_passed_on_and_no_others(natives: Natives) -> None:
    user = natives.user()
    strange = {"cookie": "a=b", "x-forwarded-for": "10.1.2.3", "x-trace-me": "1", "openai-beta": "x=v1"}
    client = anthropic_client(user).with_options(default_headers=strange)
    client.beta.messages.create(model="opus", betas=["interleaved-thinking-2025-05-14", "b"], **SAID)
    sent = natives.claude.headers[-1]
    assert sent["anthropic-beta"] == "interleaved-thinking-2025-05-14,b"
    assert sent["x-api-key"] == anthropic_api.KEY
    assert sent["anthropic-version"] == client.default_headers["anthropic-version"]
    assert not sent.keys() & {*strange, "authorization", "x-stainless-lang", "idempotency-key"}
    assert user.api_key not in json.dumps(sent)
    with user.http() as http:
        http.post("/messages", json=SAID | {"model": "opus"}, headers={"anthropic-version": "2099-01-01"})
        assert natives.claude.headers[-1]["anthropic-version"] == "2099-01-01"
        http.post("/messages", json=SAID | {"model": "opus"})
        assert natives.claude.headers[-1]["anthropic-version"] == "2023-06-01"
        assert "anthropic-beta" not in natives.claude.headers[-1]
        said = {"model": "opus", "messages": [{"role": "user", "content": "hi"}]}
        http.post("/chat/completions", json=said, headers={"anthropic-version": "1", "openai-beta": "x"})
        assert natives.claude.headers[-1]["anthropic-version"] == "2023-06-01"
        assert "openai-beta" not in natives.claude.headers[-1]


def test_a_streamed_call_passes_headers_on(natives: Natives) -> None:
    with anthropic_client(natives.user()).beta.messages.stream(model="opus", betas=["b"], **SAID) as stream:
        stream.until_done()
    assert natives.claude.headers[-1]["anthropic-beta"] == "b"


@pytest.mark.parametrize(
    ("model", "asked", "sent"),
    [
        ("opus", "context-1m-2025-08-07", None),
        ("opus", "a, context-1m-2025-08-07,b", "a,b"),
        ("long", "context-1m-2025-08-07", "context-1m-2025-08-07"),
    ],
)
def test_a_longer_context_is_for_deployments_that_have_it(
    natives: Natives, model: str, asked: str, sent: str | None
) -> None:
    with natives.user().http() as http:
        answer = http.post("/messages", json=SAID | {"model": model}, headers={"anthropic-beta": asked})
    assert answer.status_code == 200
    assert natives.claude.headers[-1].get("anthropic-beta") == sent


@pytest.mark.parametrize("value", ["né", "x" * 1025, "a\tb"])
def test_a_header_that_is_no_plain_text_is_refused(natives: Natives, value: str) -> None:
    user, seen = natives.user(), len(natives.claude.asked)
    with user.http() as http:
        headers = {"anthropic-beta": value.encode("latin-1")}
        refused = http.post("/messages", json=SAID | {"model": "opus"}, headers=headers)  # type: ignore[arg-type]
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "anthropic-beta"
    assert len(natives.claude.asked) == seen
    assert user.settled_view().spent_base == 0


def test_openais_beta_header(natives: Natives) -> None:
    user, upstream = natives.user(), natives.world.upstream
    client = user.client(default_headers={"OpenAI-Beta": "responses=v9", "OpenAI-Organization": "org-x"})
    said: Any = [{"role": "user", "content": "a beta header"}]
    client.chat.completions.create(model="plain", messages=said)
    client.chat.completions.create(model="chat-plain", messages=said)
    for sent in upstream.headers[-2:]:
        assert sent["openai-beta"] == "responses=v9"
        assert "openai-organization" not in sent


def test_a_call_reaches_google_as_it_is(natives: Natives) -> None:
    user = natives.user()
    settings = types.GenerateContentConfig(
        max_output_tokens=50,
        top_k=3,
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                threshold=types.HarmBlockThreshold.BLOCK_NONE,
            )
        ],
    )
    client = google_client(user)
    made = client.models.generate_content(model="flash", contents="né", config=settings)
    assert made.text == TEXT
    assert natives.gemini.asked[-1] == ASKED
    streamed = "".join(
        piece.text or ""
        for piece in client.models.generate_content_stream(model="flash", contents="né", config=settings)
    )
    assert streamed == TEXT
    assert natives.gemini.asked[-1] == ASKED
    assert user.settled_view().spent_base == 2 * GEMINI_COST_BASE


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse"])
def test_an_answer_of_google_comes_back_as_it_is(natives: Natives, method: str) -> None:
    user = natives.user()
    address = user.url.removesuffix("/v1")
    key = {"x-goog-api-key": user.api_key}
    through = httpx.post(f"{address}/v1beta/models/flash:{method}", json=ASKED, headers=key, timeout=30)
    key = {"x-goog-api-key": gemini_api.KEY}
    direct = httpx.post(f"{natives.gemini_url}/v1beta/models/{GEMINI}:{method}", json=ASKED, headers=key)
    assert (through.status_code, through.content) == (200, direct.content)
    assert user.settled_view().spent_base == GEMINI_COST_BASE


def test_google_gets_the_quoted_cap(natives: Natives) -> None:
    client = google_client(natives.user())
    client.models.generate_content(model="flash", contents="né")
    assert natives.gemini.asked[-1]["generationConfig"] == {"maxOutputTokens": CAP}


def test_embeddings_reach_a_server_of_openais_format_as_they_are(natives: Natives) -> None:
    user, upstream = natives.user(), natives.world.upstream
    client = user.client()
    fields: Any = {"input": ["né", "two"], "dimensions": 2, "user": "u", "encoding_format": "float"}
    made = client.embeddings.with_raw_response.create(
        model="vectors", **fields, extra_body={"x_unknown": [1]}
    )
    assert upstream.embedded[-1] == fields | {"model": "vectors", "x_unknown": [1]}
    direct = httpx.post(f"{upstream.url}/embeddings", json=fields | {"model": "vectors"})
    assert made.http_response.content == direct.content
    assert made.parse().data[1].embedding == [0.5, -0.25]
    assert user.view().spent_base == 5 * 1000


def test_what_is_not_served_is_told_in_the_words_of_the_client(natives: Natives) -> None:
    user = natives.user()
    with pytest.raises(anthropic.NotFoundError) as missing:
        anthropic_client(user).messages.batches.list()
    assert missing.value.body["type"] == "error"  # type: ignore[index, call-overload]
    with pytest.raises(anthropic.NotFoundError) as missing:
        anthropic_client(user).beta.files.list()
    assert missing.value.body["error"]["type"] == "not_found_error"  # type: ignore[index, call-overload]
    client = google_client(user)
    with pytest.raises(errors.ClientError) as unknown:
        list(client.caches.list())
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    with pytest.raises(openai.NotFoundError) as absent:
        user.client().files.list()
    assert absent.value.body["type"] == "invalid_request_error"  # type: ignore[index, call-overload]


def test_embeddings_of_google(natives: Natives) -> None:
    user = natives.user()
    made = user.client().embeddings.create(model="flash", input=["a", "bcd"], encoding_format="float")
    assert [one.embedding for one in made.data] == [[1.0, 0.5], [3.0, 0.5]]
    asked = natives.gemini.asked[-1]["requests"]
    assert [one["content"]["parts"][0]["text"] for one in asked] == ["a", "bcd"]
    client = google_client(user)
    embedded = client.models.embed_content(model="flash", contents=["a", "bcd"])
    assert embedded.embeddings is not None
    assert [one.values for one in embedded.embeddings] == [[1.0, 0.5], [3.0, 0.5]]
    assert user.view().spent_base == 2 * 4 * 1000


def test_google_is_told_what_its_embeddings_are_for(natives: Natives) -> None:
    told = types.EmbedContentConfig(task_type="RETRIEVAL_DOCUMENT", title="T", output_dimensionality=2)
    client = google_client(natives.user())
    made = client.models.embed_content(model="flash", contents=["a", "bcd"], config=told)
    assert [one.values for one in made.embeddings or []] == [[1.0, 0.5], [3.0, 0.5]]
    assert [(one["taskType"], one["title"]) for one in natives.gemini.asked[-1]["requests"]] == [
        ("RETRIEVAL_DOCUMENT", "T")
    ] * 2
    before = len(natives.world.upstream.embedded)
    with pytest.raises(errors.ClientError, match="works only with a provider"):
        client.models.embed_content(model="vectors", contents="a", config=told)
    assert len(natives.world.upstream.embedded) == before


def test_google_tells_log_probabilities_in_its_own_format(natives: Natives) -> None:
    """Without a capability that the configuration names."""
    wanted = types.GenerateContentConfig(response_logprobs=True, logprobs=2)
    user = natives.user()
    assert (
        google_client(user).models.generate_content(model="usual", contents="hi", config=wanted).text == TEXT
    )
    assert natives.gemini.asked[-1]["generationConfig"]["responseLogprobs"] is True
    with pytest.raises(openai.BadRequestError, match="log probabilities cannot be translated"):
        user.client().chat.completions.create(
            model="usual", messages=[{"role": "user", "content": "hi"}], logprobs=True
        )
