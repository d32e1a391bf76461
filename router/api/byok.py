"""Keys that the router keeps sealed: a user's own provider keys, and session keys that it holds."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import SecretStr
from starlette.responses import Response

from mini_llm.wallet.field import P
from mini_llm.wallet.limits import TOKEN_CAP_BASE
from router.api.people import (
    Fields,
    account_of,
    base_of,
    caller_of,
    desk_of,
    look,
    now_s,
    read_fields,
    takes,
    wallet_of,
    write,
)
from router.ledger.ceilings import MAX_CEILING_BASE
from router.ledger.grants import Scope
from router.people import custody, provider_keys
from router.people.endpoints import check_endpoint
from router.people.errors import BadInput, NotYours, SealingOff
from router.people.vault import Vault

DEFAULT_LIMIT_BASE: Final = TOKEN_CAP_BASE

routes = APIRouter()


class NewProviderKey(Fields):
    """api_key: as the provider issued it. base_url: the user's own endpoint, https."""

    api_key: SecretStr
    base_url: str | None = None


class HeldKeyTerms(Fields):
    """limit_base: highest cumulative ceiling that the router may sign, decimal string of base units."""

    limit_base: str | None = None


@routes.get("/v1/provider-keys", summary="List the account's own provider keys")
async def list_provider_keys(request: Request) -> dict[str, Any]:
    """A key itself is never shown again, only its last four characters."""
    account_idx = account_of(request, await caller_of(request), Scope.PROVIDERS_WRITE)
    found = await look(request, lambda connection: provider_keys.keys_of(connection, account_idx))
    return {
        "data": [
            {
                "provider": own.provider,
                "base_url": own.base_url,
                "last4": own.last4,
                "created_s": own.created_s,
            }
            for own in found.values()
        ]
    }


@routes.put(
    "/v1/provider-keys/{provider}",
    summary="Keep a provider key",
    status_code=204,
    openapi_extra=takes(NewProviderKey),
)
async def put_provider_key(request: Request, provider: str) -> Response:
    """Calls to this provider's models then use the key: the user pays the provider, and here only a fee."""
    account_idx = account_of(request, await caller_of(request), Scope.PROVIDERS_WRITE)
    desk, vault = desk_of(request), _vault(request)
    sent = await read_fields(request, NewProviderKey)
    key = sent.api_key.get_secret_value().strip()  # pasted with a line's end, it would be none
    if not (0 < len(key) <= provider_keys.MAX_KEY and key.isascii() and key.isprintable()):
        raise BadInput("api_key", f"is 1 to {provider_keys.MAX_KEY} printable ASCII characters")
    if provider not in request.app.state.catalog.table.config.providers:
        raise NotYours("provider to choose from")
    base_url = None
    if sent.base_url is not None:
        base_url = check_endpoint(sent.base_url, desk.settings.private_endpoints)
    kept = await asyncio.to_thread(provider_keys.seal_key, vault, account_idx, provider, base_url, key)
    last4 = provider_keys.shown(key)
    await write(
        request,
        lambda connection: provider_keys.put_key(
            connection, account_idx, provider, base_url, last4, kept, now_s()
        ),
    )
    return Response(status_code=204)


@routes.delete("/v1/provider-keys/{provider}", summary="Forget a provider key", status_code=204)
async def delete_provider_key(request: Request, provider: str) -> Response:
    """Calls are then served with the operator's key, at the listed price."""
    account_idx = account_of(request, await caller_of(request), Scope.PROVIDERS_WRITE)
    if not await write(
        request, lambda connection: provider_keys.delete_key(connection, account_idx, provider)
    ):
        raise NotYours("provider key")
    return Response(status_code=204)


@routes.post(
    "/v1/session-keys",
    summary="Have the router hold a session key",
    status_code=201,
    openapi_extra=takes(HeldKeyTerms),
)
async def create_session_key(request: Request) -> dict[str, Any]:
    """Custodial: whoever runs the router can then spend the balance. Deposit with the returned commitment."""
    address = await wallet_of(request)
    vault = _vault(request)
    sent = await read_fields(request, HeldKeyTerms)
    limit_base = base_of("limit_base", sent.limit_base, MAX_CEILING_BASE)
    held = await asyncio.to_thread(
        custody.new_held_key, vault, address, DEFAULT_LIMIT_BASE if limit_base is None else limit_base
    )
    await write(request, lambda connection: custody.store_held_key(connection, held, now_s()))
    return _held(held)


@routes.get("/v1/session-keys", summary="List the session keys that the router holds")
async def list_session_keys(request: Request) -> dict[str, Any]:
    """Commitments and limits; the keys themselves never leave."""
    address = await wallet_of(request)
    found = await look(request, lambda connection: custody.held_keys(connection, address))
    return {"data": [_held(held) for held in found]}


@routes.put(
    "/v1/session-keys/{key_commit}",
    summary="Limit a held session key",
    openapi_extra=takes(HeldKeyTerms),
)
async def limit_session_key(request: Request, key_commit: str) -> dict[str, Any]:
    """Sets the highest cumulative ceiling that the router may sign; what it signed stays signed."""
    address = await wallet_of(request)
    if not (key_commit.isascii() and key_commit.isdigit() and len(key_commit) <= 77 and int(key_commit) < P):
        raise NotYours("session key")
    sent = await read_fields(request, HeldKeyTerms)
    limit_base = base_of("limit_base", sent.limit_base, MAX_CEILING_BASE)
    if limit_base is None:
        raise BadInput("limit_base", "is needed")
    if not await write(
        request, lambda connection: custody.set_limit(connection, address, int(key_commit), limit_base)
    ):
        raise NotYours("session key")
    return {"key_commit": key_commit, "limit_base": str(limit_base)}


def _held(held: custody.HeldKey) -> dict[str, Any]:
    return {"key_commit": str(held.key_commit), "limit_base": str(held.limit_base)}


def _vault(request: Request) -> Vault:
    vault = desk_of(request).vault
    if vault is None:
        raise SealingOff
    return vault
