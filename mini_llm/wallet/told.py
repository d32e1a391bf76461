"""What a router tells of a call's price, in headers and in a stream; read without the ``wallet`` extra.

Source: docs/protocol.md, docs/gateway.md.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from mini_llm.answer import Billed

if TYPE_CHECKING:
    from mini_llm.wallet.receipt import SignedReceipt

REQUEST_ID_HEADER: Final = "x-vibes-request-id"
CHARGE_HEADER: Final = "x-vibes-charge-base"
RECEIPT_HEADER: Final = "x-vibes-receipt"
RECEIPT_COMMENT: Final = b": vibes-receipt "
"""Begins the line of a stream that holds the receipt: in front of the last event, or alone before it."""


def split_receipt(event: bytes) -> tuple[str, bytes]:
    """The receipt in the first line of an event that begins with its comment, and what else the event has:
    nothing where the comment stood alone."""
    line, _, rest = event.partition(b"\n")
    return line.removeprefix(RECEIPT_COMMENT).strip().decode("latin-1"), rest.lstrip(b"\r\n")


def decode_receipt(text: str) -> SignedReceipt:
    """Reads a receipt from a header or a comment: base64url of its JSON.

    Raises:
        InvalidReceipt: it is something else.
    """
    from mini_llm.wallet.receipt import InvalidReceipt, SignedReceipt

    try:
        line = base64.urlsafe_b64decode(text)
    except ValueError:
        raise InvalidReceipt("receipt", "not base64url") from None
    return SignedReceipt.from_text(line)


def read_charge(text: str | None) -> int | None:
    """The charge in a header, base units; None if it is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None


def read_billed(charge: str | None, receipt: str | None) -> Billed | None:
    """What a call was charged, unchecked; None if nothing says so.

    The receipt is None without the ``wallet`` extra, and if it cannot be read.
    """
    charge_base = read_charge(charge)
    if charge_base is None and receipt is None:
        return None
    if charge_base is None and receipt is not None:
        charge_base = _charge_of(receipt)
    try:
        signed = None if receipt is None else decode_receipt(receipt)
    except (ImportError, ValueError):
        signed = None
    return None if charge_base is None else Billed(charge_base, signed)


def _charge_of(receipt: str) -> int | None:
    try:
        return read_charge(json.loads(base64.urlsafe_b64decode(receipt))["receipt"]["chargeBase"])
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        return None
