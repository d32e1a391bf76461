"""Signing in with a wallet (EIP-4361), and the sessions that this opens."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from mini_llm.wallet.signature import key_signed
from router.api.admin_access import address_of
from router.api.people import Fields, desk_of, look, now_s, read_fields, takes, wallet_of, write
from router.people import custody, sessions
from router.people.desk import Desk
from router.people.errors import BadInput, NotYours, SignInOff
from router.people.screening import Moment
from router.people.sessions import SessionView
from router.people.siwe import CLOCK_SKEW_S, Place, check_message, read_message

routes = APIRouter()


class SignIn(Fields):
    """message: the EIP-4361 text. signature: what the wallet made of it, 0x and hex digits."""

    message: str
    signature: str


@routes.get("/v1/signin/nonce", summary="Get a nonce and what a sign-in message must say")
async def nonce(request: Request) -> dict[str, Any]:
    """A nonce opens one session, within ten minutes."""
    desk = desk_of(request)
    place = _place(desk)
    made, expires_s = desk.nonces.issue(now_s())
    return {
        "nonce": made,
        "expires_s": expires_s,
        "domain": place.domain,
        "uri": place.url,
        "chain_id": place.chain_id,
        "version": "1",
    }


@routes.post("/v1/signin", summary="Sign in with a wallet", openapi_extra=takes(SignIn))
async def sign_in(request: Request) -> dict[str, Any]:
    """Checks message and signature, uses up the nonce, and opens a session; its token is shown this once."""
    token, session = await open_session(request)
    owned = await look(request, lambda connection: sessions.accounts_of(connection, session.address))
    return {"token": token, **_shown(session), "accounts": list(owned)}


async def open_session(request: Request) -> tuple[str, SessionView]:
    """The session that a signed message in the request's body opens, and its token.

    Raises:
        BadInput, SignInOff, SignInRefused, TooOften, WalletRefused.
    """
    desk = desk_of(request)
    place = _place(desk)
    sent = await read_fields(request, SignIn)
    now = now_s()
    message = read_message(sent.message)
    check_message(message, place, now)
    nonce_expires_s = desk.nonces.check(message.nonce, now)
    signature = _signature(sent.signature)
    if not key_signed(message.address, message.digest, signature):
        desk.chain_doorstep.enter(address_of(request))
    await desk.wallets.check(message.address, message.digest, signature)
    await desk.screening.admit(message.address, Moment.SIGN_IN)
    lasts_s = desk.settings.session_s
    if message.expires_s is not None:  # the wallet agreed to no more
        lasts_s = min(lasts_s, math.ceil(message.expires_s + CLOCK_SKEW_S) - now)
    return await write(
        request,
        lambda connection: sessions.open_session(
            connection, message.nonce, nonce_expires_s, message.address, now, lasts_s
        ),
    )


@routes.get("/v1/signin/deposit", summary="Tell how a wallet opens an account")
async def deposit(request: Request) -> dict[str, Any]:
    """The contract to deposit to, and the session keys that the router holds for this wallet."""
    address = await wallet_of(request)
    contract = desk_of(request).contract
    held = await look(request, lambda connection: custody.held_keys(connection, address))
    owned = await look(request, lambda connection: sessions.accounts_of(connection, address))
    return {
        "address": address,
        "accounts": list(owned),
        "chain_id": contract.chain_id,
        "settlement": contract.settlement,
        "steps": [
            "make a session key: derive it from the wallet's EIP-712 signature, or POST /v1/session-keys",
            "approve the settlement contract for the amount, or sign an EIP-2612 permit",
            "call deposit(amount, keyCommit) with the commitment of the session key",
            "wait for the confirmations: GET /v1/account shows the balance",
        ],
        "held_key_commits": [str(key.key_commit) for key in held],
    }


@routes.get("/v1/sessions", summary="List the wallet's sessions")
async def list_sessions(request: Request) -> dict[str, Any]:
    """All that are open, this one included."""
    address = await wallet_of(request)
    found = await look(request, lambda connection: sessions.sessions_of(connection, address, now_s()))
    return {"data": [_shown(session) for session in found]}


@routes.delete("/v1/sessions/{session_id}", summary="End a session", status_code=204)
async def end_session(request: Request, session_id: str) -> Response:
    """Ends one of the wallet's own sessions."""
    address = await wallet_of(request)
    await close_session(request, address, session_id)
    return Response(status_code=204)


@routes.post("/v1/signout", summary="End this session", status_code=204)
async def sign_out(request: Request) -> Response:
    """The token works no longer."""
    session = (await request.app.state.doors.caller(request.headers.get)).wallet()
    await close_session(request, session.address, session.session_id)
    return Response(status_code=204)


async def close_session(request: Request, address: str, session_id: str) -> None:
    """Ends a session.

    Raises:
        NotYours: the wallet has no such session.
    """
    if not await write(
        request, lambda connection: sessions.revoke_session(connection, address, session_id, now_s())
    ):
        raise NotYours("session")


def _place(desk: Desk) -> Place:
    if desk.place is None:
        raise SignInOff
    return desk.place


def _shown(session: SessionView) -> dict[str, Any]:
    return {
        "session": session.session_id,
        "address": session.address,
        "created_s": session.created_s,
        "expires_s": session.expires_s,
    }


def _signature(text: str) -> bytes:
    try:
        if not text.startswith("0x"):
            raise ValueError
        return bytes.fromhex(text[2:])
    except ValueError:
        raise BadInput("signature", "is 0x and hex digits") from None
