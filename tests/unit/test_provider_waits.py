"""When companies want to be asked again, in every form in which they say so."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mini_llm.providers.anthropic import LIMITS
from mini_llm.providers.limits import (
    MAX_WAIT_S,
    OPENAI_LIMITS,
    Limit,
    ratelimit_headers,
    read_limits,
    retry_after_s,
    wait_s,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        ("33011.382867", 33011.382867),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("1h2m3.5s", 3723.5),
        ("1767323055", 10.0),  # an epoch in seconds
        ("1767323055000", 10.0),  # and in milliseconds, as OpenRouter's
        ("2026-01-02T03:04:15Z", 10.0),
        ("2026-01-02T04:04:15+01:00", 10.0),
        ("Fri, 02 Jan 2026 03:04:15 GMT", 10.0),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0),  # over already
        ("900000", MAX_WAIT_S),
        ("2d", MAX_WAIT_S),
        ("9" * 16, MAX_WAIT_S),
        ("9" * 60, MAX_WAIT_S),
        ("9" * 60 + "s", MAX_WAIT_S),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1e9", None),
        ("nan", None),
        ("5 s", None),
        ("9" * 400, None),
        (None, None),
    ],
)
def test_forms_of_a_wait(told: str | None, seconds: float | None) -> None:
    assert wait_s(told, NOW) == (None if seconds is None else pytest.approx(seconds))


def test_what_is_believed_first() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "8s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "9s",
    }

    def asked(body: object = None, **more: str) -> float | None:
        told = headers | {name.replace("_", "-"): value for name, value in more.items()}
        return retry_after_s(told.get, OPENAI_LIMITS, body, NOW)

    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}]
    google = {"error": {"code": 429, "details": details}}
    assert asked() == 9.0  # both must be over
    assert asked(google) == 3.5
    assert asked([google]) == 3.5
    assert asked(google, retry_after="2") == 2.0
    assert asked(google, retry_after="2", retry_after_ms="150") == pytest.approx(0.15)
    assert asked(retry_after="Fri, 02 Jan 2026 03:04:15 GMT") == 10.0
    assert retry_after_s({}.get, OPENAI_LIMITS, {"error": {"details": "x"}}, NOW) is None


def test_limits_of_each_pattern_are_typed() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-01-02T03:04:35Z",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "x-ratelimit-remaining-tokens-minute": "x",
        "x-ratelimit-reset-tokens-minute": "7.5",
    }
    assert read_limits(headers.get, LIMITS, NOW) == [
        Limit("requests", 50, 49, 30.0),
        Limit("input-tokens", None, 0, None),
    ]
    assert read_limits(headers.get, ratelimit_headers("tokens-minute"), NOW) == [
        Limit("tokens-minute", None, None, 7.5)
    ]
