"""The door: lets in who has an API key or the session of a wallet.

A credential is looked up in the database, then remembered for two seconds and renewed in the background after
one, so that a busy key never waits for the database and a revoked one stops within those two seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mini_llm.routing.plan import Plan
from router.errors import UnknownApiKey
from router.ledger.writer import Ledger
from router.people import sessions
from router.people.byok import OwnKeys
from router.people.callers import Caller, Principal, find_caller
from router.people.errors import ScopeMissing
from router.people.limits import Limiter, Passage

FRESH_S: Final = 1.0
"""A credential is looked up again, in the background, after this long."""
CACHE_S: Final = 2.0
"""And is not believed any longer after this long, so a revoked one works no longer than this."""
CACHE_ENTRIES: Final = 10_000
ACCOUNT_HEADER: Final = "x-vibes-account"
_MAX_CREDENTIAL: Final = 256
_DAY_S: Final = 86_400

Header = Callable[[str], str | None]
"""Looks up a request header by its lower-case name."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    fresh_until: float
    valid_until: float
    day: int  # budgets carry the day: at midnight everyone is looked up again


class Doors:
    """Lets callers in.

    Args:
        ledger: where keys, sessions and teams are.
        limiter: counts this worker's calls.
        own_keys: makes callers' own provider keys usable.
    """

    def __init__(self, ledger: Ledger, limiter: Limiter, own_keys: OwnKeys) -> None:
        self._ledger, self._limiter, self._own_keys = ledger, limiter, own_keys
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[Caller]] = {}

    async def admit(self, header: Header, scope: str) -> Principal:
        """Who pays for a request, given that the credential may be used for it.

        Raises:
            UnknownApiKey: no credential, or one that is not valid.
            ScopeMissing: it may not be used for this.
            NoAccount: a wallet without an account.
            NotYours: a wallet that names another's account.
        """
        caller = await self.caller(header)
        principal = caller.key
        if principal is None:
            principal = caller.principal(header(ACCOUNT_HEADER))
        if scope not in principal.scopes:
            raise ScopeMissing(scope)
        return principal

    async def caller(self, header: Header) -> Caller:
        """Whom the request's credential speaks for.

        Raises:
            UnknownApiKey: no credential, or one that is not valid.
        """
        digest = sessions.hash_token(_credential(header))
        known = self._known.get(digest)
        if known is not None:
            now = time.monotonic()
            if now < known.valid_until and known.day == int(time.time()) // _DAY_S:
                if now >= known.fresh_until and digest not in self._asking:
                    self._ask(digest)
                return known.caller
        return await asyncio.shield(self._asking.get(digest) or self._ask(digest))

    def enter(self, principal: Principal) -> Passage:
        """Lets a call in, within the key's rate limits.

        Raises:
            RateLimited: one of them is reached.
        """
        return self._limiter.enter(principal.key_id, principal.rates)

    async def own_keys(self, principal: Principal, plan: Plan) -> Plan:
        """The plan of a call with the caller's own provider keys, if there are any."""
        return await self._own_keys.apply(plan, principal.provider_keys) if principal.provider_keys else plan

    def forget(self) -> None:
        """Looks everyone up again, after a change that this worker made."""
        self._known.clear()

    def _ask(self, digest: str) -> asyncio.Task[Caller]:
        task = asyncio.create_task(self._look_up(digest))
        task.add_done_callback(_ignore)
        self._asking[digest] = task
        return task

    async def _look_up(self, digest: str) -> Caller:
        began = time.monotonic()
        now_s = int(time.time())
        try:
            caller = await asyncio.to_thread(
                self._ledger.read, lambda connection: find_caller(connection, digest, now_s)
            )
            if caller is None:
                self._known.pop(digest, None)
                raise UnknownApiKey
            while len(self._known) >= CACHE_ENTRIES:
                self._known.pop(next(iter(self._known)))
            self._known[digest] = _Known(caller, began + FRESH_S, began + CACHE_S, now_s // _DAY_S)
            return caller
        finally:
            self._asking.pop(digest, None)


def _credential(header: Header) -> str:
    """The secret as OpenAI's, Anthropic's or Google's clients send it."""
    authorization = header("authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise UnknownApiKey
        secret = secret.strip()
    else:
        secret = header("x-api-key") or header("x-goog-api-key") or ""
    if not secret or len(secret) > _MAX_CREDENTIAL:
        raise UnknownApiKey
    return secret


def _ignore(task: asyncio.Task[Caller]) -> None:
    """A renewal that failed is told to the next caller who has to wait for one."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, UnknownApiKey):
        log.error("a credential could not be renewed: %s", type(error).__name__)
