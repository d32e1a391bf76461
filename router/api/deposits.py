"""Deposits that the router sends for a wallet, which signs once and needs no coin for gas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import Field

from mini_llm.wallet.signature import SIGNATURE_BYTES, canonical_signature
from router.api.admin_access import address_of
from router.api.people import Fields, base_of, desk_of, read_fields, takes, wallet_of
from router.ledger.ceilings import MAX_CEILING_BASE
from router.people.errors import BadInput, NotYours
from router.people.screening import Moment
from router.relay.deposit import ENDPOINT, MAX_VALID_S, DepositOrder
from router.relay.errors import RelayOff

if TYPE_CHECKING:
    from router.relay.deposits import DepositRelay, Relayed  # bring a client of the chain

MAX_LISTED: Final = 20
_UINT: Final = r"^(0|[1-9][0-9]{0,77})$"

routes = APIRouter()


class Deposit(Fields):
    """An EIP-3009 `ReceiveWithAuthorization` of the token to the settlement contract, signed by the wallet.

    Its nonce is keccak256(abi.encode(key_commit, salt)). `key_commit` names the session key of a first
    deposit and is "0" later; numbers that JSON readers do not keep exact are decimal strings.
    """

    amount_base: str
    key_commit: Annotated[str, Field(pattern=_UINT)]
    salt: Annotated[str, Field(pattern="^0x[0-9a-fA-F]{64}$")]
    valid_after_s: Annotated[int, Field(ge=0, lt=2**63)] = 0
    valid_before_s: Annotated[int, Field(ge=0, lt=2**63)]
    signature: Annotated[str, Field(pattern=f"^0x[0-9a-fA-F]{{{2 * SIGNATURE_BYTES}}}$")]


@routes.get(ENDPOINT, summary="List deposits that were sent for the wallet, and what is sent")
async def list_deposits(request: Request) -> dict[str, Any]:
    """`relay` is null where none are sent: then the wallet approves and deposits itself."""
    address = await wallet_of(request)
    relay = relay_of(request)
    found = [] if relay is None else await asyncio.to_thread(relay.listed, address, MAX_LISTED)
    return {
        "relay": None if relay is None else terms(request, relay),
        "data": [shown(deposit) for deposit in found],
    }


@routes.post(ENDPOINT, summary="Send a signed deposit", openapi_extra=takes(Deposit))
async def send_deposit(request: Request) -> dict[str, Any]:
    """Sends it once, however often it comes, and says what became of it: `sent`, `settled` or `failed`.

    `settled` is on chain; the balance rises once the contract's event has its confirmations.
    """
    address = await wallet_of(request)
    sent = await read_fields(request, Deposit)
    relay = relay_of(request)
    if relay is None:
        raise RelayOff
    # what the contract would not take is refused below, which says how much it takes
    amount_base = base_of("amount_base", sent.amount_base, MAX_CEILING_BASE) or 0
    signature = canonical_signature(bytes.fromhex(sent.signature[2:]))
    key_commit = int(sent.key_commit)
    if key_commit >= 2**256:
        raise BadInput("key_commit", "is no number of 256 bits")
    order = DepositOrder(
        payer=address.lower(),
        amount_base=amount_base,
        key_commit=key_commit,
        salt=bytes.fromhex(sent.salt[2:]),
        valid_after_s=sent.valid_after_s,
        valid_before_s=sent.valid_before_s,
        signature=signature,
    )
    desk = desk_of(request)
    desk.chain_doorstep.enter(address_of(request))
    await desk.screening.admit(address, Moment.DEPOSIT)
    return shown(await relay.take(order))


@routes.get(ENDPOINT + "/{deposit_id}", summary="Look at a deposit that was sent")
async def show_deposit(request: Request, deposit_id: str) -> dict[str, Any]:
    """One of the wallet's own."""
    address = await wallet_of(request)
    relay = relay_of(request)
    found = None if relay is None else await asyncio.to_thread(relay.find, address, deposit_id)
    if found is None:
        raise NotYours("deposit")
    return shown(found)


def relay_of(request: Request) -> DepositRelay | None:
    """What sends deposits, None if nothing does."""
    relay: DepositRelay | None = request.app.state.deposits
    return relay


def terms(request: Request, relay: DepositRelay) -> dict[str, Any]:
    """What a wallet signs over, and the limits."""
    token, contract = relay.token, desk_of(request).contract
    return {
        "chain_id": contract.chain_id,
        "settlement": contract.settlement,
        "token": token.address,
        "token_name": token.name,
        "token_version": token.version,
        "least_base": str(relay.options.least_base),
        "max_valid_s": MAX_VALID_S,
        "wallet_day": relay.options.wallet_day,
    }


def shown(deposit: Relayed) -> dict[str, Any]:
    """A deposit as it is sent."""
    return {
        "deposit": deposit.id,
        "state": deposit.state,
        "amount_base": str(deposit.amount_base),
        "tx_hash": deposit.tx_hash,
        "taken_s": deposit.taken_s,
    }
