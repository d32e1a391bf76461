"""x402 version 2 in HTTP headers: what a call costs, the payment, how it was settled. Base64 of JSON, each.

Source: x402 specification v2, its HTTP transport and its scheme `exact` on EVM. Bodies are the server's own
concern there: ours keep the error shape of the surface that was called.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from mini_llm.wallet.signature import canonical_signature
from router.relay.eip3009 import Authorization, Token
from router.x402 import PAYMENT_HEADERS
from router.x402.errors import MalformedPayment

REQUIRED_HEADER, RESPONSE_HEADER = PAYMENT_HEADERS
VERSION: Final = 2
SCHEME: Final = "exact"
MAX_HEADER: Final = 16 * 1024
"""Longest PAYMENT-SIGNATURE, characters; room for a contract wallet's signature of 8 kB."""
_UINT256: Final = 2**256

Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
Bytes32 = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")]
Bytes = Annotated[str, StringConstraints(pattern=r"^0x([0-9a-fA-F]{2})+$")]
Uint = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,77})$")]


class _Wire(BaseModel):
    """Unknown members are let through: extensions of the protocol add some."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, frozen=True)


class Accepted(_Wire):
    """The requirements that the client says it fulfils."""

    scheme: str
    network: str
    asset: str
    amount: Uint
    pay_to: str


class _Authorization(_Wire):
    payer: Annotated[Address, Field(alias="from")]
    to: Address
    value: Uint
    valid_after: Uint
    valid_before: Uint
    nonce: Bytes32


class _Exact(_Wire):
    signature: Bytes
    authorization: _Authorization


class _Payload(_Wire):
    version: Annotated[int, Field(alias="x402Version")]
    accepted: Accepted
    payload: _Exact


@dataclass(frozen=True)
class Payment:
    """A payment as it came: what the client accepted, and the authorisation that it signed."""

    accepted: Accepted
    authorization: Authorization


@dataclass(frozen=True)
class Offer:
    """What one call costs and where the money goes.

    Args:
        token: the asset.
        pay_to: address that is paid.
        amount_base: base units.
        max_timeout_s: how long the client's signature should be good.
        url: the resource, absolute.
        description: what is paid for.
    """

    token: Token
    pay_to: str
    amount_base: int
    max_timeout_s: int
    url: str
    description: str

    def required(self, error: str) -> str:
        """Value of the PAYMENT-REQUIRED header."""
        return _encode(
            {
                "x402Version": VERSION,
                "error": error,
                "resource": {
                    "url": self.url,
                    "description": self.description,
                    "mimeType": "application/json",
                },
                "accepts": [
                    {
                        "scheme": SCHEME,
                        "network": self.token.network,
                        "amount": str(self.amount_base),
                        "asset": self.token.address,
                        "payTo": self.pay_to,
                        "maxTimeoutSeconds": self.max_timeout_s,
                        "extra": {"name": self.token.name, "version": self.token.version},
                    }
                ],
            }
        )


def read_payment(header: str) -> Payment:
    """Reads a PAYMENT-SIGNATURE header.

    Raises:
        MalformedPayment: it is something else, of another version, or not EIP-3009.
    """
    if len(header) > MAX_HEADER:
        raise MalformedPayment(f"longer than {MAX_HEADER} characters")
    try:
        fields = json.loads(base64.b64decode(header, validate=True))
        payload = _Payload.model_validate(fields)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise MalformedPayment(_why(error)) from None
    if payload.version != VERSION:
        raise MalformedPayment(f"x402Version is {payload.version}, not {VERSION}")
    signed = payload.payload.authorization
    numbers = [int(text) for text in (signed.value, signed.valid_after, signed.valid_before)]
    if max(numbers) >= _UINT256:
        raise MalformedPayment("a number exceeds 256 bits")
    return Payment(
        payload.accepted,
        Authorization(
            payer=signed.payer.lower(),
            payee=signed.to.lower(),
            value_base=numbers[0],
            valid_after_s=numbers[1],
            valid_before_s=numbers[2],
            nonce=bytes.fromhex(signed.nonce[2:]),
            signature=canonical_signature(bytes.fromhex(payload.payload.signature[2:])),
        ),
    )


def settled_header(network: str, payer: str, tx_hash: str, amount_base: int) -> str:
    """Value of the PAYMENT-RESPONSE header of a settled payment."""
    return _encode(
        {
            "success": True,
            "transaction": tx_hash,
            "network": network,
            "payer": payer,
            "amount": str(amount_base),
        }
    )


def refused_header(network: str, payer: str, reason: str, tx_hash: str = "") -> str:
    """Value of the PAYMENT-RESPONSE header of a payment that was not, or not yet, settled."""
    fields = {"success": False, "errorReason": reason, "transaction": tx_hash}
    return _encode(fields | {"network": network, "payer": payer})


def _encode(fields: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(fields, separators=(",", ":")).encode()).decode()


def _why(error: Exception) -> str:
    """What is wrong, in words that repeat nothing of the header."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc']) or 'payload'}: {first['type']}"
    return "not base64 of JSON"
