"""The gateway's dealings with the ledger: reserve before a call, keep the lease, then charge or release."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from mini_llm.deployment import HOUSE_PARTNER, Deployment
from mini_llm.price import Usage
from mini_llm.routing.plan import Attempt
from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.limits import BPS, MAX_AMOUNT_BASE
from router.answers import AS_THEY_ARE, KeptAnswers
from router.beside import beside, every
from router.config import RouterConfig, Settings
from router.entropy import random_bytes
from router.errors import BadIdempotencyKey
from router.holding import Holding
from router.ledger.answers import erase_old
from router.ledger.charges import CallFacts, Charge, PostedCharge
from router.ledger.errors import LedgerError
from router.ledger.releases import Release, Renewal, expire_lapsed
from router.ledger.reservations import Recall, Replay, Reservation, origin_key
from router.ledger.shares import Terms
from router.ledger.views import ReceiptSigner
from router.ledger.writer import Ledger
from router.metering import Quote, attempt_facts, wholesale_base
from router.observe.record import current
from router.offers import Offer, Offers
from router.pacing import Paced, Pacing
from router.people.callers import Principal
from router.people.custody import Custodian
from router.people.limits import Passage

MAX_CLIENT_KEY: Final = 255
SALT_BYTES: Final = 32
RENEWALS_PER_LEASE: Final = 3
OWN_KEY: Final = "own key"
"""The tier of calls on the caller's own provider key."""

log = logging.getLogger(__name__)


class Ticket(NamedTuple):
    """A call that has its money reserved.

    Attributes:
        request_id: id of the ledger entry, 64 hex digits.
        account_idx: whose call it is.
        offer: who pays, and at what part of the retail price; nothing later changes it.
        passage: what the call holds of its key's rate limits.
        replayable: the client sent an idempotency key, so the answer is kept.
        prompt_salt: secret of this call.
        prompt_hash: keccak256(salt ‖ body).
        paced: budgets of `auto` that it counts against.
    """

    request_id: str
    account_idx: int
    offer: Offer
    passage: Passage
    replayable: bool
    prompt_salt: bytes
    prompt_hash: bytes
    paced: Paced | None = None


class Billing:
    """Reserves, charges and releases.

    The ledger finishes each write that it was given, even if the caller is cancelled while it waits.
    """

    def __init__(
        self, ledger: Ledger, settings: Settings, custodian: Custodian, answers: KeptAnswers = AS_THEY_ARE
    ) -> None:
        self._ledger, self._settings, self._answers = ledger, settings, answers
        self._signer = ReceiptSigner(settings.domain, settings.receipt_key)
        self._live: set[str] = set()
        self.offers = Offers(ledger, settings.config)
        self._holding = Holding(ledger, self.offers, custodian)
        self.pacing = Pacing(ledger, settings.config)
        self.adopt(settings.config)

    def adopt(self, config: RouterConfig) -> None:
        """Goes by another configuration from now on; calls that run keep the offer that they were made."""
        self._config, self.drain = config, config.hang_up
        self._terms: dict[int, Terms] = {}  # by partner; each knows its shares by name once it has been used
        self.offers.adopt(config)
        self.pacing.adopt(config)

    async def reserve(
        self,
        principal: Principal,
        passage: Passage,
        endpoint: str,
        client_key: str | None,
        body: bytes,
        quote: Quote,
        paced: Paced | None = None,
    ) -> Ticket | Replay:
        """Reserves what the call can cost, or finds the answer given to the same idempotency key before.

        Promotional credit is asked first, then the account at its tier's price. A call to `auto` is `paced`
        if it has a budget, which holds like a spending limit.

        Raises:
            BadIdempotencyKey: the key is no key.
            LedgerError: not enough money, a paused account, or a key in use.
        """
        if client_key is not None and not (
            0 < len(client_key) <= MAX_CLIENT_KEY and client_key.isascii() and client_key.isprintable()
        ):
            raise BadIdempotencyKey(MAX_CLIENT_KEY)
        asked = self._asked(principal, endpoint, client_key, body, quote, paced)
        began_ns = time.perf_counter_ns()
        offer, held = await self._holding.take(asked, quote)
        wait_ns = time.perf_counter_ns() - began_ns
        current().reserved(principal.account_idx, principal.key_id, held.entry_id, wait_ns)
        if isinstance(held, Replay):
            return await self._answers.opened(held)
        self._live.add(held.entry_id)
        salt = random_bytes(SALT_BYTES)
        return Ticket(
            request_id=held.entry_id,
            account_idx=principal.account_idx,
            offer=offer,
            passage=passage,
            replayable=client_key is not None,
            prompt_salt=salt,
            prompt_hash=keccak(salt + body),
            paced=paced,
        )

    async def rehearse(self, principal: Principal, quote: Quote, paced: Paced | None = None) -> Offer:
        """The offer at which a call would reserve now; nothing is reserved.

        Raises:
            LedgerError: why it could not.
        """
        return await self._holding.rehearse(self._asked(principal, "", None, b"", quote, paced), quote)

    async def recall(self, account_idx: int, endpoint: str, client_key: str, body: bytes) -> Replay | None:
        """The answer given to an idempotency key before, for a call that nobody serves any more.

        Raises:
            InFlight, IdempotencyMismatch: the key is in use.
        """
        key = origin_key(account_idx, endpoint, client_key)
        earlier = await self._ledger.submit(Recall(key, hashlib.sha256(body).digest()))
        return None if earlier is None else await self._answers.opened(earlier)

    def _asked(
        self,
        principal: Principal,
        endpoint: str,
        client_key: str | None,
        body: bytes,
        quote: Quote,
        paced: Paced | None,
    ) -> Reservation:
        return Reservation(
            account_idx=principal.account_idx,
            endpoint=endpoint,
            client_key=client_key,
            body_hash=hashlib.sha256(body).digest(),
            quote_base=quote.quote_base,
            lease_s=self._settings.lease_s,
            now_s=int(time.time()),
            budgets=principal.budgets if paced is None else (*principal.budgets, *paced.limits),
            key_id=principal.key_id,
            user_idx=principal.user_idx,
        )

    async def charge(
        self,
        ticket: Ticket,
        deployment: Deployment,
        usage: Usage,
        answer: bytes,
        content_type: str,
        attempts: tuple[Attempt, ...],
    ) -> PostedCharge:
        """Charges the usage, at most what was reserved, and signs the receipt.

        deployment: who served the call, as it was when the call was planned.
        attempts: who failed before; they cost the user nothing.
        """
        config, policy, offer = self._config, self._config.policy, ticket.offer
        price = deployment.price.scaled(offer.rate_bps)
        prompt_price_base, completion_price_base = price.dearest(usage)
        retail_base = deployment.price.cost_base(usage)
        actual_base = retail_base if offer.rate_bps == BPS else price.cost_base(usage)
        facts = CallFacts(
            provider=deployment.provider,
            deployment=deployment.id,
            model=deployment.model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            estimated=usage.estimated,
            prompt_price_base_per_mtok=prompt_price_base,
            completion_price_base_per_mtok=completion_price_base,
            vibes_per_usd=deployment.vibes_per_usd or config.vibes_per_usd,
            actual_base=min(actual_base, MAX_AMOUNT_BASE),
            time_s=int(time.time()),
            prompt_salt=ticket.prompt_salt,
            prompt_hash=ticket.prompt_hash,
            cached_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            audio_prompt_tokens=usage.audio_prompt_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            audio_completion_tokens=usage.audio_completion_tokens,
            wholesale_base=0 if deployment.own_key else wholesale_base(retail_base, policy),
            retail_base=min(retail_base, MAX_AMOUNT_BASE),
            tier=OWN_KEY if deployment.own_key else offer.tier,
            attempts=attempt_facts(attempts, policy, usage),
            answer=self._answers.kept(ticket.request_id, content_type, answer) if ticket.replayable else None,
        )
        terms = self._terms_of(HOUSE_PARTNER if offer.promotional else deployment.partner_id)
        record = current()
        record.answered(deployment, attempts)
        try:
            charged = await self._ledger.charge(Charge(ticket.request_id, facts, terms, self._signer))
        finally:
            ticket.passage.leave(usage.prompt_tokens + usage.completion_tokens)
            self._live.discard(ticket.request_id)
        record.charged(usage, charged.charge_base, charged.lost_base)
        if ticket.paced is not None:
            self.pacing.charged(ticket.paced, charged.charge_base)
        if charged.lost_base:
            log.warning("call %s lost_base=%d late=%s", ticket.request_id, charged.lost_base, charged.late)
        return charged

    async def release(
        self,
        ticket: Ticket,
        why: BaseException,
        attempts: tuple[Attempt, ...],
        usage: Usage | None = None,
    ) -> None:
        """Gives the reservation back, uncharged. Of `why` the kind is kept; the rest may quote a prompt.

        usage: of the answer that came to nothing, as far as it is known.
        """
        reason = type(why).__name__
        facts = attempt_facts(attempts, self._config.policy, usage)
        try:
            await self._ledger.void(Release(ticket.request_id, reason, attempts=facts))
        finally:
            ticket.passage.leave()
            self._live.discard(ticket.request_id)
        current().released(reason, attempts)

    def _terms_of(self, partner_id: int) -> Terms:
        if (terms := self._terms.get(partner_id)) is None:
            policy, partner_bps = self._config.policy, self._config.partner_bps(partner_id)
            shares = (partner_bps, policy.fee_bps, policy.burn_bps, policy.pool_bps)
            terms = self._terms[partner_id] = Terms(partner_id, *shares)
        return terms

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renews the leases of live calls, expires lapsed ones of dead workers, and erases answers whose time
        is up, until the block ends."""
        await self._answers.prepare()
        await self._sweep(int(time.time()))
        renewing = every(
            self._settings.lease_s / RENEWALS_PER_LEASE, self._look_after, "leases were not renewed"
        )
        async with beside(renewing), self.offers.kept(), self.pacing.kept():
            yield

    async def _look_after(self) -> None:
        now_s = int(time.time())  # once: however long renewing takes, no call of this worker has lapsed by it
        await self._renew(now_s)
        await self._sweep(now_s)

    async def _renew(self, now_s: int) -> None:
        until_s = now_s + self._settings.lease_s
        live = list(self._live)
        renewals = (self._ledger.submit(Renewal(entry_id, until_s)) for entry_id in live)
        for entry_id, error in zip(
            live, await asyncio.gather(*renewals, return_exceptions=True), strict=True
        ):
            if isinstance(error, LedgerError):  # settled meanwhile, or lapsed: the post will say so
                log.info("call %s lease not renewed: %s", entry_id, type(error).__name__)
            elif error is not None:
                raise error

    async def _sweep(self, now_s: int) -> None:
        for entry_id in await self._ledger.submit(lambda connection: expire_lapsed(connection, now_s)):
            log.warning("call %s expired: its worker is gone", entry_id)
        if (keep_s := self._answers.keep_s) is not None:
            await self._ledger.submit(lambda connection: erase_old(connection, now_s - keep_s))
