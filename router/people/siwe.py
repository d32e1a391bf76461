"""Reading and checking a Sign-In with Ethereum message; whether its signature holds is `wallets`' part.

The reader takes what the grammar of EIP-4361 allows, nothing else, so that two programs never read one signed
text differently. A library exists, but to import it costs 50 MB (it brings web3), and it knows no clock skew;
the tests compare this reader with it.

Source: EIP-4361, EIP-55 (checksummed addresses), EIP-191 (what a wallet signs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from mini_llm.wallet.address import checksummed
from mini_llm.wallet.keccak import keccak
from router.people.errors import SignInRefused

MAX_MESSAGE: Final = 4096
MAX_AGE_S: Final = 600
"""A message issued longer ago is refused, as are nonces."""
CLOCK_SKEW_S: Final = 60
"""How far the wallet's clock may be from ours, in both directions."""

_TEXT: Final = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;= ]"
_TIME: Final = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)"
_ESCAPED: Final = r"%[0-9A-Fa-f]{2}"
_CHAR: Final = rf"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|{_ESCAPED})"
_AUTHORITY: Final = (
    rf"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|{_ESCAPED})*@)?"
    rf"(?:\[[0-9A-Fa-f:.]{{2,45}}\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|{_ESCAPED})*)(?::[0-9]*)?"
)
_URI: Final = (
    rf"[A-Za-z][A-Za-z0-9+.\-]*:(?://{_AUTHORITY}(?:/{_CHAR}*)*|/?(?:{_CHAR}+(?:/{_CHAR}*)*)?)"
    rf"(?:\?(?:{_CHAR}|[/?])*)?(?:#(?:{_CHAR}|[/?])*)?"
)
_MESSAGE: Final = re.compile(
    rf"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://)?(?P<domain>{_AUTHORITY})"
    r" wants you to sign in with your Ethereum account:\n"
    rf"(?P<address>0x[0-9A-Fa-f]{{40}})\n\n(?:(?P<statement>{_TEXT}*)\n)?\n"
    rf"URI: (?P<uri>{_URI})\n"
    r"Version: 1\n"
    r"Chain ID: (?P<chain_id>\d{1,18})\n"
    r"Nonce: (?P<nonce>[A-Za-z0-9]{8,128})\n"
    rf"Issued At: (?P<issued_at>{_TIME})"
    rf"(?:\nExpiration Time: (?P<expires_at>{_TIME}))?"
    rf"(?:\nNot Before: (?P<not_before>{_TIME}))?"
    rf"(?:\nRequest ID: (?P<request_id>{_CHAR}*))?"
    rf"(?:\nResources:(?P<resources>(?:\n- {_URI})*))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Place:
    """Where one signs in.

    Attributes:
        url: address of the router as its users see it, such as `https://router.example.com`.
        chain_id: chain of the settlement contract.
    """

    url: str
    chain_id: int

    @property
    def domain(self) -> str:
        """Host and port, as a message names them."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class SignInMessage:
    """A message, times in unix seconds.

    Attributes:
        text: what the wallet signed.
        address: the wallet, checksummed.
    """

    text: str
    scheme: str | None
    domain: str
    address: str
    statement: str | None
    uri: str
    chain_id: int
    nonce: str
    issued_s: float
    expires_s: float | None
    not_before_s: float | None
    request_id: str | None
    resources: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        """The 32 bytes that the wallet signs."""
        text = self.text.encode()
        return keccak(b"\x19Ethereum Signed Message:\n" + str(len(text)).encode() + text)


def read_message(text: str) -> SignInMessage:
    """Reads a message.

    Raises:
        SignInRefused: it is none, or its address has a wrong checksum.
    """
    found = _MESSAGE.fullmatch(text) if len(text) <= MAX_MESSAGE else None
    if found is None:
        raise SignInRefused("the message is not an EIP-4361 message of version 1")
    part = found.groupdict()
    address = checksummed(part["address"])
    if address is None:
        raise SignInRefused("the address has a wrong checksum")
    return SignInMessage(
        text=text,
        scheme=part["scheme"],
        domain=part["domain"],
        address=address,
        statement=part["statement"],
        uri=part["uri"],
        chain_id=int(part["chain_id"]),
        nonce=part["nonce"],
        issued_s=_seconds(part["issued_at"]),
        expires_s=_seconds(part["expires_at"]) if part["expires_at"] else None,
        not_before_s=_seconds(part["not_before"]) if part["not_before"] else None,
        request_id=part["request_id"],
        resources=tuple((part["resources"] or "").split("\n- ")[1:]),
    )


def check_message(message: SignInMessage, place: Place, now_s: float) -> None:
    """Checks that a message is meant for this router, this chain and this moment.

    Raises:
        SignInRefused: it is not; the reason says which.
    """
    here, there = urlsplit(place.url), urlsplit(message.uri)
    if message.domain != place.domain:
        raise SignInRefused(f"the message is for {message.domain}, this router is {place.domain}")
    if message.scheme is not None and message.scheme != here.scheme:
        raise SignInRefused(
            f"the message is for {message.scheme}://{message.domain}, this router is {place.url}"
        )
    if (there.scheme, there.netloc) != (here.scheme, here.netloc):
        raise SignInRefused(f"the message's URI is not of {place.url}")
    if message.chain_id != place.chain_id:
        raise SignInRefused(f"the message is for chain {message.chain_id}, not {place.chain_id}")
    if message.issued_s > now_s + CLOCK_SKEW_S:
        raise SignInRefused("the message was issued in the future: check the clock")
    if message.issued_s < now_s - MAX_AGE_S - CLOCK_SKEW_S:
        raise SignInRefused("the message was issued too long ago")
    if message.expires_s is not None and message.expires_s <= now_s - CLOCK_SKEW_S:
        raise SignInRefused("the message has expired")
    if message.not_before_s is not None and message.not_before_s > now_s + CLOCK_SKEW_S:
        raise SignInRefused("the message is not valid yet")


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise SignInRefused("the message names a time that does not exist") from None
