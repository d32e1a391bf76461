"""What the endpoints for people share: who asks, what they sent, and the ledger behind it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection

from mini_llm.wallet.address import checksummed, is_address
from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from router.api.answer import UNKNOWN_FIELD
from router.api.bodies import read_body
from router.auth import ACCOUNT_HEADER, Doors
from router.db import MAX_ROW
from router.errors import NulCharacter
from router.ledger.errors import UnknownAccount
from router.ledger.writer import Ledger
from router.people.callers import Caller
from router.people.desk import Desk
from router.people.errors import BadInput, NotYours

MAX_BODY_BYTES: Final = 16_384
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")

T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel)


class Fields(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


def takes(body: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI description of a request body, for a route that reads it with `read_fields`."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


async def read_fields(request: Request, body: type[Body]) -> Body:
    """The request body.

    Raises:
        BadInput: it does not fit; what was sent, names included, is never repeated: it may be a secret.
        NulCharacter.
    """
    raw = await read_body(request.scope, request.receive, MAX_BODY_BYTES)
    if b"\\u0000" in raw:
        raise NulCharacter
    try:
        return body.model_validate_json(raw or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == UNKNOWN_FIELD:
            raise BadInput("body", f"has a field beside {', '.join(body.model_fields)}") from None
        raise BadInput(".".join(map(str, first["loc"])) or "body", first["msg"]) from None


async def caller_of(request: Request) -> Caller:
    """Whom the request's credential speaks for.

    Raises:
        UnknownApiKey: nobody.
    """
    doors: Doors = request.app.state.doors
    return await doors.caller(request.headers.get)


async def wallet_of(request: Request) -> str:
    """Address of the signed-in wallet.

    Raises:
        UnknownApiKey: nobody is signed in.
        NeedsWallet: this is an API key.
    """
    return (await caller_of(request)).wallet().address


def account_of(request: Request, caller: Caller, scope: str) -> int:
    """The account that the request is about, if the caller may use it so.

    Raises:
        ScopeMissing: an API key that was not made for this.
        NoAccount, NotYours: a wallet without it.
    """
    principal = caller.principal(request.headers.get(ACCOUNT_HEADER))
    principal.require(scope)
    return principal.account_idx


def desk_of(request: Request) -> Desk:
    """Where people are served."""
    desk: Desk = request.app.state.desk
    return desk


async def write(request: Request, operation: Callable[[Connection], T]) -> T:
    """Runs a writing operation; what it changed counts at once in this worker, in others within 2 seconds."""
    ledger: Ledger = request.app.state.ledger
    doors: Doors = request.app.state.doors
    result = await ledger.submit(operation)
    doors.forget()
    return result


async def look(request: Request, operation: Callable[[Connection], T]) -> T:
    """Runs a reading operation."""
    ledger: Ledger = request.app.state.ledger
    try:
        return await asyncio.to_thread(ledger.read, operation)
    except UnknownAccount:
        raise NotYours("account") from None


def address_of(text: str) -> str:
    """A wallet address with its checksum.

    Raises:
        BadInput: it is none, or its checksum is wrong.
    """
    if not is_address(text):
        raise BadInput("address", "is 0x and 40 hex digits")
    address = checksummed(text)
    if address is None:
        raise BadInput("address", "has a wrong checksum")
    return address


def base_of(name: str, text: str | None, most_base: int = MAX_AMOUNT_BASE) -> int | None:
    """An amount in base units, sent as a decimal string, at most `most_base`; None stays None.

    Raises:
        BadInput: it is no such number.
    """
    if text is None:
        return None
    if not _DECIMAL.fullmatch(text) or (amount_base := int(text)) > most_base:
        raise BadInput(name, f"is a decimal string of base units, at most {most_base}")
    return amount_base


def text_of(number: int | None) -> str | None:
    """A number that may be too large for JSON's, as a decimal string; None stays None."""
    return None if number is None else str(number)


def number_of(what: str, text: str) -> int:
    """A row number.

    Raises:
        NotYours: it is none.
    """
    if not _DECIMAL.fullmatch(text) or (number := int(text)) > MAX_ROW:
        raise NotYours(what)
    return number


def now_s() -> int:
    """Unix seconds."""
    return int(time.time())
