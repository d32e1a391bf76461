"""Who may make, see, change, renew and revoke which API keys.

A key of an account is managed by the wallet that owns the account, and by API keys of the account with the
scope for it, if they are not limited themselves: a limited key would else make itself an unlimited one. A
member's key in a team is changed and renewed by the member alone (renewing shows the new secret), and revoked
by the member, the team's admins, and the wallet whose account pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from router.ledger import keys
from router.ledger.grants import Grant, Scope
from router.ledger.keys import ApiKeyView, NewSecret
from router.people import teams
from router.people.callers import Caller, Principal
from router.people.errors import Escalation, NotYours
from router.people.models import Role

TEAM_SCOPES = frozenset({Scope.CHAT, Scope.EMBEDDINGS, Scope.MODELS})
"""What a member's key may do: spend within the budget, and see nothing of the account."""


def create_key(connection: Connection, by: Caller, account: Principal, label: str, grant: Grant) -> NewSecret:
    """Makes a key of an account.

    Raises:
        ScopeMissing, SecretRetired, Escalation: an API key that may not make this one.
    """
    account.require(Scope.KEYS_WRITE)
    if by.key is not None:
        _require_power(by.key, grant)
    return keys.create_api_key(connection, account.account_idx, label, grant=grant)


def create_team_key(
    connection: Connection, address: str, team_id: int, label: str, grant: Grant
) -> NewSecret:
    """Makes a member's key in a team, which the team's account pays for.

    Raises:
        NotYours, RoleMissing: the wallet is no member, or only looks on.
        Escalation: a scope that shows or changes the account.
    """
    team = teams.membership(connection, team_id, address)
    team.require(Role.MEMBER)
    _require_team_scopes(grant)
    return keys.create_api_key(connection, team.account_idx, label, grant=grant, team=(team.team_id, address))


def visible_keys(connection: Connection, account: Principal) -> list[ApiKeyView]:
    """The account's own keys; those of teams are seen through the team.

    Raises:
        ScopeMissing: an API key that may not look.
    """
    account.require(Scope.KEYS_READ)
    return [key for key in keys.api_keys(connection, account.account_idx) if key.team_id is None]


def team_keys(connection: Connection, address: str, team_id: int) -> list[ApiKeyView]:
    """The keys in a team: a member sees its own, admins all.

    Raises:
        NotYours: the wallet is not in the team.
    """
    team = teams.membership(connection, team_id, address)
    found = keys.api_keys(connection, team_id=team_id)
    if teams.RANK[team.role] >= teams.RANK[Role.ADMIN]:
        return found
    return [key for key in found if key.member == address]


def change_key(
    connection: Connection, by: Caller, key_id: str, label: str | None, changes: Mapping[str, Any]
) -> ApiKeyView:
    """Changes what a key may do, to nothing that the caller could not give to a new key.

    Args:
        connection: a writing transaction.
        by: who asks.
        key_id: the key.
        label: its new name, None to leave it.
        changes: fields of `Grant` that change.

    Raises:
        NotYours, ScopeMissing, SecretRetired, Escalation, UnknownKey, InvalidGrant.
    """
    key = _own(connection, by, key_id)
    grant = replace(key.grant, **changes)
    if key.team_id is not None:
        _require_team_scopes(grant)
    if by.key is not None:
        _require_power(by.key, grant)
    return keys.change_api_key(connection, key_id, key.label if label is None else label, grant)


def rotate_key(connection: Connection, by: Caller, key_id: str, grace_s: int) -> NewSecret:
    """Renews a key's secret.

    Raises:
        NotYours, ScopeMissing, SecretRetired, Escalation, UnknownKey.
    """
    _own(connection, by, key_id)
    return keys.rotate_api_key(connection, key_id, grace_s)


def revoke_key(connection: Connection, by: Caller, key_id: str) -> None:
    """Revokes a key. Whoever holds a key may end it, whatever its scopes: that is how a program logs out.

    Raises:
        NotYours: no valid key that the caller manages.
        ScopeMissing, Escalation: an API key that may not.
        SecretRetired: its own key, but an older secret of it.
    """
    if by.key is not None and by.key.key_id == key_id:
        by.key.require_current()
    else:
        _managed(connection, by, key_id)
    if not keys.revoke_api_key(connection, key_id):
        raise NotYours("API key")


def _own(connection: Connection, by: Caller, key_id: str) -> ApiKeyView:
    """The key, if the caller manages it and it is no other member's."""
    key = _managed(connection, by, key_id)
    if key.team_id is not None and (by.session is None or key.member != by.session.address):
        raise NotYours("API key")
    return key


def _managed(connection: Connection, by: Caller, key_id: str) -> ApiKeyView:
    """The key, if the caller manages it; whether another's exists is not told."""
    key = keys.api_key(connection, key_id)
    if by.key is not None:
        if key.account_idx != by.key.account_idx or key.team_id is not None:
            raise NotYours("API key")
        by.key.require(Scope.KEYS_WRITE)
        if key_id != by.key.key_id:
            _require_power(by.key, key.grant)
        return key
    if key.account_idx in by.accounts:
        return key
    address = by.wallet().address
    if key.team_id is None:
        raise NotYours("API key")
    team = _place_in(connection, key.team_id, address)
    if key.member != address and teams.RANK[team.role] < teams.RANK[Role.ADMIN]:
        raise NotYours("API key")
    return key


def _place_in(connection: Connection, team_id: int, address: str) -> teams.Membership:
    try:
        return teams.membership(connection, team_id, address)
    except NotYours:
        raise NotYours("API key") from None


def _require_team_scopes(grant: Grant) -> None:
    if beyond := grant.scopes - TEAM_SCOPES:
        raise Escalation(f"a key in a team has no scope {min(beyond)!r}")


def _require_power(by: Principal, grant: Grant) -> None:
    """An API key makes and manages keys that may do no more than itself."""
    mine = by.grant or Grant()
    if replace(mine, scopes=frozenset(), expires_s=None) != Grant(scopes=frozenset()):
        raise Escalation("it is limited itself")
    if beyond := grant.scopes - mine.scopes:
        raise Escalation(f"it has no scope {min(beyond)!r} itself")
    if mine.expires_s is not None and (grant.expires_s is None or grant.expires_s > mine.expires_s):
        raise Escalation("it expires earlier itself")
