"""Whom a credential speaks for, and what that one may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from router.ledger.grants import ALL_SCOPES, MANAGING, Grant, Scope
from router.ledger.keys import ApiKeyView, find_api_key
from router.ledger.pacing import AutoBudget
from router.ledger.reservations import Budget
from router.people import provider_keys, sessions, teams
from router.people.budgets import auto_budgets, key_budgets, team_budgets
from router.people.errors import (
    ModelNotAllowed,
    NeedsWallet,
    NoAccount,
    NotYours,
    ScopeMissing,
    SecretRetired,
)
from router.people.limits import Rates
from router.people.models import Role
from router.people.provider_keys import OwnKey
from router.people.sessions import SessionView


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
        provider_keys: the account's own provider keys by provider, sealed; none if a spending limit has to
            hold, for it counts what is charged here, and not what their providers bill.
        grant: the key's grant, None for a wallet.
        team_id: the key's team.
        retired: the secret was replaced and works for its grace: it calls and looks, and manages nothing.
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
    retired: bool = False

    @property
    def sees_account(self) -> bool:
        """It may see what the account has."""
        return Scope.ACCOUNT_READ in self.scopes

    def require(self, scope: str) -> None:
        """Raises ScopeMissing unless it may be used for this, SecretRetired if only its newer secret may."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)
        if scope in MANAGING:
            self.require_current()

    def require_current(self) -> None:
        """Raises SecretRetired if a newer secret took the place of the one that calls."""
        if self.retired:
            raise SecretRetired

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
        grant=grant,
        team_id=key.team_id,
        retired=key.retired,
    )
    if key.team_id is None or key.member is None:
        return _with_own_keys(connection, principal)
    try:
        team = teams.membership(connection, key.team_id, key.member)
    except NotYours:
        return None
    if teams.RANK[team.role] < teams.RANK[Role.MEMBER]:
        return None
    own = sessions.accounts_of(connection, key.member)
    member = replace(
        principal,
        budgets=principal.budgets + team_budgets(team, key.member, now_s),
        user_idx=own[0] if own and own[0] != key.account_idx else None,
    )
    return _with_own_keys(connection, member)


def _with_own_keys(connection: Connection, principal: Principal) -> Principal:
    if principal.budgets or principal.auto_budgets:
        return principal
    return replace(principal, provider_keys=provider_keys.keys_of(connection, principal.account_idx))
