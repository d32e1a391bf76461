"""What one request provokes at a provider is told to its sender, and takes nothing from the others."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.routing import Bench, config

from mini_llm.errors import UpstreamRefused, refusal
from mini_llm.routing.breaker import State
from mini_llm.routing.verdict import BROKEN, FINAL, KEY_REFUSED, LOW_CREDIT, TRANSIENT, UNSUITED, judge
from mini_llm.server.refusals import refusal_of
from router.api.errors import told

FLAGGED = '"some/model" requires moderation. Your input was flagged for "violence". No credits were charged.'
GUIDELINES = "Content violates usage guidelines. Team: t, API key ID: k, Failed check: SAFETY_CHECK_TYPE_X"
TOO_LONG = "This request requires more credits, or fewer max_tokens. You can only afford 1234."


def refused(status: int, detail: str = "", **more: Any) -> UpstreamRefused:
    return UpstreamRefused("p", status, detail, **more)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (refused(403, FLAGGED, code="403"), FINAL),
        (refused(403, GUIDELINES), FINAL),
        (refused(403, "no", code="content_policy_violation"), FINAL),
        (refused(403, "no", kind="PROHIBITED_CONTENT"), FINAL),
        (refused(0, FLAGGED, code="403"), FINAL),
        (refused(0, code="content_filter"), FINAL),
        (refused(403), BROKEN),
        (refused(401), KEY_REFUSED),
        (refused(403, code="PermissionDenied"), KEY_REFUSED),
        (refused(403, "You do not have access to the model x"), KEY_REFUSED),
        (refused(403, "Country, region, or territory not supported"), KEY_REFUSED),
        (refused(403, "Your account was flagged for a violation of our content policy"), KEY_REFUSED),
        (refused(403, "This organization has been disabled: usage policies"), KEY_REFUSED),
        (refused(401, FLAGGED), KEY_REFUSED),
        (refused(402, "Insufficient credits"), KEY_REFUSED),
        (refused(402, TOO_LONG), LOW_CREDIT),
        (refused(402, "deposit more, or lower max_tokens"), LOW_CREDIT),
        (refused(0, "maximum context length is 8192 tokens"), UNSUITED),
        (refused(400, "messages.1.content.0: Invalid `signature` in `thinking` block"), UNSUITED),
        (UpstreamRefused("p", 400, "The text cannot be read.", code="invalid_encrypted_content"), UNSUITED),
        (refused(0, "overloaded"), TRANSIENT),
        (refused(500, FLAGGED), TRANSIENT),
    ],
)
def test_requests_fault_is_told_from_a_refused_key(error: UpstreamRefused, verdict: object) -> None:
    assert judge(error) is verdict


async def test_flagged_request_of_one_leaves_the_deployment_to_all_others(caplog: Any) -> None:
    made = Bench(config("a", "b", routes={"m": {"groups": [["a"], ["b"]]}}))
    made.answers["a"] = [refusal("p", 403, {"error": {"code": 403, "message": FLAGGED}}), None]
    with caplog.at_level(logging.WARNING):
        with pytest.raises(UpstreamRefused):
            await made.attempt()
        assert (await made.attempt()).result == "a"
    assert caplog.records == []


async def test_answer_too_long_for_the_credit_is_asked_for_elsewhere_and_told_to_the_operator(
    caplog: Any,
) -> None:
    made = Bench(config("a", "b", routes={"m": {"groups": [["a"], ["b"]]}}))
    made.answers["a"] = [refused(402, TOO_LONG), None]
    with caplog.at_level(logging.ERROR):
        assert (await made.attempt()).result == "b"
    assert "credit there is too low" in caplog.text
    assert (made.health("a").breaker.state, made.health("a").failures) == (State.CLOSED, 0)
    assert (await made.attempt()).result == "a"


def test_sender_reads_the_providers_words_about_the_request() -> None:
    for status in (403, 0):
        answer = told(refused(status, FLAGGED, code="403"))
        assert (answer.status, answer.code) == (400, "upstream_refused")
        assert "was flagged" in answer.message
        local = refusal_of(refused(status, FLAGGED))
        assert (local.status, local.code) == (400, "upstream_refused")
        assert "was flagged" in local.message


def test_sender_is_told_to_ask_for_less_and_not_what_the_operator_has() -> None:
    answer = told(refused(402, TOO_LONG))
    assert (answer.status, answer.param) == (400, "max_tokens")
    assert "afford" not in answer.message


def test_words_about_the_operators_account_stay_here() -> None:
    answer = told(refused(403, "Your account was flagged for a violation of our content policy"))
    assert answer.status == 502
    assert "account" not in answer.message
