"""What the router needs to serve people, opened together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from mini_llm.http_transport import HttpTransport
from mini_llm.transport import Transport
from mini_llm.wallet.ceiling import settlement_domain
from mini_llm.wallet.receipt import ReceiptDomain
from router.config_people import PeopleSettings
from router.ledger.writer import Ledger
from router.people.byok import OwnKeys, OwnKeyTerms
from router.people.custody import Custodian
from router.people.device import MAX_FROM_ONE, UserCodes
from router.people.doorstep import Doorstep
from router.people.endpoints import public
from router.people.exchange import Exchange
from router.people.limits import Limiter
from router.people.screening import Screening
from router.people.sessions import Nonces
from router.people.siwe import Place
from router.people.vault import Vault
from router.people.wallets import Wallets

MAX_ASKED: Final = 100
"""Questions to the chain's node that one network may cause in ten minutes without an API key."""


@dataclass(frozen=True)
class Desk:
    """Where people are served.

    Attributes:
        settings: what the operator said.
        contract: chain and settlement contract.
        place: where one signs in, None if the operator did not say.
        nonces: for signing in.
        user_codes: for logins of devices.
        doorstep: who begins such logins.
        chain_doorstep: for whom the chain is asked.
        wallets: checks their signatures.
        screening: which of them are refused.
        vault: seals kept keys, None without a master key.
        custodian: signs ceilings with held session keys.
        own_keys: makes callers' own provider keys usable.
        limiter: rate limits of this worker.
    """

    settings: PeopleSettings
    contract: ReceiptDomain
    place: Place | None
    nonces: Nonces
    user_codes: UserCodes
    doorstep: Doorstep
    chain_doorstep: Doorstep
    wallets: Wallets
    screening: Screening
    vault: Vault | None
    custodian: Custodian
    own_keys: OwnKeys
    limiter: Limiter


@asynccontextmanager
async def open_desk(
    settings: PeopleSettings,
    contract: ReceiptDomain,
    secret: bytes,
    ledger: Ledger,
    vault: Vault | None,
    screening: Screening,
    transport: Transport,
    terms: Callable[[], OwnKeyTerms],
) -> AsyncIterator[Desk]:
    """Opens all of it until the block ends.

    Args:
        settings: what the operator said.
        contract: chain and settlement contract.
        secret: known to every worker and nobody else; nonces are sealed and user codes hashed with it.
        ledger: where people are.
        vault: of `VIBES_MASTER_KEY`, None without one.
        screening: of `VIBES_SCREENING`.
        transport: to the configured providers.
        terms: the configuration in force.
    """
    guarded, chain = HttpTransport(public()), HttpTransport()
    limiter = Limiter()
    desk = Desk(
        settings=settings,
        contract=contract,
        place=None if settings.public_url is None else Place(settings.public_url, contract.chain_id),
        nonces=Nonces(secret),
        user_codes=UserCodes(secret),
        doorstep=Doorstep(MAX_FROM_ONE),
        chain_doorstep=Doorstep(MAX_ASKED),
        wallets=Wallets(chain, settings.rpc_url, contract.chain_id),
        screening=screening,
        vault=vault,
        custodian=Custodian(ledger, vault, settlement_domain(contract.chain_id, contract.settlement)),
        own_keys=OwnKeys(vault, transport, guarded, settings.private_endpoints, terms),
        limiter=limiter,
    )
    try:
        async with Exchange(ledger, limiter).running():
            yield desk
    finally:
        await guarded.aclose()
        await chain.aclose()
