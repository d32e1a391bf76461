"""Who is calling, and what may they do: API keys and sessions of wallets.

A credential is looked up in the database, then remembered for two seconds and renewed in the background after
one, so that a busy key never waits for the database and a revoked one stops within those two seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection

from mini_llm.routing.plan import Plan
from router.errors import UnknownApiKey
from router.ledger.grants import ALL_SCOPES, Grant
from router.ledger.keys import ApiKeyView, find_api_key
from router.ledger.pacing import AutoBudget
from router.ledger.reservations import Budget
from router.ledger.writer import Ledger
from router.people import provider_keys, sessions, teams
from router.people.budgets import auto_budgets, key_budgets, team_budgets
from router.people.byok import OwnKeys
from router.people.errors import ModelNotAllowed, NeedsWallet, NoAccount, NotYours, ScopeMissing
from router.people.limits import Limiter, Passage, Rates
from router.people.models import Role
from router.people.provider_keys import OwnKey
from router.people.sessions import SessionView

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
class Principal:
    """Who calls, and what it may do.

    Attributes:
        account_idx: the account that pays.
        key_id: id of the API key, None for a signed-in wallet.
        scopes: what it may be used for, of `Scope`.
        models: names and `prefix*` that it may call; None: all.
        budgets: spending limits of the present day and month, which the reservation carries.
        auto_budgets: what its calls to `auto` are to spend in the same periods.
        rates: limits of requests, tokens and parallel calls.
        user_idx: the caller's own account, if a team's pays.
        provider_keys: the account's own provider keys by provider, sealed.
        grant: the key's grant, None for a wallet.
        team_id: the key's team.
    """

    account_idx: int
    key_id: str | None
    scopes: frozenset[str] = ALL_SCOPES
    models: tuple[str, ...] | None = None
    budgets: tuple[Budget, ...] = ()
    auto_budgets: tuple[AutoBudget, ...] = ()
    rates: Rates = field(default_factory=Rates)
    user_idx: int | None = None
    provider_keys: Mapping[str, OwnKey] = field(default_factory=dict)
    grant: Grant | None = None
    team_id: int | None = None

    def require(self, scope: str) -> None:
        """Raises ScopeMissing unless it may be used for this."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)

    def may_call(self, model: str) -> bool:
        """It may call the model of this name."""
        return self.models is None or any(
            model.startswith(name[:-1]) if name.endswith("*") else model == name for name in self.models
        )

    def require_model(self, model: str) -> None:
        """Raises ModelNotAllowed unless it may call the model of this name."""
        if not self.may_call(model):
            raise ModelNotAllowed(model)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a credential speaks for: one account (`key`), or a wallet with its accounts (`session`)."""

    key: Principal | None
    session: SessionView | None
    accounts: Mapping[int, Principal]

    def wallet(self) -> SessionView:
        """The session.

        Raises:
            NeedsWallet: this is an API key.
        """
        if self.session is None:
            raise NeedsWallet
        return self.session

    def principal(self, wanted: str | None) -> Principal:
        """The one who pays; a wallet with several accounts names one, else it is the first.

        Raises:
            NoAccount: the wallet owns none.
            NotYours: it does not own the one that it names.
        """
        if self.key is not None:
            return self.key
        if not self.accounts:
            raise NoAccount(self.wallet().address)
        if wanted is None:
            return next(iter(self.accounts.values()))
        for idx, principal in self.accounts.items():
            if str(idx) == wanted:
                return principal
        raise NotYours("account")


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


def find_caller(connection: Connection, digest: str, now_s: int) -> Caller | None:
    """Whom a credential with this sha256 speaks for, None for nobody."""
    key = find_api_key(connection, digest)
    if key is not None:
        principal = _of_key(connection, key, now_s)
        return None if principal is None else Caller(principal, None, {})
    session = sessions.find_session(connection, digest, now_s)
    if session is None:
        return None
    accounts = {
        idx: Principal(idx, None, provider_keys=provider_keys.keys_of(connection, idx))
        for idx in sessions.accounts_of(connection, session.address)
    }
    return Caller(None, session, accounts)


def _of_key(connection: Connection, key: ApiKeyView, now_s: int) -> Principal | None:
    grant = key.grant
    principal = Principal(
        account_idx=key.account_idx,
        key_id=key.key_id,
        scopes=grant.scopes,
        models=grant.models,
        budgets=key_budgets(key, now_s),
        auto_budgets=auto_budgets(key, now_s),
        rates=Rates(grant.requests_per_minute, grant.tokens_per_minute, grant.parallel),
        provider_keys=provider_keys.keys_of(connection, key.account_idx),
        grant=grant,
        team_id=key.team_id,
    )
    if key.team_id is None or key.member is None:
        return principal
    try:
        team = teams.membership(connection, key.team_id, key.member)
    except NotYours:
        return None
    if teams.RANK[team.role] < teams.RANK[Role.MEMBER]:
        return None
    own = sessions.accounts_of(connection, key.member)
    return replace(
        principal,
        budgets=principal.budgets + team_budgets(team, key.member, now_s),
        user_idx=own[0] if own and own[0] != key.account_idx else None,
    )


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
