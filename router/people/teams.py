"""Teams: wallets that spend one account's money, each within a role and a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from router.ledger.keys import revoke_of_member
from router.ledger.models import ACCOUNT
from router.people.errors import BadInput, NotYours, RoleMissing, TeamRule
from router.people.models import TEAM, TEAM_MEMBER, Role

RANK: Final = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2, Role.OWNER: 3}
"""A role may do what those below it may."""
MAX_NAME: Final = 100
MAX_MEMBERS: Final = 1000

_MEMBER: Final = (
    select(TEAM, TEAM_MEMBER.c.role, TEAM_MEMBER.c.month_limit_base.label("member_limit_base"))
    .join(TEAM_MEMBER, TEAM_MEMBER.c.team_id == TEAM.c.id)
    .where(TEAM_MEMBER.c.address == bindparam("member"), TEAM.c.closed_s.is_(None))
)
_MEMBER_OF: Final = _MEMBER.where(TEAM.c.id == bindparam("team"))
_PAID_BY: Final = (
    select(TEAM)
    .join(ACCOUNT, ACCOUNT.c.idx == TEAM.c.account_idx)
    .where(TEAM.c.id == bindparam("team"), ACCOUNT.c.owner == bindparam("payer"), TEAM.c.closed_s.is_(None))
)


@dataclass(frozen=True)
class Membership:
    """A team as one of its members sees it; a budget of None is no limit.

    Attributes:
        team_id: number of the team.
        account_idx: account that pays.
        name: of the team.
        role: the member's, of `Role`.
        month_limit_base: the team's budget for a UTC month, base units.
        member_limit_base: the member's own.
    """

    team_id: int
    account_idx: int
    name: str
    role: str
    month_limit_base: int | None
    member_limit_base: int | None

    def require(self, role: str) -> None:
        """Raises RoleMissing unless the member has this role or one above."""
        if RANK[self.role] < RANK[role]:
            raise RoleMissing(self.role, role)


@dataclass(frozen=True)
class Member:
    """A member as the team sees it."""

    address: str
    role: str
    month_limit_base: int | None
    added_s: int


def create_team(connection: Connection, account_idx: int, address: str, name: str, now_s: int) -> int:
    """Founds a team whose calls an account pays for; its owner is the team's first. Returns its number."""
    _check_name(name)
    values = {
        "account_idx": account_idx,
        "name": name,
        "month_limit_base": None,
        "created_s": now_s,
        "closed_s": None,
    }
    team_id: int = connection.execute(insert(TEAM).returning(TEAM.c.id), values).scalar_one()
    _insert_member(connection, team_id, address, Role.OWNER, None, now_s)
    return team_id


def memberships(connection: Connection, address: str) -> list[Membership]:
    """The open teams that a wallet is in."""
    return [_membership(row) for row in connection.execute(_MEMBER.order_by(TEAM.c.id), {"member": address})]


def membership(connection: Connection, team_id: int, address: str) -> Membership:
    """A wallet's place in a team. Whoever owns the account that pays is an owner, whatever the others did.

    Raises:
        NotYours: there is no such open team, or the wallet is not in it.
    """
    row = connection.execute(_MEMBER_OF, {"team": team_id, "member": address}).one_or_none()
    paying = connection.execute(_PAID_BY, {"team": team_id, "payer": address}).one_or_none()
    if paying is not None:
        limit_base = None if row is None else row.member_limit_base
        return Membership(
            paying.id, paying.account_idx, paying.name, Role.OWNER, paying.month_limit_base, limit_base
        )
    if row is None:
        raise NotYours("team")
    return _membership(row)


def members(connection: Connection, team_id: int) -> list[Member]:
    """Everyone in a team, by when they came."""
    query = select(TEAM_MEMBER).where(TEAM_MEMBER.c.team_id == team_id)
    return [
        Member(row.address, row.role, row.month_limit_base, row.added_s)
        for row in connection.execute(query.order_by(TEAM_MEMBER.c.added_s, TEAM_MEMBER.c.address))
    ]


def change_team(
    connection: Connection, by: Membership, name: str | None, month_limit_base: int | None
) -> None:
    """Sets a team's name (None keeps it) and budget (None: no limit).

    Raises:
        RoleMissing: only owners may.
    """
    by.require(Role.OWNER)
    if name is not None:
        _check_name(name)
    _check_budget(month_limit_base)
    values = {"name": by.name if name is None else name, "month_limit_base": month_limit_base}
    connection.execute(update(TEAM).where(TEAM.c.id == by.team_id).values(values))


def set_member(
    connection: Connection,
    by: Membership,
    address: str,
    role: str,
    month_limit_base: int | None,
    now_s: int,
) -> None:
    """Adds a wallet to a team, or changes its role and budget. Who loses the right to have keys loses them.

    Raises:
        RoleMissing: admins set members and viewers, only owners set owners and admins.
        TeamRule: the last owner stays one; a team has at most 1000 members.
        BadInput: no such role, or a budget out of its range.
    """
    if role not in RANK:
        raise BadInput("role", f"is one of {', '.join(RANK)}")
    _check_budget(month_limit_base)
    before = _role_of(connection, by.team_id, address)
    _require_power(by, before, role)
    if before is None:
        if len(members(connection, by.team_id)) >= MAX_MEMBERS:
            raise TeamRule(f"a team has at most {MAX_MEMBERS} members")
        _insert_member(connection, by.team_id, address, role, month_limit_base, now_s)
        return
    if before == Role.OWNER != role:
        _keep_an_owner(connection, by.team_id)
    if role == Role.VIEWER:
        revoke_of_member(connection, by.team_id, address)
    connection.execute(
        update(TEAM_MEMBER)
        .where(TEAM_MEMBER.c.team_id == by.team_id, TEAM_MEMBER.c.address == address)
        .values(role=role, month_limit_base=month_limit_base)
    )


def remove_member(connection: Connection, by: Membership, address: str) -> None:
    """Takes a wallet out of a team and revokes its keys there; everyone may leave.

    Raises:
        NotYours: it is not in the team.
        RoleMissing: as for `set_member`, except for oneself.
        TeamRule: the last owner cannot leave; close the team instead.
    """
    role = _role_of(connection, by.team_id, address)
    if role is None:
        raise NotYours("member")
    _require_power(by, role, Role.VIEWER)
    _drop(connection, by.team_id, address, role)


def leave_team(connection: Connection, by: Membership, address: str) -> None:
    """Leaves a team, with all keys.

    Raises:
        TeamRule: the last owner cannot; close the team instead.
    """
    _drop(connection, by.team_id, address, by.role)


def close_team(connection: Connection, by: Membership, now_s: int) -> None:
    """Closes a team for good and revokes all of its keys.

    Raises:
        RoleMissing: only owners may.
    """
    by.require(Role.OWNER)
    revoke_of_member(connection, by.team_id, None)
    connection.execute(update(TEAM).where(TEAM.c.id == by.team_id).values(closed_s=now_s))


def _require_power(by: Membership, before: str | None, after: str) -> None:
    """Admins and owners matter only to owners; everyone else to admins too."""
    high = max(RANK[before] if before else 0, RANK[after])
    by.require(Role.OWNER if high >= RANK[Role.ADMIN] else Role.ADMIN)


def _drop(connection: Connection, team_id: int, address: str, role: str) -> None:
    if role == Role.OWNER:
        _keep_an_owner(connection, team_id)
    revoke_of_member(connection, team_id, address)
    connection.execute(
        delete(TEAM_MEMBER).where(TEAM_MEMBER.c.team_id == team_id, TEAM_MEMBER.c.address == address)
    )


def _keep_an_owner(connection: Connection, team_id: int) -> None:
    query = select(func.count()).where(TEAM_MEMBER.c.team_id == team_id, TEAM_MEMBER.c.role == Role.OWNER)
    if connection.execute(query).scalar_one() < 2:
        raise TeamRule("the last owner of a team stays its owner: make another one first, or close the team")


def _role_of(connection: Connection, team_id: int, address: str) -> str | None:
    query = select(TEAM_MEMBER.c.role).where(
        TEAM_MEMBER.c.team_id == team_id, TEAM_MEMBER.c.address == address
    )
    return connection.execute(query).scalar_one_or_none()


def _insert_member(
    connection: Connection, team_id: int, address: str, role: str, limit_base: int | None, now_s: int
) -> None:
    row = {"team_id": team_id, "address": address, "role": role}
    connection.execute(insert(TEAM_MEMBER), row | {"month_limit_base": limit_base, "added_s": now_s})


def _membership(row: Row[Any]) -> Membership:
    return Membership(
        row.id, row.account_idx, row.name, row.role, row.month_limit_base, row.member_limit_base
    )


def _check_name(name: str) -> None:
    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise BadInput("name", f"1 to {MAX_NAME} printable characters")


def _check_budget(limit_base: int | None) -> None:
    if limit_base is not None and not 0 <= limit_base <= MAX_AMOUNT_BASE:
        raise BadInput("month_limit_base", f"{limit_base} is not in 0 … {MAX_AMOUNT_BASE}")
