"""How companies say when they want to be asked again, as seconds.

Sources: RFC 9110 section 10.2.3 (Retry-After); https://platform.openai.com/docs/guides/rate-limits;
https://platform.claude.com/docs/en/api/rate-limits; https://ai.google.dev/api (google.rpc.RetryInfo).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from mini_llm.surfaces.lenient import at, listed, member

MAX_WAIT_S: Final = 86_400.0
"""Nobody waits longer than a day on a provider's word."""
_EPOCH_S: Final = 1e9  # a number of seconds above this is a date (after 2001), not a wait
_EPOCH_MS: Final = 1e12
_LONGEST: Final = 64  # characters of what may be a wait
_NUMBER: Final = re.compile(r"[0-9]{1,64}(\.[0-9]{1,12})?")
_STEPS: Final = re.compile(r"([0-9]{1,64}(?:\.[0-9]{1,12})?)(ms|us|µs|ns|d|h|m|s)")
_SECONDS: Final = {
    **{"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0},
    **{"ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9},
}

Header = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit that a provider reports with its answers.

    Attributes:
        kind: what is limited, such as ``requests`` or ``tokens``.
        limit: how many per window, None if not told.
        remaining: how many are left, None if not told.
        reset_s: seconds until there are more, None if not told.
    """

    kind: str
    limit: int | None
    remaining: int | None
    reset_s: float | None


@dataclass(frozen=True, slots=True)
class LimitHeaders:
    """Names of the headers that tell one limit, lower case; empty for one that the company does not send."""

    kind: str
    limit: str
    remaining: str
    reset: str


def ratelimit_headers(*kinds: str) -> tuple[LimitHeaders, ...]:
    """OpenAI's pattern ``x-ratelimit-{limit,remaining,reset}-{kind}``, which most companies follow."""
    return tuple(
        LimitHeaders(kind, *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset")))
        for kind in kinds
    )


OPENAI_LIMITS: Final = ratelimit_headers("requests", "tokens")


def read_limits(header: Header, names: Iterable[LimitHeaders], now: datetime) -> list[Limit]:
    """The limits that an answer's headers tell."""
    limits = []
    for name in names:
        limit, remaining = _count(header(name.limit)), _count(header(name.remaining))
        reset_s = wait_s(header(name.reset), now)
        if (limit, remaining, reset_s) != (None, None, None):
            limits.append(Limit(name.kind, limit, remaining, reset_s))
    return limits


def retry_after_s(
    header: Header, names: Iterable[LimitHeaders], body: object = None, now: datetime | None = None
) -> float | None:
    """Seconds until a provider that refused wants to be asked again, None if it does not say.

    In this order: ``retry-after-ms``, ``retry-after``, Google's ``RetryInfo`` in the body, the latest reset
    of the limits of which nothing remains.
    """
    now = now or datetime.now(UTC)
    milliseconds = header("retry-after-ms")
    if milliseconds and _NUMBER.fullmatch(milliseconds.strip()):
        return _bounded(float(milliseconds) * 1e-3)
    asked_s = wait_s(header("retry-after"), now)
    if asked_s is None:
        asked_s = _retry_info_s(body, now)
    if asked_s is not None:
        return asked_s
    spent = [limit.reset_s for limit in read_limits(header, names, now) if limit.remaining == 0]
    return max((reset_s for reset_s in spent if reset_s is not None), default=None)


def wait_s(told: str | None, now: datetime) -> float | None:
    """Reads a wait or a moment in one of its many forms.

    These are ``30``, ``0.5``, ``6m0s``, ``120ms``, an epoch in s or ms, RFC 3339 and HTTP-date.

    Returns:
        Seconds from ``now``, from 0 to ``MAX_WAIT_S``; None for anything else.
    """
    text = (told or "").strip()
    if not text or len(text) > _LONGEST:
        return None
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= _EPOCH_MS:
            return _bounded(number * 1e-3 - now.timestamp())
        return _bounded(number - now.timestamp() if number >= _EPOCH_S else number)
    steps = _STEPS.findall(text)
    if steps and "".join(amount + unit for amount, unit in steps) == text:
        return _bounded(sum(float(amount) * _SECONDS[unit] for amount, unit in steps))
    moment = _moment(text)
    return None if moment is None else _bounded((moment - now).total_seconds())


def _moment(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _retry_info_s(body: Any, now: datetime) -> float | None:
    """``error.details[].retryDelay`` of Google's error model."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    for detail in listed(at(body, "error.details")):
        delay = member(detail, "retryDelay")
        if isinstance(delay, str):
            return wait_s(delay, now)
    return None


def _count(told: str | None) -> int | None:
    text = (told or "").strip()
    return int(float(text)) if _NUMBER.fullmatch(text) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_WAIT_S)
