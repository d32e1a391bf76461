"""Receipts on their way out: response headers, comments of a stream, export files."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import to_json

from mini_llm.deployment import as_header
from mini_llm.routing.plan import Outcome
from mini_llm.surfaces.base import Surface
from mini_llm.wallet.receipt import SignedReceipt
from mini_llm.wallet.told import (
    CHARGE_HEADER,
    RECEIPT_COMMENT,
    RECEIPT_HEADER,
    REQUEST_ID_HEADER,
    decode_receipt,
)
from router.people.byok import listed_id

__all__ = ["CHARGE_HEADER", "RECEIPT_HEADER", "REPLAY_HEADER", "REQUEST_ID_HEADER", "decode_receipt"]

REPLAY_HEADER: Final = "x-vibes-replay"
DEPLOYMENT_HEADER: Final = "x-vibes-deployment"
ATTEMPTS_HEADER: Final = "x-vibes-attempts"
ROUTE_HEADER: Final = "x-vibes-route"
PSEUDONYM_DIGITS: Final = 16
PSEUDONYMOUS_FIELDS: Final = (
    "partner", "model", "promptTokens", "completionTokens", "promptPriceBasePerMtok",
    "completionPriceBasePerMtok", "vibesPerUsd", "chargeBase", "time",
)  # fmt: skip


def encode_receipt(signed: SignedReceipt) -> str:
    """A signed receipt as base64url of its JSON: fit for a header and a comment line."""
    return base64.urlsafe_b64encode(to_json(signed.to_json())).decode()


def receipt_line(signed: SignedReceipt) -> str:
    """A signed receipt as one line of an export."""
    return to_json(signed.to_json()).decode()


def pseudonymous_line(secret: bytes) -> Callable[[SignedReceipt], str]:
    """Makes lines for statistics: what a call used and cost, and nothing that leads to a receipt.

    An account's name in them is made with the secret: it is the same in all lines, and nobody without the
    secret can make it.
    """

    def line(signed: SignedReceipt) -> str:
        told = signed.to_json()["receipt"]
        name = hmac.digest(secret, told["account"].encode(), "sha256").hex()[:PSEUDONYM_DIGITS]
        return to_json({"account": name} | {field: told[field] for field in PSEUDONYMOUS_FIELDS}).decode()

    return line


def answer_headers(request_id: str, charge_base: int, signed: SignedReceipt | None) -> dict[str, str]:
    """Headers of a whole answer; a free call has no receipt."""
    headers = {REQUEST_ID_HEADER: request_id, CHARGE_HEADER: str(charge_base)}
    if signed is not None:
        headers[RECEIPT_HEADER] = encode_receipt(signed)
    return headers


def route_headers(served: Outcome[Any]) -> dict[str, str]:
    """Headers that tell which deployment served a call, which were asked in vain before, in order, and why
    this one, if the model was left to us."""
    deployment = served.candidate.deployment
    headers = {DEPLOYMENT_HEADER: as_header(deployment.id)}
    if served.decision is not None:
        headers[ROUTE_HEADER] = served.decision.told(listed_id(deployment))
    if served.attempts:
        headers[ATTEMPTS_HEADER] = ", ".join(as_header(attempt.deployment) for attempt in served.attempts)
    return headers


def ended(surface: Surface, last: bytes, signed: SignedReceipt | None) -> bytes:
    """The last bytes of a stream with its end mark, and the receipt as a comment.

    The comment stands in the block of an event that has data: some clients take each blank line for an event.
    Where clients do not skip comments, the receipt is found by the request id.

    Args:
        surface: the format of the stream.
        last: whole events, held until the call was charged; of an answer that is told again, all of them.
        signed: the receipt, None if nothing was charged.
    """
    mark = surface.stream_end()
    if signed is None or not surface.skips_comments or not (last or mark):
        return last + mark
    comment = RECEIPT_COMMENT + f"{encode_receipt(signed)}\n".encode()
    return last + comment + mark if mark else comment + last
