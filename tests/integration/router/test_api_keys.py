"""API keys over HTTP: what each may do, how much, until when, and who may make which."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import httpx
import pytest
from people_world import Person, Town, chat

from router.ledger.grants import ALL_SCOPES, LAST_S

HELLO = [{"role": "user", "content": "hello"}]
EVERY_SCOPE = sorted(ALL_SCOPES)
CALL_BASE = 10**8
"""More than one call to `plain` can cost."""


@pytest.fixture(scope="module")
def person(town: Town) -> Person:
    return town.person(deposit_base=10**10)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def until_refused(person: Person, api_key: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if person.ask("GET", "/models", api_key).status_code == 401:
            return
    pytest.fail("the key still works")


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(person: Person) -> None:
    key_id, api_key = person.key(label="laptop", day_limit_base=str(5 * CALL_BASE))
    assert chat(person, api_key).status_code == 200
    listed = person.ask("GET", "/keys")
    assert api_key not in listed.text
    (entry,) = [entry for entry in listed.json()["data"] if entry["id"] == key_id]
    assert entry["label"] == "laptop"
    assert int(entry["day_spent_base"]) > 0
    assert entry["month_limit_base"] is None
    assert person.ask("DELETE", f"/keys/{key_id}").status_code == 204
    until_refused(person, api_key)
    assert person.ask("DELETE", f"/keys/{key_id}").status_code == 404


@pytest.mark.parametrize("name", ["x-api-key", "x-goog-api-key"])
def test_the_headers_of_other_clients_are_understood(person: Person, name: str) -> None:
    _, api_key = person.key()
    assert httpx.get(f"{person.url}/models", headers={name: api_key}).status_code == 200
    assert httpx.get(f"{person.url}/models", headers={name: api_key + "x"}).status_code == 401
    wrong = {"authorization": f"Basic {api_key}", name: api_key}
    assert httpx.get(f"{person.url}/models", headers=wrong).status_code == 401


def test_scopes_and_models_bound_a_key(person: Person) -> None:
    _, chat_only = person.key(scopes=["chat"], models=["plain", "http-*"])
    assert chat(person, chat_only).status_code == 200
    assert code_of(chat(person, chat_only, "renamed")) == (403, "model_not_allowed")
    assert code_of(chat(person, chat_only, "plain-2")) == (403, "model_not_allowed")
    _, listing = person.key(scopes=["models"], models=["plain", "http-*"])
    listed = {one["id"] for one in person.ask("GET", "/models", listing).json()["data"]}
    assert {"plain", "auto"} < listed
    assert all(name.startswith(("http-", "auto")) for name in listed - {"plain"})
    assert person.ask("GET", "/models/plain", listing).status_code == 200
    assert code_of(person.ask("GET", "/models/renamed", listing)) == (403, "model_not_allowed")
    assert code_of(person.ask("GET", "/models/nothing", listing)) == (404, "model_not_found")
    assert chat(person, chat_only, "http-400").status_code == 400
    for path in ("/models", "/account", "/keys"):
        assert code_of(person.ask("GET", path, chat_only)) == (403, "scope_missing"), path
    _, looks = person.key(scopes=["models"])
    assert code_of(chat(person, looks)) == (403, "scope_missing")


def test_a_key_expires(person: Person) -> None:
    _, api_key = person.key(expires_s=int(time.time()) + 2)
    assert chat(person, api_key).status_code == 200
    until_refused(person, api_key)


def test_a_key_expires_before_calendars_end(person: Person) -> None:
    key_id, _ = person.key(expires_s=LAST_S)
    for method, path in (("POST", "/keys"), ("PATCH", f"/keys/{key_id}")):
        refused = person.ask(method, path, expires_s=LAST_S + 1)
        assert code_of(refused) == (400, "invalid_field")
        assert refused.json()["error"]["param"] == "expires_s"


def test_a_rotated_key_works_on_for_its_grace(person: Person) -> None:
    key_id, first = person.key()
    second = person.ask("POST", f"/keys/{key_id}/rotate", grace_s=3).json()["api_key"]
    assert chat(person, first).status_code == chat(person, second).status_code == 200
    until_refused(person, first)
    assert chat(person, second).status_code == 200
    third = person.ask("POST", f"/keys/{key_id}/rotate", grace_s=0).json()["api_key"]
    until_refused(person, second)
    assert chat(person, third).status_code == 200
    person.ask("DELETE", f"/keys/{key_id}")
    until_refused(person, third)
    assert person.ask("POST", f"/keys/{key_id}/rotate", grace_s=0).status_code == 404


def test_a_replaced_secret_calls_and_manages_nothing(person: Person) -> None:
    key_id, leaked = person.key(scopes=EVERY_SCOPE)
    made = person.ask("POST", f"/keys/{key_id}/rotate", grace_s=60).json()["api_key"]
    attempts: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", f"/keys/{key_id}/rotate", {"grace_s": 0}),
        ("PATCH", f"/keys/{key_id}", {"label": "mine"}),
        ("DELETE", f"/keys/{key_id}", {}),
        ("POST", "/keys", {"scopes": ["chat"]}),
        ("PUT", "/provider-keys/up", {"api_key": "sk-somebody-elses"}),
        ("GET", "/provider-keys", {}),
        ("DELETE", "/provider-keys/up", {}),
        ("PUT", "/account/referrer", {"code": "1"}),
    )
    for method, path, body in attempts:
        assert code_of(person.ask(method, path, leaked, **body)) == (403, "secret_retired"), (method, path)
    assert chat(person, leaked).status_code == chat(person, made).status_code == 200
    assert person.ask("GET", "/account", leaked).status_code == 200
    assert person.ask("POST", f"/keys/{key_id}/rotate", made, grace_s=0).status_code == 200
    until_refused(person, leaked)


def test_a_spending_limit_holds_whatever_runs_at_once(person: Person) -> None:
    one = int(chat(person, person.key()[1]).headers["x-vibes-charge-base"])
    _, measured = person.key(day_limit_base=str(10**9))
    full = code_of(chat(person, person.key(day_limit_base="0")[1]))
    assert full == (402, "spending_limit")
    listed = person.ask("GET", "/keys").json()["data"]
    assert any(entry["day_limit_base"] == "0" and entry["day_spent_base"] == "0" for entry in listed)
    refused = chat(person, person.key(day_limit_base="1")[1]).json()["error"]
    quote_base = int(refused["needed_base"])
    limit_base = 3 * quote_base
    key_id, api_key = person.key(day_limit_base=str(limit_base), month_limit_base=str(limit_base * 9))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: chat(person, api_key), range(12)))
    assert {answer.status_code for answer in answers} <= {200, 402}
    while chat(person, api_key).status_code == 200:
        pass
    (entry,) = [entry for entry in person.ask("GET", "/keys").json()["data"] if entry["id"] == key_id]
    assert limit_base - quote_base < int(entry["day_spent_base"]) <= limit_base
    assert int(entry["day_spent_base"]) % one == 0
    assert entry["month_spent_base"] == entry["day_spent_base"]
    assert chat(person, measured).status_code == 200  # another key of the account is not touched


def test_requests_per_minute(person: Person) -> None:
    _, api_key = person.key(requests_per_minute=3)
    left = [chat(person, api_key).headers["x-ratelimit-remaining-requests"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = chat(person, api_key)
    assert code_of(refused) == (429, "requests_limit")
    assert 0 < int(refused.headers["retry-after"]) <= 61
    assert refused.headers["x-ratelimit-limit-requests"] == "3"


def test_tokens_per_minute_count_what_was_used(person: Person) -> None:
    _, api_key = person.key(tokens_per_minute=60)
    statuses = []
    for _ in range(40):
        answer = chat(person, api_key)
        statuses.append(answer.status_code)
        if answer.status_code == 429:
            break
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert code_of(answer)[1] == "tokens_limit"
    large = person.ask(
        "POST",
        "/chat/completions",
        api_key,
        model="plain",
        messages=[{"role": "user", "content": "x" * 1000}],
    )
    assert large.status_code == 429
    assert "retry-after" not in large.headers


def test_parallel_calls_streams_included(town: Town, person: Person) -> None:
    _, api_key = person.key(parallel=1)
    with (
        person.http(api_key) as client,
        client.stream(
            "POST", "/chat/completions", json={"model": "endless", "messages": HELLO, "stream": True}
        ) as live,
    ):
        pieces = live.iter_bytes()  # kept, or the connection closes
        next(pieces)
        assert code_of(chat(person, api_key)) == (429, "parallel_limit")
    deadline = time.monotonic() + 10
    while chat(person, api_key).status_code == 429 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert chat(person, api_key).status_code == 200
    for model in ("http-500", "nobody-has-it", "not-json"):  # a call that fails gives its place back too
        assert chat(person, api_key, model).status_code in (400, 404, 502, 504)
    assert chat(person, api_key).status_code == 200


def test_a_key_that_may_make_keys_makes_no_stronger_ones(person: Person) -> None:
    _, maker = person.key(scopes=["chat", "keys:write", "keys:read"])
    made = person.ask("POST", "/keys", maker, scopes=["chat"], day_limit_base="5")
    assert made.status_code == 201
    assert person.ask("DELETE", f"/keys/{made.json()['id']}", maker).status_code == 204
    assert code_of(person.ask("POST", "/keys", maker, scopes=["account:read"])) == (403, "escalation")
    stronger, _ = person.key()
    for method, path in (("POST", f"/keys/{stronger}/rotate"), ("DELETE", f"/keys/{stronger}")):
        assert code_of(person.ask(method, path, maker)) == (403, "escalation")
    for limit in (
        {"day_limit_base": "9"},
        {"month_limit_base": "9"},
        {"models": ["plain"]},
        {"parallel": 1},
        {"requests_per_minute": 9},
        {"tokens_per_minute": 9},
    ):
        _, limited = person.key(scopes=["chat", "keys:write"], **limit)
        assert code_of(person.ask("POST", "/keys", limited, scopes=["chat"])) == (403, "escalation")
    soon = int(time.time()) + 1000
    _, brief = person.key(scopes=["chat", "keys:write"], expires_s=soon)
    assert person.ask("POST", "/keys", brief, scopes=["chat"], expires_s=soon).status_code == 201
    for later in (soon + 1, None):
        grant: dict[str, Any] = {"scopes": ["chat"], "expires_s": later}
        assert code_of(person.ask("POST", "/keys", brief, **grant)) == (403, "escalation")
    assert code_of(person.ask("POST", "/keys", person.key()[1], scopes=["chat"])) == (403, "scope_missing")


def test_a_key_is_changed_and_keeps_its_secret(person: Person) -> None:
    key_id, api_key = person.key(label="before", day_limit_base="0", models=["renamed"])
    assert code_of(chat(person, api_key)) == (403, "model_not_allowed")
    changed = person.ask("PATCH", f"/keys/{key_id}", models=["plain"], label="after")
    assert changed.status_code == 200, changed.text
    assert code_of(chat(person, api_key)) == (402, "spending_limit")  # what was not sent stays
    with person.http() as client:
        freed = client.patch(f"/keys/{key_id}", json={"day_limit_base": None, "requests_per_minute": 50})
    assert freed.json()["day_limit_base"] is None
    answer = chat(person, api_key)
    assert answer.status_code == 200
    assert answer.headers["x-ratelimit-limit-requests"] == "50"
    assert person.ask("PATCH", f"/keys/{key_id}", scopes=["models"]).json()["scopes"] == ["models"]
    assert code_of(chat(person, api_key)) == (403, "scope_missing")
    (listed,) = [key for key in person.ask("GET", "/keys").json()["data"] if key["id"] == key_id]
    assert (listed["label"], listed["models"], listed["requests_per_minute"]) == ("after", ["plain"], 50)
    for wrong in ({"parallel": 0}, {"team": 1}, {"label": None}, {"scopes": None}):
        with person.http() as client:
            assert code_of(client.patch(f"/keys/{key_id}", json=wrong)) == (400, "invalid_field"), wrong
    person.ask("DELETE", f"/keys/{key_id}")
    assert person.ask("PATCH", f"/keys/{key_id}", label="again").status_code == 404


def test_a_key_changes_none_beyond_itself(person: Person) -> None:
    maker_id, maker = person.key(scopes=["chat", "keys:write"])
    made = person.ask("POST", "/keys", maker, scopes=["chat"], day_limit_base="5").json()["id"]
    assert person.ask("PATCH", f"/keys/{made}", maker, day_limit_base="9").status_code == 200
    for key_id in (made, maker_id):
        widened = person.ask("PATCH", f"/keys/{key_id}", maker, scopes=["chat", "account:read"])
        assert code_of(widened) == (403, "escalation")
    stronger, _ = person.key()
    assert code_of(person.ask("PATCH", f"/keys/{stronger}", maker, label="mine")) == (403, "escalation")
    limited_id, limited = person.key(scopes=["chat", "keys:write"], parallel=1)
    for change in ({"parallel": 2}, {"label": "free"}):
        assert code_of(person.ask("PATCH", f"/keys/{limited_id}", limited, **change)) == (403, "escalation")
    soon = int(time.time()) + 1000
    brief_id, brief = person.key(scopes=["chat", "keys:write"], expires_s=soon)
    later = person.ask("PATCH", f"/keys/{brief_id}", brief, expires_s=soon + 1)
    assert code_of(later) == (403, "escalation")


@pytest.mark.parametrize(
    "grant",
    [
        {"scopes": ["everything"]},
        {"scopes": "chat"},
        {"models": []},
        {"models": ["a*b"]},
        {"day_limit_base": "-1"},
        {"day_limit_base": 5},
        {"day_limit_base": "1" * 30},
        {"parallel": 0},
        {"requests_per_minute": 1.5},
        {"label": "x" * 101},
        {"surprise": 1},
    ],
)
def test_an_impossible_key_is_refused_in_words(person: Person, grant: dict[str, Any]) -> None:
    assert code_of(person.ask("POST", "/keys", **grant)) == (400, "invalid_field")


def test_revoking_stops_a_busy_key_within_two_seconds(person: Person) -> None:
    key_id, api_key = person.key()
    seen: list[tuple[float, int]] = []
    stop = False

    def ask() -> None:
        with person.http(api_key) as client:
            while not stop:
                status = client.get("/models").status_code
                seen.append((time.monotonic(), status))

    thread = Thread(target=ask)
    thread.start()
    time.sleep(2.5)  # the key is renewed in the background by now
    assert person.ask("DELETE", f"/keys/{key_id}").status_code == 204
    revoked = time.monotonic()
    time.sleep(3)
    stop = True
    thread.join()
    before = [status for at, status in seen if at < revoked - 0.5]
    assert before
    assert set(before) == {200}
    assert {status for at, status in seen if at > revoked + 2.5} == {401}


def test_a_label_with_a_nul_is_refused(person: Person) -> None:
    refused = person.ask("POST", "/keys", label="a\0b")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "nul_character")
